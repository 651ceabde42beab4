using System.Globalization;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The structure of a U-Net (Ronneberger et al. 2015) as diffusion models use it. Start from a preset and change it with <c>with</c>:
/// <c>UNetOptions.Ho2020 with { BaseChannels = 64 }</c>. Two options are equal when all their values are; they are written to and read from JSON.
/// </summary>
public sealed partial record UNetOptions
{
    /// <summary>The family; <see cref="UNetArchitecture.Annotated"/> looks only at the properties whose text says so.</summary>
    public UNetArchitecture Architecture { get; init; } = UNetArchitecture.Residual;

    /// <summary>Channels after the first convolution, and of the sinusoidal embedding. Both families.</summary>
    public int BaseChannels { get; init; } = 128;

    /// <summary>
    /// Channels of each resolution as a multiple of <see cref="BaseChannels"/>, from the finest down; each resolution is half the one before,
    /// so n of them ask for image sides that 2^(n−1) divides. Both families.
    /// </summary>
    public ValueList<double> ChannelMultipliers { get; init; } = [1, 2, 2, 2];

    /// <summary>Residual blocks at each resolution on the way down; one more on the way up.</summary>
    public int BlocksPerResolution { get; init; } = 2;

    /// <summary>
    /// Where full attention follows each block, in pixels of the shorter side: each entry means the finest resolution that is not larger.
    /// [16] is the 16x16 level of a 32x32 image and of a 256x256 one alike. The bottleneck has attention of its own.
    /// </summary>
    public ValueList<int> AttentionResolutions { get; init; } = [16];

    /// <summary>The same for the way up; null: as on the way down.</summary>
    public ValueList<int>? UpAttentionResolutions { get; init; }

    /// <summary>Heads of each attention. Both families.</summary>
    public int AttentionHeads { get; init; } = 1;

    /// <summary>Heads on the way up; null: <see cref="AttentionHeads"/>.</summary>
    public int? UpAttentionHeads { get; init; }

    /// <summary>
    /// Channels of a head. Null: a level's channels divided by <see cref="AttentionHeads"/>. Otherwise the number of heads follows from it,
    /// and both head counts are ignored; in the annotated family the width of a head, 32 when null.
    /// </summary>
    public int? AttentionHeadChannels { get; init; }

    /// <summary>Whether the bottleneck has attention between its two blocks.</summary>
    public bool MiddleAttention { get; init; } = true;

    /// <summary>How the blocks are told timestep and class. Both families.</summary>
    public TimestepConditioning Conditioning { get; init; } = TimestepConditioning.ScaleShift;

    /// <summary>Share of activations dropped before the last convolution of each block while training, in [0, 1).</summary>
    public double Dropout { get; init; }

    /// <summary>
    /// Groups of every group norm (Wu and He 2018); must divide every level's channels. Both families.
    /// With <see cref="TimestepConditioning.Add"/> take fewer groups than channels: a norm with one channel a group takes out whatever was added before it.
    /// </summary>
    public int NormGroups { get; init; } = 32;

    /// <summary>Groups of the norm before the bottleneck's attention; null: <see cref="NormGroups"/>; 0: no norm there.</summary>
    public int? MiddleAttentionNormGroups { get; init; }

    /// <summary>Added to the variance in every norm: 1e-6 in Ho et al. 2020, 1e-5 in PyTorch. Both families.</summary>
    public double NormEpsilon { get; init; } = 1e-5;

    /// <summary>Whether the sinusoidal embedding has its cosines first (improved-diffusion) or its sines (Ho et al. 2020). Both families.</summary>
    public bool CosineFirst { get; init; } = true;

    /// <summary>
    /// Frequencies of the embedding are <see cref="MaximumPeriod"/>^(−i/(half − shift)), i = 0 … half − 1: 0 in improved-diffusion, 1 in Ho et al. 2020.
    /// Both families.
    /// </summary>
    public int FrequencyShift { get; init; }

