using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>A network that can run as a <see cref="HostPass"/>.</summary>
internal interface IHostNetwork
{
    /// <summary>Channels of the output.</summary>
    int Outputs { get; }

    /// <summary>Runs it.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x">[N, H, W, C] float32.</param>
    /// <param name="projections">What the blocks are told, in their order.</param>
    /// <param name="to">[N, H, W, outputs] float32, where the result is written; null: where there is room.</param>
    /// <returns>The result, to be disposed.</returns>
    HostImages Run(HostPass pass, HostImages x, ReadOnlySpan<HostRows> projections, HostImages? to);
}

/// <summary>
/// A whole network as one node of libtorch's graph: between its input and its output runs a <see cref="HostPass"/>. Where the calling thread trains or draws, so that it is known where parameters lie
/// (<see cref="ParameterMemory"/>), and the kernels take every size. Differentiable once.
/// </summary>
internal sealed unsafe class HostNetwork : autograd.SingleTensorFunction<HostNetwork>
{
    private const string Run = "run";

    /// <inheritdoc/>
    public override string Name => nameof(HostNetwork);

    /// <summary>Runs a network where it can.</summary>
    /// <param name="network">The network.</param>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="embedding">What the blocks are told.</param>
    /// <returns>[N, outputs, H, W] with the channels last in memory; null where operator by operator has to do it.</returns>
    public static Tensor? TryRun(IHostNetwork network, Tensor x, NetworkEmbedding embedding)
    {
        if (ParameterMemory.Current is not { } memory || embedding.All is not { } rows || !HostKernels.Take(x, rows.Numbers))
            return null;
        bool learns = is_grad_enabled();
        var shape = HostKernels.ShapeOf(x);
        if (!memory.Answer((network, shape, rows.Widths.Length, learns, MatrixUnit.Current), question => Fits(question.network, question.shape, question.Length, question.learns)))
            return null;
        if (learns)
        {
            // The graph holds what it needs by handles of its own: all that was made on the way, TorchSharp's copy of the output's shape too, can go.
            using var scope = NewDisposeScope();
            return apply(x, rows.Numbers, new Call(network, embedding, memory.Pool)).MoveToOuterDisposeScope();
        }
        using Tensor pixels = ChannelsLast.Pixels(x), y = empty((shape with { Channels = network.Outputs }).Sizes, float32);
        using HostImages input = HostImages.Over(ImageMemory.Of(pixels)), output = HostImages.Over(ImageMemory.Of(y));
        network.Run(HostPass.Begin(memory.Pool, learns: false), input, embedding.ToHost(null), output).Dispose();
        return y.permute(0, 3, 1, 2);
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, rows, call) = ((Tensor)vars[0], (Tensor)vars[1], (Call)vars[2]);
        using Tensor pixels = ChannelsLast.Pixels(x);
        var images = ImageMemory.Of(pixels);
        var pass = HostPass.Begin(call.Pool, learns: true);
        using HostImages input = pass.New(images.Shape, needsGradient: x.requires_grad);
        Copy(images, input.Memory);
        using Tensor y = empty((images.Shape with { Channels = call.Network.Outputs }).Sizes, float32);
        Tensor dRows = zeros(rows.shape, float32);
        HostImages output = call.Network.Run(pass, input, call.Embedding.ToHost(HostMemory.Pointer(dRows)), HostImages.Over(ImageMemory.Of(y)));
        ctx.save_for_backward([rows, dRows]);
        ctx.save_data(Run, new Taken(pass, input, output));
        ctx.set_materialize_grads(false);
        return y.permute(0, 3, 1, 2);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        using var scope = NewDisposeScope();
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_output;
        var (pass, input, output) = (Taken)ctx.get_data(Run);
        using (HostImages dy = pass.New(output.Shape))
        {
            Copy(ImageMemory.Of(ChannelsLast.Pixels(given)), dy.Memory);
            pass.Backward(output, dy);
        }
        using HostImages? dx = input.TakeGradient();
        Tensor? ofInput = dx is null ? null : empty(dx.Shape.Sizes, float32);
        if (ofInput is not null)
            Copy(dx!.Memory, ImageMemory.Of(ofInput));
        return ReturnedGradients.Pass(ofInput?.permute(0, 3, 1, 2), ctx.get_saved_variables()[1], null);
    }

    private static bool Fits(IHostNetwork network, ImageShape shape, int blocks, bool learns)
    {
        var rehearsal = HostPass.Rehearse(learns);
        using HostImages x = rehearsal.New(shape);
        network.Run(rehearsal, x, Enumerable.Repeat(new HostRows(default, null), blocks).ToArray(), null).Dispose();
        return rehearsal.Fits;
    }

    private static void Copy(ImageMemory from, ImageMemory to) => Buffer.MemoryCopy(from.Numbers, to.Numbers, to.Shape.Bytes, from.Shape.Bytes);

    private sealed record Call(IHostNetwork Network, NetworkEmbedding Embedding, HostPool Pool);

    private sealed record Taken(HostPass Pass, HostImages Input, HostImages Output);
}
