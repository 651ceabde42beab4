namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section D: improved-diffusion's UNetModel: outputs, the bottleneck, gradients, names.</summary>
[TestClass]
public sealed class UNetParityTests
{
    private const string GradientPrefix = "grad/";

    public static IEnumerable<object[]> Cases => ImprovedUNetCase.Names.Select(name => new object[] { name });

    public static IEnumerable<object[]> Gradients =>
        from name in ImprovedUNetCase.Names
        from tensor in ParityData.Names(File(name))
        where tensor.StartsWith(GradientPrefix, StringComparison.Ordinal)
        select new object[] { name, tensor[GradientPrefix.Length..] };

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Output(string name)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var unet = new ImprovedUNetCase(name);
        var output = unet.Network.forward(unet.Data["x"], unet.Data["t"], unet.Labels);
        new Tolerance(1e-5).Check(unet.Data["output"], output, "output");
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Middle(string name)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var unet = new ImprovedUNetCase(name);
        using var embedding = unet.Network.Embed(unet.Data["t"], unet.Labels);
        var middle = unet.Network.Contract(unet.Data["x"], embedding, new Stack<Tensor>());
        new Tolerance(1e-4).Check(unet.Data["middle"], middle, "middle");
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Gradients))]
    public void Gradient(string name, string parameter)
    {
        using var scope = NewDisposeScope();
        using var unet = new ImprovedUNetCase(name);
        var output = unet.Network.forward(unet.Data["x"], unet.Data["t"], unet.Labels);
        (output * output).mean().backward();

        var link = unet.Map.Links.Single(candidate => candidate.Parts.Any(part => part.Name == parameter));
        var ours = unet.Network.named_parameters().Single(candidate => candidate.name == link.Name).parameter;
        var gradient = link.ToReference(ours.grad!)[Array.FindIndex(link.Parts, part => part.Name == parameter)];
        var want = unet.Data[GradientPrefix + parameter];
        double largest = Tolerance.Values(want).Max(Math.Abs);
        new Tolerance(5e-5 * largest).Check(want, gradient, parameter);
    }

    /// <summary>The network as a training runs it: one pass over memory whose places are known.</summary>
    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void OutputAndGradientsOfOnePass(string name)
    {
        using var scope = NewDisposeScope();
        using var unet = new ImprovedUNetCase(name);
        using var optimizer = new FlatAdam(unet.Network.parameters(), new AdamOptions());
        using var memory = new ParameterMemory(unet.Network.parameters());
        using var known = memory.Enter();
        var output = unet.Network.forward(unet.Data["x"], unet.Data["t"], unet.Labels);
        Assert.AreNotEqual(0, memory.Pool.Rented, "the pass keeps what the way back needs");
        new Tolerance(1e-5).Check(unet.Data["output"], output, "output");
        (output * output).mean().backward();
        string[] wanted = [.. ParityData.Names(File(name)).Where(tensor => tensor.StartsWith(GradientPrefix, StringComparison.Ordinal))];
        Assert.IsNotEmpty(wanted);
        foreach (var link in unet.Map.Links)
        {
            var gradients = link.ToReference(unet.Network.named_parameters().Single(candidate => candidate.name == link.Name).parameter.grad!);
            foreach (var (part, gradient) in link.Parts.Zip(gradients))
            {
                if (!wanted.Contains(GradientPrefix + part.Name))
                    continue;
                var want = unet.Data[GradientPrefix + part.Name];
                new Tolerance(5e-5 * Tolerance.Values(want).Max(Math.Abs)).Check(want, gradient, part.Name);
            }
        }
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Loss(string name)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var unet = new ImprovedUNetCase(name);
        var output = unet.Network.forward(unet.Data["x"], unet.Data["t"], unet.Labels);
        // The mean of the squares of outputs that are within 1e-5 each.
        Assert.AreEqual(unet.Description.Double("loss_mean_output_squared"), (output * output).mean().item<float>(), 1e-5);
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void NamesAndShapes(string name)
    {
        using var unet = new ImprovedUNetCase(name);
        var want = unet.Description.GetProperty("state_dict").EnumerateObject().Select(entry => $"{entry.Name} [{string.Join(", ", entry.Value.EnumerateArray().Select(side => side.GetInt64()))}]");
        var got = unet.Map.ReferenceParameters.Select(parameter => $"{parameter.Name} [{string.Join(", ", parameter.Shape)}]");
        CollectionAssert.AreEquivalent(want.ToArray(), got.ToArray());
        Assert.AreEqual(unet.Description.Int("num_parameters"), unet.Network.Options.CountParameters(unet.Network.Shape));
        Assert.AreEqual(unet.Description.Int("num_parameters"), unet.Network.parameters().Sum(parameter => parameter.numel()));
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void WeightsComeBackUnderTheReferencesNames(string name)
    {
        using var scope = NewDisposeScope();
        using var unet = new ImprovedUNetCase(name);
        var exported = unet.Map.Export(unet.Network).ToDictionary(entry => entry.Name, entry => Tolerance.Values(entry.Tensor));
        Assert.AreEqual(unet.Description.Double("sum_all_weights"), exported.Values.Sum(values => values.Sum()), 1e-6);
        foreach (var check in unet.Description.GetProperty("spot_checks").EnumerateArray())
        {
            double[] values = exported[check.Text("name")];
            double[] first = check.Doubles("first");
            CollectionAssert.AreEqual(first, values[..first.Length], check.Text("name"));
            Assert.AreEqual(check.Double("sum"), values.Sum(), 1e-9, check.Text("name"));
        }
    }

    private static string File(string name) => ParityData.Json("d_unet.json").EnumerateArray().Single(candidate => candidate.Text("name") == name).Text("file");
}
