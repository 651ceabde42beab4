using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion;

/// <summary>The function between the two linear layers of a timestep embedding.</summary>
internal enum NonLinearity
{
    /// <summary>x·sigmoid(x).</summary>
    Silu,

    /// <summary>x·Φ(x), as in the annotated model.</summary>
    Gelu,
}

/// <summary>
/// Timestep and class as one vector: linear(f(linear(sinusoids(t)))) + table[class] (Ho et al. 2020; Nichol and Dhariwal 2021),
/// with the SiLU that every block applies first already on it.
/// </summary>
internal sealed class ConditionEmbedding
{
    private readonly UNetShape _shape;
    private readonly NonLinearity _nonLinearity;
    private readonly TimestepEmbedding _sinusoids;
    private readonly LinearLayer _linear1;
    private readonly LinearLayer _linear2;
    private readonly ClassTable? _classes;

    /// <summary>Makes one and registers its layers.</summary>
    /// <param name="options">The network's structure.</param>
    /// <param name="shape">Its classes.</param>
    /// <param name="init">Draws the weights.</param>
    /// <param name="nonLinearity">What stands between the linear layers.</param>
    /// <param name="group">Takes the layers as linear1, linear2, classes.</param>
    public ConditionEmbedding(UNetOptions options, UNetShape shape, WeightInitializer init, NonLinearity nonLinearity, ModuleGroup group)
    {
        _shape = shape;
        _nonLinearity = nonLinearity;
        _sinusoids = new(options.BaseChannels, options.CosineFirst, options.FrequencyShift, options.MaximumPeriod);
        _linear1 = group.Add("linear1", new LinearLayer(options.BaseChannels, options.EmbeddingChannels, init));
        _linear2 = group.Add("linear2", new LinearLayer(options.EmbeddingChannels, options.EmbeddingChannels, init));
        if (shape.ClassRows > 0)
            _classes = group.Add("classes", new ClassTable(shape.ClassRows, options.EmbeddingChannels, init));
    }

    /// <summary>Embeds.</summary>
    /// <param name="timesteps">[M].</param>
    /// <param name="labels">[M] int64 or null.</param>
    /// <returns>[M, E] float32, activated.</returns>
    /// <exception cref="ArgumentException">Labels are missing, superfluous, or not as many as timesteps.</exception>
    public Tensor Embed(Tensor timesteps, Tensor? labels)
    {
        if (_classes is null && labels is not null)
            throw new ArgumentException("Labels were given to a network that was built without classes: pass null, or build it with UNetShape.Classes.", nameof(labels));
        if (_classes is not null && labels is null)
            throw new ArgumentException($"The network was built with {_shape.Classes} classes: pass a label for each row{(_shape.NullClass ? $", {_shape.Classes} for the null class" : "")}.", nameof(labels));
        if (timesteps.dim() != 1 || (labels is not null && (labels.dim() != 1 || labels.shape[0] != timesteps.shape[0])))
            throw new ArgumentException("Timesteps and labels must be vectors with one entry a row.", nameof(timesteps));

        using Tensor sinusoids = _sinusoids.Embed(timesteps);    // [M, B]
        using Tensor hidden = _linear1.forward(sinusoids);       // [M, E]
        using Tensor bent = _nonLinearity == NonLinearity.Silu ? nn.functional.silu(hidden) : nn.functional.gelu(hidden);
        using Tensor time = _linear2.forward(bent);              // [M, E]
        if (_classes is null)
            return nn.functional.silu(time);
        using Tensor rows = _classes.forward(labels!);           // [M, E]
        using Tensor both = time.Plus(rows);
        return nn.functional.silu(both);
    }
}

/// <summary>A learned row for each class: weight [rows, E].</summary>
internal sealed class ClassTable : nn.Module<Tensor, Tensor>
{
    [TorchSharp.Utils.ComponentName(Name = "weight")] private readonly Parameter _weight;

    public ClassTable(int rows, int channels, WeightInitializer init)
        : base(nameof(ClassTable))
    {
        _weight = init.Normal([rows, channels]);
        RegisterComponents();
    }

    /// <summary>Looks up [M] int64: [M, E].</summary>
    public override Tensor forward(Tensor labels) => _weight.index_select(0, labels);
}
