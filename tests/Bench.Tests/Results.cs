using System.Text.Json.Nodes;
using Graft.Bench;
using Graft.Bench.Report;

namespace Graft.Bench.Tests;

/// <summary>Result files for tests.</summary>
internal static class Results
{
    /// <summary>Round numbers: 200 GFLOP/s, 40 GB/s.</summary>
    public static MachineLimits Limits { get; } = new(100, 200, 25, 50, 20, 40);

    public static BenchRow Row(string work = "gpt2: step", string unit = "ms", double ours = 100, double? theirs = 200, double? target = null) => new(work, unit, ours)
    {
        Peer = theirs is null ? null : "TorchSharp",
        Theirs = theirs,
        Target = target,
        Rounds = 3,
    };

    public static JsonObject File(params BenchRow[] rows) => File(Limits, rows);

    public static JsonObject File(MachineLimits limits, params BenchRow[] rows) => new()
    {
        ["date"] = "2026-11-28",
        ["machine"] = new JsonObject { ["processor"] = "AMD <EPYC>", ["processors"] = 2, ["peakGflopsAllCores"] = limits.PeakAllCores, ["copyGBsAllCores"] = limits.CopyAllCores },
        ["rows"] = new JsonArray([.. rows.Select(r => (JsonNode?)r.ToJson(limits))]),
    };
}
