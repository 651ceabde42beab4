using System.Runtime.InteropServices;
using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Runs <see cref="NormActivationKernel"/> over a batch, an image a core, where nothing is differentiated: when generating.</summary>
internal static class FusedNormActivation
{
    /// <summary>Runs it where it can.</summary>
    /// <returns>[N, C, H, W] with the channels last in memory; null where the plain operators have to do it.</returns>
    /// <inheritdoc cref="NormActivation.Apply"/>
    public static Tensor? TryApply(Tensor x, long groups, Tensor weight, Tensor bias, double epsilon, Tensor? scale, Tensor? shift, bool silu)
    {
        if (is_grad_enabled() || x.device_type != DeviceType.CPU || x.dtype != ScalarType.Float32 || weight.dtype != ScalarType.Float32)
            return null;
        long[] shape = x.shape;
        if (!NormActivationKernel.Takes(shape[1]) || x.numel() > int.MaxValue / sizeof(float))
            return null;
        using Tensor pixels = x.permute(0, 2, 3, 1);
        if (!pixels.is_contiguous())
            return null;

        using Tensor result = empty(pixels.shape, float32);
        using Tensor? scales = scale?.contiguous();
        using Tensor? shifts = shift?.contiguous();
        Run(new Work(pixels, result, weight, bias, scales, shifts, (int)groups, epsilon, silu, (int)shape[0], (int)shape[1]));
        return result.permute(0, 3, 1, 2);
    }

    private sealed record Work(
        Tensor X, Tensor Y, Tensor Weight, Tensor Bias, Tensor? Scale, Tensor? Shift, int Groups, double Epsilon, bool Silu, int Images, int Channels);

    private static void Run(Work work)
    {
        if (work.Images == 1)
            RunImage(work, 0);
        else
            Parallel.For(0, work.Images, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, get_num_threads()) }, image => RunImage(work, image));
    }

    private static void RunImage(Work work, int image)
    {
        ReadOnlySpan<float> x = Row(work.X, image, work.Images);
        Span<float> coefficients = stackalloc float[2 * work.Channels];
        Span<float> factor = coefficients[..work.Channels], offset = coefficients[work.Channels..];
        var norm = new GroupNormSettings(work.Groups, work.Epsilon, Values(work.Weight), Values(work.Bias));
        NormActivationKernel.Factors(x, norm, Film(work.Scale, image), Film(work.Shift, image), factor, offset);
        NormActivationKernel.Apply(x, factor, offset, work.Silu, Row(work.Y, image, work.Images));
    }

    private static ReadOnlySpan<float> Film(Tensor? rows, int image) =>
        rows is null ? [] : Row(rows, rows.shape[0] == 1 ? 0 : image, (int)rows.shape[0]);

    private static Span<float> Row(Tensor tensor, int row, int rows)
    {
        var values = Values(tensor);
        int length = values.Length / rows;
        return values.Slice(row * length, length);
    }

    private static Span<float> Values(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
}
