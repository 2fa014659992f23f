using System.Globalization;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>One line of results.</summary>
/// <param name="Work">The work and what of it was measured; stable, since later results are compared by it.</param>
/// <param name="Unit">Of both figures: s, ms, us, MiB and % (less is better); tokens/s, GFLOP/s, GB/s and x (more is better).</param>
/// <param name="Ours">Our figure, the median.</param>
internal sealed record BenchRow(string Work, string Unit, double Ours)
{
    /// <summary>The peer's name.</summary>
    public string? Peer { get; init; }

    /// <summary>The peer's figure, the median.</summary>
    public double? Theirs { get; init; }

    /// <summary>The least ratio wanted; null where none was set.</summary>
    public double? Target { get; init; }

    /// <summary>(Longest - shortest) / median of our times.</summary>
    public double OursSpread { get; init; }

    /// <summary>The same of the peer.</summary>
    public double TheirsSpread { get; init; }

    /// <summary>How many rounds.</summary>
    public int Rounds { get; init; }

    /// <summary>Bytes that one run reads and writes at least, for the roofline; a token is a run where the unit is tokens/s.</summary>
    public double? Bytes { get; init; }

    /// <summary>Floating-point operations of one run, a multiply and an add counting as two.</summary>
    public double? Flops { get; init; }

    /// <summary>True where less is better.</summary>
    public bool LessIsBetter => Unit is "s" or "ms" or "us" or "MiB" or "%";

    /// <summary>Seconds of one run of ours, as far as the unit tells.</summary>
    public double? Seconds => Unit switch
    {
        "s" => Ours,
        "ms" => Ours / 1e3,
        "us" => Ours / 1e6,
        "tokens/s" => 1 / Ours,
        "GFLOP/s" => Flops / (Ours * 1e9),
        "GB/s" => Bytes / (Ours * 1e9),
        _ => null,
    };

    /// <summary>How many times better ours is: above 1 ours wins, whatever the unit.</summary>
    public double? Ratio => Theirs is not { } theirs || Ours == 0 || theirs == 0 ? null : LessIsBetter ? theirs / Ours : Ours / theirs;

    /// <summary>Whether the target was met; null where there is none, or no peer; a figure whose check failed meets nothing.</summary>
    public bool? Met => Target is null || Ratio is null ? null : !Failed && Ratio >= Target;

    /// <summary>Phases, checks, shapes: what a reader of the figure should know.</summary>
    public string Note { get; init; } = "";

    /// <summary>True where the two sides did not compute the same.</summary>
    public bool Failed { get; init; }

    /// <summary>A row from two times of one run, as a rate.</summary>
    /// <param name="work">Its name.</param>
    /// <param name="unit">Of the rate.</param>
    /// <param name="amount">What one run does, in units · seconds.</param>
    /// <param name="times">Both sides.</param>
    /// <param name="peer">The peer's name.</param>
    public static BenchRow Rate(string work, string unit, double amount, (Times Ours, Times? Theirs) times, string? peer) => new(
        work, unit, amount / times.Ours.Median)
    {
        Peer = times.Theirs is null ? null : peer,
        Theirs = amount / times.Theirs?.Median,
        OursSpread = times.Ours.Spread,
        TheirsSpread = times.Theirs?.Spread ?? 0,
        Rounds = times.Ours.Count,
    };

    /// <summary>The row of a result file.</summary>
    /// <param name="limits">Of the machine, in the same run.</param>
    public JsonObject ToJson(MachineLimits limits) => new()
    {
        ["work"] = Work,
        ["peer"] = Peer,
        ["ours"] = Rounded(Ours),
        ["theirs"] = Rounded(Theirs),
        ["unit"] = Unit,
        ["ratio"] = Rounded(Ratio),
        ["target"] = Rounded(Target),
        ["met"] = Met,
        ["oursSpread"] = Rounded(OursSpread),
        ["theirsSpread"] = Rounded(TheirsSpread),
        ["rounds"] = Rounds,
        ["agrees"] = !Failed,
        ["roofline"] = Roofline.Of(this, limits)?.ToJson(),
        ["note"] = Note,
    };

    /// <summary>Six significant digits; JSON knows no infinities.</summary>
    public static JsonNode? Rounded(double? value)
    {
        return value is not { } v || !double.IsFinite(v) ? null : double.Parse(v.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }
}
