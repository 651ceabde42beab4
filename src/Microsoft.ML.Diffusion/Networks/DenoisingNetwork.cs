using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A network that predicts from a noisy image, its timestep and its class. What depends on timestep and class alone is split off,
/// so that a sampler computes it once for all its steps: <see cref="forward"/> is <see cref="Embed"/>, then <see cref="Run"/>.
/// </summary>
public abstract class DenoisingNetwork(string name, UNetOptions options, UNetShape shape) : nn.Module<Tensor, Tensor, Tensor?, Tensor>(name)
{
    /// <summary>The structure.</summary>
    public UNetOptions Options { get; } = options;

    /// <summary>What the network was built for. It also runs on other sizes that its resolutions divide.</summary>
    public UNetShape Shape { get; } = shape;

    /// <summary>
    /// Draws what dropout leaves out while training; on the CPU, whatever the network's device. The network starts with one of its own, seeded when it was built,
    /// and owns neither that nor a later one.
    /// </summary>
    public abstract Generator DropoutGenerator { get; set; }

    /// <summary>Runs the network.</summary>
    /// <param name="x">[N, C, H, W] float32: the noisy batch.</param>
    /// <param name="timesteps">[N] float32, may be fractional.</param>
    /// <param name="labels">[N] int64: 0 … K−1 a class, K the null class of classifier-free guidance; null where the network has no classes.</param>
    /// <returns>[N, C or 2C, H, W] float32; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The image does not fit the network, or labels are missing, or given to a network without classes.</exception>
    public sealed override Tensor forward(Tensor x, Tensor timesteps, Tensor? labels)
    {
        using NetworkEmbedding embedding = Embed(timesteps, labels);
        return Run(x, embedding);
    }

    /// <summary><see cref="forward"/> computing in another type.</summary>
    /// <param name="x">[N, C, H, W] float32.</param>
    /// <param name="timesteps">[N] float32.</param>
    /// <param name="labels">[N] int64 or null.</param>
    /// <param name="type">What convolutions, products and attention compute in.</param>
    /// <returns>[N, C or 2C, H, W] float32; the caller disposes it.</returns>
    internal Tensor ForwardIn(Tensor x, Tensor timesteps, Tensor? labels, ScalarType type)
    {
        using NetworkEmbedding embedding = Embed(timesteps, labels);
        return RunIn(x, embedding, type);
    }

    /// <summary><see cref="Run"/> computing in another type: float32 in, float32 out.</summary>
    internal Tensor RunIn(Tensor x, NetworkEmbedding embedding, ScalarType type)
    {
        using Tensor typed = x.to(type);
        using Tensor output = Run(typed, embedding);
        return output.to(ScalarType.Float32);
    }

    /// <summary>Computes all that the blocks are told of timestep and class.</summary>
    /// <param name="timesteps">[M] float32, may be fractional.</param>
    /// <param name="labels">[M] int64 or null, as in <see cref="forward"/>.</param>
    /// <returns>M rows; the caller disposes them.</returns>
    /// <exception cref="ArgumentException">Labels are missing, or given to a network without classes.</exception>
    public abstract NetworkEmbedding Embed(Tensor timesteps, Tensor? labels);

    /// <summary>Runs the network with an embedding that was computed before. It computes in x's element type, over its own weights.</summary>
    /// <param name="x">[N, C, H, W] float32, or another floating type: the noisy batch.</param>
    /// <param name="embedding">N rows, or one row for the whole batch; not disposed.</param>
    /// <returns>[N, C or 2C, H, W] in x's element type; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The image does not fit the network.</exception>
    public Tensor Run(Tensor x, NetworkEmbedding embedding)
    {
        CheckInput(x, embedding);
        NetworkEmbedding typed = embedding.As(EmbeddingType(x));
        try
        {
            return RunTyped(x, typed);
        }
        finally
        {
            if (!ReferenceEquals(typed, embedding))
                typed.Dispose();
        }
    }

    /// <summary><see cref="Run"/> with a batch that fits and an embedding in its element type.</summary>
    private protected abstract Tensor RunTyped(Tensor x, NetworkEmbedding embedding);

    /// <summary>The element type that the blocks want the embedding in.</summary>
    private protected virtual ScalarType EmbeddingType(Tensor x) => x.dtype;

    /// <summary>A generator for dropout, seeded from the one that draws the weights.</summary>
    private protected static Generator NewDropoutGenerator(Generator generator) => new(DeviceRandom.Seed(generator));

    /// <summary>Refuses a batch that the network cannot run on.</summary>
    private void CheckInput(Tensor x, NetworkEmbedding embedding)
    {
        long[] size = x.shape;
        if (size.Length != 4 || size[1] != Shape.Channels)
            throw new ArgumentException($"The network takes [N, {Shape.Channels}, H, W], not [{string.Join(", ", size)}].", nameof(x));
        int multiple = Options.SizeMultiple;
        if (size[2] % multiple != 0 || size[3] % multiple != 0)
            throw new ArgumentException($"The network halves its resolution {Options.Levels - 1} times: both sides of an image must be multiples of {multiple}, not {size[2]}x{size[3]}.", nameof(x));
        if (embedding.Rows != 1 && embedding.Rows != size[0])
            throw new ArgumentException($"{embedding.Rows} embedded timesteps for a batch of {size[0]}: give one a row, or one for all.", nameof(embedding));
    }
}
