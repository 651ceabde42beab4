using TorchSharp;
using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion.StandIns;

/// <summary>Gradients, functions with a backward of their own, and the optimizers.</summary>
[TestClass]
public class TorchAutogradTests
{
    // x·sigmoid(s·x), with its gradient written out.
    private sealed class Swish : autograd.SingleTensorFunction<Swish>
    {
        public override string Name => nameof(Swish);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            var x = (Tensor)vars[0];
            ctx.save_for_backward([x]);
            ctx.save_data("slope", vars[1]);
            return x * (x * (double)vars[1]).sigmoid();
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            var x = ctx.get_saved_variables()[0];
            double slope = (double)ctx.get_data("slope");
            var s = (x * slope).sigmoid();
            return [grad_output * (s + x * slope * s * (1 - s)), null!];
        }
    }

    private sealed class SumAndProduct : autograd.MultiTensorFunction<SumAndProduct>
    {
        public override string Name => nameof(SumAndProduct);

        public override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
        {
            ctx.save_for_backward([(Tensor)vars[0], (Tensor)vars[1]]);
            ctx.set_materialize_grads(false);
            return [(Tensor)vars[0] + (Tensor)vars[1], (Tensor)vars[0] * (Tensor)vars[1]];
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
        {
            var saved = ctx.get_saved_variables();
            if (grad_outputs[0].IsInvalid)
                return [grad_outputs[1] * saved[1], grad_outputs[1] * saved[0]];
            return [grad_outputs[0] + grad_outputs[1] * saved[1], grad_outputs[0] + grad_outputs[1] * saved[0]];
        }
    }

    [TestMethod]
    public void AFunctionsGradientIsAutograds()
    {
        using var g = new Generator(11);
        using var x = randn([4, 5], float64, generator: g, requires_grad: true);
        using var w = randn([4, 5], float64, generator: g);
        (x * (x * 1.7).sigmoid() * w).sum().backward();
        using var expected = x.grad!.clone();
        x.grad = null;

        using var y = Swish.apply(x, 1.7);
        Assert.IsFalse(y.is_leaf);
        (y * w).sum().backward();
        Assert.IsTrue(x.grad!.allclose(expected, 1e-12, 1e-12));
    }

    [TestMethod]
    public void TwoOutputsAndAnUnusedOneGiveTheRightGradients()
    {
        using var a = tensor(new double[] { 2, 3 }, requires_grad: true);
        using var b = tensor(new double[] { 5, 7 }, requires_grad: true);
        var outputs = SumAndProduct.apply(a, b);
        (outputs[0] * 10 + outputs[1]).sum().backward();
        CollectionAssert.AreEqual(new double[] { 15, 17 }, a.grad!.data<double>().ToArray());
        CollectionAssert.AreEqual(new double[] { 12, 13 }, b.grad!.data<double>().ToArray());

        // Only the product is used: the sum's gradient arrives as an empty handle.
        a.grad = null;
        SumAndProduct.apply(a, b)[1].sum().backward();
        CollectionAssert.AreEqual(new double[] { 5, 7 }, a.grad!.data<double>().ToArray());
    }

    [TestMethod]
    public void AFunctionWithoutGradientJustComputes()
    {
        using var x = ones(3);
        Assert.IsFalse(Swish.apply(x, 1.0).requires_grad);
        using var tracked = ones(3, requires_grad: true);
        using (no_grad()) Assert.IsFalse(Swish.apply(tracked, 1.0).requires_grad);
        Assert.IsTrue(Swish.apply(tracked, 1.0).requires_grad);
    }

    [TestMethod]
    public void GradReturnsWithoutAccumulating()
    {
        using var x = tensor(new double[] { 1, 2 }, requires_grad: true);
        using var unused = tensor(1.0, requires_grad: true);
        var gradients = autograd.grad([(x * x).sum()], [x, unused], allow_unused: true);
        CollectionAssert.AreEqual(new double[] { 2, 4 }, gradients[0].data<double>().ToArray());
        Assert.IsNull(x.grad);

        using var twice = autograd.grad([(x * x * x).sum()], [x], retain_graph: true, create_graph: true)[0];
        using var second = autograd.grad([twice.sum()], [x])[0];
        CollectionAssert.AreEqual(new double[] { 6, 12 }, second.data<double>().ToArray());
    }

    [TestMethod]
    public void AGraphCannotBeUsedTwice()
    {
        using var x = ones(2, requires_grad: true);
        using var y = (x * x).sum();
        y.backward();
        var failure = Assert.ThrowsExactly<System.Runtime.InteropServices.ExternalException>(() => y.backward());
        StringAssert.Contains(failure.Message, "backward through the graph a second time");
    }

    [TestMethod]
    public void AdamWFollowsItsEquations()
    {
        using var p = new Parameter(tensor(new double[] { 1, -2 }));
        using var optimizer = optim.AdamW([p], lr: 0.1, beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0.05);
        double[] w = [1, -2], m = [0, 0], v = [0, 0];
        for (int t = 1; t <= 4; t++)
        {
            using var scope = NewDisposeScope();
            p.grad = null;
            (p * p * p).sum().backward();
            optimizer.step();
            for (int i = 0; i < 2; i++)
            {
                double gradient = 3 * w[i] * w[i];
                w[i] *= 1 - 0.1 * 0.05;
                m[i] = 0.8 * m[i] + 0.2 * gradient;
                v[i] = 0.9 * v[i] + 0.1 * gradient * gradient;
                w[i] -= 0.1 * (m[i] / (1 - Math.Pow(0.8, t))) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.9, t))) + 1e-6);
            }
        }
        double[] actual = p.data<double>().ToArray();
        Assert.AreEqual(w[0], actual[0], 1e-12);
        Assert.AreEqual(w[1], actual[1], 1e-12);
    }

    [TestMethod]
    public void ClippingScalesToTheWantedNormAndReturnsTheOldOne()
    {
        using var a = new Parameter(zeros(1));
        using var b = new Parameter(zeros(1));
        (a * 3 + b * 4).sum().backward();
        Assert.AreEqual(5, nn.utils.clip_grad_norm_([a, b], 1), 1e-5);
        Assert.AreEqual(0.6f, a.grad!.item<float>(), 1e-5f);
        Assert.AreEqual(0.8f, b.grad!.item<float>(), 1e-5f);
        Assert.AreEqual(1, nn.utils.clip_grad_norm_([a, b], 10), 1e-5);
        Assert.AreEqual(0.6f, a.grad!.item<float>(), 1e-5f);
    }
}
