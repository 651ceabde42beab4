namespace Microsoft.ML.Diffusion.Tests;

/// <summary>How a batch is cut for the fast convolution.</summary>
[TestClass]
public sealed class ConvolutionTilesTests
{
    [TestMethod]
    public void EveryRowOfTilesIsInOneBandAndABlocksBandsFollowOneAnother()
    {
        foreach (int images in (int[])[1, 2, 5, 64])
        {
            foreach (int height in (int[])[1, 4, 7, 36, 56, 130])
            {
                foreach (int width in (int[])[1, 8, 40, 300])
                {
                    foreach (int tiles in (int[])[8, 16, 64, 74, 260])
                    {
                        for (int cores = 1; cores <= 16; cores *= 4)
                            Check(new(images, height, width, 8, 8), tiles, cores);
                    }
                }
            }
        }
    }

    private static void Check(ConvolutionSize size, int tiles, int cores)
    {
        var cut = new ConvolutionTiles(size, tiles, cores);
        string what = $"{size}, {tiles} tiles, {cores} cores";
        Assert.AreEqual((size.Width + 3) / 4, cut.Across, what);
        Assert.AreEqual((size.Height + 3) / 4, cut.Down, what);
        var seen = new int[size.Images * cut.Down];
        for (int block = 0; block < cut.Blocks; block++)
        {
            int count = 0;
            for (int i = 0; i < cut.Bands(block); i++)
            {
                TileBand band = cut.Band(block, i);
                Assert.AreEqual(count, band.FirstTile, what);
                Assert.IsTrue(band.Rows >= 1 && band.Rows <= cut.BandRows && band.FirstRow + band.Rows <= cut.Down, what);
                for (int row = band.FirstRow; row < band.FirstRow + band.Rows; row++)
                    seen[band.Image * cut.Down + row]++;
                count += band.Rows * cut.Across;
            }
            Assert.IsTrue(count >= 1 && count <= cut.TilesPerBlock, what);
        }
        Assert.IsTrue(seen.All(times => times == 1), what);
    }
}
