using System.Collections.Concurrent;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Diffusion;

namespace GarmentServer;

/// <summary>
/// Prediction engines over one model. An engine serves one request at a time; the weights are shared by all of them, so that one more costs next to nothing.
/// </summary>
internal sealed class GarmentPool : IDisposable
{
    private readonly MLContext _mlContext = new();
    private readonly ConcurrentBag<Engine> _idle = [];
    private readonly ITransformer _loaded;
    private readonly DdpmTransformer _model;

    private GarmentPool(string modelFile)
    {
        _loaded = _mlContext.Model.Load(modelFile, out DataViewSchema schema);
        _model = _loaded as DdpmTransformer ?? (_loaded as IEnumerable<ITransformer>)?.OfType<DdpmTransformer>().FirstOrDefault()
            ?? throw new InvalidOperationException($"'{modelFile}' holds no diffusion model.");
        if (_model.LabelColumnName is not { } labelColumn)
        {
            throw new InvalidOperationException($"The model '{modelFile}' was trained without classes; this server asks for garments by name.");
        }

        VBuffer<ReadOnlyMemory<char>> names = default;
        schema[labelColumn].GetKeyValues(ref names);
        Classes = [.. names.DenseValues().Select(name => Plain(name.ToString()))];
    }

    /// <summary>The names of the classes, as they stand in an address: t-shirt-top, ankle-boot.</summary>
    public IReadOnlyList<string> Classes { get; }

    public static GarmentPool Load(string modelFile) => new(modelFile);

    /// <summary>The class of a name, whatever its case and punctuation, or of a number.</summary>
    public int? Find(string label)
    {
        string plain = Plain(Uri.UnescapeDataString(label));
        int index = Enumerable.Range(0, Classes.Count).FirstOrDefault(i => Classes[i] == plain || i.ToString() == plain, -1);
        return index < 0 ? null : index;
    }

    /// <summary>Draws a picture as PNG; the same class and seed give the same bytes.</summary>
    /// <exception cref="OperationCanceledException">Cancelled; the work stops within a step of the sampler.</exception>
    public byte[] Draw(int garment, long seed, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        Engine engine = _idle.TryTake(out Engine? idle) ? idle : new Engine(_mlContext, _model, Classes.Count);
        bool reusable = false;
        try
        {
            byte[] png = engine.Draw(new Request { Label = (uint)garment, Seed = seed }, cancellation);
            reusable = engine.TryReset();
            return png;
        }
        finally
        {
            if (reusable)
            {
                _idle.Add(engine);
            }
            else
            {
                engine.Dispose();
            }
        }
    }

    public void Dispose()
    {
        while (_idle.TryTake(out Engine? engine))
        {
            engine.Dispose();
        }

        (_loaded as IDisposable)?.Dispose();
    }

    private static string Plain(string name) => string.Join('-', new string([.. name.ToLowerInvariant().Select(c => char.IsLetterOrDigit(c) ? c : ' ')]).Split(' ', StringSplitOptions.RemoveEmptyEntries));

    /// <summary>A prediction engine with a stop button of its own.</summary>
    private sealed class Engine : IDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly IDisposable _engine;
        private readonly Func<Request, byte[]> _draw;

        public Engine(MLContext mlContext, DdpmTransformer model, int classes)
        {
            var input = SchemaDefinition.Create(typeof(Request));
            input["Label"].ColumnType = new KeyDataViewType(typeof(uint), classes);
            input["Label"].ColumnName = model.LabelColumnName;
            DdpmTransformer stoppable = model.WithCancellation(_stop.Token);
            DataViewSchema requests = mlContext.Data.LoadFromEnumerable(Array.Empty<Request>(), input).Schema;
            DataViewType type = model.GetOutputSchema(requests)[model.OutputColumnName].Type;
            // Bytes of one channel where the model learned from Fashion-MNIST, pictures where it learned from a folder of files.
            if (type is VectorDataViewType)
            {
                var engine = mlContext.Model.CreatePredictionEngine<Request, Grey>(stoppable, Options(typeof(Grey)));
                (_engine, _draw) = (engine, request => Png.EncodeGrey(engine.Predict(request).Image, model.Shape.Width, model.Shape.Height));
            }
            else
            {
                var engine = mlContext.Model.CreatePredictionEngine<Request, Picture>(stoppable, Options(typeof(Picture)));
                (_engine, _draw) = (engine, request => Png.Encode(engine.Predict(request).Image));
            }

            PredictionEngineOptions Options(Type prediction)
            {
                var output = SchemaDefinition.Create(prediction);
                (output["Image"].ColumnType, output["Image"].ColumnName) = (type, model.OutputColumnName);
                return new() { InputSchemaDefinition = input, OutputSchemaDefinition = output, OwnsTransformer = true };
            }
        }

        public byte[] Draw(Request request, CancellationToken cancellation)
        {
            using var stopping = cancellation.Register(_stop.Cancel);
            return _draw(request);
        }

        /// <summary>Whether the next request can have this engine: not when its stop button was pressed.</summary>
        public bool TryReset() => _stop.TryReset();

        public void Dispose()
        {
            _engine.Dispose();
            _stop.Dispose();
        }
    }
}
