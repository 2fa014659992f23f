namespace Graft.Training.Optimizers;

/// <summary>The shape of a rise or fall between two rates.</summary>
public enum RampShape
{
    /// <summary>A straight line.</summary>
    Linear,

    /// <summary>Half a cosine wave.</summary>
    Cosine,

    /// <summary>1 − √p: steep at first. Source: Hägele et al. 2024, arXiv:2405.18392.</summary>
    OneMinusSqrt,
}

/// <summary>WSD: warm-up, a stable phase at the base rate, a short decay, then the minimum. Source: Hu et al. 2024, arXiv:2404.06395, section 4.</summary>
/// <param name="WarmupSteps">Steps of the warm-up, which starts at the minimum.</param>
/// <param name="StableSteps">Steps at the base rate.</param>
/// <param name="DecaySteps">Steps of the decay.</param>
public sealed record WarmupStableDecaySchedule(long WarmupSteps, long StableSteps, long DecaySteps) : ISchedule
{
    /// <summary>The shape of the warm-up.</summary>
    public RampShape WarmupShape { get; init; } = RampShape.Linear;

    /// <summary>The shape of the decay.</summary>
    public RampShape DecayShape { get; init; } = RampShape.Cosine;

    /// <summary>The factor where warm-up starts and decay ends.</summary>
    public double MinRatio { get; init; }

    /// <summary>Waves of a cosine decay; one half goes down once.</summary>
    public double Cycles { get; init; } = 0.5;

    /// <inheritdoc/>
    public double Factor(long step)
    {
        if (step < WarmupSteps)
        {
            double rise = (double)step / Math.Max(1, WarmupSteps);
            return Above(WarmupShape switch
            {
                RampShape.Linear => rise,
                RampShape.Cosine => 0.5 * (1 - Math.Cos(Math.PI * rise)),
                _ => 1 - Math.Sqrt(1 - rise),
            });
        }

        long after = step - WarmupSteps - StableSteps;
        if (after < 0)
        {
            return 1;
        }

        if (after >= DecaySteps)
        {
            return MinRatio;
        }

        double progress = (double)after / Math.Max(1, DecaySteps);
        return Above(DecayShape switch
        {
            RampShape.Linear => 1 - progress,
            RampShape.Cosine => 0.5 * (1 + Math.Cos(Math.PI * Cycles * 2 * progress)),
            _ => 1 - Math.Sqrt(progress),
        });
    }

    private double Above(double factor) => Math.Max(0, (factor * (1 - MinRatio)) + MinRatio);
}
