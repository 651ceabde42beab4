using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The fused operators against libtorch's own in float64: values, every gradient, and what they leave to the plain ones.</summary>
[TestClass]
public sealed class FusedOperatorsTests
{
    private const double Share = 1e-5;
    private const double Epsilon = 1e-5;
    private const int Groups = 4;

    private static readonly double[] Twice = [2, 2];

    private static long Live => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;

    [TestMethod]
    [DataRow(2, 8, 7, 9, 12, false, 0, false, false, false, false)]
    [DataRow(2, 3, 8, 8, 16, false, 0, false, false, true, true)]
    [DataRow(2, 16, 6, 10, 3, true, 0, false, false, true, false)]
    [DataRow(3, 16, 8, 8, 32, true, 3, true, false, true, false)]
    [DataRow(3, 20, 5, 4, 8, true, 1, true, false, true, true)]
    [DataRow(2, 24, 4, 4, 24, true, 2, false, false, false, true)]
    [DataRow(2, 8, 8, 8, 8, false, 0, true, false, true, true)]
    [DataRow(2, 12, 4, 5, 20, false, 0, false, true, true, false)]
    [DataRow(1, 16, 8, 8, 16, false, 0, false, true, true, true)]
    [DataRow(2, 8, 3, 5, 8, false, 0, true, true, true, false)]
    public void AConvolutionIsThePlainOperators(int n, int channels, int height, int width, int outputs, bool norm, int filmRows, bool addend, bool doubled, bool bias, bool planes)
    {
        using var scope = NewDisposeScope();
        var inputs = Inputs(n, channels, height, width, outputs, 3, norm, filmRows, bias, planes);
        if (addend)
            inputs["addend"] = Image(9, n, outputs, doubled ? 2 * height : height, doubled ? 2 * width : width, planes);
        Check(inputs, Plain, input =>
        {
            NormArguments? arguments = Norm(input);
            return FusedConvolution.TryApply(input["x"], input["weight"], input.GetValueOrDefault("bias"), arguments, input.GetValueOrDefault("addend"), doubled);
        });

        Tensor Plain(Dictionary<string, Tensor> input)
        {
            Tensor x = PlainNorm(input);
            if (doubled)
                x = nn.functional.interpolate(x, scale_factor: Twice, mode: InterpolationMode.Nearest);
            return PlusAddend(nn.functional.conv2d(x, input["weight"], input.GetValueOrDefault("bias"), padding: [1, 1]), input);
        }
    }

    [TestMethod]
    [DataRow(2, 8, 4, 6, 12, 1, 1, 0, 0, false, 0, false, false, true)]
    [DataRow(2, 16, 5, 4, 32, 1, 1, 0, 0, true, 0, true, true, false)]
    [DataRow(2, 12, 4, 4, 36, 1, 1, 0, 0, true, 2, true, true, true)]
    [DataRow(2, 8, 4, 4, 8, 1, 1, 0, 0, true, 1, false, true, false)]
    [DataRow(2, 8, 8, 6, 16, 3, 2, 1, 1, false, 0, true, false, false)]
    [DataRow(2, 8, 7, 9, 8, 3, 2, 1, 1, false, 0, true, true, true)]
    [DataRow(2, 16, 8, 8, 16, 3, 2, 0, 1, false, 0, true, false, false)]
    [DataRow(2, 4, 8, 6, 4, 3, 2, 0, 1, false, 0, true, true, true)]
    [DataRow(1, 4, 8, 8, 8, 4, 2, 1, 1, false, 0, true, false, true)]
    [DataRow(2, 8, 6, 6, 8, 1, 2, 0, 0, false, 0, true, false, false)]
    public void AProductIsThePlainOperators(
        int n, int channels, int height, int width, int outputs, int kernel, int stride, int before, int after, bool norm, int filmRows, bool bias, bool addend, bool planes)
    {
        using var scope = NewDisposeScope();
        var inputs = Inputs(n, channels, height, width, outputs, kernel, norm, filmRows, bias, planes);
        var size = new WindowSize(n, height, width, channels, kernel, stride, before, after);
        if (addend)
            inputs["addend"] = Image(9, n, outputs, size.OutputHeight, size.OutputWidth, planes);
        Check(inputs, Plain, input =>
        {
            NormArguments? arguments = Norm(input);
            return FusedProduct.TryApply(input["x"], input["weight"], input.GetValueOrDefault("bias"), stride, before, after, arguments, input.GetValueOrDefault("addend"));
        });

        Tensor Plain(Dictionary<string, Tensor> input)
        {
            Tensor x = nn.functional.pad(PlainNorm(input), [before, after, before, after]);
            return PlusAddend(nn.functional.conv2d(x, input["weight"], input.GetValueOrDefault("bias"), [stride, stride]), input);
        }
    }

