using System.CommandLine;
using Microsoft.ML.Diffusion.Benchmarks;

// The command line: without a word the whole suite; 'quality' and 'samplers' (also as --quality, --samplers) take longer and run alone.
if (args is ["--quality" or "--samplers", ..])
    args = [args[0][2..], .. args[1..]];

var quick = new Option<bool>("--quick") { Description = "A few iterations of everything: does it run?" };
var filter = new Option<string?>("--filter") { Description = "Run only the BenchmarkDotNet benchmarks that match, such as '*Loader*'." };
var parts = new Option<string?>("--parts") { Description = "Which parts to run: operators,paired,curves. Default: all; on a GPU all but operators." };
var publish = new Option<string?>("--publish") { Description = "Also write the tables into this document, between the comments bench:begin and bench:end; a GPU's between bench-cuda:begin and bench-cuda:end." };
var noPeer = new Option<bool>("--no-peer") { Description = "Do not compare with PyTorch." };
var python = new Option<string?>("--python") { Description = "The Python that has PyTorch. Default: python3, /usr/bin/python3." };
var device = new Option<string>("--device") { Description = "cpu, cuda, or auto: CUDA where it is there.", DefaultValueFactory = _ => "auto" };
var threads = new Option<int>("--threads") { Description = "Threads on both sides. Default: every core." };
var output = new Option<string>("--output") { Description = "The folder to write to.", DefaultValueFactory = _ => "artifacts/bench" };

var minutes = new Option<double>("--minutes") { Description = "Minutes to train, each side.", DefaultValueFactory = _ => 10 };
var batch = new Option<int>("--batch") { Description = "Images a training step, both sides.", DefaultValueFactory = _ => 64 };
var network = new Option<string>("--network") { Description = "Our network and its recipe: compact, which is the peer's too, or mini.", DefaultValueFactory = _ => "compact" };
var trained = new Option<string?>("--model") { Description = "A trained model of ours, such as artifacts/sample/model.zip, instead of training one." };
var images = new Option<int>("--images") { Description = "Images to generate.", DefaultValueFactory = _ => 1000 };
var samplerSteps = new Option<int>("--sampler-steps") { Description = "DDIM steps on both sides.", DefaultValueFactory = _ => 20 };
var reuse = new Option<bool>("--reuse") { Description = "Take the generated images of an earlier run instead of training." };

var model = new Option<string>("--model") { Description = "The trained model.", DefaultValueFactory = _ => "artifacts/sample/model.zip" };
var steps = new Option<int[]>("--steps") { Description = "Numbers of steps.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [5, 10, 20, 50] };
var fullDdpm = new Option<bool>("--full-ddpm") { Description = "Also take all of DDPM's steps: long." };
var guidance = new Option<double>("--guidance") { Description = "The guidance scale.", DefaultValueFactory = _ => 1 };
var generateBatch = new Option<int?>("--generate-batch") { Description = "Images drawn together. Default: the model's own number." };
var only = new Option<string?>("--only") { Description = "Only the samplers whose name contains this." };
var document = new Option<string?>("--document") { Description = "The document with the table, 'none' for none.", DefaultValueFactory = _ => "docs/samplers.md" };

var root = new RootCommand("Measures Microsoft.ML.Diffusion.") { quick, filter, parts, publish, noPeer, python, device, threads, output };
root.SetAction(line =>
{
    string device = Device(line);
    string[] wanted = line.GetValue(filter) is not null ? ["operators"] : line.GetValue(parts)?.Split(',', StringSplitOptions.TrimEntries) ?? [.. SuiteOptions.PartsFor(device)];
    if (wanted.Except(["operators", "paired", "curves"]).FirstOrDefault() is { } unknown)
        throw new ArgumentException($"--parts has '{unknown}'; there are operators, paired and curves.");
    return BenchmarkSuite.Run(new SuiteOptions(
        line.GetValue(quick), line.GetValue(filter), wanted.Contains("paired") ? FindPeer(line) : null, device, line.GetValue(threads),
        line.GetValue(output)!, wanted.ToHashSet(), line.GetValue(publish)));
});

var quality = new Command("quality", "Trains on both sides for the same time and compares what comes out.") { noPeer, python, device, threads, output, minutes, batch, network, trained, images, samplerSteps, reuse };
quality.SetAction(line => QualityComparison.Run(new QualityOptions(
    FindPeer(line), Device(line), line.GetValue(threads), line.GetValue(output)!, line.GetValue(minutes), line.GetValue(batch),
    line.GetValue(network)!, line.GetValue(trained), line.GetValue(images),
    line.GetValue(samplerSteps), line.GetValue(reuse))));

var samplers = new Command("samplers", "The table of samplers: steps, Fréchet distance, time.") { model, images, steps, fullDdpm, guidance, generateBatch, only, document, output };
samplers.SetAction(line => SamplerTable.Run(new SamplerTableOptions(
    line.GetValue(model)!, line.GetValue(images), line.GetValue(steps)!, line.GetValue(fullDdpm), line.GetValue(guidance), line.GetValue(generateBatch), line.GetValue(only),
    line.GetValue(document) is "none" ? null : line.GetValue(document), line.GetValue(output)!)));

root.Subcommands.Add(quality);
root.Subcommands.Add(samplers);
root.Subcommands.Add(WorkerOptions.Command());
try
{
    return root.Parse(args).Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (Exception e) when (e is ArgumentException or InvalidOperationException or IOException or InvalidDataException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

Peer? FindPeer(ParseResult line)
{
    if (line.GetValue(noPeer))
        return null;
    string on = Device(line);
    Peer? peer = Peer.Find(line.GetValue(python), on);
    if (peer is null)
    {
        string wanted = on == "cuda" ? "a PyTorch that finds the GPU (--python names one)" : "PyTorch (Debian: apt-get install python3-torch)";
        Console.WriteLine($"No Python here has {wanted}: nothing is compared, our own numbers follow.");
    }
    return peer;
}

string Device(ParseResult line) => line.GetValue(device) switch
{
    "auto" => TorchSharp.torch.cuda.is_available() ? "cuda" : "cpu",
    "cpu" => "cpu",
    "cuda" => "cuda",
    var other => throw new ArgumentException($"--device is '{other}'; it can be auto, cpu or cuda."),
};
