using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Graft.Runtime;

/// <summary>Metadata of a block of memory in an <see cref="Arena"/>: shape, dtype and where it lies. Row-major and contiguous.</summary>
/// <remarks>Not disposable: its arena and scope decide how long the memory lives. Use after that is an <see cref="ObjectDisposedException"/> that names the tensor.</remarks>
public sealed class Tensor
{
    private readonly long _byteOffset;
    private readonly int _generation;
    private readonly object _label; // the scope's name, or a Label: one reference less in the header of each result
    private byte _outputIndex;

    internal Tensor(Shape shape, DType dtype, Storage storage, long byteOffset, object label)
    {
        _generation = storage.Generation;
        _label = label;
        Shape = shape;
        DType = dtype;
        Storage = storage;
        _byteOffset = byteOffset;
    }

    /// <summary>Axis lengths.</summary>
    public Shape Shape { get; }

    /// <summary>Element type.</summary>
    public DType DType { get; }

    /// <summary>The name used in messages; null for most intermediate results.</summary>
    public string? Name => (_label as Label)?.Name;

    /// <summary>Shape and dtype together.</summary>
    public TensorSpec Spec => new(Shape, DType);

    /// <summary>The device that holds the elements.</summary>
    public Device Device => Storage.Arena.Device;

    /// <summary>The arena that holds the elements.</summary>
    public Arena Arena => Storage.Arena;

    /// <summary>False once the scope or arena that owned the memory has ended.</summary>
    public bool IsAlive => Storage.Generation == _generation && Storage.IsAlive;

    internal Storage Storage { get; }

    private string Scope => _label as string ?? ((Label)_label).Scope;

    /// <summary>Where a gradient with respect to this tensor goes; null for constants.</summary>
    internal GradientSource? Source { get; set; }

    /// <summary>Which output of its node this is.</summary>
    internal int OutputIndex
    {
        get => _outputIndex;
        set => _outputIndex = (byte)value;
    }

    /// <summary>The elements, writable. Host memory only.</summary>
    /// <exception cref="DTypeException">The elements are of another type.</exception>
    /// <exception cref="ObjectDisposedException">The memory's lifetime is over.</exception>
    /// <exception cref="GraftException">The tensor lies on a device whose memory the host cannot read.</exception>
    public unsafe Span<T> AsSpan<T>()
        where T : unmanaged
    {
        return new Span<T>(Pointer<T>(), checked((int)Shape.Count));
    }

    /// <summary>The elements, read only; throws as <see cref="AsSpan{T}"/> does.</summary>
    public ReadOnlySpan<T> AsReadOnlySpan<T>()
        where T : unmanaged
    {
        return AsSpan<T>();
    }

    /// <summary>The bytes of the elements, read only, whatever their type; throws as <see cref="AsSpan{T}"/> does.</summary>
    public unsafe ReadOnlySpan<byte> AsBytes() => new(RawPointer(), checked((int)Spec.Bytes));

    /// <summary>A managed copy of the elements, from any device that holds some.</summary>
    /// <exception cref="DTypeException">The elements are of another type.</exception>
    /// <exception cref="ObjectDisposedException">The memory's lifetime is over.</exception>
    /// <exception cref="GraftException">The tensor lies on meta.</exception>
    public T[] ToArray<T>()
        where T : unmanaged
    {
        T[] values = new T[Shape.Count];
        CopyTo(values.AsSpan());
        return values;
    }

    /// <summary>Copies elements from <paramref name="start"/> on to the host, as many as fit; throws as <see cref="ToArray{T}"/> does.</summary>
    public void CopyTo<T>(Span<T> destination, long start = 0)
        where T : unmanaged
    {
        CheckRange<T>(start, destination.Length);
        if (!Device.Computes)
        {
            ThrowNotOnHost();
        }

        if (destination.Length > 0)
        {
            Device.Download(DevicePointer() + (nint)(start * DType.Size()), MemoryMarshal.AsBytes(destination));
        }
    }

