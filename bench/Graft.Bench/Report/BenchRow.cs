namespace Graft.Bench.Report;

/// <summary>One line of results.</summary>
/// <param name="Work">The work and what of it was measured.</param>
/// <param name="Unit">Of both figures: ms, tokens/s, GFLOP/s, GB/s.</param>
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

    /// <summary>True where less is better.</summary>
    public bool LessIsBetter => Unit is "ms" or "MiB";

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
}
