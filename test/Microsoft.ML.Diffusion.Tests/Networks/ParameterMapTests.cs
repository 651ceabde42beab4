namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class ParameterMapTests
{
    public static IEnumerable<object[]> Systems =>
        from kind in SmallNetworks.Kinds
        from system in kind.Value.Options.Architecture == UNetArchitecture.Annotated ? new[] { "annotated" } : ["improved", "diffusers", "old diffusers"]
        select new object[] { kind.Key, system };

    [TestMethod]
    [DynamicData(nameof(Systems))]
    public void WeightsGoThereAndBack(string kind, string system)
    {
        using var scope = NewDisposeScope();
        using var from = SmallNetworks.Build(kind, seed: 1);
        using var into = SmallNetworks.Build(kind, seed: 2);
        SmallNetworks.Randomize(from);
        ParameterMap map = Map(system, from);
        var exported = map.Export(from).ToDictionary(entry => entry.Name, entry => entry.Tensor);
        Assert.AreEqual(map.ReferenceParameters.Count(), exported.Count, "two tensors have one name");
        foreach (var parameter in map.ReferenceParameters)
            CollectionAssert.AreEqual(parameter.Shape, exported[parameter.Name].shape, parameter.Name);

        map.Load(into, exported.Keys, name => exported[name].clone(), "memory");
        foreach (var (a, b) in from.named_parameters().Zip(into.named_parameters()))
            CollectionAssert.AreEqual(Tolerance.Values(a.parameter), Tolerance.Values(b.parameter), a.name);
    }

    [TestMethod]
    public void HeadsAreInterleavedInImprovedDiffusionOnly()
    {
        using var scope = NewDisposeScope();
        // Two heads of one channel: ours q0 q1 k0 k1 v0 v1, theirs q0 k0 v0 q1 k1 v1.
        var link = new ParameterLink("qkv.bias", [6], [new("there", [6])], InterleavedHeads: 2);
        CollectionAssert.AreEqual(new double[] { 1, 4, 2, 5, 3, 6 }, Tolerance.Values(link.FromReference([tensor(new float[] { 1, 2, 3, 4, 5, 6 })])));
        CollectionAssert.AreEqual(new double[] { 1, 3, 5, 2, 4, 6 }, Tolerance.Values(link.ToReference(tensor(new float[] { 1, 2, 3, 4, 5, 6 }))[0]));
    }

    [TestMethod]
    public void WhatDoesNotFitIsNamed()
    {
        using var scope = NewDisposeScope();
        using var network = SmallNetworks.Build("improved");
        ParameterMap map = Map("diffusers", network);
        var tensors = map.Export(network).ToDictionary(entry => entry.Name, entry => entry.Tensor);
        InvalidDataException Refused() => Assert.ThrowsExactly<InvalidDataException>(() => map.Load(network, tensors.Keys, name => tensors[name].clone(), "weights.safetensors"));

        tensors["conv_in.weight"] = zeros(16, 3, 1, 1);
        StringAssert.Contains(Refused().Message, "conv_in.weight in weights.safetensors has shape [16, 3, 1, 1]; this network needs [16, 3, 3, 3]");
        tensors.Remove("conv_in.weight");
        StringAssert.Contains(Refused().Message, "Missing: conv_in.weight.");
        tensors.Add("conv_in.wait", zeros(1));
        StringAssert.Contains(Refused().Message, "Not expected: conv_in.wait.");
        foreach (string name in tensors.Keys.Where(name => name.StartsWith("up_blocks", StringComparison.Ordinal)).ToArray())
            tensors.Remove(name);
        StringAssert.Contains(Refused().Message, "more");
    }

    [TestMethod]
    public void TheAnnotatedNamesAreTheArticles()
    {
        var shape = new UNetShape(1, 8, 8);
        string[] names = [.. ParameterNames.Annotated(SmallNetworks.Annotated, shape).ReferenceParameters.Select(parameter => parameter.Name)];
        foreach (string name in new[]
        {
            "init_conv.weight", "time_mlp.1.weight", "time_mlp.3.bias", "downs.0.0.mlp.1.weight", "downs.0.1.block2.norm.bias", "downs.0.2.fn.norm.weight",
            "downs.0.2.fn.fn.to_qkv.weight", "downs.0.2.fn.fn.to_out.0.bias", "downs.0.2.fn.fn.to_out.1.weight", "downs.0.3.1.weight", "downs.1.3.weight",
            "mid_block1.block1.proj.weight", "mid_attn.fn.norm.bias", "mid_attn.fn.fn.to_qkv.weight", "mid_attn.fn.fn.to_out.weight", "mid_block2.mlp.1.bias",
            "ups.0.0.res_conv.weight", "ups.0.3.1.weight", "ups.1.3.weight", "final_res_block.res_conv.bias", "final_conv.weight",
        })
            CollectionAssert.Contains(names, name);
        Assert.IsFalse(names.Any(name => name.Contains("inner", StringComparison.Ordinal)));
    }

    private static ParameterMap Map(string system, DenoisingNetwork network) => system switch
    {
        "improved" => ParameterNames.ImprovedDiffusion(network.Options, network.Shape),
        "annotated" => ParameterNames.Annotated(network.Options, network.Shape),
        _ => ParameterNames.Diffusers(network.Options, network.Shape, oldAttentionNames: system == "old diffusers"),
    };
}
