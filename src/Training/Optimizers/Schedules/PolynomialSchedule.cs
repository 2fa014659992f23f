namespace Graft.Training.Optimizers;

/// <summary>Linear warm-up from 0, then e + (1 − e) · (1 − p)^power with p the fraction done, and e from the last step on.</summary>
/// <param name="WarmupSteps">Steps until the base rate is reached.</param>
/// <param name="TotalSteps">Steps of the whole run, warm-up included.</param>
/// <param name="EndRatio">The factor at the end, e: final rate / base rate.</param>
/// <param name="Power">1 is a straight line.</param>
public sealed record PolynomialSchedule(long WarmupSteps, long TotalSteps, double EndRatio, double Power = 1) : ISchedule
{
    /// <inheritdoc/>
    public double Factor(long step)
    {
        if (ScheduleExtensions.Warmup(step, WarmupSteps) is { } warmup)
        {
            return warmup;
        }

        return step > TotalSteps ? EndRatio : EndRatio + ((1 - EndRatio) * Math.Pow(1 - ScheduleExtensions.Progress(step, WarmupSteps, TotalSteps), Power));
    }
}
