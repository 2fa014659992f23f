namespace Graft.Training.Optimizers;

/// <summary>The course of a learning rate: a pure function of the optimizer step, as a factor on each group's own rate.</summary>
/// <remarks>
/// A factor, not a rate: groups with different rates share one schedule, and an outside controller may scale it.
/// Steps count from 0; step i is the i-th update, so a schedule with warm-up starts at factor 0 as in the `transformers` library (version 5).
/// </remarks>
public interface ISchedule
{
    /// <summary>The factor on the base learning rate at <paramref name="step"/> (counted from 0); past the last step the course is held or continued as the
    /// schedule says.</summary>
    double Factor(long step);
}

/// <summary>What every schedule shares.</summary>
public static class ScheduleExtensions
{
    /// <summary>The learning rate of optimizer step <paramref name="step"/> for a group whose base rate is <paramref name="baseRate"/>.</summary>
    public static double Rate(this ISchedule schedule, long step, double baseRate) => schedule.Factor(step) * baseRate;

    /// <summary>The factor of a linear warm-up from 0, or null once <paramref name="step"/> has reached <paramref name="warmupSteps"/>.</summary>
    internal static double? Warmup(long step, long warmupSteps) => step < warmupSteps ? (double)step / Math.Max(1, warmupSteps) : null;

    /// <summary>The fraction of the steps after warm-up that is done: 0 at its end, 1 at the last step, larger beyond.</summary>
    internal static double Progress(long step, long warmupSteps, long totalSteps) => (double)(step - warmupSteps) / Math.Max(1, totalSteps - warmupSteps);
}
