namespace Graft.Runtime;

/// <summary>The memory that a kernel writes an input's gradient to: the gradient's own, or a temporary where the kernel works in another type (the F32 gradient of a BF16 parameter) or cannot add.</summary>
internal readonly struct TypedTarget
{
    private readonly Tensor _target;
    private readonly bool _accumulate;

    private TypedTarget(Tensor target, bool accumulate, Tensor memory)
    {
        _target = target;
        _accumulate = accumulate;
        Memory = memory;
    }

    /// <summary>What the kernel writes.</summary>
    public Tensor Memory { get; }

    /// <summary>Whether it must add to what is there.</summary>
    public bool Add => _accumulate && Memory == _target;

    /// <summary>The memory to write; <see cref="Close"/> it afterwards.</summary>
    /// <param name="c">The call.</param>
    /// <param name="input">Which input's gradient.</param>
    /// <param name="type">The dtype that the kernel writes.</param>
    /// <param name="adds">Whether it adds where asked to; the same for the device and a plan for it.</param>
    public static TypedTarget Open(BackwardCall c, int input, DType type, bool adds = true)
    {
        Tensor target = c.Target(input, out bool accumulate);
        bool own = target.DType == type && (adds || !accumulate);
        return new TypedTarget(target, accumulate, own ? target : c.Temporary(target.Shape, type));
    }

    public void Close(BackwardCall c)
    {
        if (Memory == _target)
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
}