    [TestMethod]
    [DataRow(2, 16, 2, 8)]
    [DataRow(1, 64, 1, 32)]
    [DataRow(2, 60, 3, 4)]
    public void AnAttentionIsThePlainOperators(int n, int positions, int heads, int width)
    {
        using var scope = NewDisposeScope();
        Check(new() { ["qkv"] = KernelData.Draw(1, n, positions, 3 * heads * width) }, Plain, input => FusedAttention.TryApply(input["qkv"], heads));

        Tensor Plain(Dictionary<string, Tensor> input)
        {
            Tensor parts = input["qkv"].reshape(n, positions, 3, heads, width).permute(2, 0, 3, 1, 4);
            Tensor weights = (parts.select(0, 0).matmul(parts.select(0, 1).transpose(-1, -2)) / Math.Sqrt(width)).softmax(-1);
            return weights.matmul(parts.select(0, 2)).transpose(1, 2).reshape(n, positions, heads * width);
        }
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void AnAttentionTakesImagesByTheirPixels(bool planes)
    {
        using var scope = NewDisposeScope();
        Tensor pixels = KernelData.Draw(1, 2, 4, 8, 48).permute(0, 3, 1, 2);
        Check(new() { ["qkv"] = planes ? pixels.contiguous() : pixels }, Plain, input => FusedAttention.TryApply(input["qkv"], 2));
        using (no_grad())
        {
            Tensor image = pixels.to(float32), y = FusedAttention.TryApply(image, 2)!, ofRows = FusedAttention.TryApply(image.permute(0, 2, 3, 1).reshape(2, 32, 48), 2)!;
            CollectionAssert.AreEqual((long[])[2, 16, 4, 8], y.shape);
            CollectionAssert.AreEqual(ofRows.data<float>().ToArray(), y.permute(0, 2, 3, 1).contiguous().data<float>().ToArray());
        }

        Tensor Plain(Dictionary<string, Tensor> input)
        {
            Tensor parts = input["qkv"].permute(0, 2, 3, 1).reshape(2, 32, 3, 2, 8).permute(2, 0, 3, 1, 4);
            Tensor mixed = (parts.select(0, 0).matmul(parts.select(0, 1).transpose(-1, -2)) / Math.Sqrt(8)).softmax(-1).matmul(parts.select(0, 2));
            return mixed.permute(0, 1, 3, 2).reshape(2, 16, 4, 8);
        }
    }

    [TestMethod]
    [DataRow(2, 8, 4, 3, 5, false)]
    [DataRow(1, 3, 5, 4, 4, true)]
    public void AConcatenationIsThePlainOperator(int n, int a, int b, int height, int width, bool planes)
    {
        using var scope = NewDisposeScope();
        Check(
            new() { ["a"] = Image(1, n, a, height, width, planes), ["b"] = Image(2, n, b, height, width, !planes) },
            input => cat([input["a"], input["b"]], 1),
            input => FusedConcatenation.Apply(input["a"], input["b"]));
    }

    [TestMethod]
    [DataRow("x")]
    [DataRow("weight")]
    [DataRow("normWeight")]
    [DataRow("film")]
    [DataRow("addend")]
    public void OneGradientAloneCanBeAskedFor(string wanted)
    {
        using var scope = NewDisposeScope();
        var inputs = Inputs(2, 8, 4, 4, 8, 3, norm: true, filmRows: 2, bias: true, planes: false);
        inputs["addend"] = Image(9, 2, 8, 4, 4, planes: false);
        var pointwise = new Dictionary<string, Tensor>(inputs) { ["weight"] = KernelData.Draw(3, 8, 8, 1, 1) };
        Check(inputs, input => PlusAddend(nn.functional.conv2d(PlainNorm(input), input["weight"], input["bias"], padding: [1, 1]), input), Convolve, wanted);
        Check(pointwise, input => PlusAddend(nn.functional.conv2d(PlainNorm(input), input["weight"], input["bias"]), input), Project, wanted);
    }

    [TestMethod]
    public void AnInputWithoutAGradientIsLeftOut()
    {
        using var scope = NewDisposeScope();
        var inputs = Inputs(2, 8, 4, 4, 8, 3, norm: false, filmRows: 0, bias: true, planes: false);
        var pointwise = new Dictionary<string, Tensor>(inputs) { ["weight"] = KernelData.Draw(3, 8, 8, 1, 1) };
        Check(inputs, input => nn.functional.conv2d(input["x"], input["weight"], input["bias"], padding: [1, 1]), Convolve, "weight");
        Check(pointwise, input => nn.functional.conv2d(input["x"], input["weight"], input["bias"]), Project, "weight");
    }

    [TestMethod]
    public void AGradientMayBeOneNumberSpreadOut()
    {
        using var scope = NewDisposeScope();
        var inputs = Inputs(2, 8, 4, 4, 8, 3, norm: true, filmRows: 2, bias: true, planes: false);
        inputs["addend"] = Image(9, 2, 8, 4, 4, planes: false);
        foreach (var (plain, fused) in ((Func<Dictionary<string, Tensor>, Tensor>, Func<Dictionary<string, Tensor>, Tensor?>)[])
            [
                (input => PlusAddend(nn.functional.conv2d(PlainNorm(input), input["weight"], input["bias"], padding: [1, 1]), input), Convolve),
                (input => cat([input["x"], input["addend"]], 1), input => FusedConcatenation.Apply(input["x"], input["addend"])),
                (
                    input => nn.functional.scaled_dot_product_attention(Rows(input), Rows(input), Rows(input)),
                    input => FusedAttention.TryApply(cat([Rows(input), Rows(input), Rows(input)], -1), 1)),
            ])
        {
            var wide = Leaves(inputs, float64);
            var narrow = Leaves(inputs, float32);
            // The gradient of a sum has strides of zero.
            plain(wide).sum().backward();
            fused(narrow)!.sum().backward();
            foreach (string name in inputs.Keys.Where(name => wide[name].grad is not null))
                Assert.IsLessThan(Share, KernelData.Error(wide[name].grad!, narrow[name].grad!), name);
        }

        static Tensor Rows(Dictionary<string, Tensor> input) => input["x"].permute(0, 2, 3, 1).reshape(2, 16, 8);
    }

    [TestMethod]
    public void GradientsOfTwoStepsAddUp()
    {
        using var scope = NewDisposeScope();
        var inputs = Inputs(2, 8, 4, 4, 8, 3, norm: true, filmRows: 2, bias: true, planes: false);
        inputs["addend"] = Image(9, 2, 8, 4, 4, planes: false);
        Tensor dy = KernelData.Draw(21, 2, 8, 4, 4).to(float32);
        var once = Leaves(inputs, float32);
        (Convolve(once)! * dy).sum().backward();
        var twice = Leaves(inputs, float32);
        for (int i = 0; i < 2; i++)
            (Convolve(twice)! * dy).sum().backward();
        foreach (string name in inputs.Keys)
            Assert.IsLessThan(1e-6, KernelData.Error(once[name].grad!.to(float64) * 2, twice[name].grad!), name);
    }

    [TestMethod]
    public void OtherTypesAreLeftToThePlainOperators()
    {
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 2, 8, 4, 4).to(bfloat16), weight = KernelData.Draw(2, 8, 8, 3, 3).to(bfloat16), point = KernelData.Draw(2, 8, 8, 1, 1).to(bfloat16);
        foreach (bool gradients in (bool[])[false, true])
        {
            using var mode = enable_grad(gradients);
            Assert.IsNull(FusedConvolution.TryApply(x, weight, null));
            Assert.IsNull(FusedConvolution.TryApply(x, weight.to(float32), null));
            Assert.IsNull(FusedConvolution.TryApply(x.to(float64), weight.to(float64), null));
            Assert.IsNull(FusedProduct.TryApply(x, point, null));
            Assert.IsNull(FusedProduct.TryApply(x.to(float32), point, null));
            Assert.IsNull(FusedAttention.TryApply(KernelData.Draw(1, 2, 16, 24).to(bfloat16), 2));
            Tensor joined = FusedConcatenation.Apply(x, x);
            Assert.AreEqual(bfloat16, joined.dtype);
            CollectionAssert.AreEqual(Values(cat([x, x], 1)), Values(joined));
        }
    }

