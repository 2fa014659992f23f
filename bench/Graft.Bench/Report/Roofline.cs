using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>A row against what the machine allows: the longer of its bytes at the measured copy bandwidth and its operations at the measured multiply-add peak.</summary>
/// <param name="Bytes">Read and written by one run, at least.</param>
/// <param name="Flops">Of one run.</param>
/// <param name="Seconds">Of one run.</param>
/// <param name="Bound">`copy` or `multiply-add`: the limit that comes first.</param>
/// <param name="Share">The time that this limit asks for / the time taken. Above 1 where the data stays in a cache, or is mostly read.</param>
internal sealed record Roofline(double Bytes, double Flops, double Seconds, string Bound, double Share)
{
    /// <summary>That of a row; null where it does not say what it moves and computes.</summary>
    public static Roofline? Of(BenchRow row, MachineLimits limits)
    {
        if (row is { Bytes: null, Flops: null } || row.Seconds is not { } seconds || !double.IsFinite(seconds) || seconds <= 0)
        {
            return null;
        }

        double bytes = row.Bytes ?? 0, flops = row.Flops ?? 0;
        double copy = bytes / (limits.CopyAllCores * 1e9), arithmetic = flops / (limits.PeakAllCores * 1e9);
        return new Roofline(bytes, flops, seconds, copy >= arithmetic ? "copy" : "multiply-add", Math.Max(copy, arithmetic) / seconds);
    }

    /// <summary>As it stands in a result file.</summary>
    public JsonObject ToJson() => new()
    {
        ["bytes"] = BenchRow.Rounded(Bytes),
        ["flops"] = BenchRow.Rounded(Flops),
        ["gbs"] = BenchRow.Rounded(Bytes / Seconds / 1e9),
        ["gflops"] = BenchRow.Rounded(Flops / Seconds / 1e9),
        ["bound"] = Bound,
        ["share"] = BenchRow.Rounded(Share),
    };

    /// <summary>The table of all rows of a result file that have one; empty where none has.</summary>
    public static string Table(JsonObject file)
    {
        StringBuilder text = new();
        foreach (JsonNode? row in file["rows"]!.AsArray())
        {
            if (row?["roofline"] is not JsonObject line)
            {
                continue;
            }

            double bytes = (double)line["bytes"]!, flops = (double)line["flops"]!;
            string intensity = bytes == 0 ? "" : ResultTable.Number(flops / bytes);
            _ = text.Append(CultureInfo.InvariantCulture, $"| {row["work"]} | {Told(bytes / 1e6)} | {Told(flops / 1e6)} | {intensity} | ");
            _ = text.Append(CultureInfo.InvariantCulture, $"{Told((double)line["gbs"]!)} | {Told((double)line["gflops"]!)} | ");
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"{line["bound"]} | {(double)line["share"]!:P0} |");
        }

        const string Head = """
            | Work | MB | MFLOP | FLOP / byte | GB/s | GFLOP/s | Bound by | Share of it |
            |---|---:|---:|---:|---:|---:|---|---:|

            """;
        return text.Length == 0 ? "" : Head + text;
    }

    // Nothing where the row does not tell it.
    private static string Told(double value) => value == 0 ? "" : ResultTable.Number(value);
}
