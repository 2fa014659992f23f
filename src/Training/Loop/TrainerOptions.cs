using Graft.Runtime;

namespace Graft.Training;

/// <summary>How a run goes, apart from its phases.</summary>
public sealed record TrainerOptions
{
    /// <summary>Seed of everything random in the steps.</summary>
    public ulong Seed { get; init; } = 42;

    /// <summary>Write the mean loss into the history every so many optimizer steps.</summary>
    public long LogEvery { get; init; } = 10;

    /// <summary>Measures a held-out set; null for none.</summary>
    public IEvaluator? Evaluator { get; init; }

    /// <summary>Evaluate every so many optimizer steps; 0 only before and after training.</summary>
    public long EvaluateEvery { get; init; }

    /// <summary>Evaluate before the first step.</summary>
    public bool EvaluateAtStart { get; init; }

    /// <summary>Stop when evaluations make no progress.</summary>
    public EarlyStoppingOptions EarlyStopping { get; init; } = new();

    /// <summary>The folder of checkpoints; null writes none.</summary>
    public string? CheckpointFolder { get; init; }

    /// <summary>Write a checkpoint every so many optimizer steps; 0 only at the end.</summary>
    public long SaveEvery { get; init; }

    /// <summary>How many of the newest checkpoints to keep; the best is kept besides.</summary>
    public int KeepCheckpoints { get; init; } = 2;

    /// <summary>Go on from the newest complete checkpoint in the folder, if there is one.</summary>
    public bool Resume { get; init; }

    /// <summary>Write a checkpoint at every best evaluation, and end with its weights rather than the last ones.</summary>
    public bool KeepBest { get; init; }

    /// <summary>Refuse to begin where none of these end-of-sequence tokens carries loss in a phase's data; empty leaves the check out.</summary>
    public IReadOnlyList<int> StopTokens { get; init; } = [];

    /// <summary>Every parameter of the model: needed to resume runs of several phases that train different ones.</summary>
    public IReadOnlyList<Parameter> Parameters { get; init; } = [];

    /// <summary>Measures where the time of some steps goes, op by op; null for none. See <see cref="StepProfiled"/> and <see cref="Trainer.Profile"/>.</summary>
    public StepProfileOptions? Profile { get; init; }

    /// <summary>Takes every event besides the enumeration.</summary>
    public IProgress<TrainingEvent>? Progress { get; init; }

    /// <summary>Measures durations.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
