using TorchSharp;

namespace Microsoft.ML.Diffusion.StandIns;

/// <summary>Who frees what, and how that is counted. Statistics are per thread and a test keeps its thread.</summary>
[TestClass]
public class TorchScopeTests
{
    [TestMethod]
    public void AScopeDisposesWhatWasMadeInItAndNotMoved()
    {
        Tensor kept, dropped, detached;
        using (NewDisposeScope())
        {
            using (NewDisposeScope())
            {
                dropped = zeros(1);
                kept = zeros(1).MoveToOuterDisposeScope();
                detached = zeros(1).DetachFromDisposeScope();
            }
            Assert.IsTrue(dropped.IsInvalid);
            Assert.IsFalse(kept.IsInvalid);
        }
        Assert.IsTrue(kept.IsInvalid);
        Assert.IsFalse(detached.IsInvalid);
        detached.Dispose();
        Assert.IsTrue(detached.IsInvalid);
    }

    [TestMethod]
    public void StatisticsBalance()
    {
        var statistics = DisposeScopeManager.Statistics.TensorStatistics;
        statistics.Reset();
        using (var scope = NewDisposeScope())
        {
            using var x = zeros(2);
            using var y = x + 1;
            y.add_(x);
            Assert.AreEqual(2, statistics.CreatedInScopeCount);
            Assert.AreEqual(2, scope.DisposablesCount);
            x.DetachFromDisposeScope();
            Assert.AreEqual(1, statistics.DetachedFromScopeCount);
            scope.Attach(x);
            Assert.AreEqual(1, statistics.AttachedToScopeCount);
        }
        Assert.AreEqual(0, statistics.ThreadTotalLiveCount);
        using (var outside = zeros(1))
        {
            Assert.AreEqual(1, statistics.CreatedOutsideScopeCount);
            Assert.AreEqual(1, statistics.ThreadTotalLiveCount);
        }
        Assert.AreEqual(1, statistics.DisposedOutsideScopeCount);
    }

    [TestMethod]
    public void ATrainingStepLeavesNothingBehind()
    {
        using var layer = nn.Linear(3, 2);
        using var optimizer = optim.AdamW(layer.parameters(), 0.1);
        var statistics = DisposeScopeManager.Statistics.TensorStatistics;
        long before = statistics.ThreadTotalLiveCount;
        for (int step = 0; step < 3; step++)
        {
            using var scope = NewDisposeScope();
            nn.functional.mse_loss(layer.call(ones(4, 3)), zeros(4, 2)).backward();
            nn.utils.clip_grad_norm_(layer.parameters(), 1);
            optimizer.step();
            optimizer.zero_grad();
        }
        Assert.AreEqual(before, statistics.ThreadTotalLiveCount);
    }

    [TestMethod]
    public void AScopeBelongsToItsThread()
    {
        using var scope = NewDisposeScope();
        Tensor? elsewhere = null;
        var thread = new Thread(() => elsewhere = zeros(1));
        thread.Start();
        thread.Join();
        Assert.AreEqual(0, scope.DisposablesCount);
        elsewhere!.Dispose();
    }

    [TestMethod]
    public void LayersBuiltInAScopeKeepTheirParameters()
    {
        nn.Module<Tensor, Tensor> layer;
        using (NewDisposeScope()) layer = nn.Conv2d(2, 3, 3);
        using var y = layer.call(zeros(1, 2, 4, 4));
        Assert.AreEqual(2, layer.parameters().Count());
        layer.Dispose();
    }

    [TestMethod]
    public void GradModeIsRestored()
    {
        Assert.IsTrue(is_grad_enabled());
        using (no_grad())
        {
            Assert.IsFalse(is_grad_enabled());
            using (enable_grad()) Assert.IsTrue(is_grad_enabled());
            Assert.IsFalse(is_grad_enabled());
        }
        Assert.IsTrue(is_grad_enabled());
        using (inference_mode()) Assert.IsTrue(is_inference_mode_enabled());
        Assert.IsFalse(is_inference_mode_enabled());
    }
}
