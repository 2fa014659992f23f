using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Graft.Bench.Gpu;

/// <summary>Merges `ours-*.json` and `peer-*.json` of a folder: a row per work and peer, with the columns of the CPU's results and the limits beside.</summary>
internal static class GpuResults
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    public static void Merge(string folder)
    {
        JsonObject[] ours = Read(folder, "ours-*.json"), peers = Read(folder, "peer-*.json");
        JsonArray rows = [], missing = [];
        foreach (JsonObject file in ours.Concat(peers).Where(f => f["error"] is not null))
        {
            missing.Add($"{(string?)file["source"] ?? "ours"}: {(string)file["error"]!}");
        }

        JsonObject[] theirs = [.. peers.SelectMany(Rows)];
        foreach (JsonObject row in ours.SelectMany(Rows))
        {
            JsonObject[] same = [.. theirs.Where(t => (string?)t["work"] == (string?)row["work"] && (string?)t["unit"] == (string?)row["unit"])];
            if (same.Length == 0 || row["limit"] is not null || row["goal"] is not null)
            {
                rows.Add(Joined(row, null)); // beside the card's limit, or the figure that was set as a goal
            }

            foreach (JsonObject peer in same)
            {
                rows.Add(Joined(row, peer));
            }
        }

        JsonObject result = new()
        {
            ["date"] = TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
            ["kind"] = ours.FirstOrDefault()?["kind"]?.DeepClone(),
            ["card"] = ours.FirstOrDefault()?["card"]?.DeepClone(),
            ["quick"] = ours.FirstOrDefault()?["quick"]?.DeepClone(),
            ["limits"] = File.Exists(Path.Combine(folder, "limits.json")) ? JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "limits.json"))) : null,
            ["missing"] = missing,
            ["rows"] = rows,
        };
        File.WriteAllText(Path.Combine(folder, "results.json"), result.ToJsonString(s_indented) + "\n");
        File.WriteAllText(Path.Combine(folder, "results.md"), Markdown(result));
        Console.WriteLine(Markdown(result));
    }

    private static JsonObject[] Read(string folder, string pattern)
    {
        List<JsonObject> files = [];
        foreach (string path in Directory.EnumerateFiles(folder, pattern).Order(StringComparer.Ordinal))
        {
            try
            {
                files.Add(JsonNode.Parse(File.ReadAllText(path))!.AsObject());
            }
            catch (JsonException e)
            {
                files.Add(new JsonObject { ["source"] = Path.GetFileName(path), ["error"] = $"cannot be read, its process was ended while writing: {e.Message}" });
            }
        }

        return [.. files];
    }

    private static IEnumerable<JsonObject> Rows(JsonObject file) => (file["rows"]?.AsArray() ?? []).Select(r => r!.AsObject());

    private static JsonObject Joined(JsonObject row, JsonObject? peer)
    {
        string unit = (string)row["unit"]!, kind = (string?)peer?["kind"] ?? "";
        bool less = GpuRow.LessIsBetter(unit), agrees = (bool)row["agrees"]!;
        double mine = (double?)row["ours"] ?? 0;
        string? name = (string?)peer?["peer"];
        double? other = (double?)peer?["theirs"], target = (double?)row["targets"]?[kind];
        if (peer is null && (double?)row["limit"] is { } limit)
        {
            (name, other, target) = ("measured limit", limit, (double?)row["limitTarget"]);
        }
        else if (peer is null && (double?)row["goal"] is { } goal)
        {
            (name, other, target) = ("goal", goal, 1);
        }

        double? ratio = other is not { } o || o == 0 || mine == 0 ? null : less ? o / mine : mine / o;
        return new JsonObject
        {
            ["work"] = row["work"]!.DeepClone(),
            ["peer"] = name,
            ["ours"] = row["ours"]?.DeepClone(),
            ["theirs"] = GpuRow.Rounded(other),
            ["unit"] = unit,
            ["ratio"] = GpuRow.Rounded(ratio),
            ["target"] = GpuRow.Rounded(target),
            ["met"] = target is null || ratio is null ? null : agrees && ratio >= target,
            ["p90"] = row["p90"]?.DeepClone(),
            ["ofLimit"] = (double?)row["limit"] is { } l && l > 0 ? GpuRow.Rounded(mine / l) : null,
            ["rounds"] = row["rounds"]!.DeepClone(),
            ["agrees"] = agrees,
            ["note"] = string.Join("; ", new[] { (string?)row["note"], (string?)peer?["note"] }.Where(t => !string.IsNullOrEmpty(t))),
        };
    }

    private static string Markdown(JsonObject result)
    {
        StringBuilder text = new();
        JsonNode? card = result["card"], limits = result["limits"];
        _ = text.AppendLine(CultureInfo.InvariantCulture, $"# GPU benchmarks, {result["date"]}, {card?["name"]}").AppendLine();
        if ((bool?)card?["emulator"] == true)
        {
            _ = text.AppendLine("**EMULATED ON THE CPU, tiny sizes: shows that the code runs. No figure here is a measurement of a GPU.**").AppendLine();
        }

        _ = text.Append(CultureInfo.InvariantCulture, $"{card?["architecture"]}, {card?["multiprocessors"]} multiprocessors, {card?["memoryGiB"]} GiB, driver {card?["driver"]}. ");
        _ = text.AppendLine(CultureInfo.InvariantCulture, $"Measured limits: copy {Cell(limits?["copyGBs"])} GB/s, bf16 product {Cell(limits?["bf16GemmTflops"])} TFLOP/s.");
        _ = text.AppendLine("Medians; ratio: how many times better ours is.").AppendLine();
        _ = text.AppendLine("| Work | Peer | Ours | Theirs | Unit | Ratio | Target | Met | p90 | Of limit | Rounds | Notes |").AppendLine("|---|---|---:|---:|---|---:|---:|---|---:|---:|---:|---|");
        foreach (JsonNode? row in result["rows"]!.AsArray())
        {
            string met = row!["met"] is { } m ? (bool)m ? "yes" : "no" : "";
            string share = row["ofLimit"] is { } s ? ((double)s).ToString("P0", CultureInfo.InvariantCulture) : "";
            string[] cells =
            [
                $"{row["work"]}", $"{row["peer"]}", Cell(row["ours"]), Cell(row["theirs"]), $"{row["unit"]}", Cell(row["ratio"]), Cell(row["target"]), met,
                Cell(row["p90"]), share, $"{row["rounds"]}", $"{((bool)row["agrees"]! ? "" : "CHECK FAILED; ")}{row["note"]}",
            ];
            _ = text.AppendLine(CultureInfo.InvariantCulture, $"| {string.Join(" | ", cells)} |");
        }

        foreach (JsonNode? line in result["missing"]!.AsArray())
        {
            _ = text.AppendLine().AppendLine(CultureInfo.InvariantCulture, $"Not measured: {((string)line!).ReplaceLineEndings(" ")}");
        }

        return text.ToString();
    }

    private static string Cell(JsonNode? value) => value is null ? "" : ((double)value).ToString(
        Math.Abs((double)value) switch { >= 100 => "F0", >= 10 => "F1", _ => "F2" }, CultureInfo.InvariantCulture);
}
