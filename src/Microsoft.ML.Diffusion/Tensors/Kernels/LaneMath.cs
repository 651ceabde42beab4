using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Elementary functions of a register of floats.</summary>
/// <typeparam name="L">The register.</typeparam>
internal static class LaneMath<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>eˣ to 2 units in the last place (Cephes' expf: 2ⁿ times a polynomial of degree 6). Below −87 it is e⁻⁸⁷, above 88 it is e⁸⁸: sigmoids and softmaxes do not see the difference.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Exp(L x)
    {
        x = L.Min(L.All(88), L.Max(L.All(-87), x));
        // Added to 1.5·2²³ a number is rounded to a whole one.
        L n = L.Fma(x, L.All(1.44269504f), L.All(12582912)) - L.All(12582912);
        // ln 2 in two parts, so that the remainder is exact.
        L r = L.Fma(n, L.All(-0.693359375f), x);
        r = L.Fma(n, L.All(2.12194440e-4f), r);
        L p = L.Fma(L.All(1.9875691500e-4f), r, L.All(1.3981999507e-3f));
        p = L.Fma(p, r, L.All(8.3334519073e-3f));
        p = L.Fma(p, r, L.All(4.1665795894e-2f));
        p = L.Fma(p, r, L.All(1.6666665459e-1f));
        p = L.Fma(p, r, L.All(5.0000001201e-1f));
        p = L.Fma(p, r * r, r + L.All(1));
        return L.Scale(p, n);
    }

    /// <summary>
    /// 2ˣ to 4 digits, one more than bfloat16 keeps: 2ⁿ, n the whole number below x, times a polynomial of degree 3 of what is left (minimax). Below −126 it is at most 2⁻¹²⁶, above 126 at least 2¹²⁶.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L RoughExp2(L x)
    {
        L r = L.Fraction(x);
        L p = L.Fma(L.All(7.80245227e-2f), r, L.All(2.26067155e-1f));
        p = L.Fma(p, r, L.All(6.95833540e-1f));
        p = L.Fma(p, r, L.All(9.99925219e-1f));
        return L.ScaleByFloor(p, x);
    }

    /// <summary>1/(1 + e⁻ˣ) to 4 digits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L RoughSigmoid(L x) => L.RoughReciprocal(L.All(1) + RoughExp2(x * L.All(-1.44269504f)));

    /// <summary>1/(1 + e⁻ˣ).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Sigmoid(L x) => L.Reciprocal(L.All(1) + Exp(L.All(0) - x));
}
