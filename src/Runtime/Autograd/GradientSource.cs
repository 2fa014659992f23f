namespace Graft.Runtime;

/// <summary>Where the gradient with respect to a tensor goes: a node of a tape, a parameter, or a watched tensor.</summary>
internal abstract class GradientSource
{
    /// <summary>True where the given tape would carry a gradient to it.</summary>
    public abstract bool RequiresGradient(Tape tape);

    /// <summary>Takes a gradient that another party computed; the first is referenced or copied, later ones are added.</summary>
    public abstract void Accumulate(Tape tape, int index, Tensor gradient);

    /// <summary>The tensor to compute a gradient into, and whether its content must be added to.</summary>
    public abstract Tensor Target(Tape tape, int index, out bool accumulate);
}

/// <summary>A gradient on its way: who holds it alone may write into it.</summary>
internal struct GradientSlot
{
    public Tensor? Value { get; private set; }

    public readonly bool HasValue => Value is not null;

    public void Accumulate(Tape tape, TensorSpec spec, Tensor gradient)
    {
        if (Value is null && gradient.DType != tape.Device.GradientType(spec.DType) && tape.Device.Plans == DeviceKind.Cuda)
        {
            Tensor cast = Target(tape, spec, out _);
            tape.Device.CastInto(cast, gradient);
            return;
        }

        if (Value is null)
        {
            // A reference, not a copy: the same gradient may pass to several inputs (addition), and none writes while others hold it.
            Value = gradient.Shape == spec.Shape ? gradient : gradient.Alias(spec.Shape);
            Value.Storage.Retain();
            return;
        }

        Tensor sum = Writable(tape, spec);
        tape.AddInto(sum, gradient);
    }

    public Tensor Target(Tape tape, TensorSpec spec, out bool accumulate)
    {
        accumulate = Value is not null;
        if (Value is null)
        {
            Value = tape.Arena.Allocate(spec.Shape, tape.Device.GradientType(spec.DType), MemoryCategory.Activations);
            Value.Storage.Retain();
            Value.Storage.Disown();
            return Value;
        }

        return Writable(tape, spec);
    }

    public Tensor? Take()
    {
        Tensor? value = Value;
        Value = null;
        return value;
    }

    public void Release()
    {
        Take()?.Storage.Release();
    }

    /// <summary>Gradients of 16-bit parameters are F32, and so are those of 16-bit activations on the CPU.</summary>
    public static DType GradientType(DType dtype) => dtype == DType.F64 ? DType.F64 : DType.F32;

    private Tensor Writable(Tape tape, TensorSpec spec)
    {
        Tensor held = Value!;
        // Exclusive by count is not enough where the block is larger than this view of it.
        if (held.Storage.IsExclusive && held.Storage.Bytes == BlockAllocator.RoundUp(held.Spec.Bytes))
        {
            return held;
        }

        Tensor copy = tape.Arena.Allocate(spec.Shape, held.DType, MemoryCategory.Activations);
        copy.Storage.Retain();
        copy.Storage.Disown();
        copy.CopyFrom(held);
        held.Storage.Release();
        Value = copy;
        return copy;
    }
}
