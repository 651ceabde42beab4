using System.Diagnostics;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The closing line of a CI run is computed from the runner's own result files.</summary>
[TestClass]
[OSCondition(OperatingSystems.Linux)]
public class CountTestsTests
{
    private readonly IdxFixture _files = new();

    [TestCleanup]
    public void Remove() => _files.Dispose();

    [TestMethod]
    public void AddsUpEveryResultFile()
    {
        Results("a.trx", total: 12, passed: 10, failed: 0);
        Results("b.trx", total: 3, passed: 3, failed: 0);
        Assert.AreEqual((0, "13 passed, 0 failed, 2 skipped"), Count());
    }

    [TestMethod]
    public void FailsWhereATestFailedOrNoneRan()
    {
        Assert.AreEqual((1, "0 passed, 0 failed, 0 skipped"), Count());
        Results("a.trx", total: 2, passed: 1, failed: 1);
        Assert.AreEqual((1, "1 passed, 1 failed, 0 skipped"), Count());
    }

    private void Results(string name, int total, int passed, int failed) => File.WriteAllText(Path.Combine(_files.Folder, name),
        $"""
        <?xml version="1.0" encoding="utf-8"?>
        <TestRun><ResultSummary outcome="Completed">
            <Counters total="{total}" executed="{passed + failed}" passed="{passed}" failed="{failed}" error="0" timeout="0" aborted="0" inconclusive="0" passedButRunAborted="0" notRunnable="0" notExecuted="0" />
        </ResultSummary></TestRun>
        """);

    private (int ExitCode, string LastLine) Count()
    {
        var start = new ProcessStartInfo("bash", [Repository.File("eng/count-tests.sh"), _files.Folder]) { RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd().Trim();
        process.WaitForExit();
        return (process.ExitCode, output);
    }
}
