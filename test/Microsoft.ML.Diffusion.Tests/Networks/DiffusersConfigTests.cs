namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class DiffusersConfigTests
{
    [TestMethod]
    public void WhatIsLeftOutHasTheLibrarysDefault()
    {
        var (options, shape) = DiffusersConfig.Read("""{"_class_name":"UNet2DModel","sample_size":[64,96],"out_channels":6}""");
        Assert.AreEqual(new UNetShape(3, 64, 96, 0, LearnedVariance: true) { NullClass = false }, shape);
        Assert.AreEqual(224, options.BaseChannels);
        Assert.AreEqual([1, 2, 3, 4], options.ChannelMultipliers);
        Assert.AreEqual([32, 16, 8], options.AttentionResolutions);
        Assert.AreEqual(8, options.AttentionHeadChannels);
        Assert.IsNull(options.UpAttentionResolutions);
        Assert.IsTrue(options.CosineFirst);
        Assert.IsFalse(options.AsymmetricDownsampling);
    }

    [TestMethod]
    public void TheWaysDownAndUpMayDiffer()
    {
        var (options, _) = DiffusersConfig.Read(
            """{"sample_size":16,"block_out_channels":[32,48],"down_block_types":["DownBlock2D","AttnDownBlock2D"],"up_block_types":["UpBlock2D","AttnUpBlock2D"],"norm_num_groups":16}""");
        Assert.AreEqual([1, 1.5], options.ChannelMultipliers);
        Assert.AreEqual([8], options.AttentionResolutions);
        Assert.AreEqual([16], options.UpAttentionResolutions!);
    }

    [TestMethod]
    [DataRow("[", "is not JSON")]
    [DataRow("""{"_class_name":"UNet2DConditionModel"}""", "_class_name is UNet2DConditionModel")]
    [DataRow("""{"act_fn":"gelu"}""", "act_fn is gelu")]
    [DataRow("""{"time_embedding_type":"fourier"}""", "time_embedding_type is fourier")]
    [DataRow("""{"down_block_types":["SkipDownBlock2D","DownBlock2D","DownBlock2D","DownBlock2D"]}""", "SkipDownBlock2D")]
    [DataRow("""{"block_out_channels":[32]}""", "1, 4 and 4 entries")]
    [DataRow("""{"norm_eps":"tiny"}""", "another kind")]
    [DataRow("""{"norm_num_groups":33}""", "NormGroups is 33")]
    [DataRow("""{"sample_size":33}""", "multiples of 8")]
    public void WhatCannotBeReadIsNamed(string json, string part)
    {
        var refused = Assert.ThrowsExactly<InvalidDataException>(() => DiffusersConfig.Read(json, "folder/config.json"));
        StringAssert.Contains(refused.Message, part);
        StringAssert.Contains(refused.Message, "folder/config.json");
    }
}