    /// <summary>The longest period of the embedding, as a multiple of 2π timesteps. Both families.</summary>
    public double MaximumPeriod { get; init; } = 10_000;

    /// <summary>Channels of the embedding after its two linear layers; null: four times <see cref="BaseChannels"/>. Both families.</summary>
    public int? TimeEmbeddingChannels { get; init; }

    /// <summary>Whether resolutions change by a convolution; false: mean pooling down, nearest neighbours up, no weights.</summary>
    public bool ConvolutionalResampling { get; init; } = true;

    /// <summary>
    /// Whether the stride-2 convolutions pad right and bottom only, as TensorFlow's SAME does on even sides (Ho et al. 2020);
    /// false: one pixel on every side.
    /// </summary>
    public bool AsymmetricDownsampling { get; init; }

    /// <summary>Whether the input x is replaced by 2x − 1, for networks that were trained on images in [0, 1].</summary>
    public bool CenterInput { get; init; }

    /// <summary>How the weights are drawn before training. Both families.</summary>
    public WeightInitialization Initialization { get; init; } = WeightInitialization.KaimingUniform;

    /// <summary>The hyper-parameters that the paper trained with.</summary>
    public TrainingRecipe Recipe { get; init; } = new();

    /// <summary>Builds a freshly initialised network on the CPU, in training mode.</summary>
    /// <param name="shape">The images and classes.</param>
    /// <param name="generator">Draws the weights: the same state gives the same network. Also seeds the network's dropout.</param>
    /// <returns>The network; the caller disposes it.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The options contradict themselves or do not fit the shape; the message names what would.</exception>
    public DenoisingNetwork Build(UNetShape shape, Generator generator)
    {
        ArgumentNullException.ThrowIfNull(generator);
        return Build(shape, generator, initialize: true);
    }

    /// <summary>Builds a network whose weights are all going to be overwritten: drawing them would take longer than reading a file.</summary>
    /// <param name="shape">The images and classes.</param>
    /// <returns>The network on the CPU, in training mode, with weights of any value; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The options contradict themselves or do not fit the shape.</exception>
    internal DenoisingNetwork BuildUninitialized(UNetShape shape)
    {
        using var generator = new Generator(0, CPU);
        return Build(shape, generator, initialize: false);
    }

    private DenoisingNetwork Build(UNetShape shape, Generator generator, bool initialize)
    {
        Validate(shape);
        return Architecture == UNetArchitecture.Annotated ? new AnnotatedUNet(this, shape, generator, initialize) : new UNet(this, shape, generator, initialize);
    }

    /// <summary>The number of weights and biases that a network of this structure has; nothing is built.</summary>
    /// <param name="shape">The images and classes.</param>
    /// <exception cref="ArgumentNullException"><paramref name="shape"/> is null.</exception>
    /// <exception cref="ArgumentException">The options contradict themselves or do not fit the shape.</exception>
    public long CountParameters(UNetShape shape)
    {
        Validate(shape);
        return ParameterTable.For(this, shape).Sum(entry => entry.Size);
    }

    /// <summary>The structure in one line, with the number of parameters at the recipe's image size.</summary>
    public override string ToString()
    {
        var nominal = new UNetShape(3, Recipe.ImageSize, Recipe.ImageSize, LearnedVariance: Recipe.Variance is VarianceType.LearnedRange or VarianceType.Learned);
        string parameters;
        try
        {
            parameters = string.Create(CultureInfo.InvariantCulture, $"{CountParameters(nominal):N0} parameters at {nominal}");
        }
        catch (ArgumentException e)
        {
            parameters = $"not valid at {nominal}: {e.Message}";
        }
        string inside = Architecture == UNetArchitecture.Annotated ? "2 blocks and linear attention a resolution" : $"{BlocksPerResolution} blocks a resolution, attention at {AttentionResolutions}";
        return $"{Architecture} U-Net, {BaseChannels} x {ChannelMultipliers} channels, {inside}, {parameters}";
    }
}
