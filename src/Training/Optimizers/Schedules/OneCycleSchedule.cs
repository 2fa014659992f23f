namespace Graft.Training.Optimizers;

/// <summary>One cycle: up to the base rate and down far below the start, momentum the other way round. Source: Smith and Topin 2018, arXiv:1708.07120;
/// PyTorch's OneCycleLR.</summary>
/// <remarks>The base rate of a group is its largest rate. Past the last step the final rate is held.</remarks>
/// <param name="TotalSteps">Steps of the whole run.</param>
public sealed record OneCycleSchedule(long TotalSteps) : ISchedule
{
    /// <summary>The part of the run in which the rate rises.</summary>
    public double RiseRatio { get; init; } = 0.3;

    /// <summary>Base rate / rate of the first step.</summary>
    public double DivFactor { get; init; } = 25;

    /// <summary>Rate of the first step / rate of the last.</summary>
    public double FinalDivFactor { get; init; } = 1e4;

    /// <summary>Down to the starting rate as fast as it rose, then on to the final rate, instead of one long descent.</summary>
    public bool ThreePhase { get; init; }

    /// <summary>Cosine or linear; <see cref="RampShape.OneMinusSqrt"/> is taken as cosine.</summary>
    public RampShape Shape { get; init; } = RampShape.Cosine;

    /// <summary>The momentum (or first beta) at the largest rate.</summary>
    public double BaseMomentum { get; init; } = 0.85;

    /// <summary>The momentum (or first beta) at the smallest rates.</summary>
    public double MaxMomentum { get; init; } = 0.95;

    /// <inheritdoc/>
    public double Factor(long step)
    {
        double first = 1 / DivFactor;
        return At(step, first, 1, first, first / FinalDivFactor);
    }

    /// <summary>The momentum (or first beta) of optimizer step <paramref name="step"/>.</summary>
    public double Momentum(long step) => At(step, MaxMomentum, BaseMomentum, MaxMomentum, MaxMomentum);

    private double At(long step, double start, double peak, double back, double end)
    {
        double at = Math.Min(step, TotalSteps - 1);
        double riseEnd = (RiseRatio * TotalSteps) - 1;
        if (at <= riseEnd)
        {
            return Between(start, peak, at / riseEnd);
        }

        if (!ThreePhase)
        {
            return Between(peak, end, (at - riseEnd) / (TotalSteps - 1 - riseEnd));
        }

        double fallEnd = (2 * RiseRatio * TotalSteps) - 2;
        return at <= fallEnd ? Between(peak, back, (at - riseEnd) / (fallEnd - riseEnd)) : Between(back, end, (at - fallEnd) / (TotalSteps - 1 - fallEnd));
    }

    private double Between(double from, double to, double part)
    {
        return Shape == RampShape.Linear ? ((to - from) * part) + from : to + ((from - to) / 2 * (Math.Cos(Math.PI * part) + 1));
    }
}
