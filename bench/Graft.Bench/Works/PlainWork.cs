using System.Globalization;
using Graft.Bench.Kernels.Plain;
using Graft.Bench.Report;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>What the rewrites of kernels gained: today's beside the plain versions under Kernels/Plain, on all processors.</summary>
internal sealed class PlainWork : IWork
{
    /// <inheritdoc/>
    public string Name => "plain";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        using CpuDevice device = new();
        foreach (PlainRow row in PlainTable.Rows(options.Quick))
        {
            using PlainPair pair = new(device, row);
            double difference = pair.Difference();
            (Times Ours, Times? Theirs) times = Pair.Measure(options, pair.Today, pair.Plain);
            (double today, double plain) = (pair.PeakBytes.Today / (double)(1 << 20), pair.PeakBytes.Plain / (double)(1 << 20));
            yield return BenchRow.Rate($"plain: {row.Name}", "ms", 1, times, "the plain version") with
            {
                Ours = 1e3 * times.Ours.Median,
                Theirs = 1e3 * times.Theirs?.Median,
                Failed = !(difference <= row.Tolerance),
                Note = string.Create(CultureInfo.InvariantCulture, $"largest difference {difference:G2}; a run takes {today:F1} MiB, the plain one {plain:F1}"),
            };
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // Memory is told by the arenas' peaks.
    }
}
