using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

internal static unsafe partial class WinogradConvolution<L, E, P>
{
    /// <summary>Floats that the transform of weights works in.</summary>
    private static int WeightScratch => (9 * L.Count + P.WeightRegisters) * L.Count;

    /// <summary>Where the transformed weights are kept (<see cref="KeptWeights.Find"/>); null where they are not.</summary>
    private static float* Kept(Work work, WeightForm form, nint floats, out bool isThere)
    {
        isThere = false;
        return P.KeepsWeights && !work.IsTurned ? KeptWeights.Find(work.Weight, form, floats, out isThere) : null;
    }

    /// <summary>Transforms the weights of a register's width of outputs to where they lie among those of all outputs.</summary>
    /// <param name="work">The convolution.</param>
    /// <param name="output">The first output.</param>
    /// <param name="u">The matrices, [C, D] in panels.</param>
    /// <param name="room">[<see cref="WeightScratch"/>].</param>
    private static void TransformWeights(Work work, int output, float* u, float* room)
    {
        int start = P.PanelStart(work.Outputs, output), width = P.PanelAt(work.Outputs, start);
        TransformWeights(work, output, u + P.Floats(start, work.Inputs), output - start, width, work.WeightStride, room);
    }

    /// <summary>Transforms the weights of a register's width of outputs.</summary>
    /// <param name="work">The convolution.</param>
    /// <param name="output">The first output.</param>
    /// <param name="u">The first matrix, where the panel begins.</param>
    /// <param name="column">Which column of the panel the first output is.</param>
    /// <param name="width">Columns of the panel.</param>
    /// <param name="stride">From a matrix to the next.</param>
    /// <param name="gathered">[<see cref="WeightScratch"/>].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformWeights(Work work, int output, float* u, int column, int width, nint stride, float* gathered)
    {
        float* weight = work.Weight;
        bool turned = work.IsTurned;
        int n = L.Count, inputs = work.Size.Inputs, outputs = work.Size.Outputs, lanes = Math.Min(n, outputs - output);
        float* scratch = gathered + 9 * n * n;   // [9, n inputs, n outputs] lie before it
        CallWeights(work, 0, output, lanes);
        for (int first = 0; first < work.Inputs; first += n)
        {
            int count = Math.Min(n, inputs - first);
            if (first + n < inputs)
                CallWeights(work, first + n, output, lanes);
            if (turned && lanes == n && count == n)
            {
                float* last = weight + ((nint)first * 9 + 8) * outputs + output;
                P.Weights(last, 9 * outputs, -3 * outputs, -outputs, u, first, work.Inputs, column, width, stride, scratch);
                continue;
            }
            Gather(work.Size, weight, turned, first, count, output, lanes, gathered);
            P.Weights(gathered, n, 3 * n * n, n * n, u, first, work.Inputs, column, width, stride, scratch);
        }
    }

    /// <summary>Calls kernels from memory: they lie too far apart for a processor to see which come next.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CallWeights(Work work, int input, int output, int outputs)
    {
        var size = work.Size;
        int rows = work.IsTurned ? Math.Min(L.Count, size.Inputs - input) : outputs, row = 9 * (work.IsTurned ? size.Outputs : size.Inputs), tap = row / 9;
        float* from = work.Weight + (work.IsTurned ? (nint)input * row + output : (nint)output * row + input);
        for (int i = 0; i < rows; i++, from += row)
        {
            for (int k = 0; k < 9; k++)
                Lanes.Prefetch(from + k * tap);
        }
    }

    /// <summary>The kernels of some inputs and outputs, by number, input and output; zero where there is no such input or output.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Gather(in ConvolutionSize size, float* weight, bool turned, int input, int inputs, int output, int outputs, float* to)
    {
        int n = L.Count;
        nint step = (nint)9 * size.Inputs;
        if (!turned && inputs == n && outputs == n)
        {
            float* from = weight + output * step + input;
            for (int k = 0; k < 9; k++, from += size.Inputs, to += n * n)
                L.Transpose(from, step, to, n);
            return;
        }
        new Span<float>(to, 9 * n * n).Clear();
        for (int k = 0; k < 9; k++, to += n * n)
        {
            for (int c = 0; c < inputs; c++)
            {
                for (int d = 0; d < outputs; d++)
                    to[c * n + d] = turned ? weight[((nint)(input + c) * 9 + 8 - k) * size.Outputs + output + d] : weight[(output + d) * step + (nint)k * size.Inputs + input + c];
            }
        }
    }
}
