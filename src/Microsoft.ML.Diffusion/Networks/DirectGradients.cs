namespace Microsoft.ML.Diffusion;

/// <summary>
/// Lets our operators add a weight's gradient to <c>weight.grad</c> themselves, where the kernel writes it anyway, instead of handing libtorch a tensor to add:
/// that saves two passes over all weights on one core. Only for a training that calls <c>backward()</c> and has set up every gradient before; <c>autograd.grad</c> would find none.
/// </summary>
internal static class DirectGradients
{
    [ThreadStatic] private static bool s_on;

    /// <summary>Begins it on the calling thread, which is the one that runs the backward pass of a CPU's graph.</summary>
    public static Scope Begin()
    {
        s_on = true;
        return default;
    }

    /// <summary>Where a weight's gradient is to be added.</summary>
    /// <param name="weight">A convolution's, [D, C, k, k]; or a matrix or vector.</param>
    /// <returns>A convolution's as [D, k, k, C], contiguous, the memory of <c>weight.grad</c>; null where the gradient is to be returned. The caller disposes it.</returns>
    public static Tensor? Of(Tensor weight)
    {
        if (!s_on || !weight.is_leaf || !weight.requires_grad)
            return null;
        using Tensor? gradient = weight.grad;
        if (gradient is null || gradient.dtype != ScalarType.Float32)
            return null;
        Tensor numbers = gradient.dim() == 4 ? gradient.permute(0, 2, 3, 1) : gradient.alias();
        if (numbers.is_contiguous())
            return numbers;
        numbers.Dispose();
        return null;
    }

    /// <summary>Ends it.</summary>
    internal readonly struct Scope : IDisposable
    {
        /// <inheritdoc/>
        public void Dispose() => s_on = false;
    }
}