    /// <summary>The bytes of elements from byte <paramref name="start"/> on, copied to the host whatever their type.</summary>
    internal void ReadBytes(long start, Span<byte> destination)
    {
        if (start < 0 || start + destination.Length > Spec.Bytes)
        {
            throw new ShapeException($"{this}: {destination.Length} bytes from {start} on were asked for; it has {Spec.Bytes}.");
        }

        Device.Download(DevicePointer() + (nint)start, destination);
    }

    /// <summary>The one element of a tensor of one element, as a double. NaN on the meta device, which computes nothing.</summary>
    public double ReadScalar()
    {
        if (Shape.Count != 1)
        {
            throw new ShapeException($"{this}: ReadScalar needs a tensor of one element.");
        }

        return !Device.Computes ? double.NaN : DType switch
        {
            DType.F32 => First<float>(),
            DType.F64 => First<double>(),
            DType.BF16 => (float)First<BFloat16>(),
            DType.F16 => (double)First<Half>(),
            DType.I64 => First<long>(),
            DType.I32 => First<int>(),
            DType.U8 => First<byte>(),
            _ => First<bool>() ? 1 : 0,
        };
    }

    /// <summary>Overwrites all elements; does nothing on the meta device.</summary>
    /// <exception cref="ShapeException">Another number of elements.</exception>
    public void CopyFrom<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (values.Length != Shape.Count)
        {
            throw new ShapeException($"{this}: {values.Length} values were given for {Shape.Count} elements.");
        }

