namespace Graft.Training;

/// <summary>Ends a run whose evaluations make no progress any more; also keeps the best.</summary>
public sealed record EarlyStoppingOptions
{
    /// <summary>Evaluations without progress after which the run ends; 0 never ends it.</summary>
    public int Patience { get; init; }

    /// <summary>How much lower the loss must be to count as progress.</summary>
    public double MinDelta { get; init; }
}

/// <summary>The count of evaluations without progress; a pure function of what was reported, so its state is two numbers.</summary>
/// <param name="options">When to stop.</param>
public sealed class EarlyStopping(EarlyStoppingOptions options)
{
    /// <summary>The loss that counts as the last progress; null before the first evaluation.</summary>
    public double? Reference { get; set; }

    /// <summary>Evaluations since.</summary>
    public int BadCount { get; set; }

    /// <summary>True once patience is over.</summary>
    public bool ShouldStop => options.Patience > 0 && BadCount >= options.Patience;

    /// <summary>Takes an evaluation loss; NaN is no progress.</summary>
    public void Report(double loss)
    {
        if (!double.IsNaN(loss) && (Reference is not { } best || loss < best - options.MinDelta))
        {
            Reference = loss;
            BadCount = 0;
        }
        else
        {
            BadCount++;
        }
    }
}
