using System.Globalization;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>A figure that fell against earlier results of the same machine kind.</summary>
/// <param name="Work">The row.</param>
/// <param name="Measure">What is compared: the ratio to the peer where there is one, else something that a faster machine of the kind leaves alone.</param>
/// <param name="Before">Earlier.</param>
/// <param name="Now">Now; more is better.</param>
internal sealed record Fall(string Work, string Measure, double Before, double Now)
{
    /// <inheritdoc/>
    public override string ToString()
    {
        return string.Create(CultureInfo.InvariantCulture, $"{Work}: {Measure} {Before:G3} before, {Now:G3} now ({Now / Before - 1:P0})");
    }
}

/// <summary>Compares two result files of one machine kind. Machines of a kind differ and are noisy, so no absolute figure is compared: the peer of the same run
/// is the yardstick, or the machine's limits of the same run.</summary>
internal static class Guard
{
    /// <summary>What is reported: a fall by more than this share.</summary>
    public const double Tolerance = 0.1;

    /// <summary>What fell from one file to the other; a row that only one of them has is not compared.</summary>
    public static IReadOnlyList<Fall> Compare(JsonObject before, JsonObject now)
    {
        Dictionary<string, JsonObject> earlier = [];
        foreach (JsonObject row in Rows(before))
        {
            earlier[Key(row)] = row;
        }

        List<Fall> falls = [];
        foreach (JsonObject row in Rows(now))
        {
            if (earlier.TryGetValue(Key(row), out JsonObject? old) && Score(old, before) is { } a && Score(row, now) is { } b && a.Measure == b.Measure
                && b.Value < a.Value * (1 - Tolerance))
            {
                falls.Add(new Fall((string)row["work"]!, a.Measure, a.Value, b.Value));
            }
        }

        return falls;
    }

    // A row of a name may stand beside several peers.
    private static string Key(JsonObject row) => $"{row["work"]}\n{row["peer"]}\n{row["unit"]}";

    private static IEnumerable<JsonObject> Rows(JsonObject file) => (file["rows"]?.AsArray() ?? []).OfType<JsonObject>();

    private static (string Measure, double Value)? Score(JsonObject row, JsonObject file)
    {
        string work = (string?)row["work"] ?? "", unit = (string?)row["unit"] ?? "";
        if (work.StartsWith("machine:", StringComparison.Ordinal) || unit == "%" || (double?)row["ours"] is not { } ours || ours <= 0)
        {
            return null; // the yardstick itself; a deviation near zero, whose target says enough
        }

        if ((double?)row["ratio"] is { } ratio)
        {
            return ($"ratio to {row["peer"]}", ratio);
        }

        if ((double?)row["roofline"]?["share"] is { } share)
        {
            return ("share of the machine's limit", share);
        }

        if (unit == "MiB")
        {
            return ("1 / MiB", 1 / ours);
        }

        double? peak = (double?)file["machine"]?["peakGflopsAllCores"];
        return peak is null or <= 0 ? null : ("rate / GFLOP/s of the machine", (new BenchRow(work, unit, ours).LessIsBetter ? 1 / ours : ours) / peak.Value);
    }
}
