namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Gradients that operators add to weights' own memory are those that libtorch would have added.</summary>
[TestClass]
public sealed class DirectGradientsTests
{
    [TestMethod]
    public void TheyAreTheSameAndGoToTheSamePlace()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(5, CPU);
        using var network = TinyData.Network.Build(new UNetShape(1, 8, 8), generator);
        Tensor images = randn([2, 1, 8, 8], float32, generator: generator), timesteps = full([2], 3f);
        using var optimizer = new FlatAdam(network.parameters(), new AdamOptions());
        // A new network's last layers are zero and hide the others.
        using (no_grad())
        {
            foreach (var parameter in network.parameters())
                parameter.add_(randn(parameter.shape, float32, generator: generator), 0.1);
        }
        Tensor[] places = [.. network.parameters().Select(parameter => parameter.grad!)];
        float[][] first = Run(direct: false), second = Run(direct: true);
        for (int i = 0; i < first.Length; i++)
            CollectionAssert.AreEqual(first[i], second[i], $"parameter {i}");
        Assert.IsTrue(first.Any(gradient => gradient.Any(value => value != 0)));

        float[][] Run(bool direct)
        {
            foreach (var place in places)
                place.zero_().Dispose();
            using (var loss = network.forward(images, timesteps, null).square().mean())
            using (direct ? DirectGradients.Begin() : default)
                loss.backward();
            return [.. places.Select(place => place.contiguous().data<float>().ToArray())];
        }
    }

    [TestMethod]
    public void WithoutThemAutogradFindsItsGradients()
    {
        using var scope = NewDisposeScope();
        Tensor x = ones(1, 4, 4, 16).permute(0, 3, 1, 2), weight = ones(16, 3, 3, 16).permute(0, 3, 1, 2).requires_grad_();
        Tensor y = FusedConvolution.TryApply(x, weight, null)!;
        Tensor gradient = autograd.grad([y.sum()], [weight])[0];
        CollectionAssert.AreEqual(weight.shape, gradient.shape);
        Assert.IsGreaterThan(0, gradient.sum().item<float>());
        Assert.IsNull(weight.grad);
    }
}
