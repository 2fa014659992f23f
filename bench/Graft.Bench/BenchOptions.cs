namespace Graft.Bench;

/// <summary>What the command line asked for.</summary>
/// <param name="Works">Names of works, in the order they run.</param>
/// <param name="Quick">A smoke run: smaller models, two rounds, figures that mean nothing.</param>
/// <param name="Folder">Where results go.</param>
/// <param name="OursOnly">Leaves the peer out.</param>
internal sealed record BenchOptions(IReadOnlyList<string> Works, bool Quick, string Folder, bool OursOnly)
{
    /// <summary>How many rounds a pair is measured at most.</summary>
    public int Rounds => Quick ? 2 : 10;

    /// <summary>A pair is not begun anew after this time, if it has three rounds.</summary>
    public TimeSpan Budget => TimeSpan.FromSeconds(Quick ? 10 : 60);
}
