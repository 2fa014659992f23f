namespace Graft.Training.Optimizers;

/// <summary>Linear warm-up from 0, then √(timescale / (step + timescale − warm-up)): needs no length of the run.
/// Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 3.</summary>
/// <param name="WarmupSteps">Steps until the base rate is reached.</param>
/// <param name="Timescale">How slowly the rate falls, in steps; 0 takes the warm-up, or 10,000 without one.</param>
public sealed record InverseSqrtSchedule(long WarmupSteps, double Timescale = 0) : ISchedule
{
    /// <inheritdoc/>
    public double Factor(long step)
    {
        if (ScheduleExtensions.Warmup(step, WarmupSteps) is { } warmup)
        {
            return warmup;
        }

        double timescale = Timescale > 0 ? Timescale : WarmupSteps > 0 ? WarmupSteps : 10_000;
        return 1 / Math.Sqrt((step + (timescale - WarmupSteps)) / timescale);
    }
}
