namespace Microsoft.ML.Diffusion;

/// <summary>Arithmetic of batches whose first dimension counts images.</summary>
internal static class Rows
{
    /// <summary>The shape [N, 1, …, 1] that spreads one number a row over <paramref name="x"/>.</summary>
    public static long[] Column(Tensor x)
    {
        var shape = new long[x.dim()];
        Array.Fill(shape, 1);
        shape[0] = x.shape[0];
        return shape;
    }

    /// <summary>The mean over everything but the first dimension: [N].</summary>
    public static Tensor Mean(Tensor x)
    {
        using var flat = x.flatten(1);
        return flat.mean([1L]);
    }
}
