using System.Text;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The rule by which the golden vectors draw weights from a parameter's name, its shape and a seed.</summary>
internal static class HashWeights
{
    private const ulong Golden = 0x9E3779B97F4A7C15;

    public static Tensor Make(string name, long[] shape, ulong seed)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte letter in Encoding.ASCII.GetBytes(name))
            hash = (hash ^ letter) * 0x100000001b3;

        long count = shape.Aggregate(1L, (product, side) => product * side);
        double fanIn = shape.Skip(1).Aggregate(1.0, (product, side) => product * side);
        bool scaleOfNorm = shape.Length == 1 && name.EndsWith(".weight", StringComparison.Ordinal);
        var values = new float[count];
        for (long i = 0; i < count; i++)
        {
            double r = Uniform(hash + seed * Golden + (ulong)(i + 1) * Golden);
            values[i] = (float)(shape.Length >= 2 ? Math.Sqrt(3 / fanIn) * r : scaleOfNorm ? 1 + 0.2 * r : 0.1 * r);
        }
        return tensor(values, shape);
    }

    private static double Uniform(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        z ^= z >> 31;
        return 2 * ((z >> 40) * Math.Pow(2, -24)) - 1;
    }
}
