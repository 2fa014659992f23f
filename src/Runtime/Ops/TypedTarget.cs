namespace Graft.Runtime;

/// <summary>The memory of an input's gradient for kernels that write or add in one type: the gradient's own, or a temporary where that has another type, as the F32 gradient of a BF16 parameter.</summary>
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
    public static TypedTarget Open(BackwardCall c, int input, DType type)
    {
        Tensor target = c.Target(input, out bool accumulate);
        return new TypedTarget(target, accumulate, target.DType == type ? target : c.Temporary(target.Shape, type));
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
