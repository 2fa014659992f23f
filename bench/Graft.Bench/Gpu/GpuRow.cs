using System.Globalization;
using System.Text.Json.Nodes;

namespace Graft.Bench.Gpu;

/// <summary>One figure of the card: a line of results with what only cards have: p90, the limit of the same card, targets against several peers.</summary>
/// <param name="Work">The work and what of it was measured; a peer's row of the same name is set beside it.</param>
/// <param name="Unit">s, ms, us, GB/s, TFLOP/s, tokens/s, MiB.</param>
/// <param name="Ours">The median.</param>
internal sealed record GpuRow(string Work, string Unit, double Ours)
{
    /// <summary>The tenth that is worse begins here.</summary>
    public double? P90 { get; init; }

    /// <summary>How many samples.</summary>
    public int Rounds { get; init; }

    /// <summary>What the card can do at most, in the row's unit, as measured in this run; 0 where no limit applies.</summary>
    public double Limit { get; init; }

    /// <summary>The least share of the limit wanted.</summary>
    public double? LimitTarget { get; init; }

    /// <summary>The least ratio wanted against a peer, by the peer's kind: `eager`, `compile`, `sdpa`, `llm.c`, or `goal` for a figure that stands for itself.</summary>
    public IReadOnlyDictionary<string, double> Targets { get; init; } = new Dictionary<string, double>();

    /// <summary>A figure wanted of ours alone, in the row's unit; 0 for none.</summary>
    public double Goal { get; init; }

    /// <summary>Shapes, checks, further figures.</summary>
    public string Note { get; init; } = "";

    /// <summary>True where the result was wrong: the figure counts for nothing.</summary>
    public bool Failed { get; init; }

    /// <summary>True where less is better.</summary>
    public static bool LessIsBetter(string unit) => unit is "s" or "ms" or "us" or "MiB";

    /// <summary>As it is written by the process that measured it; peers are merged in later.</summary>
    public JsonObject ToJson() => new()
    {
        ["work"] = Work,
        ["unit"] = Unit,
        ["ours"] = Rounded(Ours),
        ["p90"] = Rounded(P90),
        ["rounds"] = Rounds,
        ["limit"] = Limit == 0 ? null : Rounded(Limit),
        ["limitTarget"] = LimitTarget,
        ["goal"] = Goal == 0 ? null : Goal,
        ["targets"] = new JsonObject(Targets.Select(t => KeyValuePair.Create(t.Key, (JsonNode?)t.Value))),
        ["agrees"] = !Failed,
        ["note"] = Note,
    };

    /// <summary>Six significant digits; JSON knows no infinities.</summary>
    public static JsonNode? Rounded(double? value)
    {
        return value is not { } v || !double.IsFinite(v) ? null : double.Parse(v.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }
}
