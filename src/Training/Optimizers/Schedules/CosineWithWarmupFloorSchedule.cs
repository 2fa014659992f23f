namespace Graft.Training.Optimizers;

/// <summary>A cosine with a floor whose warm-up starts above 0 and reaches the base rate in its last step: `cosine_warmup_with_min_lr` of
/// `transformers`.</summary>
/// <remarks>One step ahead of <see cref="CosineSchedule"/>: the minimum is met by the last update rather than after it.</remarks>
/// <param name="WarmupSteps">Steps of the warm-up; the last of them uses the base rate.</param>
/// <param name="TotalSteps">Steps of the whole run, warm-up included.</param>
public sealed record CosineWithWarmupFloorSchedule(long WarmupSteps, long TotalSteps) : ISchedule
{
    /// <summary>Waves until the last step.</summary>
    public double Cycles { get; init; } = 0.5;

    /// <summary>The smallest factor of the cosine.</summary>
    public double MinRatio { get; init; }

    /// <summary>The factor of the first step; null: 1 / <see cref="WarmupSteps"/>.</summary>
    public double? WarmupRatio { get; init; }

    /// <inheritdoc/>
    public double Factor(long step)
    {
        if (step < WarmupSteps)
        {
            return WarmupRatio is { } start ? start + ((1 - start) * step / Math.Max(1, WarmupSteps - 1)) : (step + 1.0) / Math.Max(1, WarmupSteps);
        }

        double wave = 0.5 * (1 + Math.Cos(Math.PI * Cycles * 2 * ScheduleExtensions.Progress(step + 1, WarmupSteps, TotalSteps)));
        return Math.Max(0, (wave * (1 - MinRatio)) + MinRatio);
    }
}
