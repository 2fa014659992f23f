namespace Graft.Bench.Works;

/// <summary>One side of a training work: the same model, the same batch, the same optimizer.</summary>
internal interface ITrainer : IDisposable
{
    /// <summary>One whole step; the loss before its update.</summary>
    double Step();

    /// <summary>Seconds of the last step by phase.</summary>
    Phases Last { get; }
}

/// <summary>Seconds of one step.</summary>
internal readonly record struct Phases(double Forward, double Backward, double Update);
