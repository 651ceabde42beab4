using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Group norm, FiLM and SiLU in one call: every such sequence of every network runs through here,
/// so that a fused kernel need replace one place only.
/// </summary>
internal static class NormActivation
{
    /// <summary>y = a(n(x)·(1 + scale) + shift), n the group norm of Wu and He 2018 with its weight and bias, a SiLU or nothing.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="norm">The norm and what follows.</param>
    /// <returns>[N, C, H, W] in x's type.</returns>
    public static Tensor Apply(Tensor x, NormArguments norm)
    {
        if (FusedNormActivation.TryApply(x, norm) is { } fused)
            return fused;
        if (x.dtype != norm.Weight.dtype && x.device_type == DeviceType.CPU)
            return ApplyWide(x, norm);
        Tensor h = Normalize(x, norm.Settings.Groups, norm.Weight, norm.Bias, norm.Settings.Epsilon);
        return Modulate(h, norm.Film, norm.Settings.Silu);
    }

    /// <summary>Everything in the norm's own type, between two conversions: on a CPU they cost less than the separate operators in bfloat16.</summary>
    private static Tensor ApplyWide(Tensor x, NormArguments norm)
    {
        ScalarType type = norm.Weight.dtype;
        using Tensor? film = norm.Film?.to(type);
        using Tensor wide = x.to(type);
        using Tensor y = Apply(wide, norm with { Film = film });
        return y.to(x.dtype);
    }

    /// <summary>The part after the norm, for norms of other kinds; disposes <paramref name="normalized"/>.</summary>
    /// <param name="normalized">[N, C, H, W].</param>
    /// <param name="film">[N or 1, 2C], scales and then shifts; or null.</param>
    /// <param name="silu">Whether SiLU follows.</param>
    public static Tensor Modulate(Tensor normalized, Tensor? film, bool silu)
    {
        Tensor h = normalized;
        if (film is not null)
        {
            long channels = film.shape[1] / 2;
            using Tensor scale = film.narrow(1, 0, channels);
            using Tensor shift = film.narrow(1, channels, channels);
            using Tensor s = scale.reshape(scale.shape[0], -1, 1, 1);   // [N or 1, C, 1, 1]
            using Tensor b = shift.reshape(shift.shape[0], -1, 1, 1);
            using Tensor factor = s + 1;
            Tensor scaled = h * factor;
            h.Dispose();
            h = scaled.add_(b);
        }
        if (!silu)
            return h;
        Tensor activated = nn.functional.silu(h);
        h.Dispose();
        return activated;
    }

    private static Tensor Normalize(Tensor x, long groups, Tensor weight, Tensor bias, double epsilon)
    {
        ScalarType type = x.dtype;
        if (weight.dtype == type)
            return nn.functional.group_norm(x, groups, weight, bias, epsilon);
        // Statistics of thousands of bfloat16 numbers need float32 sums.
        using Tensor wide = x.to(weight.dtype);
        using Tensor h = nn.functional.group_norm(wide, groups, weight, bias, epsilon);
        return h.to(type);
    }
}
