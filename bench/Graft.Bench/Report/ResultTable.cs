using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>Results as lines of text and as Markdown.</summary>
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
    /// <param name="file">A result file.</param>
    /// <param name="picture">File name of its picture; null where there is none.</param>
    public static string Markdown(JsonObject file, string? picture)
    {
        StringBuilder text = new();
        JsonObject machine = file["machine"]!.AsObject();
        _ = text.AppendLine(CultureInfo.InvariantCulture, $"# Benchmarks, {file["date"]}, {machine["processor"]}").AppendLine();
        _ = text.Append("Both sides ran in one process, in turn, warmed up; medians. Ratio: how many times better ours is. ")
            .AppendLine("Spread: (longest - shortest) / median, ours / theirs.").AppendLine();
        if (picture is not null)
        {
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"![Ratios and targets]({picture})").AppendLine();
        }

        _ = text.AppendLine("| Machine | |").AppendLine("|---|---|");
        foreach ((string key, JsonNode? value) in machine)
        {
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"| {key} | {(value is JsonValue v && v.TryGetValue(out double d) ? Number(d) : value)} |");
        }

        _ = text.AppendLine().AppendLine("| Work | Peer | Ours | Theirs | Unit | Ratio | Target | Met | Spread | Rounds | Notes |");
        _ = text.AppendLine("|---|---|---:|---:|---|---:|---:|---|---|---:|---|");
        foreach (JsonNode? node in file["rows"]!.AsArray())
        {
            JsonObject row = node!.AsObject();
            string met = row["met"] is { } m ? (bool)m ? "yes" : "no" : "";
            string spread = Spread((double)row["oursSpread"]!, row["theirs"] is null ? null : (double)row["theirsSpread"]!);
            string[] cells =
            [
                $"{row["work"]}", $"{row["peer"]}", Cell(row["ours"]), Cell(row["theirs"]), $"{row["unit"]}", Cell(row["ratio"]), Cell(row["target"]), met, spread,
                $"{row["rounds"]}", $"{((bool?)row["agrees"] == false ? "CHECK FAILED; " : "")}{row["note"]}",
            ];
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"| {string.Join(" | ", cells)} |");
        }

        if (Roofline.Table(file) is { Length: > 0 } roofline)
        {
            _ = text.AppendLine().AppendLine("## Roofline").AppendLine();
            _ = text.AppendLine("What a run moves and computes at least, against the machine's copy bandwidth and multiply-add peak, all cores.").AppendLine();
            _ = text.Append(roofline);
        }

        if ((string?)file["comparedWith"] is { } earlier)
        {
            JsonArray fell = file["fell"]?.AsArray() ?? [];
            _ = text.AppendLine().AppendLine(CultureInfo.InvariantCulture, $"## Against {earlier}").AppendLine();
            _ = text.AppendLine(fell.Count == 0 ? "Nothing fell by more than 10 %." : "Fell by more than 10 %:\n");
            foreach (JsonNode? line in fell)
            {
                _ = text.AppendLine(CultureInfo.InvariantCulture, $"- {line}");
            }
        }

        return text.ToString();
    }

    /// <summary>The rows of a file that have a target and a ratio to hold against it.</summary>
    public static IEnumerable<JsonObject> Targeted(JsonObject file)
    {
        return file["rows"]!.AsArray().OfType<JsonObject>().Where(r => r["target"] is not null && r["ratio"] is not null);
    }

    /// <summary>`work: part` in two.</summary>
    public static (string Work, string Part) Split(string name)
    {
        int colon = name.IndexOf(": ", StringComparison.Ordinal);
        return colon < 0 ? ("", name) : (name[..colon], name[(colon + 2)..]);
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
