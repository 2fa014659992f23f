namespace Graft.Training.Optimizers;

/// <summary>Linear warm-up from 0, then the base rate for ever: `constant` and `constant_with_warmup`.</summary>
/// <param name="WarmupSteps">Steps until the base rate is reached; 0 starts there.</param>
public sealed record ConstantSchedule(long WarmupSteps = 0) : ISchedule
{
    /// <inheritdoc/>
    public double Factor(long step) => ScheduleExtensions.Warmup(step, WarmupSteps) ?? 1;
}
