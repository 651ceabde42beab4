namespace Microsoft.ML.Diffusion;

/// <summary>Channels from one up to another.</summary>
/// <param name="First">The first.</param>
/// <param name="End">The one after the last.</param>
internal readonly record struct ChannelRange(int First, int End)
{
    /// <summary>How many.</summary>
    public int Count => End - First;
}

/// <summary>What a gradient of a weight costs for a pixel, in cycles, about.</summary>
/// <param name="Product">The products of a block of inputs and a block of outputs.</param>
/// <param name="Input">Making a factor of a block of inputs.</param>
/// <param name="Output">The same of a block of the outputs' gradients.</param>
internal readonly record struct GradientCosts(double Product, double Input, double Output);

/// <summary>
/// A weight in parts whose gradients are summed side by side: each has some inputs and some outputs to itself, so that no core waits for another and the result does not depend on how many there are.
/// </summary>
internal readonly struct WeightGrid
{
    private readonly int _inputs;
    private readonly int _outputs;
    private readonly int _block;
    private readonly int _across;
    private readonly int _down;

    /// <summary>Divides a weight into as many parts as there are cores, at the most.</summary>
    /// <param name="inputs">Its inputs.</param>
    /// <param name="outputs">Its outputs.</param>
    /// <param name="block">Channels that stay together; the last may be fewer.</param>
    /// <param name="costs">What a pixel costs.</param>
    public WeightGrid(int inputs, int outputs, int block, GradientCosts costs)
    {
        (_inputs, _outputs, _block) = (inputs, outputs, block);
        int cores = Cores.Count;
        double least = double.PositiveInfinity;
        for (int across = 1; across <= Math.Min(cores, Blocks(inputs)); across++)
        {
            int down = Math.Min(cores / across, Blocks(outputs)), wide = (Blocks(inputs) + across - 1) / across, high = (Blocks(outputs) + down - 1) / down;
            double cost = costs.Product * wide * high + costs.Input * wide + costs.Output * high;
            if (cost < least)
                (_across, _down, least) = (across, down, cost);
        }
    }

    /// <summary>How many.</summary>
    public int Parts => _across * _down;

    /// <summary>The inputs of a part.</summary>
    public ChannelRange Inputs(int part) => Range(_inputs, part % _across, _across);

    /// <summary>The outputs of a part.</summary>
    public ChannelRange Outputs(int part) => Range(_outputs, part / _across, _down);

    private ChannelRange Range(int channels, int part, int parts)
    {
        int blocks = Blocks(channels);
        return new(blocks * part / parts * _block, Math.Min(channels, blocks * (part + 1) / parts * _block));
    }

    private int Blocks(int channels) => (channels + _block - 1) / _block;
}
