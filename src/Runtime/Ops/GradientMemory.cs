namespace Graft.Runtime;

/// <summary>
/// The memory that a kernel writes a gradient to. CPU kernels overwrite, so later contributions go to a temporary that is added;
/// CUDA kernels add by themselves where <see cref="Adds"/>, which saves two passes over memory.
/// </summary>
internal readonly struct GradientMemory
{
    private readonly Tensor? _target;
    private readonly bool _accumulate;

    private GradientMemory(Tensor memory, Tensor? target, bool accumulate)
    {
        Tensor = memory;
        Adds = accumulate && target is null;
        _target = target;
        _accumulate = accumulate;
    }

    /// <summary>What the kernel writes; null where the input needs no gradient.</summary>
    public Tensor? Tensor { get; }

    /// <summary>True where the kernel must add to what is there.</summary>
    public bool Adds { get; }

    /// <summary>The memory for the gradient of an activation, in the activation's dtype on CUDA; hand it to <see cref="Close"/> afterwards.</summary>
    public static GradientMemory Open(BackwardCall c, int input) => Open(c, input, c.InputSpec(input).DType);

    /// <summary>The same for a vector of weights, which kernels write in whatever dtype it has.</summary>
    public static GradientMemory OpenWeight(BackwardCall c, int input) => Open(c, input, null);

    public void Close(BackwardCall c)
    {
        if (_target is not null && _accumulate)
        {
            c.Tape.AddInto(_target, Tensor!);
        }
        else if (_target is not null)
        {
            c.Tape.Device.CastInto(_target, Tensor!);
        }
    }

    private static GradientMemory Open(BackwardCall c, int input, DType? written)
    {
        if (input >= c.Count || !c.Needs(input))
        {
            return default;
        }

        Tensor target = c.Target(input, out bool accumulate);
        bool direct = c.Plans == DeviceKind.Cuda ? written is null || written == target.DType : !accumulate;
        DType type = c.Plans == DeviceKind.Cuda && written is { } own ? own : target.DType;
        return direct ? new(target, null, accumulate) : new(c.Temporary(target.Shape, type), target, accumulate);
    }
}
