using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>A run's settings in this library's words. What a run does not name has the default of its reference.</summary>
internal sealed record ReferenceSampler(DiffusionSampler Sampler, NoiseSchedule Schedule, DenoiserOptions Denoiser, bool LooseSigmas = false)
{
    public static ReferenceSampler Of(JsonElement run)
    {
        var reference = run.Text("reference");
        return Of(reference[(reference.LastIndexOfAny([' ', '.']) + 1)..], run.GetProperty("config"));
    }

    /// <summary>The settings of a reference's class or function.</summary>
    public static ReferenceSampler Of(string kind, JsonElement config)
    {
        return kind switch
        {
            "DDIMScheduler" or "DDPMScheduler" or "DPMSolverMultistepScheduler" or "UniPCMultistepScheduler" => Scheduler(kind, config),
            "p_sample_loop_progressive" or "ddim_sample_loop_progressive" => Improved(kind, config),
            _ => new(InSigma(kind, config), NoiseScheduleOptions.Linear.Build(), new DenoiserOptions()),
        };
    }

    private static ReferenceSampler Scheduler(string kind, JsonElement config)
    {
        var schedule = new NoiseScheduleOptions
        {
            Kind = Get(config, "beta_schedule", "linear") switch
            {
                "linear" => NoiseScheduleKind.UnscaledLinear,
                "scaled_linear" => NoiseScheduleKind.ScaledLinear,
                "squaredcos_cap_v2" => NoiseScheduleKind.Cosine,
                "sigmoid" => NoiseScheduleKind.Sigmoid,
                var other => throw new AssertFailedException($"unknown beta_schedule {other}"),
            },
            Timesteps = Get(config, "num_train_timesteps", 1000),
            BetaStart = Get(config, "beta_start", 1e-4),
            BetaEnd = Get(config, "beta_end", 0.02),
            ZeroTerminalSnr = Get(config, "rescale_betas_zero_snr", false),
        }.Build();
        var simple = kind is "DDIMScheduler" or "DDPMScheduler";
        // The multistep schedulers do not go all the way to zero SNR.
        if (schedule.HasZeroTerminalSnr && !simple)
            schedule = NoiseSchedule.FromAlphasCumprod([.. schedule.AlphasCumprod[..^1], Math.Pow(2, -24)]);
        var denoiser = new DenoiserOptions
        {
            Prediction = Get(config, "prediction_type", "epsilon") switch
            {
                "epsilon" => PredictionType.Epsilon,
                "sample" => PredictionType.X0,
                "v_prediction" => PredictionType.V,
                var other => throw new AssertFailedException($"unknown prediction_type {other}"),
            },
            Threshold = Get(config, "thresholding", false)
                ? X0Threshold.Dynamic(Get(config, "dynamic_thresholding_ratio", 0.995), Get(config, "sample_max_value", 1.0))
                : simple && Get(config, "clip_sample", true) ? X0Threshold.Clip : X0Threshold.None,
        };
        var steps = Get(config, "num_inference_steps", 50);
        var spacing = Get(config, "timestep_spacing", simple ? "leading" : "linspace") switch
        {
            "leading" => SamplerSpacing.LeadingFrom(Get(config, "steps_offset", 0)),
            var text => SamplerSpacing.Parse(text),
        };
        var endsAtSigmaMin = Get(config, "final_sigmas_type", "zero") == "sigma_min";
        var karras = Get(config, "use_karras_sigmas", false);
        var grid = karras
            ? new SigmaGrid
            {
                SigmaMin = schedule.LevelAt(0).Sigma,
                SigmaMax = schedule.LevelAt(schedule.Timesteps - 1).Sigma,
                EndsAtSigmaMin = endsAtSigmaMin,
                RoundTimesteps = true,
                UnitVarianceStart = true,
            }
            : SigmaGrid.Timesteps(spacing, endsAtSigmaMin);
        DiffusionSampler sampler = kind switch
        {
            "DDIMScheduler" => new DdimSampler
            {
                Steps = steps,
                Eta = Get(config, "eta", 0.0),
                Spacing = spacing,
                EndsAtFirstTimestep = !Get(config, "set_alpha_to_one", true),
                ConstantStride = true,
                RederiveEpsilon = false,
            },
            "DDPMScheduler" => new AncestralSampler { Steps = steps, Variance = Variance(Get(config, "variance_type", "fixed_small")), Spacing = spacing },
            "UniPCMultistepScheduler" => new UniPCSampler
            {
                Steps = steps,
                Order = Get(config, "solver_order", 2),
                SolverType = Get(config, "solver_type", "bh2") == "bh1" ? UniPCType.Bh1 : UniPCType.Bh2,
                LowerOrderFinal = Get(config, "lower_order_final", true),
                UncorrectedSteps = config.TryGetProperty("disable_corrector", out _) ? [.. config.Ints("disable_corrector")] : [],
                Grid = grid,
            },
            _ => new DpmSolverSampler
            {
                Steps = steps,
                Order = Get(config, "solver_order", 2),
                Eta = Get(config, "algorithm_type", "dpmsolver++") == "sde-dpmsolver++" ? 1 : 0,
                NoisePrediction = Get(config, "algorithm_type", "dpmsolver++") == "dpmsolver",
                SolverType = Get(config, "solver_type", "midpoint") == "heun" ? DpmSolverType.Heun : DpmSolverType.Midpoint,
                LowerOrderFinal = Get(config, "lower_order_final", true),
                EulerAtFinal = Get(config, "euler_at_final", false),
                Grid = grid,
            },
        };
        return new(sampler, schedule, denoiser, endsAtSigmaMin || karras);
    }

