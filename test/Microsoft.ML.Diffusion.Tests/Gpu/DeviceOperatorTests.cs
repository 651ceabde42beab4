using System.Reflection;
using TorchSharp;
using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What layers compute on a GPU, held on the CPU against the plain operators: values and every gradient.</summary>
[TestClass]
public sealed class DeviceOperatorTests
{
    [TestMethod]
    [DataRow(0, true)]
    [DataRow(0, false)]
    [DataRow(1, true)]
    [DataRow(3, true)]
    [DataRow(3, false)]
    public void ANormWithFilmFoldedInIsThatOfThePlainOperators(int rows, bool silu)
    {
        const int channels = 6;
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 3, channels, 4, 2).requires_grad_(), dy = KernelData.Draw(2, 3, channels, 4, 2);
        Tensor weight = (KernelData.Draw(3, channels) + 1).requires_grad_(), bias = KernelData.Draw(4, channels).requires_grad_();
        Tensor? film = rows == 0 ? null : KernelData.Draw(5, rows, 2 * channels).requires_grad_();
        Tensor[] inputs = film is null ? [x, weight, bias] : [x, weight, bias, film];

        Tensor want = nn.functional.group_norm(x, 2, weight, bias, 1e-5);
        if (film is not null)
        {
            Tensor shaped = film.view(rows, 2 * channels, 1, 1);
            want = want * (shaped.narrow(1, 0, channels) + 1) + shaped.narrow(1, channels, channels);
        }
        if (silu)
            want = nn.functional.silu(want);
        Tensor got = NormActivation.ApplyOnDevice(x, new(weight, bias, film, new NormSettings(2, 1e-5, silu)));
        AssertAlike(want, got, inputs, dy, 1e-9);
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void AProductOverPixelsIsA1x1Convolution(bool added)
    {
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 2, 5, 3, 4).requires_grad_(), dy = KernelData.Draw(2, 2, 7, 3, 4);
        Tensor weight = KernelData.Draw(3, 7, 5).requires_grad_(), bias = KernelData.Draw(4, 7).requires_grad_();
        Tensor? addend = added ? KernelData.Draw(5, 2, 7, 3, 4).requires_grad_() : null;
        Tensor want = nn.functional.conv2d(x, weight.view(7, 5, 1, 1), bias);
        Tensor got = LayerMath.ProjectPixels(x, weight, bias, addend);
        if (addend is not null)
        {
            want += addend;
            Assert.IsTrue(got.is_contiguous(), "a sum keeps the order of the image that it adds to");
        }
        AssertAlike(want, got, addend is null ? [x, weight, bias] : [x, weight, bias, addend], dy, 1e-12);
    }

    [TestMethod]
    public void TypedWeightsFollowTheWeightsAndGiveTheirGradientsBack()
    {
        using var scope = NewDisposeScope();
        Tensor flat = KernelData.Draw(1, 14).to(float32);
        Parameter[] parameters = [new(flat.as_strided([2, 3], [3, 1], 0)), new(flat.as_strided([2, 2, 2, 1], [4, 1, 2, 1], 6))];
        using var typed = new TypedWeights(flat, parameters, ScalarType.BFloat16);
        using (var untracked = no_grad())
            flat.mul_(2);

        Tensor gradients = ones(14);
        using (typed.Enter(flat))
        {
            Tensor[] copies = [.. parameters.Select(parameter => TypedParameters.Of(parameter, ScalarType.BFloat16)!)];
            for (int i = 0; i < copies.Length; i++)
            {
                Assert.AreEqual(ScalarType.BFloat16, copies[i].dtype);
                Assert.IsTrue(copies[i].eq(parameters[i].to(ScalarType.BFloat16)).all().item<bool>(), "as the weights are now");
            }
            (copies[0] * 3).sum().backward();
            (copies[1] * arange(8, dtype: ScalarType.BFloat16).view(2, 2, 2, 1)).sum().backward();
            Assert.IsNull(TypedParameters.Of(parameters[0], float32), "another type is not there");
        }
        Assert.IsNull(TypedParameters.Of(parameters[0], ScalarType.BFloat16), "only while they are entered");

        typed.AddGradientsTo(gradients);
        // The second lies with its middle dimensions swapped.
        float[] want = [4, 4, 4, 4, 4, 4, 1, 3, 2, 4, 5, 7, 6, 8];
        CollectionAssert.AreEqual(want, gradients.data<float>().ToArray());
        typed.AddGradientsTo(gradients);
        CollectionAssert.AreEqual(want, gradients.data<float>().ToArray(), "they are cleared once they are added");
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(3)]
    public void NormsOfAllBlocksAreFoldedAtOnce(int rows)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(1);
        var init = new WeightInitializer(WeightInitialization.KaimingUniform, generator);
        using GroupNormLayer first = new(4, 2, 1e-5, init), second = new(6, 3, 1e-5, init);
        GroupNormLayer[] norms = [first, second];
        foreach (GroupNormLayer norm in norms)
            SmallNetworks.Randomize(norm);
        using var folding = new NormFolding(norms);
        Tensor joined = KernelData.Draw(2, rows, 20).to(float32).requires_grad_();
        Tensor[] films = [joined.narrow(1, 0, 8), joined.narrow(1, 8, 12)];
        using FoldedNorms folded = folding.Fold(joined, float32);
        for (int i = 0; i < norms.Length; i++)
        {
            long channels = norms[i].Weight.shape[0];
            Tensor x = KernelData.Draw(3, 3, channels, 2, 4).to(float32).requires_grad_(), dy = KernelData.Draw(4, 3, channels, 2, 4).to(float32);
            using FoldedNorm norm = folded.Of(i);
            Assert.AreEqual(rows * channels, norm.Weight.numel());
            AssertAlike(norms[i].Apply(x, silu: true, films[i]), NormActivation.ApplyOnDevice(x, norms[i].With(norm, silu: true)), [x, joined, norms[i].Weight, norms[i].Bias], dy, 1e-5);
        }
    }

    [TestMethod]
    public void LayersOfTheSameRowsAreOneProduct()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(1);
        var init = new WeightInitializer(WeightInitialization.KaimingUniform, generator);
        using LinearLayer first = new(5, 4, init), second = new(5, 6, init);
        Tensor x = KernelData.Draw(2, 3, 5).to(float32).requires_grad_(), dy = KernelData.Draw(3, 3, 10).to(float32);
        Tensor joined = LinearLayer.ApplyJoined(x, [first, second]);
        AssertAlike(cat([first.forward(x), second.forward(x)], 1), joined, [x, .. first.parameters(), .. second.parameters()], dy, 1e-6);

        using var embedding = new NetworkEmbedding(joined.alias(), [4, 6]);
        using NetworkEmbedding some = embedding.Slice(1, 2), narrow = some.As(ScalarType.BFloat16);
        Assert.AreEqual(2, some.Rows);
        CollectionAssert.AreEqual(new long[] { 2, 6 }, some.Projections[1].shape);
        Assert.IsLessThan(1e-6, Apart(second.forward(x).narrow(0, 1, 2), some.Projections[1]));
        Assert.AreEqual(ScalarType.BFloat16, narrow.Projections[0].dtype);
    }

    /// <summary>A move makes other objects of the parameters. Copies are found by them, so layers have to hold the new ones.</summary>
    [TestMethod]
    public void ACopyIsFoundByTheParameterThatALayerHoldsAfterAMove()
    {
        using var scope = NewDisposeScope();
        using DenoisingNetwork network = SmallNetworks.Build("learned variance and classes").to(float64).to(float32);
        var known = new HashSet<object>(network.parameters(), ReferenceEqualityComparer.Instance);
        var held = new List<object>();
        Collect(network);
        Assert.HasCount(known.Count, held);
        foreach (object parameter in held)
            Assert.IsTrue(known.Contains(parameter));

        void Collect(nn.Module module)
        {
            foreach (FieldInfo field in module.GetType().GetFields(BindingFlags.Instance | BindingFlags.NonPublic))
            {
                if (field.FieldType == typeof(Parameter) && field.GetValue(module) is { } parameter)
                    held.Add(parameter);
            }
            foreach (var (_, child) in module.named_children())
                Collect(child);
        }
    }

    [TestMethod]
    public void AnAddedUpNormKeepsNothingAlive()
    {
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 2, 4, 2, 2), film = KernelData.Draw(2, 2, 8), weight = KernelData.Draw(3, 4, 4), bias = KernelData.Draw(4, 4);
        long live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        NormActivation.ApplyOnDevice(x, new(bias, bias, film, new NormSettings(2, 1e-5, true))).Dispose();
        LayerMath.ProjectPixels(x, weight, bias, x).Dispose();
        Assert.AreEqual(live, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    private static void AssertAlike(Tensor want, Tensor got, Tensor[] inputs, Tensor dy, double tolerance)
    {
        CollectionAssert.AreEqual(want.shape, got.shape);
        Assert.IsLessThan(tolerance, Apart(want, got));
        Tensor[] exact = [.. autograd.grad([want], inputs, [dy], retain_graph: true)], gradients = [.. autograd.grad([got], inputs, [dy], retain_graph: true)];
        for (int i = 0; i < inputs.Length; i++)
            Assert.IsLessThan(tolerance, Apart(exact[i], gradients[i]), $"gradient {i}");
    }

    private static double Apart(Tensor want, Tensor got) => ((got.to(float64) - want.to(float64)).norm() / want.to(float64).norm()).item<double>();
}
