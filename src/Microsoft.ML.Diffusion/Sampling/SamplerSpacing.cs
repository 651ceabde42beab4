using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Which timesteps of the schedule a run visits. Written as a short text, also in JSON: "linspace", "leading", "leading+1", "trailing",
/// "respaced:ddim50", "respaced:10,15,20", "list:0,250,999". The last two kinds name their own number of steps.
/// </summary>
[JsonConverter(typeof(JsonText))]
public sealed record SamplerSpacing
{
    private readonly string _text;

    private SamplerSpacing(string text) => _text = text;

    /// <summary>Evenly from 0 to T−1, both included (Nichol and Dhariwal 2021, section 4).</summary>
    public static SamplerSpacing Linspace { get; } = new("linspace");

    /// <summary>Multiples of ⌊T/steps⌋ from 0 on (Song et al. 2020); begins below T−1.</summary>
    public static SamplerSpacing Leading { get; } = new("leading");

    /// <summary>From T−1 downwards in strides of T/steps (Lin et al. 2024, table 2): what few steps and zero terminal SNR want.</summary>
    public static SamplerSpacing Trailing { get; } = new("trailing");

    /// <summary>Leading, shifted up by an offset, as some published checkpoints ask.</summary>
    /// <param name="offset">0 or more.</param>
    public static SamplerSpacing LeadingFrom(int offset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        return offset == 0 ? Leading : new(string.Create(CultureInfo.InvariantCulture, $"leading+{offset}"));
    }

    /// <summary>A respacing in the notation of improved-diffusion, see <see cref="TimestepSpacing.Parse"/>.</summary>
    /// <param name="spec">"ddim50", or counts for equal parts of the process such as "10,15,20".</param>
    public static SamplerSpacing Respaced(string spec)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(spec);
        return new("respaced:" + spec);
    }

    /// <summary>These timesteps and no others.</summary>
    /// <param name="timesteps">Rising, distinct, from 0 on.</param>
    /// <exception cref="ArgumentException">There are none, or they do not rise from 0 on.</exception>
    public static SamplerSpacing List(params ReadOnlySpan<int> timesteps)
    {
        if (timesteps.IsEmpty)
            throw new ArgumentException("A list of timesteps needs at least one.", nameof(timesteps));
        for (var i = 0; i < timesteps.Length; i++)
        {
            if (timesteps[i] < 0 || i > 0 && timesteps[i] <= timesteps[i - 1])
                throw new ArgumentException($"Timesteps must rise from 0 on, but number {i} is {timesteps[i]}.", nameof(timesteps));
        }
        return new("list:" + string.Join(',', timesteps.ToArray()));
    }

    /// <summary>Reads the text form.</summary>
    /// <exception cref="FormatException">The text is none of the forms above.</exception>
    public static SamplerSpacing Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var colon = text.IndexOf(':');
        switch (colon < 0 ? text : text[..colon])
        {
            case "linspace" when colon < 0: return Linspace;
            case "leading" when colon < 0: return Leading;
            case "trailing" when colon < 0: return Trailing;
            case "respaced" when colon + 1 < text.Length: return Respaced(text[(colon + 1)..]);
            case "list" when colon + 1 < text.Length: return List(Array.ConvertAll(text[(colon + 1)..].Split(','), Number));
        }
        return text.StartsWith("leading+", StringComparison.Ordinal)
            ? LeadingFrom(Number(text[8..]))
            : throw new FormatException($"'{text}' is no spacing of timesteps: write linspace, leading, leading+1, trailing, respaced:10,15,20 or list:0,250,999.");

        int Number(string part) => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new FormatException($"'{part}' in the spacing '{text}' is not a whole number of 0 or more.");
    }

    /// <summary>The text form.</summary>
    public override string ToString() => _text;

    /// <summary>Whether the spacing itself says how many steps there are.</summary>
    internal bool NamesItsSteps => _text.Contains(':');

    /// <summary>The timesteps visited out of T, rising.</summary>
    /// <param name="timesteps">T of the schedule.</param>
    /// <param name="steps">How many; a list or respacing knows better.</param>
    /// <exception cref="ArgumentException">T timesteps cannot be spaced so.</exception>
    internal int[] Visit(int timesteps, int steps)
    {
        if (_text.StartsWith("respaced:", StringComparison.Ordinal))
            return TimestepSpacing.Parse(_text[9..], timesteps);
        if (_text.StartsWith("list:", StringComparison.Ordinal))
        {
            var list = Array.ConvertAll(_text[5..].Split(','), part => int.Parse(part, CultureInfo.InvariantCulture));
            return list[^1] < timesteps ? list : throw new ArgumentException($"The sampler visits timestep {list[^1]}, but the model's process ends at {timesteps - 1}.");
        }
        if (steps > timesteps)
            throw new ArgumentException($"The sampler takes {steps} steps, but the model's process has {timesteps} only: ask for {timesteps} steps or fewer.");
        return _text switch
        {
            "linspace" => TimestepSpacing.Linspace(timesteps, steps),
            "trailing" => TimestepSpacing.Trailing(timesteps, steps),
            _ => TimestepSpacing.Leading(timesteps, steps, LeadingOffset),
        };
    }

    /// <summary>The same for multistep solvers, which place steps + 1 points and leave out the cleanest: there their last step ends, not begins.</summary>
    internal int[] VisitForSolver(int timesteps, int steps)
    {
        if (_text == "linspace" && steps < timesteps)
            return TimestepSpacing.Linspace(timesteps, steps + 1)[1..];
        if (_text.StartsWith("leading", StringComparison.Ordinal) && steps < timesteps)
            return TimestepSpacing.Leading(timesteps, steps + 1, LeadingOffset)[1..];
        return Visit(timesteps, steps);
    }

    private int LeadingOffset => _text.Length > 8 ? int.Parse(_text[8..], CultureInfo.InvariantCulture) : 0;

    internal sealed class JsonText : JsonConverter<SamplerSpacing>
    {
        public override SamplerSpacing Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options)
        {
            try
            {
                return Parse(reader.GetString() ?? "");
            }
            catch (Exception e) when (e is FormatException or ArgumentException)
            {
                throw new JsonException(e.Message, e);
            }
        }

        public override void Write(Utf8JsonWriter writer, SamplerSpacing value, JsonSerializerOptions options) => writer.WriteStringValue(value._text);
    }
}
