using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class UNetOptionsTests
{
    private static readonly UNetShape Cifar = new(3, 32, 32);

    public static IEnumerable<object[]> Presets =>
    [
        [nameof(UNetOptions.Ho2020)],
        [nameof(UNetOptions.Ho2020Large)],
        [nameof(UNetOptions.ImprovedDdpm2021)],
        [nameof(UNetOptions.Annotated2022)],
        [nameof(UNetOptions.Compact)],
    ];

    [TestMethod]
    public void HoHasThePublishedParameterCounts()
    {
        // google/ddpm-cifar10-32 and google/ddpm-celebahq-256, from Ho et al. 2020 (35.7 and 114 million).
        Assert.AreEqual(35_746_307, UNetOptions.Ho2020.CountParameters(Cifar));
        Assert.AreEqual(113_673_219, UNetOptions.Ho2020Large.CountParameters(new(3, 256, 256)));
    }

    [TestMethod]
    public void CompactHasNinePointSixMillion() => Assert.AreEqual(9_593_539, UNetOptions.Compact.CountParameters(Cifar));

    [TestMethod]
    [DynamicData(nameof(Presets))]
    public void PresetsSurviveJsonAndEqualThemselves(string name)
    {
        UNetOptions preset = Preset(name);
        string json = JsonSerializer.Serialize(preset);
        var read = JsonSerializer.Deserialize<UNetOptions>(json)!;
        Assert.AreEqual(preset, read);
        Assert.AreEqual(preset.GetHashCode(), read.GetHashCode());
        Assert.AreNotSame(preset.ChannelMultipliers, read.ChannelMultipliers);
        Assert.AreNotEqual(preset, preset with { ChannelMultipliers = [1, 2, 3] });
        Assert.AreNotEqual(preset, preset with { Recipe = preset.Recipe with { BatchSize = 7 } });
    }

    [TestMethod]
    [DynamicData(nameof(Presets))]
    public void PresetsSayTheirParameterCount(string name)
    {
        UNetOptions preset = Preset(name);
        var shape = new UNetShape(3, preset.Recipe.ImageSize, preset.Recipe.ImageSize, LearnedVariance: preset.Recipe.Variance == VarianceType.LearnedRange);
        string count = preset.CountParameters(shape).ToString("N0", System.Globalization.CultureInfo.InvariantCulture);
        StringAssert.Contains(preset.ToString(), $"{count} parameters");
    }

    [TestMethod]
    [DynamicData(nameof(Presets))]
    public void PresetsAndTheirRecipesAgree(string name)
    {
        UNetOptions preset = Preset(name);
        Assert.AreEqual(preset.Dropout, preset.Recipe.Dropout);
    }

    [TestMethod]
    public void HoIsAsThePaperHasIt()
    {
        UNetOptions ho = UNetOptions.Ho2020;
        Assert.AreEqual(1e-6, ho.NormEpsilon);
        Assert.AreEqual(TimestepConditioning.Add, ho.Conditioning);
        Assert.IsFalse(ho.CosineFirst);
        Assert.AreEqual(1, ho.FrequencyShift);
        Assert.IsTrue(ho.AsymmetricDownsampling);
        Assert.AreEqual(0.1, ho.Dropout);
        Assert.AreEqual((128, 2e-4, 5_000, 0.9999, 1.0), (ho.Recipe.BatchSize, ho.Recipe.LearningRate, ho.Recipe.WarmupSteps, ho.Recipe.EmaDecay, ho.Recipe.GradientClipNorm));
    }

    [TestMethod]
    [DataRow(30, 32, "height 24 or 32, width 32")]
    [DataRow(28, 44, "height 24 or 32, width 40 or 48")]
    [DataRow(3, 32, "height 8, width 32")]
    public void SizesThatDoNotFitAreRefusedWithTheNextThatDo(int height, int width, string advice)
    {
        var refused = Assert.ThrowsExactly<ArgumentException>(() => UNetOptions.Ho2020.Validate(new(3, height, width)));
        StringAssert.Contains(refused.Message, advice);
        StringAssert.Contains(refused.Message, "multiples of 8");
    }

    [TestMethod]
    [DataRow(32, 32, 16, new[] { false, true, false, false })]
    [DataRow(48, 48, 16, new[] { false, false, true, false })]
    [DataRow(32, 64, 16, new[] { false, true, false, false })]
    [DataRow(16, 16, 16, new[] { true, false, false, false })]
    [DataRow(8, 8, 16, new[] { true, false, false, false })]
    public void AttentionStandsAtTheFinestResolutionThatIsNotLarger(int height, int width, int resolution, bool[] levels) =>
        CollectionAssert.AreEqual(levels, UNetOptions.Ho2020.AttentionLevels([resolution], "x", new(3, height, width)));

    [TestMethod]
    public void AContradictionIsNamed()
    {
        Refused(new() { BaseChannels = 48 }, "NormGroups is 32, which does not divide the 48 channels", "is 24");
        Refused(new() { AttentionHeads = 3 }, "AttentionHeads is 3, which does not divide the 256 channels");
        Refused(new() { AttentionHeads = 2, UpAttentionHeads = 5 }, "UpAttentionHeads is 5");
        Refused(new() { AttentionHeadChannels = 48 }, "AttentionHeadChannels is 48");
        Refused(new() { AttentionHeadChannels = 512 }, "AttentionHeadChannels is 512");
        Refused(new() { AttentionResolutions = [2] }, "attention at 2", "is 4");
        Refused(new() { ChannelMultipliers = [] }, "ChannelMultipliers is empty");
        Refused(new() { ChannelMultipliers = [1, 1.001] }, "1.001");
        Refused(new() { Dropout = 1 }, "Dropout is 1");
        Refused(new() { Dropout = double.NaN }, "Dropout is NaN");
        Refused(new() { NormEpsilon = 0 }, "NormEpsilon is 0");
        Refused(new() { NormGroups = 0 }, "NormGroups is 0");
        Refused(new() { BlocksPerResolution = 0 }, "BlocksPerResolution is 0");
        Refused(new() { MiddleAttentionNormGroups = 7 }, "MiddleAttentionNormGroups is 7");
        Refused(new() { Conditioning = (TimestepConditioning)9 }, "Conditioning has no value numbered 9", "Add, ScaleShift");
        Refused(new() { AttentionResolutions = null! }, "AttentionResolutions is null");
        Refused(new() { FrequencyShift = 64 }, "FrequencyShift is 64");
    }

    [TestMethod]
    public void ShapesSurviveJson()
    {
        var shape = new UNetShape(4, 24, 40, 7, LearnedVariance: true) { NullClass = false, OutputChannels = 5 };
        Assert.AreEqual(shape, JsonSerializer.Deserialize<UNetShape>(JsonSerializer.Serialize(shape)));
        Assert.AreEqual("4x24x40, 7 classes, learned variance", shape.ToString());
    }

    [TestMethod]
    [DataRow(0, 32, 32, 0)]
    [DataRow(3, 0, 32, 0)]
    [DataRow(3, 32, -8, 0)]
    [DataRow(3, 32, 32, -1)]
    public void ShapesThatCannotBeAreRefused(int channels, int height, int width, int classes) =>
        Assert.ThrowsExactly<ArgumentException>(() => UNetOptions.Ho2020.CountParameters(new(channels, height, width, classes)));

    private static void Refused(UNetOptions options, params string[] parts)
    {
        var refused = Assert.ThrowsExactly<ArgumentException>(() => options.Validate(Cifar));
        foreach (string part in parts)
            StringAssert.Contains(refused.Message, part);
    }

    private static UNetOptions Preset(string name) => (UNetOptions)typeof(UNetOptions).GetProperty(name)!.GetValue(null)!;
}
