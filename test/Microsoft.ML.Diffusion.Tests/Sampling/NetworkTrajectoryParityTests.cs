using System.Text.Json;
using System.Text.RegularExpressions;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section E's trajectories: DDIM and DDPM with real networks in the hub's layout, from x to the image.</summary>
[TestClass]
[TestCategory(ParityData.Category)]
public partial class NetworkTrajectoryParityTests
{
    /// <summary>A trajectory is "ddim5/xs" or the like: the sampler and its number of steps.</summary>
    public static IEnumerable<object[]> Cases =>
        from description in ParityData.Json("e_hf.json").EnumerateArray()
        from name in ParityData.Names(description.Text("io"))
        let match = Trajectory().Match(name)
        where match.Success
        select new object[] { description.Text("name"), match.Groups[1].Value + match.Groups[2].Value };

    [TestMethod]
    [DynamicData(nameof(Cases))]
    public void Follows(string network, string trajectory)
    {
        using var scope = NewDisposeScope();
        using var unet = new DiffusersUNetCase(network);
        var settings = Settings(unet, trajectory);
        var noise = unet.Data.Has($"{trajectory}/noise") ? new ListedNoise(unet.Data[$"{trajectory}/noise"]) : null;
        var bound = NetworkDenoiser.Bind(unet.Network, unet.Labels, 0, settings.Denoiser);
        var trace = new SamplerTrace();
        var result = settings.Sampler.Sample(trace.Request(new NetworkDenoiser(bound, settings.Schedule, settings.Denoiser), settings.Schedule, unet.Data[$"{trajectory}/xs"].select(0, 0), noise));
        trace.AssertTimesteps(unet.Data[$"{trajectory}/timesteps"]);
        trace.AssertStates(unet.Data[$"{trajectory}/xs"], result, inSigmaScale: false, 2e-4, 0);
    }

    /// <summary>The scheduler file beside the weights, with the steps of the trajectory.</summary>
    private static ReferenceSampler Settings(DiffusersUNetCase unet, string trajectory)
    {
        var match = Trajectory().Match(trajectory + "/xs");
        var folder = unet.Description.Text("folder");
        var flat = ParityData.PathOf(folder, "scheduler_config.json");
        var config = JsonSerializer.Deserialize<Dictionary<string, object>>(File.ReadAllText(File.Exists(flat) ? flat : ParityData.PathOf(folder, "scheduler", "scheduler_config.json")))!;
        config["num_inference_steps"] = int.Parse(match.Groups[2].Value, System.Globalization.CultureInfo.InvariantCulture);
        config["timestep_spacing"] = "leading";
        return ReferenceSampler.Of(match.Groups[1].Value == "ddim" ? "DDIMScheduler" : "DDPMScheduler", JsonSerializer.SerializeToElement(config));
    }

    [GeneratedRegex("^(ddim|ddpm)([0-9]+)/xs$")]
    private static partial Regex Trajectory();
}
