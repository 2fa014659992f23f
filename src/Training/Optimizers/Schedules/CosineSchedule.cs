namespace Graft.Training.Optimizers;

/// <summary>Linear warm-up from 0, then m + (1 − m) · (1 + cos(2π · cycles · p)) / 2 with p the fraction done. Source: Loshchilov and Hutter 2017,
/// arXiv:1608.03983.</summary>
/// <remarks>Past the last step the cosine goes on (and rises again), as in `transformers`: a run that is longer than planned shows it.</remarks>
/// <param name="WarmupSteps">Steps until the base rate is reached.</param>
/// <param name="TotalSteps">Steps of the whole run, warm-up included.</param>
public sealed record CosineSchedule(long WarmupSteps, long TotalSteps) : ISchedule
{
    /// <summary>Waves until the last step; one half goes down once.</summary>
    public double Cycles { get; init; } = 0.5;

    /// <summary>The smallest factor, m.</summary>
    public double MinRatio { get; init; }

    /// <inheritdoc/>
    public double Factor(long step)
    {
        if (ScheduleExtensions.Warmup(step, WarmupSteps) is { } warmup)
        {
            return warmup;
        }

        double wave = 0.5 * (1 + Math.Cos(Math.PI * Cycles * 2 * ScheduleExtensions.Progress(step, WarmupSteps, TotalSteps)));
        return Math.Max(0, (wave * (1 - MinRatio)) + MinRatio);
    }
}
