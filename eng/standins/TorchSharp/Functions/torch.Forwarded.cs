namespace TorchSharp;

/// <summary>Functions that are methods of their first tensor.</summary>
public static partial class torch
{
    public static Tensor maximum(Tensor input, Tensor other) => input.maximum(other);
    public static Tensor quantile(Tensor input, Tensor q, long dim = -1, bool keepdim = false) => input.quantile(q, dim, keepdim);
}
