using BenchmarkDotNet.Attributes;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Reading without training: batches out of Fashion-MNIST's gzipped file, padded, shuffled and scaled. Training must never wait for it.</summary>
public class LoaderBenchmarks
{
    private const int Batch = 16, Batches = 200;

    private TrainingBatches _batches = null!;

    /// <summary>Opens the file and fills the pool that shuffles.</summary>
    [GlobalSetup]
    public void Open()
    {
        var context = new MLContext(seed: 1);
        IDataView images = FashionMnist.Load(context, FashionMnist.DebianFolder, training: true, 32);
        var options = new DdpmTrainer.Options { LabelColumnName = "Label", BatchSize = Batch };
        _batches = new TrainingBatches(TrainingPlan.Create(options, images.Schema, seed: 1).Rows(images), Batch);
        ReadImages();
    }

    /// <summary>Closes it.</summary>
    [GlobalCleanup]
    public void Close() => _batches.Dispose();

    /// <summary>Takes batches as fast as they come; the time is that of one image.</summary>
    [Benchmark(OperationsPerInvoke = Batch * Batches)]
    public void ReadImages()
    {
        for (int i = 0; i < Batches; i++)
            _batches.Return(_batches.Take(CancellationToken.None));
    }
}
