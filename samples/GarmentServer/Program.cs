using System.Globalization;
using GarmentServer;
using Microsoft.AspNetCore.RateLimiting;

// Serves pictures from a model that the Garments sample trained:
//     dotnet run --project samples/GarmentServer -- --model artifacts/sample/model.zip --workers 2 --urls http://localhost:5080

var builder = WebApplication.CreateBuilder(args);
string modelFile = builder.Configuration["model"] ?? "artifacts/sample/model.zip";
int workers = builder.Configuration.GetValue("workers", 1);
if (!File.Exists(modelFile))
{
    Console.Error.WriteLine($"There is no model '{modelFile}': train one with ./build.sh sample, or name it with --model.");
    return 1;
}

using GarmentPool pool = GarmentPool.Load(modelFile);
builder.Services.AddProblemDetails();
// A picture keeps the cores busy: a few at a time, some more in the queue, and an honest 'too busy' for the rest.
builder.Services.AddRateLimiter(limiter =>
{
    limiter.RejectionStatusCode = StatusCodes.Status503ServiceUnavailable;
    limiter.AddConcurrencyLimiter("garments", limit => (limit.PermitLimit, limit.QueueLimit) = (workers, builder.Configuration.GetValue("queue", 32)));
});

WebApplication app = builder.Build();
app.UseStatusCodePages();
app.UseRateLimiter();
app.MapGet("/", () => Results.Content(IndexPage.Render(pool.Classes), "text/html; charset=utf-8"));
app.MapGet("/garment/{label}", Garment).RequireRateLimiting("garments");
await app.RunAsync();
return 0;

IResult Garment(string label, string? seed, HttpContext http)
{
    if (pool.Find(label) is not { } garment)
    {
        return Results.Problem($"There is no garment '{label}'. There are: {string.Join(", ", pool.Classes)}.", statusCode: StatusCodes.Status404NotFound);
    }

    long chosen = Random.Shared.NextInt64();
    if (seed is not null && !long.TryParse(seed, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out chosen))
    {
        return Results.Problem($"The seed '{seed}' is not a whole number of 64 bits.", statusCode: StatusCodes.Status400BadRequest);
    }

    app.Logger.LogInformation("Drawing {Label} with seed {Seed}.", label, chosen);
    try
    {
        byte[] png = pool.Draw(garment, chosen, http.RequestAborted);
        // The same label and seed are the same picture for ever; without a seed each request is a new one.
        http.Response.Headers.CacheControl = seed is null ? "no-store" : "public, max-age=31536000, immutable";
        http.Response.Headers["Garment-Seed"] = chosen.ToString(CultureInfo.InvariantCulture);
        return Results.Bytes(png, "image/png");
    }
    catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
    {
        app.Logger.LogInformation("Stopped drawing {Label}: the client has gone.", label);
        return Results.StatusCode(StatusCodes.Status499ClientClosedRequest);
    }
}
