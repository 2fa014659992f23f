using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>How an optimizer changes parameters: an <see cref="IUpdateRule"/> or an <see cref="ITensorUpdateRule"/>.</summary>
public interface IOptimizerRule
{
    /// <summary>Decay that a group without its own takes.</summary>
    double WeightDecay { get; }
}

/// <summary>A rule that acts element by element. A rule is a record of its hyperparameters and has no state of its own: that lies in slots.</summary>
/// <remarks>
/// <see cref="Update"/> is called for pieces of flat blocks, from several threads, in any order: what happens to an element may depend on nothing but that
/// element's values and the call's numbers.
/// A piece may hold parts of several parameters, or padding of zeros between them.
/// </remarks>
public interface IUpdateRule : IOptimizerRule
{
    /// <summary>How many F32 slots, each as large as the parameters, the rule keeps, at most <see cref="UpdateCall.MaxSlots"/>; all start at zero.</summary>
    int Slots { get; }

    /// <summary>Updates one piece.</summary>
    void Update(UpdateCall c);
}

/// <summary>A rule that needs a parameter whole: factored moments, projections of the gradient, orthogonalised updates.</summary>
public interface ITensorUpdateRule : IOptimizerRule
{
    /// <summary>The state that a parameter of this shape needs; all start at zero.</summary>
    IReadOnlyList<TensorSpec> StateOf(TensorSpec parameter);

    /// <summary>Updates one parameter; runs ops on the call's tape.</summary>
    void Update(TensorUpdateCall c);
}

/// <summary>One parameter, to be updated by a rule that sees it whole.</summary>
public readonly ref struct TensorUpdateCall
{
    /// <summary>Which parameter.</summary>
    public required ParameterEntry Entry { get; init; }

    /// <summary>Its F32 elements; written.</summary>
    public required Tensor Parameter { get; init; }

    /// <summary>Its gradient, clipped and averaged.</summary>
    public required Tensor Gradient { get; init; }

    /// <summary>Runs ops, records nothing; what it allocates ends with this call.</summary>
    public required Tape Tape { get; init; }

    /// <summary>The learning rate of this step: schedule, group and controllers applied.</summary>
    public required double LearningRate { get; init; }

    /// <summary>The group's decay, or the rule's.</summary>
    public required double WeightDecay { get; init; }

    /// <summary>The number of this update, 1 for the first.</summary>
    public required long Step { get; init; }

    /// <summary>State of this parameter, as declared by <see cref="ITensorUpdateRule.StateOf"/>; written.</summary>
    public Tensor State(int i) => Entry.TensorState[i];
}
