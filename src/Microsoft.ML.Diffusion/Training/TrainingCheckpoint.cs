using System.Globalization;
using System.Text.Json;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A training cut off in the middle: the optimizer's vectors, the states of the random generators, the step and the time, as one safetensors file.
/// Going on from it gives what an uninterrupted training would have given, number by number.
/// </summary>
/// <param name="path">The file.</param>
/// <param name="settings">The training; a checkpoint of another one is refused.</param>
internal sealed class TrainingCheckpoint(string path, TrainingSettings settings)
{
    private const string Format = "Microsoft.ML.Diffusion.Training/1";

    // What may differ between the run that wrote a checkpoint and the one that goes on from it.
    private readonly string _training = JsonSerializer.Serialize(settings with { MaximumSteps = 0, MaximumDuration = null });

    /// <summary>Writes the file, whole or not at all.</summary>
    /// <param name="state">The running training.</param>
    /// <param name="step">Steps taken.</param>
    /// <param name="elapsed">Time used.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Write(TrainingState state, int step, TimeSpan elapsed)
    {
        using var scope = NewDisposeScope();
        var tensors = state.Optimizer.State.Concat(state.Generators.Select(g => ($"generator.{g.Name}", g.Generator.get_state())));
        SafetensorsFile.Write(path, [.. tensors], new Dictionary<string, string>
        {
            ["format"] = Format,
            ["training"] = _training,
            ["step"] = step.ToString(CultureInfo.InvariantCulture),
            ["optimizerSteps"] = state.Optimizer.Steps.ToString(CultureInfo.InvariantCulture),
            ["elapsedTicks"] = elapsed.Ticks.ToString(CultureInfo.InvariantCulture),
            ["timestepSampler"] = JsonSerializer.Serialize(state.Timesteps.SaveState()),
        });
    }

    /// <summary>Goes on from the file, where it exists.</summary>
    /// <param name="state">The training, just begun.</param>
    /// <returns>The steps taken and the time used before; zero where there is no file.</returns>
    /// <exception cref="InvalidDataException">The file is damaged, or belongs to another training.</exception>
    public (int Step, TimeSpan Elapsed) Restore(TrainingState state)
    {
        if (!File.Exists(path))
            return (0, TimeSpan.Zero);
        using var file = SafetensorsFile.Open(path);
        if (Text(file, "format") != Format)
            throw new InvalidDataException($"'{path}' is no checkpoint of this version of Microsoft.ML.Diffusion. Name another Options.CheckpointPath, or delete the file.");
        if (Text(file, "training") != _training)
        {
            throw new InvalidDataException($"The checkpoint '{path}' belongs to a training with other options, data or seed. "
                + "Set the options that it was begun with, name another Options.CheckpointPath, or delete the file.");
        }

        state.Optimizer.Restore(Number(file, "optimizerSteps"), file.Read);
        foreach (var (name, generator) in state.Generators)
        {
            using var saved = file.Read($"generator.{name}");
            generator.set_state(saved);
        }
        state.Timesteps.RestoreState(JsonSerializer.Deserialize<TimestepSamplerState>(Text(file, "timestepSampler"))!);
        return ((int)Number(file, "step"), TimeSpan.FromTicks(Number(file, "elapsedTicks")));
    }

    private string Text(SafetensorsFile file, string key) =>
        file.Metadata.TryGetValue(key, out string? value) ? value
            : throw new InvalidDataException($"'{path}' is no training checkpoint: it says nothing of '{key}'. Name another Options.CheckpointPath, or delete the file.");

    private long Number(SafetensorsFile file, string key) =>
        long.TryParse(Text(file, key), NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value
            : throw new InvalidDataException($"The checkpoint '{path}' is damaged: '{key}' is no number. Delete it to begin anew.");
}

/// <summary>What a training changes from step to step, apart from its place in the data, which follows from the step.</summary>
/// <param name="Optimizer">Weights, their average, and Adam's state.</param>
/// <param name="Timesteps">What importance sampling has learned.</param>
/// <param name="Generators">The random generators by name.</param>
internal sealed record TrainingState(FlatAdam Optimizer, TimestepSampler Timesteps, IReadOnlyList<(string Name, Generator Generator)> Generators);
