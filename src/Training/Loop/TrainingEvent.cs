using Graft.Runtime;

namespace Graft.Training;

/// <summary>What a run tells its host. A closed set: match on the type.</summary>
/// <param name="Step">Optimizer steps done.</param>
public abstract record TrainingEvent(long Step);

/// <summary>The run begins, or goes on from a checkpoint.</summary>
/// <param name="Step">Optimizer steps done before.</param>
/// <param name="TotalSteps">Optimizer steps of the whole run; 0 where exit rules decide.</param>
/// <param name="TrainedElements">Elements that are trained.</param>
/// <param name="AllElements">Elements of all parameters of the set.</param>
/// <param name="ResumedFrom">The checkpoint's folder; null for a new run.</param>
public sealed record TrainingStarted(long Step, long TotalSteps, long TrainedElements, long AllElements, string? ResumedFrom) : TrainingEvent(Step);

/// <summary>Another phase of the run begins.</summary>
/// <param name="Step">Optimizer steps done.</param>
/// <param name="Phase">Its name.</param>
/// <param name="Index">Its number, from 0.</param>
public sealed record PhaseStarted(long Step, string Phase, int Index) : TrainingEvent(Step);

/// <summary>An optimizer step is done.</summary>
/// <param name="Step">Optimizer steps done, this one included.</param>
/// <param name="Epoch">Passes over the data, with the fraction.</param>
/// <param name="Result">Loss, rate, norm, counts.</param>
/// <param name="Seconds">Duration of the step.</param>
/// <param name="Memory">Bytes held between steps, by category.</param>
/// <param name="StepPeak">Most bytes that the step held besides, by category at that moment.</param>
public sealed record StepCompleted(long Step, double Epoch, StepResult Result, double Seconds, MemoryUse Memory, MemoryUse StepPeak) : TrainingEvent(Step)
{
    /// <summary>Tokens per second, padding not counted.</summary>
    public double TokensPerSecond => Seconds > 0 ? Result.Tokens / Seconds : 0;
}

/// <summary>Where the time of a step went: comes after its <see cref="StepCompleted"/>, for the steps that <see cref="TrainerOptions.Profile"/> asks for.</summary>
/// <param name="Step">Optimizer steps done, this one included.</param>
/// <param name="Families">Ops by name and phase, and the step's other parts, the most expensive first.</param>
/// <param name="OutsideSeconds">What none of them accounts for: the model's own code and the recording.</param>
public sealed record StepProfiled(long Step, IReadOnlyList<OpFamilyCost> Families, double OutsideSeconds) : TrainingEvent(Step)
{
    /// <summary>The whole step: all families and what is outside of them.</summary>
    public double Seconds => OutsideSeconds + Families.Sum(f => f.Seconds);
}

/// <summary>A held-out set was evaluated.</summary>
/// <param name="Step">Optimizer steps done.</param>
/// <param name="Result">Loss and accuracies.</param>
/// <param name="IsBest">True where no evaluation before was better.</param>
public sealed record EvaluationCompleted(long Step, EvaluationResult Result, bool IsBest) : TrainingEvent(Step);

/// <summary>A checkpoint is complete on the disk.</summary>
/// <param name="Step">Optimizer steps done.</param>
/// <param name="Path">Its folder.</param>
public sealed record CheckpointSaved(long Step, string Path) : TrainingEvent(Step);

/// <summary>Something a user should know that does not end the run.</summary>
/// <param name="Step">Optimizer steps done.</param>
/// <param name="Message">What, and what to do.</param>
public sealed record TrainingWarning(long Step, string Message) : TrainingEvent(Step);

/// <summary>The run is over.</summary>
/// <param name="Step">Optimizer steps done.</param>
/// <param name="Reason">Why.</param>
/// <param name="BestMetric">The best evaluation loss; null without evaluations.</param>
/// <param name="BestStep">Where that was.</param>
public sealed record TrainingFinished(long Step, FinishReason Reason, double? BestMetric, long? BestStep) : TrainingEvent(Step);

/// <summary>Why a run is over.</summary>
public enum FinishReason
{
    /// <summary>All phases have run to their end.</summary>
    Completed,

    /// <summary>Evaluations made no progress any more.</summary>
    EarlyStopped,
}
