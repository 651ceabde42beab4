using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class TrainingRowsTests
{
    private const int Rows = 50;

    private sealed class Picture
    {
        [VectorType(1, 2, 2)]
        public float[] Image { get; set; } = [];

        [KeyType(3)]
        public uint Label { get; set; }
    }

    [TestMethod]
    public void EveryRowOnceAnEpochInAnotherOrder()
    {
        using var rows = new TrainingRows(Options(Pictures(), seed: 1));
        var first = Epoch(rows);
        var second = Epoch(rows);
        CollectionAssert.AreEquivalent(Enumerable.Range(0, Rows).ToArray(), first);
        CollectionAssert.AreEquivalent(Enumerable.Range(0, Rows).ToArray(), second);
        CollectionAssert.AreNotEqual(first, second);
        Assert.AreEqual(2, rows.Epoch);
        Assert.AreEqual(Rows, rows.RowsPerEpoch);
    }

    [TestMethod]
    public void TheSeedDecidesTheOrder()
    {
        using var one = new TrainingRows(Options(Pictures(), seed: 7));
        using var same = new TrainingRows(Options(Pictures(), seed: 7));
        using var other = new TrainingRows(Options(Pictures(), seed: 8));
        var order = Epoch(one);
        CollectionAssert.AreEqual(order, Epoch(same));
        CollectionAssert.AreNotEqual(order, Epoch(other));
    }

    [TestMethod]
    public void AViewThatCannotShuffleIsShuffledByThePool()
    {
        var once = new MLContext(1).Data.LoadFromEnumerable(Pictures());
        Assert.IsFalse(once.CanShuffle);
        using var rows = new TrainingRows(Options(once, seed: 1));
        var order = Epoch(rows);
        CollectionAssert.AreEquivalent(Enumerable.Range(0, Rows).ToArray(), order);
        CollectionAssert.AreNotEqual(Enumerable.Range(0, Rows).ToArray(), order);
    }

    [TestMethod]
    public void MirrorsHalfOfTheImages()
    {
        using var rows = new TrainingRows(Options(Pictures(), seed: 1) with { HorizontalFlip = true });
        var image = new float[4];
        int mirrored = 0;
        for (int i = 0; i < 20 * Rows; i++)
        {
            rows.Next(image);
            // Pixels are (v, 255, 0, 0): the white one is on the right.
            bool flipped = image[0] == 1;
            Assert.AreEqual(1f, flipped ? image[0] : image[1]);
            mirrored += flipped ? 1 : 0;
        }
        Assert.AreEqual(0.5, mirrored / (20.0 * Rows), 0.06);
    }

    [TestMethod]
    public void AnEmptyDataSetIsRefused()
    {
        using var rows = new TrainingRows(Options(new MLContext(1).Data.LoadFromEnumerable(Array.Empty<Picture>()), seed: 1));
        var error = Assert.ThrowsExactly<InvalidOperationException>(() => rows.Next(new float[4]));
        StringAssert.Contains(error.Message, "no rows");
    }

    [TestMethod]
    [DataRow(float.NaN)]
    [DataRow(-0.5f)]
    [DataRow(256f)]
    [DataRow(float.PositiveInfinity)]
    public void AValueOutsideTheRangeIsRefusedByNameAndRow(float value)
    {
        var pictures = Pictures();
        pictures[0].Image[2] = value;
        using var rows = new TrainingRows(Options(new MLContext(1).Data.LoadFromEnumerable(pictures.Take(1)), seed: 1));
        var error = Assert.ThrowsExactly<InvalidOperationException>(() => rows.Next(new float[4]));
        StringAssert.Contains(error.Message, "'Image', row 0");
        StringAssert.Contains(error.Message, "[0, 255]");
        StringAssert.Contains(error.Message, "PixelMinimum");
    }

    [TestMethod]
    public void BatchesComeInTheOrderOfTheRowsAndErrorsReachTheTrainer()
    {
        var options = Options(Pictures(), seed: 3);
        using (var rows = new TrainingRows(options))
        using (var batches = new TrainingBatches(options, 8))
        {
            var image = new float[4];
            for (int b = 0; b < 20; b++)
            {
                var batch = batches.Take(CancellationToken.None);
                for (int i = 0; i < 8; i++)
                {
                    Assert.AreEqual(rows.Next(image), batch.Labels[i]);
                    CollectionAssert.AreEqual(image, batch.Images[(4 * i)..(4 * i + 4)]);
                }
                batches.Return(batch);
            }
        }

        var bad = Pictures();
        bad[10].Image[0] = float.NaN;
        using var broken = new TrainingBatches(Options(new MLContext(1).Data.LoadFromEnumerable(bad), seed: 3), 8);
        Assert.ThrowsExactly<InvalidOperationException>(() =>
        {
            while (true)
                broken.Return(broken.Take(CancellationToken.None));
        });
    }

    [TestMethod]
    public void WaitingForABatchCanBeCancelled()
    {
        using var hold = new ManualResetEventSlim();
        var never = new TrainingBatches(Options(new MLContext(1).Data.LoadFromEnumerable(Blocked()), seed: 1), 4);
        using var cancel = new CancellationTokenSource(50);
        Assert.ThrowsExactly<OperationCanceledException>(() => never.Take(cancel.Token));
        hold.Set();
        never.Dispose();

        IEnumerable<Picture> Blocked()
        {
            hold.Wait();
            foreach (var picture in Pictures())
                yield return picture;
        }
    }

    private static List<Picture> Pictures() =>
        [.. Enumerable.Range(0, Rows).Select(i => new Picture { Image = [i, 255, 0, 0], Label = (uint)(i % 4) })];

    private static TrainingRowsOptions Options(List<Picture> pictures, int seed) => Options(new MLContext(1).Data.LoadFromEnumerable(pictures), seed);

    private static TrainingRowsOptions Options(IDataView data, int seed) => new(
        data, "Image", ImageFormat.FromColumn(data.Schema["Image"], 3, PixelLayout.Auto, 0, 255), "Label", 3, false, seed);

    /// <summary>Reads an epoch; each picture is known by its first pixel, and its label has to have come with it.</summary>
    private static int[] Epoch(TrainingRows rows)
    {
        var image = new float[4];
        var order = new int[Rows];
        for (int i = 0; i < Rows; i++)
        {
            long label = rows.Next(image);
            order[i] = (int)MathF.Round((image[0] + 1) * 127.5f);
            Assert.AreEqual(order[i] % 4, label, "class 3 is beyond the key's count: missing, the null class");
            Assert.AreEqual(1f, image[1]);
            Assert.AreEqual(-1f, image[3]);
        }
        return order;
    }
}
