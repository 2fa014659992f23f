using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>Results as lines of text and as a Markdown table.</summary>
internal static class ResultTable
{
    /// <summary>A row for the console.</summary>
    public static string Line(BenchRow row)
    {
        string theirs = row.Theirs is { } t ? string.Create(CultureInfo.InvariantCulture, $", {row.Peer} {Number(t)}, ratio {row.Ratio:F2}") : "";
        string spread = Spread(row.OursSpread, row.Theirs is null ? null : row.TheirsSpread);
        return $"{(row.Failed ? "CHECK FAILED " : "")}{row.Work}: {Number(row.Ours)} {row.Unit}{theirs}, spread {spread}, rounds {row.Rounds}. {row.Note}";
    }

    /// <summary>The whole file, from its JSON.</summary>
    public static string Markdown(JsonObject file)
    {
        StringBuilder text = new();
        JsonObject machine = file["machine"]!.AsObject();
        _ = text.AppendLine(CultureInfo.InvariantCulture, $"# Benchmarks, {file["date"]}, {machine["processor"]}").AppendLine();
        _ = text.Append("Both sides ran in one process, in turn, warmed up; medians. Ratio: how many times better ours is. ")
            .AppendLine("Spread: (longest - shortest) / median, ours / theirs.").AppendLine();
        _ = text.AppendLine("| Machine | |").AppendLine("|---|---|");
        foreach ((string key, JsonNode? value) in machine)
        {
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"| {key} | {(value is JsonValue v && v.TryGetValue(out double d) ? Number(d) : value)} |");
        }

        _ = text.AppendLine().AppendLine("| Work | Ours | Theirs | Unit | Ratio | Target | Met | Spread | Rounds | Notes |");
        _ = text.AppendLine("|---|---:|---:|---|---:|---:|---|---|---:|---|");
        foreach (JsonNode? node in file["rows"]!.AsArray())
        {
            JsonObject row = node!.AsObject();
            string met = row["met"] is { } m ? (bool)m ? "yes" : "no" : "";
            string spread = Spread((double)row["oursSpread"]!, row["theirs"] is null ? null : (double)row["theirsSpread"]!);
            string[] cells =
            [
                $"{row["work"]}", Cell(row["ours"]), Cell(row["theirs"]), $"{row["unit"]}", Cell(row["ratio"]), Cell(row["target"]), met, spread,
                $"{row["rounds"]}", $"{row["note"]}",
            ];
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"| {string.Join(" | ", cells)} |");
        }

        return text.ToString();
    }

    /// <summary>Three or four digits.</summary>
    public static string Number(double value)
    {
        return value.ToString(Math.Abs(value) switch { >= 100 => "F0", >= 10 => "F1", _ => "F2" }, CultureInfo.InvariantCulture);
    }

    private static string Spread(double ours, double? theirs)
    {
        return string.Create(CultureInfo.InvariantCulture, $"{ours:P0}{(theirs is null ? "" : $" / {theirs:P0}")}");
    }

    private static string Cell(JsonNode? value) => value is null ? "" : Number((double)value);
}
