namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Kernels whose end nobody waits for: when they run, what follows them, and what an error leaves.</summary>
[TestClass]
[DoNotParallelize]
public sealed class DeferredWorkTests
{
    private const int Parts = 3;

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    [DataRow(3)]
    public void ItRunsWithTheNextKernelAndEndsWhenItIsFinished(int cores)
    {
        using var threads = new KernelData.Threads(cores);
        int[] deferred = new int[Parts], kernel = new int[7];
        bool ended = false;
        using var work = DeferredWork.Begin();
        Defer();
        Assert.AreEqual(0, deferred.Sum(), "not yet");
        Cores.Run(kernel.Length, part => Interlocked.Increment(ref kernel[part]));
        CollectionAssert.AreEqual(Enumerable.Repeat(1, kernel.Length).ToArray(), kernel);
        Assert.IsFalse(ended);
        work.Finish();
        Assert.IsTrue(ended);
        CollectionAssert.AreEqual(Enumerable.Repeat(1, Parts).ToArray(), deferred);

        void Defer() => DeferredWork.Run(Parts, part => Interlocked.Increment(ref deferred[part]), () =>
        {
            ended = deferred.Sum() == Parts;
            // It may be a kernel itself.
            Cores.Run(kernel.Length, _ => { });
        });
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    public void WithoutAKernelItRunsWhenItIsFinished(int cores)
    {
        using var threads = new KernelData.Threads(cores);
        int runs = 0;
        using var work = DeferredWork.Begin();
        DeferredWork.Run(Parts, _ => Interlocked.Increment(ref runs));
        work.Finish();
        Assert.AreEqual(Parts, runs);
    }

    [TestMethod]
    public void WhereNobodyDefersItRunsAtOnce()
    {
        int runs = 0, seen = 0;
        DeferredWork.Run(Parts, _ => Interlocked.Increment(ref runs), () => seen = runs);
        Assert.AreEqual(Parts, seen);
        using (DeferredWork.Begin())
        {
        }
        DeferredWork.Run(Parts, _ => Interlocked.Increment(ref runs), () => seen = runs);
        Assert.AreEqual(2 * Parts, seen);
    }

    [TestMethod]
    public void TheNextKernelDoesNotWaitForIt()
    {
        using var threads = new KernelData.Threads(2);
        if (Environment.ProcessorCount < 2)
            return;
        using var helperIsInside = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        int caller = Environment.CurrentManagedThreadId, ran = 0;
        using var work = DeferredWork.Begin();
        DeferredWork.Run(2, part =>
        {
            if (Environment.CurrentManagedThreadId == caller)
            {
                Assert.IsTrue(helperIsInside.Wait(TimeSpan.FromSeconds(30)), "the helper has its own part");
                return;
            }
            helperIsInside.Set();
            Assert.IsTrue(go.Wait(TimeSpan.FromSeconds(30)), "the caller went on");
        });
        Cores.Run(5, _ => Interlocked.Increment(ref ran));
        Cores.Run(5, _ => Interlocked.Increment(ref ran));
        Assert.AreEqual(10, ran, "the caller did all of them");
        go.Set();
        work.Finish();
    }

    [TestMethod]
    public void SeveralFollowEachOther()
    {
        using var threads = new KernelData.Threads(2);
        var order = new List<string>();
        using var work = DeferredWork.Begin();
        DeferredWork.Run(Parts, _ => { }, () => order.Add("first"));
        DeferredWork.Run(Parts, _ => { }, () => order.Add("second"));
        CollectionAssert.AreEqual((string[])["first"], order);
        Cores.Run(Parts, _ => { });
        work.Finish();
        CollectionAssert.AreEqual((string[])["first", "second"], order);
    }

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void ItsErrorComesWhenItIsFinished(bool withKernel)
    {
        using var threads = new KernelData.Threads(2);
        var thrown = new InvalidOperationException("part 1");
        int ran = 0;
        bool followed = false;
        using (var work = DeferredWork.Begin())
        {
            DeferredWork.Run(Parts, part => _ = part == 1 ? throw thrown : part, () => followed = true);
            if (withKernel)
                Cores.Run(5, _ => Interlocked.Increment(ref ran));
            Assert.AreSame(thrown, Assert.ThrowsExactly<InvalidOperationException>(work.Finish));
        }
        Assert.AreEqual(withKernel ? 5 : 0, ran);
        Assert.IsFalse(followed);
        Cores.Run(5, _ => Interlocked.Increment(ref ran));
        Assert.AreEqual(withKernel ? 10 : 5, ran);
    }

    [TestMethod]
    public void AKernelsErrorLeavesNothingRunning()
    {
        using var threads = new KernelData.Threads(2);
        for (int i = 0; i < 100; i++)
        {
            int inside = 0;
            bool followed = false;
            Assert.ThrowsExactly<InvalidOperationException>(() =>
            {
                using var work = DeferredWork.Begin();
                DeferredWork.Run(2, _ =>
                {
                    Interlocked.Increment(ref inside);
                    Thread.SpinWait(1000);
                    Interlocked.Decrement(ref inside);
                }, () => followed = true);
                Cores.Run(2, _ => throw new InvalidOperationException());
            });
            Assert.AreEqual(0, Volatile.Read(ref inside));
            Assert.IsFalse(followed);
        }
    }
}
