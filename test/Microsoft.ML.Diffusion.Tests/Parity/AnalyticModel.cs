using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The "network" of section B: a formula of x and the time it is told.</summary>
internal sealed class AnalyticModel(JsonElement constants)
{
    private readonly double _a = constants.Double("a"), _b = constants.Double("b"), _c = constants.Double("c");
    private readonly double _d = constants.Double("d"), _e = constants.Double("e"), _f = constants.Double("f");

    public DenoisingModel For(VarianceType variance) => (x, timesteps) =>
    {
        using var scope = NewDisposeScope();
        var time = timesteps.view(-1, 1, 1, 1);
        var output = _a * x + _b * (time / _c).sin();
        if (variance.IsLearned)
            output = cat([output, _d * (time / _e).cos() + _f * x], 1);
        return output.MoveToOuterDisposeScope();
    };

    public static PredictionType Prediction(string name) => name switch
    {
        "eps" => PredictionType.Epsilon,
        "xstart" => PredictionType.X0,
        "xprev" => PredictionType.PreviousX,
        "v" => PredictionType.V,
        _ => throw new AssertFailedException($"No prediction answers to the reference's name '{name}'."),
    };

    public static VarianceType Variance(string name) => name switch
    {
        "fixed_small" => VarianceType.FixedSmall,
        "fixed_large" => VarianceType.FixedLarge,
        "learned_range" => VarianceType.LearnedRange,
        "learned" => VarianceType.Learned,
        _ => throw new AssertFailedException($"No variance answers to the reference's name '{name}'."),
    };

    public static X0Threshold Threshold(string name) => name switch
    {
        "clip" => X0Threshold.Clip,
        "noclip" => X0Threshold.None,
        _ => throw new AssertFailedException($"'{name}' is neither clip nor noclip."),
    };

    public static LossType Loss(string name) => name switch
    {
        "mse" => LossType.Simple,
        "rescaled_mse" => LossType.Hybrid,
        "kl" => LossType.Bound,
        "rescaled_kl" => LossType.RescaledBound,
        _ => throw new AssertFailedException($"No loss answers to the reference's name '{name}'."),
    };

    public static NoiseSchedule Schedule(string name, int timesteps) => ScheduleParityTests.Options(name, default, timesteps).Build();
}
