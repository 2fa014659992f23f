using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>One run of an op's backward.</summary>
/// <remarks>Two ways to give a gradient: <see cref="Accumulate"/> a finished tensor, or ask for the <see cref="Target"/> and write (or add) into it, which saves a temporary.</remarks>
public readonly ref struct BackwardCall
{
    private readonly Node _node;

    internal BackwardCall(Tape eager, Node node)
    {
        Tape = eager;
        _node = node;
    }

    /// <summary>Runs ops, records nothing; what it allocates ends with this call unless it became a gradient.</summary>
    public Tape Tape { get; }

    /// <summary>How many inputs forward was given.</summary>
    public int Count => _node.Inputs.Length;

    /// <summary>The gradient of the first output. Never write into it: others may hold it too.</summary>
    public Tensor OutputGradient => OutputGradientAt(0) ?? throw new AutogradException($"{_node.Info.Name}: its first output has no gradient; ask OutputGradientAt(0).");

    /// <summary>The first output; only if <c>Saves</c> names it.</summary>
    public Tensor Output => OutputAt(0);

    /// <summary>True on the CPU: kernels run on <see cref="Cpu"/>. False on meta, where nothing is computed.</summary>
    public bool OnCpu => Tape.Device.Kind == DeviceKind.Cpu;

    /// <summary>True on a CUDA card (or its emulator): kernels run on <see cref="Cuda"/>.</summary>
    public bool OnCuda => Tape.Device.Kind == DeviceKind.Cuda;

    /// <summary>The device that computes: the tape's, or the one that a meta device plans for.</summary>
    public DeviceKind Plans => Tape.Device.Plans;

    /// <summary>The CUDA device.</summary>
    public CudaDevice Cuda => (CudaDevice)Tape.Device;

    /// <summary>The CPU device.</summary>
    public CpuDevice Cpu => (CpuDevice)Tape.Device;

    internal WorkerTeam Team => Cpu.Team;

    /// <summary>True where input <paramref name="i"/> needs a gradient; work for others is wasted.</summary>
    public bool Needs(int i) => _node.Needs[i];

    /// <summary>Shape and dtype of an input; always there.</summary>
    public TensorSpec InputSpec(int i) => _node.Inputs[i].Spec;

    /// <summary>An input; only if <c>Saves</c> names it.</summary>
    public Tensor Input(int i)
    {
        Require(_node.Saves.Inputs, i, "input");
        return _node.Inputs[i];
    }

    /// <summary>An output; only if <c>Saves</c> names it.</summary>
    public Tensor OutputAt(int i)
    {
        Require(_node.Saves.Outputs, i, "output");
        return _node.OutputAt(i);
    }

    /// <summary>A tensor that forward saved; only if <c>Saves</c> names it.</summary>
    public Tensor Saved(int i = 0)
    {
        Require(_node.Saves.Saved, i, "saved tensor");
        return _node.Extras[i];
    }

    /// <summary>The gradient of an output; null where none arrived.</summary>
    public Tensor? OutputGradientAt(int i) => _node.Gradient(i);

    /// <summary>Scratch that ends with this call.</summary>
    public Tensor Temporary(Shape shape, DType dtype = DType.F32) => Tape.Arena.Allocate(shape, dtype, MemoryCategory.Workspace);

    /// <summary>Gives a finished gradient of input <paramref name="i"/>: the first contribution is referenced, later ones are added. Same number of elements as the input.</summary>
    public void Accumulate(int i, Tensor gradient)
    {
        ArgumentNullException.ThrowIfNull(gradient);
        Tensor input = Checked(i);
        if (gradient.Shape.Count != input.Shape.Count)
        {
            throw new ShapeException($"{_node.Info.Name}: a gradient of {gradient.Spec} was given for input {i} of {input.Spec}.");
        }

        input.Source!.Accumulate(Tape, input.OutputIndex, gradient);
    }

    /// <summary>The memory of the gradient of input <paramref name="i"/>, F32 (F64 for F64): write it, or add to it where <paramref name="accumulate"/>.</summary>
    public Tensor Target(int i, out bool accumulate)
    {
        Tensor input = Checked(i);
        return input.Source!.Target(Tape, input.OutputIndex, out accumulate);
    }

    private Tensor Checked(int i)
    {
        return Needs(i) ? _node.Inputs[i] : throw new AutogradException($"{_node.Info.Name}: input {i} needs no gradient; ask Needs({i}) first.");
    }

    private void Require(uint mask, int i, string kind)
    {
        if ((mask >> i & 1) == 0)
        {
            throw new AutogradException($"{_node.Info.Name}: backward reads {kind} {i}, which Saves does not name.");
        }
    }
}
