using TorchSharp;
using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion.StandIns;

/// <summary>Names, order and moves of parameters: weight files and optimizers hang on them.</summary>
[TestClass]
public class TorchModuleTests
{
    private sealed class Block : nn.Module<Tensor, Tensor>
    {
        private readonly Linear first = nn.Linear(4, 3);
        private readonly ModuleList<Linear> rest = nn.ModuleList(nn.Linear(3, 3, hasBias: false), nn.Linear(3, 3));
        private readonly Parameter scale = nn.Parameter(ones(3));
        private readonly Sequential tail = nn.Sequential(("activation", nn.SiLU()), ("out", nn.Linear(3, 1)));

        public Block() : base(nameof(Block))
        {
            register_buffer("offset", zeros(3));
            register_buffer("scratch", zeros(3), persistent: false);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            var h = first.call(x);
            foreach (var layer in rest) h = layer.call(h);
            return tail.call(h * scale + get_buffer("offset")!).MoveToOuterDisposeScope();
        }
    }

    [TestMethod]
    public void ParametersComeInTheOrderOfTheFieldsOwnOnesFirst()
    {
        using var block = new Block();
        CollectionAssert.AreEqual(
            new[] { "scale", "first.weight", "first.bias", "rest.0.weight", "rest.1.weight", "rest.1.bias", "tail.out.weight", "tail.out.bias" },
            block.named_parameters().Select(p => p.name).ToArray());
        CollectionAssert.AreEqual(new[] { "offset" }, block.named_buffers().Select(b => b.name).ToArray());
        Assert.AreEqual(9, block.state_dict().Count);
        Assert.IsTrue(block.has_parameter("rest.1.bias"));
        Assert.IsNotNull(block.get_parameter("tail.out.weight"));
        Assert.IsNull(block.get_parameter("tail.in.weight"));
    }

    [TestMethod]
    public void TrainAndEvalReachEveryChild()
    {
        using var block = new Block();
        block.eval();
        Assert.IsTrue(block.modules().All(m => !m.training));
        block.train();
        Assert.IsTrue(block.modules().All(m => m.training));
    }

    [TestMethod]
    public void MovingReplacesParametersEverywhere()
    {
        using var block = new Block();
        var before = block.get_parameter("first.weight");
        block.to(float64);
        var after = block.get_parameter("first.weight");
        Assert.AreNotSame(before, after);
        Assert.IsTrue(block.parameters().All(p => p.dtype == float64 && p.requires_grad && p.is_leaf));
        Assert.AreEqual(float64, block.get_buffer("offset")!.dtype);
        using var y = block.call(ones([2, 4], float64));
        Assert.AreEqual(float64, y.dtype);
    }

    [TestMethod]
    public void StateDictionariesCarryWeightsOver()
    {
        using var from = new Block();
        using var to = new Block();
        to.load_state_dict(from.state_dict());
        using var x = ones(2, 4);
        Assert.IsTrue(from.call(x).Equals(to.call(x)));
        var partial = from.state_dict().Take(2).ToDictionary(p => p.Key, p => p.Value);
        Assert.ThrowsExactly<InvalidOperationException>(() => to.load_state_dict(partial));
    }

    [TestMethod]
    public void AParameterTakesItsDataOver()
    {
        var data = ones(2);
        using var parameter = new Parameter(data);
        Assert.IsTrue(data.IsInvalid);
        Assert.IsTrue(parameter.requires_grad);
    }

    [TestMethod]
    public void NamesWithDotsAndDoubleNamesAreRefused()
    {
        using var block = new Block();
        Assert.ThrowsExactly<ArgumentException>(() => block.register_module("a.b", nn.Identity()));
        Assert.ThrowsExactly<InvalidOperationException>(() => block.register_module("first", nn.Identity()));
        Assert.ThrowsExactly<InvalidOperationException>(() => block.register_buffer("offset", zeros(1)));
    }

    [TestMethod]
    public void GroupNormWorksOnceItIsInitialised()
    {
        using var norm = nn.GroupNorm(2, 4);
        nn.init.ones_(norm.weight);
        nn.init.zeros_(norm.bias);
        using var g = new Generator(5);
        using var x = randn([3, 4, 2, 2], generator: g);
        using var groups = norm.call(x).reshape(6, 8);
        Assert.IsTrue(groups.mean([1]).allclose(zeros(6), 1e-5, 1e-6));
        Assert.IsTrue(groups.var(1, unbiased: false).allclose(ones(6), 1e-3));
    }

    [TestMethod]
    public void HooksSeeAndChangeTheOutput()
    {
        using var layer = nn.Identity();
        var hook = layer.register_forward_hook((_, _, output) => output + 1);
        Assert.AreEqual(1f, layer.call(zeros(1)).item<float>());
        hook.remove();
        Assert.AreEqual(0f, layer.call(zeros(1)).item<float>());
    }

    [TestMethod]
    public void EmbeddingLooksUpAndLearns()
    {
        using var table = nn.Embedding(5, 3);
        using var rows = table.call(tensor(new long[] { 4, 4, 0 }));
        Assert.IsTrue(rows[0].Equals(rows[1]));
        rows.sum().backward();
        using var gradient = table.weight!.grad!;
        CollectionAssert.AreEqual(new float[] { 3, 0, 0, 0, 6 }, gradient.sum(1).data<float>().ToArray());
        Assert.AreEqual("weight", table.named_parameters().Single().name);
    }
}
