using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Bench.Peers;

namespace Graft.Bench.Report;

/// <summary>`date-machine.json` and the table of the same name. Rows that were measured again replace the day's older ones; the others stay.</summary>
internal sealed class ResultFile(BenchOptions options)
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    private readonly List<BenchRow> _rows = [];
    private readonly string _date = Today();
    private readonly string _processor = Machine.Processor();

    /// <summary>The JSON file.</summary>
    public string Path { get; } = System.IO.Path.Combine(options.Folder, $"{Today()}-{Machine.FileName(Machine.Processor())}.json");

    /// <summary>What the machine can do at most.</summary>
    public MachineLimits Limits { get; set; }

    /// <summary>Adds a result.</summary>
    public void Add(BenchRow row) => _rows.Add(row);

    /// <summary>Writes both files.</summary>
    public void Write()
    {
        _ = Directory.CreateDirectory(options.Folder);
        JsonArray rows = [.. Earlier(Path).Concat(_rows.Select(ToJson))];
        JsonObject file = new()
        {
            ["date"] = _date,
            ["quick"] = options.Quick,
            ["machine"] = new JsonObject
            {
                ["processor"] = _processor,
                ["processors"] = Environment.ProcessorCount,
                ["vectorBits"] = Machine.VectorBits,
                ["memoryGiB"] = Rounded(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30)),
                ["system"] = RuntimeInformation.OSDescription,
                ["runtime"] = RuntimeInformation.FrameworkDescription,
                ["peer"] = Torch.IsAvailable ? Torch.Version : Torch.Reason,
                ["peakGflopsOneCore"] = Rounded(Limits.PeakOneCore),
                ["peakGflopsAllCores"] = Rounded(Limits.PeakAllCores),
                ["readGBsOneCore"] = Rounded(Limits.ReadOneCore),
                ["readGBsAllCores"] = Rounded(Limits.ReadAllCores),
                ["copyGBsOneCore"] = Rounded(Limits.CopyOneCore),
                ["copyGBsAllCores"] = Rounded(Limits.CopyAllCores),
            },
            ["rows"] = rows,
        };
        File.WriteAllText(Path, file.ToJsonString(s_indented) + "\n");
        File.WriteAllText(System.IO.Path.ChangeExtension(Path, ".md"), ResultTable.Markdown(file));
    }

    private static string Today() => TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    private IEnumerable<JsonNode> Earlier(string path)
    {
        if (!File.Exists(path))
        {
            return [];
        }

        try
        {
            HashSet<string> again = [.. _rows.Select(r => r.Work)];
            JsonArray? old = JsonNode.Parse(File.ReadAllText(path))?["rows"]?.AsArray();
            return old is null ? [] : [.. old.Where(r => r is not null && !again.Contains((string?)r["work"] ?? "")).Select(r => r!.DeepClone())];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            Console.Error.WriteLine($"{path} cannot be read ({e.Message}); it is written anew.");
            return [];
        }
    }

    private static JsonNode ToJson(BenchRow row) => new JsonObject
    {
        ["work"] = row.Work,
        ["peer"] = row.Peer,
        ["ours"] = Rounded(row.Ours),
        ["theirs"] = Rounded(row.Theirs),
        ["unit"] = row.Unit,
        ["ratio"] = Rounded(row.Ratio),
        ["target"] = row.Target,
        ["met"] = row.Met,
        ["oursSpread"] = Rounded(row.OursSpread),
        ["theirsSpread"] = Rounded(row.TheirsSpread),
        ["rounds"] = row.Rounds,
        ["agrees"] = !row.Failed,
        ["note"] = row.Note,
    };

    // Six significant digits; JSON knows no infinities.
    private static JsonNode? Rounded(double? value)
    {
        return value is not { } v || !double.IsFinite(v) ? null : double.Parse(v.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }
}
