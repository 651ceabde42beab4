using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The server sample in a process of its own, asked over HTTP.</summary>
[TestClass]
public sealed class GarmentServerTests
{
    private const int Steps = 1000;
    private static readonly TemporaryFolder s_folder = new();
    private static Server s_quick = null!;

    [ClassInitialize]
    public static void Start(TestContext _) => s_quick = new Server(Train("quick.zip", DiffusionSampler.Ddim(2)), "--workers", "2");

    [ClassCleanup]
    public static void Stop()
    {
        s_quick.Dispose();
        s_folder.Dispose();
    }

    [TestMethod]
    public async Task TheSameSeedGivesTheSameBytesHoweverManyAsk()
    {
        string[] addresses = [.. Enumerable.Range(0, 12).Select(i => $"/garment/{(i % 2 == 0 ? "ankle-boot" : "t-shirt-top")}?seed={i % 4}")];
        var together = await Task.WhenAll(addresses.Select(a => s_quick.Client.GetByteArrayAsync(a)));
        for (int i = 0; i < addresses.Length; i++)
            CollectionAssert.AreEqual(together[i % 4], together[i]);
        Assert.AreEqual(4, together.Select(Convert.ToHexString).Distinct().Count());
        using var image = MLImage.CreateFromStream(new MemoryStream(together[0]));
        Assert.AreEqual((TinyData.Side, TinyData.Side), (image.Width, image.Height));
    }

    [TestMethod]
    public async Task AnAnswerSaysWhatItIs()
    {
        using var seeded = await s_quick.Client.GetAsync("/garment/Ankle%20Boot?seed=-7");
        Assert.AreEqual("image/png", seeded.Content.Headers.ContentType!.MediaType);
        Assert.IsTrue(seeded.Headers.CacheControl!.Public);
        using var free = await s_quick.Client.GetAsync("/garment/1");
        Assert.IsTrue(free.Headers.CacheControl!.NoStore);
        string seed = free.Headers.GetValues("Garment-Seed").Single();
        CollectionAssert.AreEqual(await free.Content.ReadAsByteArrayAsync(), await s_quick.Client.GetByteArrayAsync($"/garment/ankle-boot?seed={seed}"));

        string page = await s_quick.Client.GetStringAsync("/");
        StringAssert.Contains(page, "/garment/ankle-boot?seed=1");
        StringAssert.Contains(page, "/garment/t-shirt-top?seed=1");
    }

    [TestMethod]
    [DataRow("/garment/hat", HttpStatusCode.NotFound, "t-shirt-top, ankle-boot")]
    [DataRow("/garment/2", HttpStatusCode.NotFound, "There is no garment '2'")]
    [DataRow("/garment/ankle-boot?seed=blue", HttpStatusCode.BadRequest, "'blue' is not a whole number")]
    [DataRow("/garment/ankle-boot?seed=9999999999999999999", HttpStatusCode.BadRequest, "64 bits")]
    [DataRow("/somewhere", HttpStatusCode.NotFound, "Not Found")]
    public async Task ABadRequestIsAProblemThatSaysWhy(string address, HttpStatusCode status, string says)
    {
        using var answer = await s_quick.Client.GetAsync(address);
        Assert.AreEqual(status, answer.StatusCode);
        Assert.AreEqual("application/problem+json", answer.Content.Headers.ContentType!.MediaType);
        string text = await answer.Content.ReadAsStringAsync();
        using var problem = JsonDocument.Parse(text);
        Assert.AreEqual((int)status, problem.RootElement.GetProperty("status").GetInt32());
        StringAssert.Contains(problem.RootElement.TryGetProperty("detail", out var detail) ? detail.GetString() : problem.RootElement.GetProperty("title").GetString(), says);
    }