    [TestMethod]
    public void SizesWithoutAKernelAreLeftToThePlainOperators()
    {
        using var scope = NewDisposeScope();
        Tensor Of(params long[] shape) => KernelData.Draw(1, shape).to(float32);
        var norm = new NormArguments(Of(6), Of(6), null, new NormSettings(3, Epsilon, true));
        Assert.IsNull(FusedConvolution.TryApply(Of(1, 6, 4, 4), Of(8, 6, 3, 3), null, norm), "a norm over 6 channels");
        Assert.IsNull(FusedConvolution.TryApply(Of(1, 8, 4, 4), Of(8, 8, 1, 1), null), "another kernel");
        Assert.IsNull(FusedProduct.TryApply(Of(2, 3, 4, 4), Of(8, 3, 1, 1), null), "3 channels");
        Assert.IsNull(FusedProduct.TryApply(Of(2, 8, 4, 4), Of(3, 8, 1, 1), null), "3 outputs");
        Assert.IsNull(FusedProduct.TryApply(Of(3, 8, 3, 3), Of(8, 8, 1, 1), null), "an odd number of rows");
        Assert.IsNull(FusedProduct.TryApply(Of(2, 8, 1, 1), Of(8, 8, 1, 1), null), "two rows");
        Assert.IsNull(FusedProduct.TryApply(Of(2, 8, 1, 1), Of(8, 8, 3, 3), null, 2), "an image smaller than the kernel");
        Assert.IsNull(FusedAttention.TryApply(Of(2, 15, 24), 2), "15 positions");
        Assert.IsNull(FusedAttention.TryApply(Of(2, 16, 18), 2), "heads of width 3");
        Assert.IsNull(FusedAttention.TryApply(Of(2, 24, 16).transpose(1, 2), 2), "positions innermost");
    }

