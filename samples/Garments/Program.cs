using System.CommandLine;
using Garments;

// The command line: 'train' (also without a word) and 'generate'. What they do is in Training.cs and Generation.cs.

var images = new Option<DirectoryInfo?>("--images") { Description = "Train on this folder of PNG or JPEG files; a sub-folder is a class, none: no classes. Default: Fashion-MNIST." };
var minutes = new Option<double?>("--minutes") { Description = "Minutes to train. Default: 5, or no limit with --steps." };
var steps = new Option<int?>("--steps") { Description = "Steps to train at the most." };
var size = new Option<int>("--size") { Description = "Height and width of the images in pixels.", DefaultValueFactory = _ => 32 };
var batchSize = new Option<int?>("--batch-size") { Description = "Images in each training step." };
var baseChannels = new Option<int>("--base-channels") { Description = "Width of the network at full resolution; 64 learns more and takes four times as long.", DefaultValueFactory = _ => 32 };
var gpu = new Option<int?>("--gpu") { Description = "Train on this CUDA device, counted from 0; needs -p:TorchBackend=cuda-linux. Default: the processor." };
var samplerSteps = new Option<int>("--sampler-steps") { Description = "Steps from noise to picture.", DefaultValueFactory = _ => 20 };
var guidance = new Option<double>("--guidance") { Description = "How strongly a picture follows its class; 1: as learned.", DefaultValueFactory = _ => 2 };
var output = new Option<DirectoryInfo>("--output") { Description = "The folder for pictures and model.", DefaultValueFactory = _ => new DirectoryInfo("artifacts/sample") };
var once = new Option<bool>("--once") { Description = "Do not generate the pictures a second time in a new process." };

var model = new Option<FileInfo>("--model") { Description = "The model's .zip file.", DefaultValueFactory = _ => new FileInfo("artifacts/sample/model.zip") };
var picture = new Option<FileInfo>("--picture") { Description = "The PNG file to write.", DefaultValueFactory = _ => new FileInfo("artifacts/sample/garments-again.png") };
var compare = new Option<FileInfo?>("--compare") { Description = "A picture that the new one should equal." };

var seed = new Option<int>("--seed") { Description = "Decides the weights, the data's order and the noise.", DefaultValueFactory = _ => 1 };
var columns = new Option<int>("--columns") { Description = "Pictures of each class.", DefaultValueFactory = _ => 8 };

var train = new Command("train", "Trains a model and shows what it has learned (the default).");
var generate = new Command("generate", "Loads a trained model and generates the same grid of pictures.") { model, picture, compare, seed, columns };
var root = new RootCommand("Trains a class-conditional DDPM on pictures of garments, in ML.NET.") { train, generate };
foreach (Option option in new Option[] { images, minutes, steps, size, batchSize, baseChannels, gpu, samplerSteps, guidance, output, once, seed, columns })
{
    train.Options.Add(option);
    root.Options.Add(option);
}

foreach (Option<int> option in new[] { size, baseChannels, samplerSteps, columns })
{
    option.Validators.Add(result => Require(result.GetValue(option) >= 1, result, "1 or more"));
}

steps.Validators.Add(result => Require(result.GetValue(steps) is null or >= 1, result, "1 or more"));
batchSize.Validators.Add(result => Require(result.GetValue(batchSize) is null or >= 1, result, "1 or more"));
minutes.Validators.Add(result => Require(result.GetValue(minutes) is null or (> 0 and < 100_000), result, "above 0"));
guidance.Validators.Add(result => Require(result.GetValue(guidance) is >= 0 and <= 100, result, "from 0 to 100"));

root.SetAction(Train);
train.SetAction(Train);
generate.SetAction((arguments, cancellation) => Run(() => Generation.Run(new GenerationOptions(
    arguments.GetValue(model)!.FullName, arguments.GetValue(picture)!.FullName, arguments.GetValue(compare)?.FullName, arguments.GetValue(seed), arguments.GetValue(columns)))));

return await root.Parse(args).InvokeAsync();

Task<int> Train(ParseResult arguments, CancellationToken cancellation) => Run(() => Training.Run(new TrainingOptions(
    arguments.GetValue(images)?.FullName,
    arguments.GetValue(minutes) ?? (arguments.GetValue(steps) is null ? 5 : null),
    arguments.GetValue(steps),
    arguments.GetValue(size),
    arguments.GetValue(batchSize),
    arguments.GetValue(baseChannels),
    arguments.GetValue(gpu),
    arguments.GetValue(samplerSteps),
    arguments.GetValue(guidance),
    arguments.GetValue(output)!.FullName,
    arguments.GetValue(seed),
    arguments.GetValue(columns),
    !arguments.GetValue(once)), cancellation));

static void Require(bool holds, System.CommandLine.Parsing.OptionResult result, string range)
{
    if (!holds)
    {
        result.AddError($"{result.Option.Name} has to be {range}.");
    }
}

static Task<int> Run(Func<int> command)
{
    try
    {
        return Task.FromResult(command());
    }
    catch (OperationCanceledException)
    {
        Console.Error.WriteLine("Stopped; nothing was written.");
        return Task.FromResult(130);
    }
    catch (Exception e) when (e is ArgumentException or InvalidOperationException or FormatException or IOException or InvalidDataException or UnauthorizedAccessException)
    {
        Console.Error.WriteLine(e.Message);
        return Task.FromResult(1);
    }
}
