using System.Numerics;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

internal sealed unsafe partial class FlatAdam
{
    private const int Chunk = 1 << 16;

    private double GradientNorm()
    {
        if (_gradients.device.type != TorchSharp.DeviceType.CPU)
        {
            using var noGrad = no_grad();
            using var norm = _gradients.norm();
            return norm.item<float>();
        }
        int length = checked((int)_gradients.numel());
        float* gradients = HostMemory.Pointer(_gradients);
        var sums = new double[(length + Chunk - 1) / Chunk];
        Cores.Run(sums.Length, i => sums[i] = SumOfSquares(Piece(gradients, i, length)));
        return Math.Sqrt(sums.Sum());
    }

    private void UpdateOnCpu(AdamUpdate update)
    {
        int length = checked((int)_weights.numel());
        float* weights = HostMemory.Pointer(_weights), gradients = HostMemory.Pointer(_gradients);
        float* means = HostMemory.Pointer(_mean), squares = HostMemory.Pointer(_square), averages = HostMemory.Pointer(_average);
        Cores.Run((length + Chunk - 1) / Chunk, i => Update(
            update, Piece(weights, i, length), Piece(gradients, i, length), Piece(means, i, length), Piece(squares, i, length), Piece(averages, i, length)));
    }

    private static Span<float> Piece(float* vector, int index, int length) => new(vector + (nint)index * Chunk, Math.Min(Chunk, length - index * Chunk));

    private static double SumOfSquares(ReadOnlySpan<float> values)
    {
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        var sum = Vector<double>.Zero;
        foreach (var v in vectors)
        {
            // Squares of float32 gradients overflow float32 long before they are nonsense.
            Vector.Widen(v, out var low, out var high);
            sum += low * low + high * high;
        }
        double total = Vector.Sum(sum);
        foreach (float v in values[(vectors.Length * Vector<float>.Count)..])
            total += (double)v * v;
        return total;
    }

    /// <summary>One pass: reads and writes each number once.</summary>
    private static void Update(AdamUpdate u, Span<float> weights, Span<float> gradients, Span<float> means, Span<float> squares, Span<float> averages)
    {
        var w = MemoryMarshal.Cast<float, Vector<float>>(weights);
        var g = MemoryMarshal.Cast<float, Vector<float>>(gradients);
        var m = MemoryMarshal.Cast<float, Vector<float>>(means);
        var s = MemoryMarshal.Cast<float, Vector<float>>(squares);
        var a = MemoryMarshal.Cast<float, Vector<float>>(averages);
        var epsilon = new Vector<float>(u.Epsilon);
        for (int i = 0; i < w.Length; i++)
        {
            var gradient = g[i] * u.Clip;
            var mean = m[i] * u.Beta1 + gradient * u.NewMean;
            var square = s[i] * u.Beta2 + gradient * gradient * u.NewSquare;
            var weight = w[i] * u.Keep - mean * u.Rate / (Vector.SquareRoot(square) * u.RootScale + epsilon);
            (m[i], s[i], w[i]) = (mean, square, weight);
            a[i] += (weight - a[i]) * u.NewAverage;
            g[i] = Vector<float>.Zero;
        }
        for (int i = w.Length * Vector<float>.Count; i < weights.Length; i++)
        {
            float gradient = gradients[i] * u.Clip;
            means[i] = means[i] * u.Beta1 + gradient * u.NewMean;
            squares[i] = squares[i] * u.Beta2 + gradient * gradient * u.NewSquare;
            weights[i] = weights[i] * u.Keep - means[i] * u.Rate / (MathF.Sqrt(squares[i]) * u.RootScale + u.Epsilon);
            averages[i] += (weights[i] - averages[i]) * u.NewAverage;
            gradients[i] = 0;
        }
    }

    /// <summary>The same in a few operators over the long vectors, for devices with memory of their own.</summary>
    private void UpdateOnDevice(AdamUpdate u)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        _mean.mul_(Held(u.Beta1)).add_(_gradients, Held(u.NewMean * u.Clip));
        _square.mul_(Held(u.Beta2)).addcmul_(_gradients, _gradients, Held(u.NewSquare * u.Clip * u.Clip));
        if (u.Keep != 1)
            _weights.mul_(Held(u.Keep));
        var root = _square.sqrt().mul_(Held(u.RootScale)).add_(Held(u.Epsilon), Held(1));
        _weights.addcdiv_(_mean, root, Held(-u.Rate));
        _average.mul_(Held(1 - u.NewAverage)).add_(_weights, Held(u.NewAverage));
        ClearGradients();
    }

    private void ClearGradients()
    {
        using var noGrad = no_grad();
        // TorchSharp's zero_ gives back another handle to the same memory.
        using var same = _gradients.zero_();
    }
}
