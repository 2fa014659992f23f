namespace Graft.Bench;

/// <summary>What the command line asked for.</summary>
/// <param name="Works">Names of works, in the order they run.</param>
/// <param name="Quick">A smoke run: smaller models, two rounds, figures that mean nothing.</param>
/// <param name="Folder">Where results go.</param>
/// <param name="OursOnly">Leaves the peer out.</param>
internal sealed record BenchOptions(IReadOnlyList<string> Works, bool Quick, string Folder, bool OursOnly)
{
    /// <summary>What the machine can do at most, measured before the first work.</summary>
    public MachineLimits Limits { get; init; }

    /// <summary>Fails where a figure fell against the last committed results.</summary>
    public bool Guard { get; init; }

    /// <summary>How many rounds sides are measured at most.</summary>
    public int Rounds { get; init; } = Quick ? 2 : 10;

    /// <summary>A round is not begun after this time, if there were three.</summary>
    public TimeSpan Budget { get; init; } = TimeSpan.FromSeconds(Quick ? 10 : 60);
}
