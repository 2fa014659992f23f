using Graft.Bench.Report;

namespace Graft.Bench.Works;

/// <summary>The machine's limits as rows; every result file carries them besides.</summary>
internal sealed class MachineWork : IWork
{
    /// <inheritdoc/>
    public string Name => "machine";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        MachineLimits limits = options.Limits;
        BenchRow Row(string what, string unit, double value) => new($"machine: {what}", unit, value) { Rounds = 5, Note = "best of 5" };
        yield return Row("F32 multiply-add, one core", "GFLOP/s", limits.PeakOneCore);
        yield return Row("F32 multiply-add, all cores", "GFLOP/s", limits.PeakAllCores);
        yield return Row("read, one core", "GB/s", limits.ReadOneCore);
        yield return Row("read, all cores", "GB/s", limits.ReadAllCores);
        yield return Row("copy (read + written), one core", "GB/s", limits.CopyOneCore);
        yield return Row("copy (read + written), all cores", "GB/s", limits.CopyAllCores);
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick) => _ = Machine.Measure(quick);
}
