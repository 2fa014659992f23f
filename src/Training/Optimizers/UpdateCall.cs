using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Graft.Training.Optimizers;

/// <summary>One piece of the flat blocks, to be updated by a rule.</summary>
public readonly unsafe ref struct UpdateCall
{
    /// <summary>The most slots of a rule.</summary>
    public const int MaxSlots = 4;

    private readonly SlotAddresses _slots;
    private readonly int _slotCount;

    internal UpdateCall(Span<float> parameter, ReadOnlySpan<float> gradient, SlotAddresses slots, int slotCount, int start)
    {
        Parameter = parameter;
        Gradient = gradient;
        GradientScale = 1;
        _slotCount = slotCount;
        for (int i = 0; i < slotCount; i++)
        {
            _slots[i] = slots[i] + ((nint)start * sizeof(float));
        }
    }

    /// <summary>The parameters; written.</summary>
    public Span<float> Parameter { get; }

    /// <summary>Their gradients, averaged, and clipped once multiplied by <see cref="GradientScale"/>.</summary>
    public ReadOnlySpan<float> Gradient { get; }

    /// <summary>A factor on the gradients that <see cref="ForEach"/> applies; 1 unless the rule says <see cref="IUpdateRule.ScalesGradients"/>.</summary>
    public float GradientScale { get; init; }

    /// <summary>The learning rate of this step: schedule, group and controllers applied.</summary>
    public double LearningRate { get; init; }

    /// <summary>The group's decay, or the rule's.</summary>
    public double WeightDecay { get; init; }

    /// <summary>The number of this update, 1 for the first.</summary>
    public long Step { get; init; }

    /// <summary>A slot of the rule, as long as the parameters; written.</summary>
    public Span<float> Slot(int i)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)i, (uint)_slotCount, nameof(i));
        return new Span<float>((void*)_slots[i], Parameter.Length);
    }

    /// <summary>Applies a function of parameter, scaled gradient and up to three slots to every element, by vectors; the last, shorter one goes through a padded copy,
    /// so that all elements are computed alike.</summary>
    public void ForEach<TFunction>(TFunction function)
        where TFunction : struct, IUpdateFunction
    {
        Span<float> m = _slotCount > 0 ? Slot(0) : default;
        Span<float> v = _slotCount > 1 ? Slot(1) : default;
        Span<float> x = _slotCount > 2 ? Slot(2) : default;
        int done = Whole(function, Parameter, Gradient, GradientScale, m, v, x);
        if (done < Parameter.Length)
        {
            Last(function, done, Parameter, Gradient, GradientScale, m, v, x);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static int Whole<TFunction>(
        TFunction function, Span<float> parameter, ReadOnlySpan<float> gradient, float gradientScale, Span<float> m, Span<float> v, Span<float> x)
        where TFunction : struct, IUpdateFunction
    {
        int width = Vector<float>.Count;
        Vector<float> scale = new(gradientScale);
        int i = 0;
        for (; i <= parameter.Length - width; i += width)
        {
            Vector<float> p = Load(parameter, i);
            Vector<float> mi = Load(m, i);
            Vector<float> vi = Load(v, i);
            Vector<float> xi = Load(x, i);
            function.Invoke(ref p, Load(gradient, i) * scale, ref mi, ref vi, ref xi);
            Store(p, parameter, i);
            Store(mi, m, i);
            Store(vi, v, i);
            Store(xi, x, i);
        }

        return i;
    }

    private static void Last<TFunction>(
        TFunction function, int i, Span<float> parameter, ReadOnlySpan<float> gradient, float gradientScale, Span<float> m, Span<float> v, Span<float> x)
        where TFunction : struct, IUpdateFunction
    {
        Span<float> buffer = stackalloc float[Vector<float>.Count];
        Vector<float> p = Rest(parameter, i, buffer);
        Vector<float> mi = Rest(m, i, buffer);
        Vector<float> vi = Rest(v, i, buffer);
        Vector<float> xi = Rest(x, i, buffer);
        function.Invoke(ref p, Rest(gradient, i, buffer) * gradientScale, ref mi, ref vi, ref xi);
        StoreRest(p, parameter, i, buffer);
        StoreRest(mi, m, i, buffer);
        StoreRest(vi, v, i, buffer);
        StoreRest(xi, x, i, buffer);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Load(ReadOnlySpan<float> values, int at)
    {
        return values.IsEmpty ? default : Vector.LoadUnsafe(ref MemoryMarshal.GetReference(values), (nuint)at);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector<float> value, Span<float> slot, int at)
    {
        if (!slot.IsEmpty)
        {
            value.StoreUnsafe(ref MemoryMarshal.GetReference(slot), (nuint)at);
        }
    }

    private static Vector<float> Rest(ReadOnlySpan<float> values, int at, Span<float> buffer)
    {
        if (values.IsEmpty)
        {
            return default;
        }

        buffer.Clear();
        values[at..].CopyTo(buffer);
        return new Vector<float>(buffer);
    }

    private static void StoreRest(Vector<float> value, Span<float> values, int at, Span<float> buffer)
    {
        if (!values.IsEmpty)
        {
            value.CopyTo(buffer);
            buffer[..(values.Length - at)].CopyTo(values[at..]);
        }
    }
}

/// <summary>An update of some elements: the whole of an element-wise rule.</summary>
public interface IUpdateFunction
{
    /// <summary>Changes parameters <paramref name="p"/> and slots by gradients <paramref name="g"/>; slots that the rule does not have are ignored.</summary>
    void Invoke(ref Vector<float> p, Vector<float> g, ref Vector<float> slot0, ref Vector<float> slot1, ref Vector<float> slot2);
}

/// <summary>Where the slots of a piece begin.</summary>
[InlineArray(UpdateCall.MaxSlots)]
internal struct SlotAddresses
{
    private nint _first;
}