    [TestMethod]
    public async Task ACancelledRequestStopsItsWorkAndABusyServerSaysSo()
    {
        // One worker, no queue, and pictures that take far longer than the test has patience.
        using var slow = new Server(Train("slow.zip", DiffusionSampler.Ddpm(Steps)), "--workers", "1", "--queue", "0");
        using var leaving = new CancellationTokenSource();
        var request = slow.Client.GetAsync("/garment/ankle-boot?seed=1", leaving.Token);
        await slow.Says("Drawing ankle-boot");
        using var second = await slow.Client.GetAsync("/garment/hat");
        Assert.AreEqual(HttpStatusCode.ServiceUnavailable, second.StatusCode, "the worker is taken");
        Assert.IsFalse(request.IsCompleted);

        leaving.Cancel();
        await Assert.ThrowsAsync<OperationCanceledException>(() => request);
        await slow.Says("Stopped drawing ankle-boot");
        // The log comes just before the worker is given back.
        var status = HttpStatusCode.ServiceUnavailable;
        for (int i = 0; i < 500 && status == HttpStatusCode.ServiceUnavailable; i++)
        {
            await Task.Delay(10);
            using var free = await slow.Client.GetAsync("/garment/hat");
            status = free.StatusCode;
        }
        Assert.AreEqual(HttpStatusCode.NotFound, status, "the worker is free again");
    }

    [TestMethod]
    public void WithoutAModelItSaysWhatToDo()
    {
        (int exitCode, string said) = CleanProcess.Run(s_folder.Path, "dotnet", [Server.Program, "--model", "nowhere.zip"]);
        Assert.AreEqual(1, exitCode, said);
        StringAssert.Contains(said, "There is no model 'nowhere.zip'");
    }

    private static string Train(string name, DiffusionSampler sampler)
    {
        var context = new MLContext(seed: 1);
        var data = context.Data.LoadFromEnumerable(TinyData.Pictures().Select(p => new Garment { Image = [.. p.Image.Select(v => (byte)v)], Label = p.Label == "top" ? "T-shirt/top" : "Ankle boot" }));
        var keyed = context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);
        var options = TinyData.Options();
        options.Sampler = sampler;
        options.Schedule = NoiseScheduleOptions.Cosine with { Timesteps = Steps };
        using var model = context.Generative.Ddpm(options).Fit(keyed);
        context.Model.Save(model, keyed.Schema, s_folder[name]);
        return s_folder[name];
    }

    private sealed class Garment
    {
        [VectorType(1, TinyData.Side, TinyData.Side)]
        public byte[] Image { get; set; } = [];

        public string Label { get; set; } = "";
    }

    /// <summary>The program on a port that the system chose.</summary>
    private sealed class Server : IDisposable
    {
        private readonly Process _process;
        private readonly List<string> _said = [];

        public Server(string model, params string[] arguments)
        {
            var start = new ProcessStartInfo("dotnet", [Program, "--model", model, "--urls", "http://127.0.0.1:0", .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
            _process = Process.Start(start)!;
            foreach (var stream in new[] { _process.StandardOutput, _process.StandardError })
                _ = Task.Run(async () => { while (await stream.ReadLineAsync() is { } line) { lock (_said) _said.Add(line); } });
            string listening = Says("Now listening on: ").GetAwaiter().GetResult();
            Client = new HttpClient { BaseAddress = new Uri(listening[(listening.IndexOf("http", StringComparison.Ordinal))..].Trim()), Timeout = TimeSpan.FromMinutes(2) };
        }

        public static string Program { get; } =
            Repository.File($"samples/GarmentServer/bin/{new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name}/net10.0/GarmentServer.dll");

        public HttpClient Client { get; }

        /// <summary>Waits for a line of the log.</summary>
        public async Task<string> Says(string what)
        {
            for (var waited = Stopwatch.StartNew(); waited.Elapsed < TimeSpan.FromMinutes(2); await Task.Delay(20))
            {
                lock (_said)
                {
                    if (_said.Find(line => line.Contains(what, StringComparison.Ordinal)) is { } line)
                        return line;
                    if (_process.HasExited)
                        break;
                }
            }
            lock (_said)
                throw new AssertFailedException($"The server never said '{what}'. It said:\n{string.Join('\n', _said)}");
        }

        public void Dispose()
        {
            Client.Dispose();
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }
    }
}
