using Graft.Runtime;
using Graft.Training.Checkpoints;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training;

/// <summary>What one step of a phase does: usually micro-batches of forward and backward, then clip, then update; inner loops, several optimizers or two
/// gradients of one batch are programs of the same kind.</summary>
/// <remarks>A program owns its parameter sets and optimizers; disposing it gives back what training alone needed.</remarks>
public interface IStepProgram : IStateful, IDisposable
{
    /// <summary>Every set that the program trains.</summary>
    IReadOnlyList<ParameterSet> Sets { get; }

    /// <summary>Batches that one step takes.</summary>
    int BatchesPerStep { get; }

    /// <summary>Does one step. If it throws, nothing may have been updated.</summary>
    StepResult Run(StepContext c);
}

/// <summary>What a step is given.</summary>
public sealed class StepContext
{
    /// <summary>Takes activations; open a scope per micro-batch.</summary>
    public required Arena Arena { get; init; }

    /// <summary>Batches from where the run stands.</summary>
    public required IBatchSource Data { get; init; }

    /// <summary>Optimizer steps done before this one.</summary>
    public required long Step { get; init; }

    /// <summary>Random numbers of this step.</summary>
    public required Rng Random { get; init; }

    /// <summary>True in the first step of a phase, also after a resume: what never arrives shows here.</summary>
    public required bool IsFirst { get; init; }

    /// <summary>Measures the step: give it to the step's tapes, and say by <see cref="ProfileSpan.Open"/> what else it does. Null in most steps.</summary>
    public OpProfile? Profile { get; init; }

    /// <summary>To be asked before every micro-batch.</summary>
    public required CancellationToken Cancellation { get; init; }
}

/// <summary>Batches in an order that can be returned to.</summary>
public interface IBatchSource : IStateful
{
    /// <summary>The next batch; there is always one.</summary>
    Batch Next();

    /// <summary>Where the next batch begins; set it to go back.</summary>
    DataPosition Position { get; set; }

    /// <summary>Passes done at a position, with the fraction.</summary>
    double EpochAt(DataPosition position);
}
