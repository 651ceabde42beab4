namespace Microsoft.ML.Diffusion;

/// <content>The network as a pass without tensors: the same walk as <see cref="RunTyped"/>.</content>
internal sealed partial class UNet : IHostNetwork
{
    /// <inheritdoc/>
    public int Outputs => Shape.Outputs;

    /// <inheritdoc/>
    public HostImages Run(HostPass pass, HostImages x, ReadOnlySpan<HostRows> projections, HostImages? to)
    {
        int next = 0;
        var skips = new Stack<HostImages>(_down.Length + Options.Levels);
        HostImages h = Convert(pass, _stem.Run(pass, x), narrow: _fillsMatrixUnit && MatrixUnit.Current is not null);
        foreach (Stage stage in _down)
        {
            skips.Push(h.Share());
            h = RunBlock(pass, stage, h, projections[next++]);
            if (stage.Down is not { } down)
                continue;
            skips.Push(h.Share());
            using HostImages large = h;
            h = down.Run(pass, large);
        }
        skips.Push(h.Share());
        foreach (Stage stage in _middle)
            h = RunBlock(pass, stage, h, projections[next++]);
        foreach (Stage stage in _up)
        {
            HostImages joined;
            using (h)
            using (HostImages skip = skips.Pop())
                joined = pass.Join(h, skip);   // [N, H, W, C + S]
            h = RunBlock(pass, stage, joined, projections[next++]);
            if (stage.Up is not { } up)
                continue;
            using HostImages small = h;
            h = up.Run(pass, small);
        }
        using HostImages last = Convert(pass, h, narrow: false);
        return _output.Convolution.Run(pass, last, _output.Norm.With(silu: true), to: to);
    }

    /// <summary>Runs a block and its attention; disposes its input.</summary>
    private static HostImages RunBlock(HostPass pass, Stage stage, HostImages h, HostRows film)
    {
        using HostImages input = h;
        HostImages output = stage.Block.Run(pass, input, film);
        if (stage.Attention is not { } attention)
            return output;
        using (output)
            return attention.Run(pass, output);
    }

    /// <summary>Disposes its input.</summary>
    private static HostImages Convert(HostPass pass, HostImages x, bool narrow)
    {
        using HostImages input = x;
        return pass.Convert(input, narrow);
    }
}
