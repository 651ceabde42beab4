namespace Microsoft.ML.Diffusion;

/// <summary>Softmax attention between positions with its gradient, over memory: by <see cref="AttentionKernel{L, P}"/>, or of bfloat16 by <see cref="BFloat16Attention"/>.</summary>
internal static unsafe class AttentionOperator
{
    /// <summary>Whether there is a kernel for such sizes.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="narrow">Whether the numbers are bfloat16.</param>
    public static bool Takes(AttentionSize size, bool narrow) => narrow ? MatrixUnit.Takes(size.Positions, size.Width) : LanesFor(size) > 0;

    /// <summary>Mixes the values.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="narrow">Whether the numbers are bfloat16.</param>
    /// <param name="qkv">[N, T, 3·heads·d].</param>
    /// <param name="y">[N, T, heads·d], written.</param>
    /// <param name="normalizers">[N, heads, T], written for <see cref="Backward"/>; or null.</param>
    public static void Apply(AttentionSize size, bool narrow, void* qkv, void* y, float* normalizers)
    {
        int lanes = LanesFor(size);
        if (narrow)
            BFloat16Attention.Apply(MatrixUnit.Current!, size, (ushort*)qkv, (ushort*)y, normalizers);
        else if (lanes == 16 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes512, Int16Factors<Lanes512>>.Apply(size, (float*)qkv, (float*)y, normalizers);
        else if (lanes == 16)
            AttentionKernel<Lanes512, WideFactors<Lanes512>>.Apply(size, (float*)qkv, (float*)y, normalizers);
        else if (lanes == 8 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes256, Int16Factors<Lanes256>>.Apply(size, (float*)qkv, (float*)y, normalizers);
        else if (lanes == 8)
            AttentionKernel<Lanes256, WideFactors<Lanes256>>.Apply(size, (float*)qkv, (float*)y, normalizers);
        else
            AttentionKernel<Lanes128, WideFactors<Lanes128>>.Apply(size, (float*)qkv, (float*)y, normalizers);
    }

    /// <summary>Takes a gradient back.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="narrow">Whether the numbers are bfloat16.</param>
    /// <param name="qkv">[N, T, 3·heads·d], as on the way forth.</param>
    /// <param name="y">[N, T, heads·d], as it was written.</param>
    /// <param name="normalizers">[N, heads, T], as they were written.</param>
    /// <param name="dy">[N, T, heads·d].</param>
    /// <param name="dqkv">[N, T, 3·heads·d], written.</param>
    public static void Backward(AttentionSize size, bool narrow, void* qkv, void* y, float* normalizers, void* dy, void* dqkv)
    {
        int lanes = LanesFor(size);
        if (narrow)
            BFloat16Attention.Backward(MatrixUnit.Current!, size, (ushort*)qkv, (ushort*)y, normalizers, (ushort*)dy, (ushort*)dqkv);
        else if (lanes == 16 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes512, Int16Factors<Lanes512>>.Backward(size, (float*)qkv, (float*)y, normalizers, (float*)dy, (float*)dqkv);
        else if (lanes == 16)
            AttentionKernel<Lanes512, WideFactors<Lanes512>>.Backward(size, (float*)qkv, (float*)y, normalizers, (float*)dy, (float*)dqkv);
        else if (lanes == 8 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes256, Int16Factors<Lanes256>>.Backward(size, (float*)qkv, (float*)y, normalizers, (float*)dy, (float*)dqkv);
        else if (lanes == 8)
            AttentionKernel<Lanes256, WideFactors<Lanes256>>.Backward(size, (float*)qkv, (float*)y, normalizers, (float*)dy, (float*)dqkv);
        else
            AttentionKernel<Lanes128, WideFactors<Lanes128>>.Backward(size, (float*)qkv, (float*)y, normalizers, (float*)dy, (float*)dqkv);
    }

    private static int LanesFor(AttentionSize size) => Math.Min(Lanes.Dividing(size.Positions), Lanes.Dividing(size.Width));
}
