namespace Microsoft.ML.Diffusion;

/// <summary>What a network is built for: the images it denoises and the classes it is told.</summary>
/// <param name="Channels">Channels of an image: 1 (grey), 3 (colour), 4 (colour with alpha), or any number from 1.</param>
/// <param name="Height">Rows of an image, in pixels.</param>
/// <param name="Width">Columns of an image, in pixels; need not equal <paramref name="Height"/>.</param>
/// <param name="Classes">Number of classes K; 0 for a network that is told no class.</param>
/// <param name="LearnedVariance">Whether the output has a second half of channels for the variance (Nichol and Dhariwal 2021, equation 15).</param>
public sealed record UNetShape(int Channels, int Height, int Width, int Classes = 0, bool LearnedVariance = false)
{
    /// <summary>
    /// Whether the class table has a row K more, the null class of classifier-free guidance (Ho and Salimans 2022).
    /// False for weights of reference systems whose table has K rows; such a network cannot be guided. Without classes it means nothing.
    /// </summary>
    public bool NullClass { get; init; } = true;

    /// <summary>Channels of the output; null: <see cref="Channels"/>, doubled where the variance is learned.</summary>
    public int? OutputChannels { get; init; }

    /// <summary>Rows of the class table: 0, K, or K + 1 with the null class.</summary>
    internal int ClassRows => Classes == 0 ? 0 : Classes + (NullClass ? 1 : 0);

    /// <summary>Channels that come out of the network.</summary>
    internal int Outputs => OutputChannels ?? (LearnedVariance ? 2 * Channels : Channels);

    /// <summary>Refuses sizes that no network has.</summary>
    /// <exception cref="ArgumentException">A size is not positive, or the number of classes is negative.</exception>
    internal void Validate()
    {
        if (Channels < 1)
            throw new ArgumentException($"{nameof(Channels)} is {Channels}: an image has at least one channel.");
        if (Height < 1 || Width < 1)
            throw new ArgumentException($"An image of {Height}x{Width} pixels (height x width) cannot be: both sides must be at least 1.");
        if (Classes < 0)
            throw new ArgumentException($"{nameof(Classes)} is {Classes}: give the number of classes, or 0 for none.");
        if (OutputChannels < 1)
            throw new ArgumentException($"{nameof(OutputChannels)} is {OutputChannels}: give null for the usual number, or at least 1.");
    }

    /// <summary>"3x32x32", with the classes where there are any.</summary>
    public override string ToString() =>
        $"{Channels}x{Height}x{Width}{(Classes > 0 ? $", {Classes} classes" : "")}{(LearnedVariance ? ", learned variance" : "")}";
}
