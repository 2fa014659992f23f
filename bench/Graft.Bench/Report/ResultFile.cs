using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Bench.Peers;

namespace Graft.Bench.Report;

/// <summary>`date-machine.json`, and the table and the picture of the same name. Rows that were measured again replace the day's older ones; the others
/// stay.</summary>
/// <param name="options">What is run, and the machine's limits.</param>
/// <param name="root">The repository.</param>
internal sealed class ResultFile(BenchOptions options, string root)
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    private readonly List<BenchRow> _rows = [];
    private readonly string _date = Today();
    private readonly string _processor = Machine.Processor();
    private readonly Baseline? _baseline = options.Quick ? null : Baseline.Committed(root, Machine.FileName(Machine.Processor()));

    /// <summary>The JSON file.</summary>
    public string Path { get; } = System.IO.Path.Combine(options.Folder, $"{Today()}-{Machine.FileName(Machine.Processor())}.json");

    /// <summary>The results that these are compared with; null where there are none.</summary>
    public string? ComparedWith => _baseline?.Name;

    /// <summary>What fell against them, as of the last <see cref="Write"/>.</summary>
    public IReadOnlyList<Fall> Fallen { get; private set; } = [];

    /// <summary>Adds a result.</summary>
    public void Add(BenchRow row) => _rows.Add(row);

    /// <summary>Writes the files, and the page that shows them where these are not a smoke run's.</summary>
    public void Write()
    {
        _ = Directory.CreateDirectory(options.Folder);
        JsonObject file = ToJson();
        Fallen = _baseline is null ? [] : Guard.Compare(_baseline.File, file);
        file["comparedWith"] = ComparedWith;
        file["fell"] = new JsonArray([.. Fallen.Select(f => (JsonNode?)f.ToString())]);
        string name = System.IO.Path.GetFileNameWithoutExtension(Path), picture = System.IO.Path.ChangeExtension(Path, ".svg");
        File.WriteAllText(Path, file.ToJsonString(s_indented) + "\n");
        File.WriteAllText(picture, Chart.Svg(file));
        File.WriteAllText(System.IO.Path.ChangeExtension(Path, ".md"), ResultTable.Markdown(file, System.IO.Path.GetFileName(picture)));
        string page = System.IO.Path.Combine(root, "docs", "performance.md");
        bool shown = System.IO.Path.GetFullPath(options.Folder) == System.IO.Path.Combine(root, "bench", "results");
        if (shown && !options.Quick && File.Exists(page) && Page.Replaced(File.ReadAllText(page), Page.Measured(file, name)) is { } text)
        {
            File.WriteAllText(page, text);
        }
    }

    private static string Today() => TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    private JsonObject ToJson() => new()
    {
        ["date"] = _date,
        ["quick"] = options.Quick,
        ["machine"] = new JsonObject
        {
            ["processor"] = _processor,
            ["processors"] = Environment.ProcessorCount,
            ["vectorBits"] = Machine.VectorBits,
            ["memoryGiB"] = BenchRow.Rounded(Math.Round(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30), 1)),
            ["system"] = RuntimeInformation.OSDescription,
            ["runtime"] = RuntimeInformation.FrameworkDescription,
            ["peer"] = Torch.IsAvailable ? Torch.Version : Torch.Reason,
            ["peakGflopsOneCore"] = BenchRow.Rounded(options.Limits.PeakOneCore),
            ["peakGflopsAllCores"] = BenchRow.Rounded(options.Limits.PeakAllCores),
            ["readGBsOneCore"] = BenchRow.Rounded(options.Limits.ReadOneCore),
            ["readGBsAllCores"] = BenchRow.Rounded(options.Limits.ReadAllCores),
            ["copyGBsOneCore"] = BenchRow.Rounded(options.Limits.CopyOneCore),
            ["copyGBsAllCores"] = BenchRow.Rounded(options.Limits.CopyAllCores),
        },
        // Those of one work stay together, whenever they were measured.
        ["rows"] = new JsonArray([.. Earlier().Concat(_rows.Select(r => r.ToJson(options.Limits))).GroupBy(r => ResultTable.Split((string)r["work"]!).Work).SelectMany(g => g)]),
    };

    private IEnumerable<JsonNode> Earlier()
    {
        if (!File.Exists(Path))
        {
            return [];
        }

        try
        {
            HashSet<string> again = [.. _rows.Select(r => r.Work)];
            JsonArray? old = JsonNode.Parse(File.ReadAllText(Path))?["rows"]?.AsArray();
            return old is null ? [] : [.. old.Where(r => r is not null && !again.Contains((string?)r["work"] ?? "")).Select(r => r!.DeepClone())];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            Console.Error.WriteLine($"{Path} cannot be read ({e.Message}); it is written anew.");
            return [];
        }
    }
}
