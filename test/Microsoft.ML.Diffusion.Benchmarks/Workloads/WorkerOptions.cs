using System.CommandLine;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>What our worker process is asked to do; named as in reference/peer.py, which gets the same arguments.</summary>
internal sealed record WorkerOptions(
    string Mode, int Batch, int Size, int Base, int Threads, string Device, int Discard, int Iterations, string Sampler, int SamplerSteps,
    int Images, string? Model, string Network, ComputePrecision Precision, double Minutes, int Steps, int GenerateBatch, string? Output, string Data)
{
    /// <summary>The hidden command of the program.</summary>
    public static System.CommandLine.Command Command()
    {
        var mode = new Argument<string>("mode");
        var batch = Number("--batch", 16);
        var size = Number("--size", 32);
        var @base = Number("--base", 64);
        var threads = Number("--threads", 0);
        var device = Text("--device", "cpu");
        var discard = Number("--discard", 2);
        var iterations = Number("--iterations", 8);
        var sampler = Text("--sampler", "dpm");
        var samplerSteps = Number("--sampler-steps", 20);
        var images = Number("--images", 64);
        var model = new Option<string?>("--model");
        var network = Text("--network", "compact");
        var precision = new Option<ComputePrecision>("--precision");
        var minutes = new Option<double>("--minutes") { DefaultValueFactory = _ => 10 };
        var steps = Number("--steps", int.MaxValue);
        var generateBatch = Number("--generate-batch", 16);
        var output = new Option<string?>("--output");
        var data = Text("--data", FashionMnist.DebianFolder);
        var command = new System.CommandLine.Command("worker", "Runs one workload and prints what it measured.")
        {
            mode, batch, size, @base, threads, device, discard, iterations, sampler, samplerSteps, images, model, network, precision, minutes, steps, generateBatch, output, data,
        };
        command.Hidden = true;
        command.SetAction(line => Worker.Run(new WorkerOptions(
            line.GetValue(mode)!, line.GetValue(batch), line.GetValue(size), line.GetValue(@base), line.GetValue(threads), line.GetValue(device)!,
            line.GetValue(discard), line.GetValue(iterations), line.GetValue(sampler)!, line.GetValue(samplerSteps), line.GetValue(images), line.GetValue(model), line.GetValue(network)!,
            line.GetValue(precision), line.GetValue(minutes), line.GetValue(steps), line.GetValue(generateBatch), line.GetValue(output), line.GetValue(data)!)));
        return command;

        static Option<int> Number(string name, int value) => new(name) { DefaultValueFactory = _ => value };
        static Option<string> Text(string name, string value) => new(name) { DefaultValueFactory = _ => value };
    }
}
