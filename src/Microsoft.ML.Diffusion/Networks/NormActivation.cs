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
        if (x.device_type != DeviceType.CPU)
            return ApplyOnDevice(x, norm);
        if (FusedNormActivation.TryApply(x, norm) is { } fused)
            return fused;
        if (x.dtype != norm.Weight.dtype)
            return ApplyWide(x, norm);
        Tensor h = nn.functional.group_norm(x, norm.Settings.Groups, norm.Weight, norm.Bias, norm.Settings.Epsilon);
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

    /// <summary>
    /// On a GPU, where an activation's way to memory and back is what costs: FiLM is folded into the norm's weight and bias. Where rows are told different things, all images are one of N·C channels
    /// in N·G groups, so that each row has weights of its own. libtorch sums bfloat16 in float32 there, and rounds mean and deviation to bfloat16.
    /// </summary>
    internal static Tensor ApplyOnDevice(Tensor x, NormArguments norm)
    {
        using Tensor h = norm.Film is { } film ? NormalizeWithFilm(x, norm, film) : NormalizeRows(x, norm.Settings, norm.Weight, norm.Bias);
        return norm.Settings.Silu ? nn.functional.silu(h) : h.alias();
    }

    private static Tensor NormalizeWithFilm(Tensor x, NormArguments norm, Tensor film)
    {
        using Tensor wide = film.to(norm.Weight.dtype);
        long channels = film.shape[1] / 2;
        using Tensor scale = wide.narrow(1, 0, channels), shift = wide.narrow(1, channels, channels);   // [N or 1, C]
        using FoldedNorm folded = NormFolding.Fold(scale, shift, norm.Weight, norm.Bias);
        using Tensor weights = folded.Weight.view(-1), biases = folded.Bias.view(-1);
        return NormalizeRows(x, norm.Settings, weights, biases);
    }

    /// <summary>The norm with a weight and a bias for all images, [C], or for each, [N·C].</summary>
    private static Tensor NormalizeRows(Tensor x, NormSettings settings, Tensor weight, Tensor bias)
    {
        long[] shape = x.shape;
        if (weight.numel() == shape[1])
            return NormalizeIn(x, settings, weight, bias);
        using Tensor one = x.reshape(1, shape[0] * shape[1], shape[2], shape[3]);
        using Tensor h = NormalizeIn(one, settings with { Groups = (int)shape[0] * settings.Groups }, weight, bias);
        return h.view(shape);
    }

    private static Tensor NormalizeIn(Tensor x, NormSettings settings, Tensor weight, Tensor bias)
    {
        using var w = new TypedParameter(weight, x.dtype);
        using var b = new TypedParameter(bias, x.dtype);
        return nn.functional.group_norm(x, settings.Groups, w.Tensor, b.Tensor, settings.Epsilon);
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
            using Tensor factor = s + Held(1);
            Tensor scaled = h * factor;
            h.Dispose();
            h = scaled.add_(b, Held(1));
        }
        if (!silu)
            return h;
        Tensor activated = nn.functional.silu(h);
        h.Dispose();
        return activated;
    }
}
