namespace Graft.Runtime;

/// <summary>
/// The memory that a kernel writes a gradient to: the gradient's own, or a temporary where the kernel works in another type (the F32 gradient of a BF16 parameter) or
/// cannot add. CUDA kernels add by themselves, which saves two passes over memory.
/// </summary>
internal readonly struct GradientMemory
{
    private readonly Tensor? _target;
    private readonly bool _accumulate;

    private GradientMemory(Tensor target, bool accumulate, Tensor memory)
    {
        _target = target;
        _accumulate = accumulate;
        Tensor = memory;
    }

    /// <summary>What the kernel writes; null where the input needs no gradient.</summary>
    public Tensor? Tensor { get; }

    /// <summary>What the kernel writes, of an input that needs a gradient.</summary>
    public Tensor Memory => Tensor!;

    /// <summary>True where the kernel must add to what is there.</summary>
    public bool Adds => _accumulate && Tensor == _target;

    /// <summary>For kernels that add on CUDA and overwrite on the CPU, in the activation's dtype on CUDA; hand it to <see cref="Close"/> afterwards.</summary>
    public static GradientMemory Open(BackwardCall c, int input)
        => input < c.Count && c.Needs(input) ? Take(c, input, c.Plans == DeviceKind.Cuda ? c.InputSpec(input).DType : null, c.Plans == DeviceKind.Cuda) : default;

    /// <summary>The same for a vector of weights, which kernels write in whatever dtype it has.</summary>
    public static GradientMemory OpenWeight(BackwardCall c, int input)
        => input < c.Count && c.Needs(input) ? Take(c, input, null, c.Plans == DeviceKind.Cuda) : default;

    /// <summary>For an input that needs a gradient and kernels that write a given dtype.</summary>
    /// <param name="c">The call.</param>
    /// <param name="input">Which input's gradient.</param>
    /// <param name="type">The dtype that the kernel writes.</param>
    /// <param name="adds">Whether it adds where asked to; the same for the device and a plan for it.</param>
    public static GradientMemory Open(BackwardCall c, int input, DType type, bool adds = true) => Take(c, input, type, adds);

    public void Close(BackwardCall c)
    {
        if (_target is null || Tensor == _target)
        {
            return;
        }

        if (_accumulate)
        {
            c.Tape.AddInto(_target, Memory);
        }
        else
        {
            c.Tape.Device.CastInto(_target, Memory);
        }
    }

    private static GradientMemory Take(BackwardCall c, int input, DType? written, bool adds)
    {
        Tensor target = c.Target(input, out bool accumulate);
        DType type = written ?? target.DType;
        bool own = target.DType == type && (adds || !accumulate);
        return new GradientMemory(target, accumulate, own ? target : c.Temporary(target.Shape, type));
    }
}
