namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Operators that know where parameters lie compute the same, and add the gradients that libtorch would have added.</summary>
[TestClass]
public sealed class ParameterMemoryTests
{
    [TestMethod]
    public void GradientsAreTheSameAndGoToTheSamePlace()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(5, CPU);
        using var network = SmallNetworks.Annotated.Build(new UNetShape(1, 8, 8), generator);
        Tensor images = randn([2, 1, 8, 8], float32, generator: generator), timesteps = full([2], 3f);
        using var optimizer = new FlatAdam(network.parameters(), new AdamOptions());
        ShowEveryLayer(network, generator);
        Tensor[] places = [.. network.parameters().Select(parameter => parameter.grad!)];
        float[][] first = Run(known: false), second = Run(known: true);
        for (int i = 0; i < first.Length; i++)
            CollectionAssert.AreEqual(first[i], second[i], $"parameter {i}");
        Assert.IsTrue(first.Any(gradient => gradient.Any(value => value != 0)));

        float[][] Run(bool known)
        {
            foreach (var place in places)
                place.zero_().Dispose();
            using (known ? new ParameterMemory(network.parameters()).Enter() : default)
            {
                using var loss = network.forward(images, timesteps, null).square().mean();
                loss.backward();
            }
            return [.. places.Select(place => place.contiguous().data<float>().ToArray())];
        }
    }

    [TestMethod]
    public void WithoutGraphTheNetworkDrawsTheSame()
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var generator = new Generator(6, CPU);
        using var network = TinyData.Network.Build(new UNetShape(1, 8, 8), generator);
        network.eval();
        ShowEveryLayer(network, generator);
        Tensor images = randn([2, 1, 8, 8], float32, generator: generator), timesteps = full([2], 3f);
        float[] told = Run();
        var memory = new ParameterMemory(network.parameters());
        using (memory.Enter())
        {
            CollectionAssert.AreEqual(told, Run());
            // It is the memory that is read, whatever is in it.
            foreach (var parameter in network.parameters())
                parameter.mul_(2);
            CollectionAssert.AreNotEqual(told, Run());
        }

        float[] Run() => network.forward(images, timesteps, null).contiguous().data<float>().ToArray();
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

    [TestMethod]
    public void ParametersWithoutGradientsAreLeftToAutograd()
    {
        using var scope = NewDisposeScope();
        Tensor x = ones(1, 4, 4, 16).permute(0, 3, 1, 2), weight = ones(16, 3, 3, 16).permute(0, 3, 1, 2).requires_grad_(), bias = ones([16], requires_grad: true);
        using (new ParameterMemory([weight, bias]).Enter())
        {
            FusedConvolution.TryApply(x, weight, bias)!.sum().backward();
        }
        Assert.AreEqual(16f * 16, bias.grad!.sum().item<float>());
        Assert.IsGreaterThan(0, weight.grad!.sum().item<float>());
    }

    [TestMethod]
    public void AMatrixIsAConvolutionOfOnePixel()
    {
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 2, 4, 4, 32).to(float32).permute(0, 3, 1, 2), numbers = KernelData.Draw(2, 16, 32).to(float32);
        Tensor matrix = numbers.clone().requires_grad_(), kernel = numbers.view(16, 32, 1, 1).clone().requires_grad_();
        Tensor a = FusedProduct.TryApply(x, matrix, null)!, b = FusedProduct.TryApply(x, kernel, null)!;
        CollectionAssert.AreEqual(b.contiguous().data<float>().ToArray(), a.contiguous().data<float>().ToArray());
        a.square().sum().backward();
        b.square().sum().backward();
        CollectionAssert.AreEqual(numbers.shape, matrix.grad!.shape);
        CollectionAssert.AreEqual(kernel.grad!.contiguous().data<float>().ToArray(), matrix.grad!.contiguous().data<float>().ToArray());
    }

    [TestMethod]
    public void OnlyWhatLiesAsKernelsReadItIsKnown()
    {
        using var scope = NewDisposeScope();
        Tensor weight = ones(16, 3, 3, 16).permute(0, 3, 1, 2), planes = ones(16, 16, 3, 3), narrow = ones([16], bfloat16), turned = ones(4, 8).t(), row = ones(16);
        var memory = new ParameterMemory([weight, planes, narrow, turned, row]);
        Assert.IsNull(ParameterMemory.Of(row), "before");
        using (memory.Enter())
        {
            Assert.IsNotNull(ParameterMemory.Of(weight));
            Assert.IsNotNull(ParameterMemory.Of(row));
            Assert.IsNull(ParameterMemory.Of(planes), "planes");
            Assert.IsNull(ParameterMemory.Of(narrow), "bfloat16");
            Assert.IsNull(ParameterMemory.Of(turned), "a transpose");
            Assert.IsNull(ParameterMemory.Of(row.alias()), "another tensor over the same memory");
            using (new ParameterMemory([]).Enter())
                Assert.IsNull(ParameterMemory.Of(row), "another's turn");
            Assert.IsNotNull(ParameterMemory.Of(row), "its own again");
        }
        Assert.IsNull(ParameterMemory.Of(row), "afterwards");
    }

    /// <summary>A new network's last layers are zero and hide the others.</summary>
    private static void ShowEveryLayer(DenoisingNetwork network, Generator generator)
    {
        using var untracked = no_grad();
        foreach (var parameter in network.parameters())
            parameter.add_(randn(parameter.shape, float32, generator: generator), 0.1);
    }
}
