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

    /// <summary>True where gradients are read by <see cref="UpdateCall.ForEach"/> alone, or multiplied by <see cref="UpdateCall.GradientScale"/>: clipping then costs no pass of
    /// its own. Others get gradients that are multiplied already.</summary>
    bool ScalesGradients => false;

    /// <summary>Updates one piece.</summary>
    void Update(UpdateCall c);
}

/// <summary>An element-wise rule that brings kernels for devices whose memory the host cannot reach. Others are run there through host memory.</summary>
public interface IDeviceUpdateRule : IUpdateRule
{
    /// <summary>Updates a whole block by kernels of its device; the same numbers as <see cref="IUpdateRule.Update"/>.</summary>
    /// <returns>False, and nothing done, where there are none for this device or these hyperparameters.</returns>
    bool TryUpdate(DeviceUpdate c);
}

/// <summary>One flat block on a device, to be updated by kernels.</summary>
public readonly ref struct DeviceUpdate
{
    private readonly ReadOnlySpan<Tensor> _slots;

    internal DeviceUpdate(Tensor parameter, Tensor gradient, ReadOnlySpan<Tensor> slots)
    {
        Parameter = parameter;
        Gradient = gradient;
        _slots = slots;
    }

    /// <summary>(n) F32; written.</summary>
    public Tensor Parameter { get; }

    /// <summary>(n) F32, clipped and averaged.</summary>
    public Tensor Gradient { get; }

    /// <summary>The learning rate of this step: schedule, group and controllers applied.</summary>
    public double LearningRate { get; init; }

    /// <summary>The group's decay, or the rule's.</summary>
    public double WeightDecay { get; init; }

    /// <summary>The number of this update, 1 for the first.</summary>
    public long Step { get; init; }

    /// <summary>A slot of the rule, (n) F32; written.</summary>
    public Tensor Slot(int i) => _slots[i];
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
