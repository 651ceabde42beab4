// What someone does who was handed a model file: ML.NET's own calls and nothing else. Not one name of Microsoft.ML.Diffusion
// stands here, so that nothing can have loaded or registered it before ML.NET does.
using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Data;

var context = new MLContext();
var model = context.Model.Load(args[0], out var schema);
foreach (var part in (IEnumerable<ITransformer>)model)
    Console.WriteLine($"type {part.GetType().FullName}");

var requests = context.Data.LoadFromEnumerable(args[2].Split(',').Select((label, i) => new Request { Label = label, Seed = 100 + i }).ToList());
foreach (var image in model.Transform(requests).GetColumn<VBuffer<float>>("Image"))
    Console.WriteLine($"image {string.Join(' ', image.DenseValues().Select(v => v.ToString("R", CultureInfo.InvariantCulture)))}");

context.Model.Save(model, schema, args[1]);

internal sealed class Request
{
    public string Label { get; set; } = "";

    public long Seed { get; set; }
}
