using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Makes the parameters of a network in the order in which its modules ask, from one generator. They live outside any dispose scope:
/// a network that is built inside one must survive it.
/// </summary>
/// <param name="kind">How they are drawn.</param>
/// <param name="generator">Draws them; null leaves what would be drawn as it comes, for weights that are read from a file.</param>
internal sealed class WeightInitializer(WeightInitialization kind, Generator? generator)
{
    /// <summary>A weight of a linear layer or a convolution.</summary>
    /// <param name="shape">[out, in, …].</param>
    /// <param name="zero">Whether it starts at zero.</param>
    /// <param name="outputs">How many fused layers of equal size share it: their fan-out is the share of one.</param>
    public Parameter Weight(long[] shape, bool zero = false, int outputs = 1)
    {
        if (zero)
            return Zeros(shape);
        long receptive = 1;
        for (int i = 2; i < shape.Length; i++)
            receptive *= shape[i];
        double fanIn = shape[1] * receptive, fanOut = shape[0] * receptive / outputs;
        return Uniform(shape, kind == WeightInitialization.KaimingUniform ? 1 / Math.Sqrt(fanIn) : Math.Sqrt(6 / (fanIn + fanOut)));
    }

    /// <summary>A bias of a linear layer or a convolution.</summary>
    /// <param name="size">Its length.</param>
    /// <param name="fanIn">Inputs of one output of the layer.</param>
    /// <param name="zero">Whether it starts at zero.</param>
    public Parameter Bias(long size, long fanIn, bool zero = false) =>
        zero || kind == WeightInitialization.VarianceScaling ? Zeros([size]) : Uniform([size], 1 / Math.Sqrt(fanIn));

    /// <summary>A table of standard normal rows, as PyTorch starts an embedding; also the memory tokens of an attention.</summary>
    public Parameter Normal(long[] shape) => Detached(generator is null ? empty(shape, float32) : randn(shape, float32, generator: generator));

    /// <summary>The scale of a norm. TorchSharp's own norms leave theirs uninitialised.</summary>
    public Parameter Ones(params long[] shape) => Detached(ones(shape, float32));

    /// <summary>The shift of a norm.</summary>
    public Parameter Zeros(params long[] shape) => Detached(zeros(shape, float32));

    private Parameter Uniform(long[] shape, double bound)
    {
        if (generator is null)
            return Detached(empty(shape, float32));
        Tensor values = rand(shape, float32, generator: generator).mul_(Held(2 * bound)).sub_(Held(bound));
        return Detached(values);
    }

    private static Parameter Detached(Tensor values)
    {
        if (values.dim() == 4)
        {
            using Tensor planes = values;
            values = ChannelsLast.Of(planes);
        }
        var parameter = new Parameter(values, requires_grad: true);
        parameter.DetachFromDisposeScope();
        return parameter;
    }
}
