namespace Graft.Training.Optimizers;

/// <summary>Linear warm-up from 0, then a straight line that meets 0 at <paramref name="TotalSteps"/> and stays there.</summary>
/// <param name="WarmupSteps">Steps until the base rate is reached.</param>
/// <param name="TotalSteps">Steps of the whole run, warm-up included.</param>
public sealed record LinearSchedule(long WarmupSteps, long TotalSteps) : ISchedule
{
    /// <inheritdoc/>
    public double Factor(long step)
    {
        return ScheduleExtensions.Warmup(step, WarmupSteps) ?? Math.Max(0, (double)(TotalSteps - step) / Math.Max(1, TotalSteps - WarmupSteps));
    }
}
