using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training;

/// <summary>By what the sum of a term is divided, over all micro-batches (and ranks) of a step.</summary>
public enum LossUnit
{
    /// <summary>Tokens with loss.</summary>
    Tokens,

    /// <summary>Samples.</summary>
    Samples,

    /// <summary>Micro-batches: auxiliary losses that are means already.</summary>
    MicroBatches,
}

/// <summary>One term of an objective on one micro-batch.</summary>
/// <param name="Name">For logs; the same in every micro-batch.</param>
/// <param name="Sum">One element: the sum over the units of the micro-batch, never their mean.</param>
/// <param name="Weight">What it enters the loss with.</param>
/// <param name="Unit">By what it is divided.</param>
public readonly record struct LossTerm(string Name, Tensor Sum, double Weight = 1, LossUnit Unit = LossUnit.Tokens);

/// <summary>What one forward of an objective is given.</summary>
public sealed class ObjectiveCall
{
    /// <summary>Runs the ops, and records them in training.</summary>
    public required Tape Tape { get; init; }

    /// <summary>The micro-batch.</summary>
    public required Batch Batch { get; init; }

    /// <summary>Random numbers of this micro-batch of this step; each use takes a stream of its own name.</summary>
    public required Rng Random { get; init; }

    /// <summary>True in training, false in evaluation: dropout.</summary>
    public required bool IsTraining { get; init; }

    /// <summary>True where layers are to be run again in backward instead of being kept.</summary>
    public bool ActivationCheckpointing { get; init; }

    /// <summary>Where the batch's integers lie on the device already; null where the objective brings them there itself.</summary>
    public BatchInputs? Inputs { get; init; }
}

/// <summary>What a run makes smaller: sums of losses of a batch. Implement it for a new loss, preference pairs, distillation, ...</summary>
public interface IObjective
{
    /// <summary>Runs the model on a micro-batch and returns the terms; they are added with their weights, divided by the global counts and walked backward by
    /// the step.</summary>
    IReadOnlyList<LossTerm> Forward(ObjectiveCall c);
}

/// <summary>An objective that can also say which tokens the model would have chosen.</summary>
public interface IMeasuredObjective : IObjective
{
    /// <summary>For every position of the batch with a target, in order: the loss, and whether the most likely token was the target. Records nothing.</summary>
    /// <param name="c">The call.</param>
    /// <param name="report">Takes position in the batch, loss in nats and whether it was right.</param>
    void Measure(ObjectiveCall c, Action<int, double, bool> report);
}
