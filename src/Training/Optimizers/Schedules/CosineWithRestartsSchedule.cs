namespace Graft.Training.Optimizers;

/// <summary>Linear warm-up from 0, then <paramref name="Cycles"/> cosine descents to 0, each starting again at the base rate. Source: SGDR, arXiv:1608.03983,
/// section 3.</summary>
/// <param name="WarmupSteps">Steps until the base rate is reached.</param>
/// <param name="TotalSteps">Steps of the whole run, warm-up included; 0 from there on.</param>
/// <param name="Cycles">How many descents.</param>
public sealed record CosineWithRestartsSchedule(long WarmupSteps, long TotalSteps, double Cycles = 1) : ISchedule
{
    /// <inheritdoc/>
    public double Factor(long step)
    {
        if (ScheduleExtensions.Warmup(step, WarmupSteps) is { } warmup)
        {
            return warmup;
        }

        double progress = ScheduleExtensions.Progress(step, WarmupSteps, TotalSteps);
        return progress >= 1 ? 0 : Math.Max(0, 0.5 * (1 + Math.Cos(Math.PI * (Cycles * progress % 1))));
    }
}