    [TestMethod]
    [DataRow("convolution")]
    [DataRow("doubled")]
    [DataRow("product")]
    [DataRow("attention")]
    [DataRow("concatenation")]
    public void NoTensorIsLeftBehind(string name)
    {
        using var scope = NewDisposeScope();
        var inputs = Leaves(Inputs(2, 8, 4, 4, 8, name == "product" ? 1 : 3, norm: true, filmRows: 2, bias: true, planes: true), float32);
        inputs["addend"] = Image(9, 2, 8, 4, 4, planes: true).to(float32).requires_grad_();
        inputs["qkv"] = KernelData.Draw(1, 2, 16, 24).to(float32).requires_grad_();
        Func<Dictionary<string, Tensor>, Tensor?> run = name switch
        {
            "convolution" => Convolve,
            "doubled" => input => FusedConvolution.TryApply(input["x"], input["weight"], input["bias"], doubled: true),
            "product" => Project,
            "attention" => input => FusedAttention.TryApply(input["qkv"], 2),
            _ => input => FusedConcatenation.Apply(input["x"], input["addend"]),
        };

        // No scope of its own around a step, and the test's ends too late to hide what a step leaves.
        Train();
        long before = Live;
        for (int i = 0; i < 3; i++)
            Train();
        Assert.AreEqual(before, Live, "after training");
        for (int i = 0; i < 3; i++)
        {
            using var untracked = no_grad();
            run(inputs)!.Dispose();
        }
        Assert.AreEqual(before, Live, "after running");
        for (int i = 0; i < 3; i++)
            run(inputs)!.Dispose();
        Assert.AreEqual(before, Live, "after running with a graph");

        void Train()
        {
            using Tensor y = run(inputs)!;
            using Tensor loss = y.sum();
            loss.backward();
            foreach (Tensor input in inputs.Values)
                input.grad?.Dispose();
        }
    }

    private static double[] Values(Tensor tensor) => Tolerance.Values(tensor);

    private static Tensor? Convolve(Dictionary<string, Tensor> input)
    {
        NormArguments? norm = Norm(input);
        return FusedConvolution.TryApply(input["x"], input["weight"], input["bias"], norm, input.GetValueOrDefault("addend"));
    }