        Write(values, 0);
    }

    /// <summary>Overwrites elements from <paramref name="start"/> on, as many as are given; does nothing on the meta device.</summary>
    /// <exception cref="ShapeException">They reach past the end.</exception>
    /// <exception cref="DTypeException">The elements are of another type.</exception>
    public void Write<T>(ReadOnlySpan<T> values, long start)
        where T : unmanaged
    {
        CheckRange<T>(start, values.Length);
        if (Device.Computes && values.Length > 0)
        {
            Device.Upload(MemoryMarshal.AsBytes(values), DevicePointer() + (nint)(start * DType.Size()));
        }
    }

    /// <summary>Overwrites all elements with those of another tensor of the same shape and dtype, from any device; does nothing where either lies on meta.</summary>
    public void CopyFrom(Tensor source)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (source.Spec != Spec)
        {
            throw new ShapeException($"{this} cannot be overwritten by {source}: shape and dtype must be the same.");
        }

        if (Device.Computes && source.Device.Computes && Shape.Count > 0)
        {
            DeviceTransfer.Copy(source, this);
        }
    }

    /// <summary>Overwrites a run of elements with a run of another tensor's, of the same dtype and on the same device; does nothing on the meta device.</summary>
    /// <param name="source">Where they come from.</param>
    /// <param name="sourceStart">The first of them.</param>
    /// <param name="start">Where they go.</param>
    /// <param name="count">How many.</param>
    public void CopyFrom(Tensor source, long sourceStart, long start, long count)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (source.DType != DType || source.Device != Device || long.Min(sourceStart, start) < 0 || count < 0
            || sourceStart + count > source.Shape.Count || start + count > Shape.Count)
        {
            throw new ShapeException($"{this}: {count} elements of {source} from {sourceStart} on cannot go to {start}: one dtype, one device and enough elements are needed.");
        }

        if (Device.Computes && count > 0)
        {
            int size = DType.Size();
            Device.Copy(source.DevicePointer() + (nint)(sourceStart * size), DevicePointer() + (nint)(start * size), count * size);
        }
    }

    /// <summary>Overwrites all elements with those of a float tensor of as many on the same device, rounded to this tensor's dtype (nearest, ties to even); does nothing on the meta device.</summary>
    /// <exception cref="ShapeException">Another number of elements, or another device.</exception>
    /// <exception cref="DTypeException">Either is no float tensor.</exception>
    public void CastFrom(Tensor source)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (source.Shape.Count != Shape.Count || source.Device != Device)
        {
            throw new ShapeException($"{this} cannot take the numbers of {source}: as many elements on one device are needed.");
        }

        if (!DType.IsFloat() || !source.DType.IsFloat())
        {
            ThrowDType("a float");
        }

        if (Device.Computes && Shape.Count > 0)
        {
            Device.CastInto(this, source);
        }
    }

    /// <summary>Sets all bytes to zero; does nothing on the meta device.</summary>
    public void Clear()
    {
        if (Device.Computes && Shape.Count > 0)
        {
            Device.Fill(DevicePointer(), 0, Spec.Bytes);
        }
    }

    /// <summary>Sets all elements of a float tensor to one value; does nothing on the meta device.</summary>
    public void Fill(float value)
    {
        if (!DType.IsFloat())
        {
            ThrowDType("a float");
        }

        if (Device.Computes && Shape.Count > 0)
        {
            Device.FillWith(this, value);
        }
    }

    /// <summary>As in messages: `lora_A (8, 768) f32`.</summary>
    public override string ToString() => Name is null ? $"tensor {Spec}" : $"{Name} {Spec}";

    /// <summary>Another tensor on the same memory; no gradient passes through (that is <c>tape.View</c>).</summary>
    internal Tensor Alias(Shape shape, long elementOffset = 0, GradientSource? source = null, int outputIndex = 0)
    {
        long offset = _byteOffset + (elementOffset * DType.Size());
        if (!IsAlive)
        {
            ThrowDisposed(); // another life of the same storage must not be taken for this one
        }

        return new Tensor(shape, DType, Storage, offset, _label) { Source = source, OutputIndex = outputIndex };
    }

    /// <summary>The address of the first element; throws as <see cref="AsSpan{T}"/> does.</summary>
    internal unsafe T* Pointer<T>()
        where T : unmanaged
    {
        if (DTypeExtensions.Of<T>() != DType)
        {
            ThrowDType(typeof(T).Name);
        }

        return (T*)RawPointer();
    }

    /// <summary>The same tensor under another name and source: a parameter's value.</summary>
    internal Tensor Renamed(string name, GradientSource source) => new(Shape, DType, Storage, _byteOffset, new Label(name, Scope)) { Source = source };

    /// <summary>The scope lets go of the memory, unless it did before.</summary>
    internal void Disown()
    {
        if (IsAlive)
        {
            Storage.Disown();
        }
    }

    /// <summary>The address of the first element on a CUDA device, for kernels.</summary>
    internal nint DevicePointer()
    {
        if (!IsAlive)
        {
            ThrowDisposed();
        }

        return Storage.Address + (nint)_byteOffset;
    }

    internal unsafe byte* RawPointer()
    {
        if (!IsAlive)
        {
            ThrowDisposed();
        }

        if (Storage.Address == 0 || !Device.IsHost)
        {
            ThrowNotOnHost();
        }

        return (byte*)Storage.Address + _byteOffset;
    }

    private T First<T>()
        where T : unmanaged
    {
        T value = default;
        CopyTo(new Span<T>(ref value));
        return value;
    }

    private void CheckRange<T>(long start, long count)
        where T : unmanaged
    {
        if (DTypeExtensions.Of<T>() != DType)
        {
            ThrowDType(typeof(T).Name);
        }

        if (start < 0 || start + count > Shape.Count)
        {
            throw new ShapeException($"{this}: elements {start} to {start + count} were asked for; it has {Shape.Count}.");
        }
    }

    [DoesNotReturn]
    private void ThrowDType(string asked) => throw new DTypeException($"{this} was read as {asked}: its elements are {DType.Name()}.");

    [DoesNotReturn]
    private void ThrowDisposed() => throw new ObjectDisposedException(
        ToString(),
        $"{this} was used after its memory was given back: it was made in {Scope}, which has ended, was freed, or was consumed by backward{(Arena.IsDisposed ? $" (arena '{Arena.Name}' was disposed)" : "")}.");

    [DoesNotReturn]
    private void ThrowNotOnHost() => throw new GraftException($"{this} lies on {Device.Name}, whose elements the host cannot reach in place: copy them with ToArray or CopyTo (meta holds none).");

    /// <summary>A name, and the scope that the tensor was made in.</summary>
    internal sealed record Label(string Name, string Scope);
}
