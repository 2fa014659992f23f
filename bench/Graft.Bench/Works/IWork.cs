using Graft.Bench.Report;

namespace Graft.Bench.Works;

/// <summary>One thing that is measured on both sides.</summary>
internal interface IWork
{
    /// <summary>The name on the command line.</summary>
    string Name { get; }

    /// <summary>Checks that both sides compute the same, then measures them.</summary>
    IEnumerable<BenchRow> Run(BenchOptions options);

    /// <summary>Runs one side alone for a few rounds: its process then tells the peak of its memory.</summary>
    void RunOneSide(bool ours, bool quick);
}