    private static Tensor? Project(Dictionary<string, Tensor> input)
    {
        NormArguments? norm = Norm(input);
        return FusedProduct.TryApply(input["x"], input["weight"], input["bias"], norm: norm, addend: input.GetValueOrDefault("addend"));
    }

    /// <summary>Both sides once: the value, then every gradient that is asked for, then the value without a graph.</summary>
    private static void Check(
        Dictionary<string, Tensor> inputs, Func<Dictionary<string, Tensor>, Tensor> plain, Func<Dictionary<string, Tensor>, Tensor?> fused, string? wanted = null)
    {
        Dictionary<string, Tensor> wide = Leaves(inputs, float64, wanted), narrow = Leaves(inputs, float32, wanted);
        Tensor expected = plain(wide), dy = KernelData.Draw(11, expected.shape);
        (expected * dy).sum().backward();
        Tensor? actual = fused(narrow);
        Assert.IsNotNull(actual);
        Assert.IsLessThan(Share, KernelData.Error(expected, actual));
        (actual * dy.to(float32)).sum().backward();
        foreach (string name in inputs.Keys)
        {
            if (wanted is not null && name != wanted)
                Assert.IsNull(narrow[name].grad, name);
            else
                Assert.IsLessThan(Share, KernelData.Error(wide[name].grad!, narrow[name].grad!), name);
        }
        using var untracked = no_grad();
        Tensor again = fused(narrow)!;
        Assert.IsFalse(again.requires_grad);
        CollectionAssert.AreEqual(Values(actual), Values(again), "without a graph");
    }

    private static Dictionary<string, Tensor> Leaves(Dictionary<string, Tensor> inputs, ScalarType type, string? wanted = null) =>
        inputs.ToDictionary(input => input.Key, input => input.Value.to(type, copy: true).requires_grad_(wanted is null || wanted == input.Key));

    private static Dictionary<string, Tensor> Inputs(int n, int channels, int height, int width, int outputs, int kernel, bool norm, int filmRows, bool bias, bool planes)
    {
        var inputs = new Dictionary<string, Tensor>
        {
            ["x"] = Image(1, n, channels, height, width, planes) * 2 + 1,
            ["weight"] = KernelData.Draw(2, outputs, channels, kernel, kernel),
        };
        if (bias)
            inputs["bias"] = KernelData.Draw(3, outputs);
        if (norm)
            (inputs["normWeight"], inputs["normBias"]) = (KernelData.Draw(4, channels) + 1, KernelData.Draw(5, channels));
        if (filmRows > 0)
            inputs["film"] = KernelData.Draw(6, filmRows, 2 * channels);
        return inputs;
    }

    /// <summary>[N, C, H, W]; with the channels last in memory unless in planes.</summary>
    private static Tensor Image(ulong seed, int n, int channels, int height, int width, bool planes) =>
        planes ? KernelData.Draw(seed, n, channels, height, width) : KernelData.Draw(seed, n, height, width, channels).permute(0, 3, 1, 2);

    private static NormArguments? Norm(Dictionary<string, Tensor> input) =>
        input.TryGetValue("normWeight", out Tensor? weight) ? new(weight, input["normBias"], input.GetValueOrDefault("film"), new NormSettings(Groups, Epsilon, Silu: true)) : null;

    private static Tensor PlainNorm(Dictionary<string, Tensor> input)
    {
        if (!input.TryGetValue("normWeight", out Tensor? weight))
            return input["x"];
        // In planes: libtorch 2.10 writes the gradient of an image with the channels last even where nobody asks for it, to no memory.
        Tensor x = nn.functional.group_norm(input["x"].contiguous(), Groups, weight, input["normBias"], Epsilon);
        if (input.TryGetValue("film", out Tensor? film))
        {
            long channels = film.shape[1] / 2;
            x = x * (film.narrow(1, 0, channels).reshape(-1, channels, 1, 1) + 1) + film.narrow(1, channels, channels).reshape(-1, channels, 1, 1);
        }
        return nn.functional.silu(x);
    }

    private static Tensor PlusAddend(Tensor y, Dictionary<string, Tensor> input) => input.TryGetValue("addend", out Tensor? addend) ? y + addend : y;
}
