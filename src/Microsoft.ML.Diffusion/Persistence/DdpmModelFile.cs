using System.Text.Json;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A transformer's part of an ML.NET model file: <c>weights.safetensors</c>, stored as it is, and <c>ddpm.json</c> with the format's version,
/// the configuration, and the weights' length and SHA-256. The same weights give the same bytes.
/// </summary>
/// <remarks>
/// Saving: <c>void ICanSaveModel.Save(ModelSaveContext ctx) =&gt; DdpmModelFile.Save(ctx, new DdpmModelDocument(configJson, stateByName));</c>
/// <para>
/// Loading: ML.NET reads the name of the assembly Microsoft.ML.Diffusion.ModelFile in the model, and its loader calls
/// <c>DdpmModelLoader.Load(object environment, Func&lt;string, Action&lt;Stream&gt;, bool&gt; readEntry)</c> of this assembly by name;
/// that hands <c>readEntry</c> to <see cref="Load"/>, which reads straight into the tensors of the network that the caller builds from the configuration.
/// </para>
/// <para>ML.NET creates transformers by reflection, so what is thrown here reaches a user of <c>Model.Load</c> as the innermost exception.</para>
/// </remarks>
internal static class DdpmModelFile
{
    /// <summary>The format that is written, and the newest that is read.</summary>
    internal const int FormatVersion = 1;

    internal const string ManifestEntry = "ddpm.json";
    internal const string WeightsEntry = "weights.safetensors";

    private const string FormatName = "Microsoft.ML.Diffusion.Ddpm";

    /// <summary>Saves into ML.NET's model file.</summary>
    /// <exception cref="ArgumentException">The configuration is no JSON object, or a weight's name occurs twice.</exception>
    public static void Save(ModelSaveContext ctx, DdpmModelDocument document)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        Write(ModelFile.Begin(ctx), document);
    }

    /// <summary>Saves into any container of named entries.</summary>
    /// <param name="writeEntry">Writes one entry: its name, and what writes its bytes.</param>
    /// <param name="document">What is saved.</param>
    /// <exception cref="ArgumentException">The configuration is no JSON object, or a weight's name occurs twice.</exception>
    public static void Write(Action<string, Action<Stream>> writeEntry, DdpmModelDocument document)
    {
        CheckConfig(document.Config);
        long length = 0;
        string hash = "";
        writeEntry(WeightsEntry, stream =>
        {
            using var hashing = new HashingStream(stream);
            SafetensorsFile.Write(hashing, document.Weights);
            length = hashing.Count;
            hash = hashing.TakeHash();
        });
        writeEntry(ManifestEntry, stream =>
        {
            using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            json.WriteStartObject();
            json.WriteString("format", FormatName);
            json.WriteNumber("version", FormatVersion);
            json.WriteStartObject("weights");
            json.WriteNumber("length", length);
            json.WriteString("sha256", hash);
            json.WriteEndObject();
            json.WritePropertyName("config");
            json.WriteRawValue(document.Config);
            json.WriteEndObject();
        });
    }

    /// <summary>Loads a saved model.</summary>
    /// <param name="readEntry">Reads one entry: its name, and what reads its bytes; false where there is no such entry.</param>
    /// <param name="build">Makes the network from the configuration and gives its tensors, by the names that were saved; they are filled in place.</param>
    /// <exception cref="InvalidDataException">
    /// The model was written by a newer version, a part is missing or damaged, or the weights are not those of the network.
    /// What <paramref name="build"/> made is then the caller's to dispose.
    /// </exception>
    public static void Load(Func<string, Action<Stream>, bool> readEntry, Func<string, IEnumerable<(string Name, Tensor Tensor)>> build)
    {
        var manifest = ReadManifest(readEntry);
        ReadPart(readEntry, WeightsEntry, stream =>
        {
            if (stream.Length != manifest.WeightsLength)
                throw Damaged(WeightsEntry, $"it has {stream.Length} bytes instead of {manifest.WeightsLength}");
            using var hashing = new HashingStream(stream);
            using var file = SafetensorsFile.Open(hashing, WeightsEntry, stream.Length);
            file.ReadInto(build(manifest.Config));
            if (hashing.TakeHash() != manifest.WeightsHash)
                throw Damaged(WeightsEntry, "its bytes are not those that were saved (their SHA-256 differs)");
        });
    }

    private sealed record Manifest(string Config, long WeightsLength, string WeightsHash);

    private static Manifest ReadManifest(Func<string, Action<Stream>, bool> readEntry)
    {
        Manifest? manifest = null;
        ReadPart(readEntry, ManifestEntry, stream =>
        {
            try
            {
                using var document = JsonDocument.Parse(stream);
                var root = document.RootElement;
                string? format = root.GetProperty("format").GetString();
                int version = root.GetProperty("version").GetInt32();
                if (format != FormatName)
                    throw Damaged(ManifestEntry, $"it calls its format '{format}' instead of '{FormatName}'");
                if (version is < 1 or > FormatVersion)
                {
                    throw new InvalidDataException($"The model's part '{ManifestEntry}' is of format version {version}, and this version of Microsoft.ML.Diffusion reads version "
                        + $"{(FormatVersion == 1 ? "1" : $"1 to {FormatVersion}")}; update the package Microsoft.ML.Diffusion to the one that saved the model.");
                }
                var weights = root.GetProperty("weights");
                manifest = new Manifest(root.GetProperty("config").GetRawText(), weights.GetProperty("length").GetInt64(), weights.GetProperty("sha256").GetString() ?? "");
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw Damaged(ManifestEntry, e.Message, e);
            }
        });
        return manifest!;
    }

    private static void ReadPart(Func<string, Action<Stream>, bool> readEntry, string name, Action<Stream> read)
    {
        bool opened = false, found;
        try
        {
            found = readEntry(name, stream =>
            {
                opened = true;
                read(stream);
            });
        }
        catch (Exception e) when (!opened && e is InvalidDataException or EndOfStreamException)
        {
            // ML.NET inflates a whole entry before it hands it over.
            throw Damaged(name, e.Message, e);
        }
        if (!found)
            throw Damaged(name, "it is missing");
    }

    private static void CheckConfig(string config)
    {
        try
        {
            using var document = JsonDocument.Parse(config);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return;
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"A model's configuration must be a JSON object: {e.Message}", nameof(config), e);
        }
        throw new ArgumentException("A model's configuration must be a JSON object.", nameof(config));
    }

    private static InvalidDataException Damaged(string part, string what, Exception? inner = null) =>
        new($"The model's part '{part}' cannot be read: {what}. The model file is damaged or incomplete; save it again or fetch it again.", inner);
}
