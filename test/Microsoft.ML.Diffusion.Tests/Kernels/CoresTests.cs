namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Who may use the processor's cores, and that no part of a kernel is lost.</summary>
[TestClass]
[DoNotParallelize]
public sealed class CoresTests
{
    [TestMethod]
    public void AReservationHoldsLibtorchToOneThreadAndGivesTheOthersBack()
    {
        using var threads = new KernelData.Threads(3);
        Assert.AreEqual(3, Cores.Count);
        Assert.IsFalse(Cores.AreReserved);
        using (Cores.Reserve())
        {
            Assert.IsTrue(Cores.AreReserved);
            Assert.AreEqual(1, get_num_threads());
            Assert.AreEqual(3, Cores.Count);
        }
        Assert.IsFalse(Cores.AreReserved);
        Assert.AreEqual(3, get_num_threads());
        Assert.AreEqual(3, Cores.Count);
    }

    [TestMethod]
    public void AReservationInsideAnotherEndsWithTheOuterOne()
    {
        using var threads = new KernelData.Threads(2);
        using (Cores.Reserve())
        {
            using (Cores.Reserve())
                Assert.AreEqual(2, Cores.Count);
            Assert.IsTrue(Cores.AreReserved);
            Assert.AreEqual(1, get_num_threads());
            Assert.AreEqual(2, Cores.Count);
        }
        Assert.AreEqual(2, get_num_threads());
    }

    [TestMethod]
    public void AnErrorEndsAReservationToo()
    {
        using var threads = new KernelData.Threads(2);
        Assert.ThrowsExactly<InvalidOperationException>(() =>
        {
            using var reserved = Cores.Reserve();
            throw new InvalidOperationException();
        });
        Assert.IsFalse(Cores.AreReserved);
        Assert.AreEqual(2, get_num_threads());
    }

    [TestMethod]
    public void AReservationIsItsThreadsOwn()
    {
        bool elsewhere = true;
        using (Cores.Reserve())
        {
            var other = new Thread(() => elsewhere = Cores.AreReserved);
            other.Start();
            other.Join();
        }
        Assert.IsFalse(elsewhere);
    }

    [TestMethod]
    [DataRow(1, false)]
    [DataRow(2, false)]
    [DataRow(3, false)]
    [DataRow(1, true)]
    [DataRow(2, true)]
    [DataRow(3, true)]
    public void EveryPartRunsOnce(int cores, bool reserved)
    {
        using var threads = new KernelData.Threads(cores);
        using Cores.Reservation reservation = reserved ? Cores.Reserve() : default;
        foreach (int parts in (int[])[0, 1, 2, 3, 7, 100, 1000])
        {
            var runs = new int[parts];
            Cores.Run(parts, part => Interlocked.Increment(ref runs[part]));
            Assert.IsTrue(runs.All(count => count == 1), $"{parts} parts on {cores} cores");
        }
    }

    [TestMethod]
    public void EachCoreBeginsWithThePartsThatItHadInTheLastKernel()
    {
        using var threads = new KernelData.Threads(2);
        if (Environment.ProcessorCount < 2)
            return;
        int? helper = null;
        for (int kernel = 0; kernel < 50; kernel++)
        {
            var ran = new int[8];
            // Each waits for the other, so that no core can have run both.
            using var both = new Barrier(2);
            Cores.Run(ran.Length, part =>
            {
                ran[part] = Environment.CurrentManagedThreadId;
                if (part is 0 or 4)
                    Assert.IsTrue(both.SignalAndWait(TimeSpan.FromSeconds(30)), $"kernel {kernel}, part {part} waits alone");
            });
            Assert.AreEqual(Environment.CurrentManagedThreadId, ran[0], "the caller's first part");
            helper ??= ran[4];
            Assert.AreEqual(helper, ran[4], "the helper's first part");
        }
        Assert.AreNotEqual(Environment.CurrentManagedThreadId, helper);
    }

    [TestMethod]
    public void ManyKernelsOneAfterAnotherLoseNoPart()
    {
        using var threads = new KernelData.Threads(2);
        long sum = 0;
        for (int kernel = 0; kernel < 2000; kernel++)
            Cores.Run(1 + kernel % 5, part => Interlocked.Add(ref sum, part + 1));
        Assert.AreEqual(400 * (1 + 3 + 6 + 10 + 15), sum);
    }

    [TestMethod]
    public void KernelsOfSeveralThreadsDoNotMix()
    {
        var sums = new long[4];
        Thread[] threads = [.. sums.Select((_, i) => new Thread(() =>
        {
            using var two = new KernelData.Threads(2);
            using var reserved = Cores.Reserve();
            for (int kernel = 0; kernel < 200; kernel++)
                Cores.Run(5, part => Interlocked.Add(ref sums[i], part + i));
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        CollectionAssert.AreEqual(sums.Select((_, i) => 200L * (10 + 5 * i)).ToArray(), sums);
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    public void APartsExceptionIsPassedOnAndTheNextKernelRuns(int cores)
    {
        using var threads = new KernelData.Threads(cores);
        var thrown = new InvalidOperationException("part 3");
        for (int i = 0; i < 20; i++)
        {
            Exception caught = Assert.Throws<Exception>(() => Cores.Run(8, part =>
            {
                if (part == 3)
                    throw thrown;
            }));
            Assert.AreSame(thrown, caught is AggregateException several ? several.InnerExceptions.Single() : caught);
        }
        int runs = 0;
        Cores.Run(8, _ => Interlocked.Increment(ref runs));
        Assert.AreEqual(8, runs);
    }

    [TestMethod]
    public unsafe void WorkingMemoryIsAThreadsOwnAndAligned()
    {
        nint own = (nint)KernelMemory.Own(1000), shared = (nint)KernelMemory.Shared(1000), elsewhere = 0;
        var other = new Thread(() => elsewhere = (nint)KernelMemory.Own(1000));
        other.Start();
        other.Join();
        Assert.AreEqual(0, own % 64);
        Assert.AreEqual(0, shared % 64);
        Assert.AreEqual(0, elsewhere % 64);
        Assert.AreNotEqual(own, shared);
        Assert.AreEqual(own, (nint)KernelMemory.Own(10), "what is large enough stays");
        float* larger = KernelMemory.Own(5_000_000);
        (larger[0], larger[4_999_999]) = (1, 2);
        Assert.AreEqual(0, (nint)larger % 64);
    }
}
