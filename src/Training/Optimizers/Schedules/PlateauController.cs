namespace Graft.Training.Optimizers;

/// <summary>How a plateau is told from progress.</summary>
public sealed record PlateauOptions
{
    /// <summary>True when a larger metric is better.</summary>
    public bool Maximize { get; init; }

    /// <summary>What the rate is multiplied with, in (0, 1).</summary>
    public double Factor { get; init; } = 0.1;

    /// <summary>Evaluations without progress that are tolerated.</summary>
    public int Patience { get; init; } = 10;

    /// <summary>How much better counts as progress.</summary>
    public double Threshold { get; init; } = 1e-4;

    /// <summary>The threshold is a difference rather than a fraction of the best metric.</summary>
    public bool AbsoluteThreshold { get; init; }

    /// <summary>Evaluations after a reduction in which none is counted as bad.</summary>
    public int Cooldown { get; init; }

    /// <summary>The smallest rate.</summary>
    public double MinRate { get; init; }

    /// <summary>A reduction by less than this is not done.</summary>
    public double Epsilon { get; init; } = 1e-8;
}

/// <summary>The state of a <see cref="PlateauController"/>, as saved in checkpoints.</summary>
/// <param name="Rate">The rate now.</param>
/// <param name="Best">The best metric so far; an infinity before the first.</param>
/// <param name="BadCount">Evaluations since the best one.</param>
/// <param name="CooldownLeft">Evaluations of cool-down still to come.</param>
public sealed record PlateauState(double Rate, double Best, int BadCount, int CooldownLeft);

/// <summary>Lowers the learning rate when an evaluated metric stops improving: PyTorch's ReduceLROnPlateau.</summary>
/// <remarks>Not a schedule: it depends on what was measured, so it has state that belongs into the checkpoint.</remarks>
public sealed class PlateauController
{
    private readonly PlateauOptions _options;

    /// <summary>A controller that starts at <paramref name="rate"/>.</summary>
    public PlateauController(double rate, PlateauOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        State = new PlateauState(rate, options.Maximize ? double.NegativeInfinity : double.PositiveInfinity, 0, 0);
    }

    /// <summary>Everything that the next reports depend on; set it to resume.</summary>
    public PlateauState State { get; set; }

    /// <summary>The learning rate now.</summary>
    public double Rate => State.Rate;

    /// <summary>Takes an evaluated metric and returns the rate from here on.</summary>
    public double Report(double metric)
    {
        (double rate, double best, int bad, int cooldown) = State;
        if (IsBetter(metric, best))
        {
            (best, bad) = (metric, 0);
        }
        else
        {
            bad++;
        }

        if (cooldown > 0)
        {
            (cooldown, bad) = (cooldown - 1, 0);
        }

        if (bad > _options.Patience)
        {
            double lower = Math.Max(rate * _options.Factor, _options.MinRate);
            rate = rate - lower > _options.Epsilon ? lower : rate;
            (cooldown, bad) = (_options.Cooldown, 0);
        }

        State = new PlateauState(rate, best, bad, cooldown);
        return rate;
    }

    private bool IsBetter(double metric, double best)
    {
        if (double.IsInfinity(best))
        {
            // No best metric yet: infinity times a relative threshold is still infinity, but be explicit; NaN is never progress.
            return !double.IsNaN(metric);
        }

        double t = _options.Threshold;
        return _options.Maximize
            ? metric > (_options.AbsoluteThreshold ? best + t : best * (1 + t))
            : metric < (_options.AbsoluteThreshold ? best - t : best * (1 - t));
    }
}
