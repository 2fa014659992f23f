using System.Globalization;
using Graft.Bench.Report;

namespace Graft.Bench.Works;

/// <summary>A row of work that moves memory: both sides and a copy, in turn, so that the share of the copy bandwidth is one of the same minute.</summary>
internal static class MemoryRow
{
    /// <summary>Measures; <paramref name="copy"/> is null for work that arithmetic limits.</summary>
    public static BenchRow Measure(
        BenchOptions options, CopyBandwidth? copy, string work, (double Bytes, double Flops) amount, string peer, Action ours, Action? theirs, string? disagreement)
    {
        List<Action> sides = [ours];
        sides.AddRange(copy is null ? [] : [copy.Run]);
        sides.AddRange(theirs is null ? [] : [theirs]);
        Times[] times = Pair.InTurn(options, sides);
        double seconds = times[0].Median, reached = amount.Bytes / seconds / 1e9;
        double bandwidth = copy is null ? 0 : copy.Bytes / times[1].Median / 1e9;
        Times? other = theirs is null ? null : times[^1];
        string rate = copy is null ? Text($"{amount.Flops / seconds / 1e9:F0} GFLOP/s") : Text($"{reached:F1} GB/s, {reached / bandwidth:P0} of copy ({bandwidth:F1})");
        return new BenchRow(work, "ms", seconds * 1e3)
        {
            Peer = other is null ? null : peer,
            Theirs = other?.Median * 1e3,
            OursSpread = times[0].Spread,
            TheirsSpread = other?.Spread ?? 0,
            Rounds = times[0].Count,
            Target = 1,
            Bytes = amount.Bytes,
            Flops = amount.Flops,
            Failed = disagreement is not null,
            Note = Text($"{amount.Bytes / 1e6:F1} MB, {amount.Flops / 1e6:F1} MFLOP, {rate}{disagreement}"),
        };
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
