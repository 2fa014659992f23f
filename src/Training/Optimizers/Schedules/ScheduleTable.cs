using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>What a schedule may be told; every schedule reads what concerns it.</summary>
public sealed record ScheduleSettings
{
    /// <summary>Optimizer steps of the whole run, warm-up included.</summary>
    public long TotalSteps { get; init; }

    /// <summary>Steps of the warm-up.</summary>
    public long WarmupSteps { get; init; }

    /// <summary>Steps of the decay at the end (`warmup_stable_decay`).</summary>
    public long DecaySteps { get; init; }

    /// <summary>Waves or restarts; null: the schedule's own.</summary>
    public double? Cycles { get; init; }

    /// <summary>Smallest rate / base rate; null: the schedule's own.</summary>
    public double? MinRatio { get; init; }

    /// <summary>Rate of the first step / base rate (`cosine_warmup_with_min_lr`).</summary>
    public double? WarmupRatio { get; init; }

    /// <summary>The exponent of `polynomial`.</summary>
    public double Power { get; init; } = 1;

    /// <summary>The timescale of `inverse_sqrt` in steps; 0 takes the warm-up.</summary>
    public double Timescale { get; init; }

    /// <summary>The shape of the warm-up (`warmup_stable_decay`).</summary>
    public RampShape WarmupShape { get; init; } = RampShape.Linear;

    /// <summary>The shape of the decay (`warmup_stable_decay`).</summary>
    public RampShape DecayShape { get; init; } = RampShape.Linear;
}

/// <summary>The schedules by the names that `transformers` gives them.</summary>
public static class ScheduleTable
{
    private static readonly (string Name, Func<ScheduleSettings, ISchedule> Create)[] s_rows =
    [
        ("constant", _ => new ConstantSchedule()),
        ("constant_with_warmup", s => new ConstantSchedule(s.WarmupSteps)),
        ("linear", s => new LinearSchedule(s.WarmupSteps, s.TotalSteps)),
        ("cosine", s => new CosineSchedule(s.WarmupSteps, s.TotalSteps) { Cycles = s.Cycles ?? 0.5, MinRatio = s.MinRatio ?? 0 }),
        ("cosine_with_min_lr", s => new CosineSchedule(s.WarmupSteps, s.TotalSteps) { Cycles = s.Cycles ?? 0.5, MinRatio = s.MinRatio ?? 0 }),
        ("cosine_with_restarts", s => new CosineWithRestartsSchedule(s.WarmupSteps, s.TotalSteps, s.Cycles ?? 1)),
        ("cosine_warmup_with_min_lr", s => new CosineWithWarmupFloorSchedule(s.WarmupSteps, s.TotalSteps)
        {
            Cycles = s.Cycles ?? 0.5,
            MinRatio = s.MinRatio ?? 0,
            WarmupRatio = s.WarmupRatio,
        }),
        ("polynomial", s => new PolynomialSchedule(s.WarmupSteps, s.TotalSteps, s.MinRatio ?? 1e-4, s.Power)),
        ("inverse_sqrt", s => new InverseSqrtSchedule(s.WarmupSteps, s.Timescale)),
        ("warmup_stable_decay", s => new WarmupStableDecaySchedule(s.WarmupSteps, s.TotalSteps - s.WarmupSteps - s.DecaySteps, s.DecaySteps)
        {
            WarmupShape = s.WarmupShape,
            DecayShape = s.DecayShape,
            MinRatio = s.MinRatio ?? 0,
            Cycles = s.Cycles ?? 0.5,
        }),
        ("one_cycle", s => new OneCycleSchedule(s.TotalSteps)),
    ];

    /// <summary>The names that <see cref="Create"/> takes.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. s_rows.Select(r => r.Name)];

    /// <summary>The schedule called <paramref name="name"/>.</summary>
    /// <exception cref="ConfigurationException">There is no such schedule, or warm-up and decay are longer than the run.</exception>
    public static ISchedule Create(string name, ScheduleSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (settings.WarmupSteps < 0 || settings.DecaySteps < 0 || settings.TotalSteps < 0)
        {
            throw new ConfigurationException(
                $"schedule {name}: steps must not be negative; given are {settings.TotalSteps} in all, "
                + $"{settings.WarmupSteps} of warm-up, {settings.DecaySteps} of decay.");
        }

        foreach ((string known, Func<ScheduleSettings, ISchedule> create) in s_rows)
        {
            if (known == name)
            {
                if (name == "warmup_stable_decay" && settings.WarmupSteps + settings.DecaySteps > settings.TotalSteps)
                {
                    throw new ConfigurationException(
                        $"schedule {name}: {settings.WarmupSteps} steps of warm-up and {settings.DecaySteps} of decay "
                        + $"do not fit into {settings.TotalSteps} steps.");
                }

                return create(settings);
            }
        }

        throw new ConfigurationException($"There is no schedule '{name}'; known are {string.Join(", ", Names)}.");
    }
}