    private static ReferenceSampler Improved(string kind, JsonElement config)
    {
        var schedule = new NoiseScheduleOptions { Kind = config.Text("base_schedule") == "cosine" ? NoiseScheduleKind.Cosine : NoiseScheduleKind.Linear, Timesteps = config.Int("T") }.Build();
        var denoiser = new DenoiserOptions
        {
            Prediction = config.Text("mean") switch { "eps" => PredictionType.Epsilon, "xstart" => PredictionType.X0, _ => PredictionType.PreviousX },
            RescaleTimesteps = Get(config, "rescale_timesteps", false),
            Threshold = config.Bool("clip_denoised") ? X0Threshold.Clip : X0Threshold.None,
        };
        var spacing = SamplerSpacing.Respaced(config.Text("respacing"));
        DiffusionSampler sampler = kind == "p_sample_loop_progressive"
            ? new AncestralSampler { Variance = Variance(config.Text("var")), Spacing = spacing }
            : new DdimSampler { Eta = config.Double("eta"), Spacing = spacing };
        return new(sampler, schedule, denoiser);
    }

    private static DiffusionSampler InSigma(string kind, JsonElement config)
    {
        var steps = Get(config, "n", 0) + Get(config, "num_steps", 0);
        var grid = SigmaGrid.Karras(config.Double("sigma_min"), config.Double("sigma_max"), config.Double("rho"));
        var eta = Get(config, "eta", 1.0);
        var noise = Get(config, "s_noise", 1.0);
        var type = Get(config, "solver_type", "midpoint") == "heun" ? DpmSolverType.Heun : DpmSolverType.Midpoint;
        var churn = new Churn
        {
            Amount = Get(config, "s_churn", Get(config, "S_churn", 0.0)),
            Min = Get(config, "s_tmin", Get(config, "S_min", 0.0)),
            Max = config.TryGetProperty("s_tmax", out var max) || config.TryGetProperty("S_max", out max) ? max.GetDouble() : null,
            Noise = Get(config, "s_noise", Get(config, "S_noise", 1.0)),
        };
        return kind switch
        {
            "sample_euler" => new EulerSampler { Steps = steps, Grid = grid, Churn = churn },
            "sample_heun" or "edm_sampler" => new HeunSampler { Steps = steps, Grid = grid, Churn = churn },
            "sample_dpm_2" => new Dpm2Sampler { Steps = steps, Grid = grid, Churn = churn },
            "sample_lms" => new LmsSampler { Steps = steps, Grid = grid, Order = Get(config, "order", 4) },
            "sample_euler_ancestral" => new EulerAncestralSampler { Steps = steps, Grid = grid, Eta = eta, NoiseScale = noise },
            "sample_dpmpp_2s_ancestral" => new DpmSolver2SAncestralSampler { Steps = steps, Grid = grid, Eta = eta, NoiseScale = noise },
            "sample_dpmpp_sde" => new DpmSolverSdeSampler { Steps = steps, Grid = grid, Eta = eta, NoiseScale = noise, Ratio = Get(config, "r", 0.5) },
            "sample_dpmpp_2m" => new DpmSolverSampler { Steps = steps, Grid = grid, LowerOrderFinal = false },
            "sample_dpmpp_2m_sde" => new DpmSolverSampler { Steps = steps, Grid = grid, LowerOrderFinal = false, Eta = eta, NoiseScale = noise, SolverType = type },
            "sample_dpmpp_3m_sde" => new DpmSolverSampler { Steps = steps, Grid = grid, LowerOrderFinal = false, Eta = eta, NoiseScale = noise, Order = 3, SolverType = DpmSolverType.Heun },
            _ => throw new AssertFailedException($"no sampler for {kind}"),
        };
    }

    private static VarianceType Variance(string name) => name switch
    {
        "fixed_small" or "fixed_small_log" => VarianceType.FixedSmall,
        "fixed_large" => VarianceType.FixedLarge,
        var other => throw new AssertFailedException($"unknown variance {other}"),
    };

    private static T Get<T>(JsonElement config, string name, T otherwise)
        => config.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value.Deserialize<T>()! : otherwise;
}
