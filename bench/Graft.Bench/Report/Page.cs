using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>The measured part of docs/performance.md: it stands between two marks and is written by the benchmarks, never by hand.</summary>
internal static class Page
{
    private const string Begin = "<!-- measured: written by dotnet cake --target=Bench, not by hand -->";
    private const string End = "<!-- /measured -->";

    /// <summary>The page with its measured part replaced; null where the marks are missing.</summary>
    public static string? Replaced(string page, string measured)
    {
        int begin = page.IndexOf(Begin, StringComparison.Ordinal), end = page.IndexOf(End, StringComparison.Ordinal);
        return begin < 0 || end < begin ? null : $"{page[..(begin + Begin.Length)]}\n\n{measured.Trim()}\n\n{page[end..]}";
    }

    /// <summary>Machine, picture and the table of all rows with a target.</summary>
    /// <param name="file">A result file.</param>
    /// <param name="name">Its name without an ending.</param>
    public static string Measured(JsonObject file, string name)
    {
        JsonObject machine = file["machine"]!.AsObject();
        double Limit(string key) => (double?)machine[key] ?? 0;
        StringBuilder text = new();
        _ = text.Append(CultureInfo.InvariantCulture, $"Measured on {file["date"]}: {machine["processor"]}, {machine["processors"]} processors, ");
        _ = text.Append(CultureInfo.InvariantCulture, $"{machine["vectorBits"]}-bit vectors, {machine["memoryGiB"]} GiB, {machine["system"]}, {machine["runtime"]}. ");
        _ = text.Append(CultureInfo.InvariantCulture, $"Its limits in the same run: {Limit("peakGflopsAllCores"):F0} GFLOP/s of F32 multiply-adds, ");
        _ = text.AppendLine(CultureInfo.InvariantCulture, $"{Limit("readGBsAllCores"):F0} GB/s read, {Limit("copyGBsAllCores"):F0} GB/s copied (read + written).");
        _ = text.AppendLine().AppendLine(CultureInfo.InvariantCulture, $"![How many times better than the peer, with the targets](../bench/results/{name}.svg)").AppendLine();
        _ = text.AppendLine("| Work | Peer | Ours | Theirs | Unit | Ratio | Target | Met |").AppendLine("|---|---|---:|---:|---|---:|---:|---|");
        foreach (JsonObject row in ResultTable.Targeted(file))
        {
            string met = (bool?)row["met"] == true ? "yes" : "**no**";
            _ = text.Append(CultureInfo.InvariantCulture, $"| {row["work"]} | {row["peer"]} | {ResultTable.Number((double)row["ours"]!)} | ");
            _ = text.Append(CultureInfo.InvariantCulture, $"{ResultTable.Number((double)row["theirs"]!)} | {row["unit"]} | {ResultTable.Number((double)row["ratio"]!)} | ");
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"{ResultTable.Number((double)row["target"]!)} | {met} |");
        }

        _ = text.AppendLine().Append("Ratio: how many times better ours is, whatever the unit. ");
        _ = text.AppendLine(CultureInfo.InvariantCulture, $"All rows, spreads, notes and the roofline: [{name}.md](../bench/results/{name}.md).");
        return text.ToString();
    }
}
