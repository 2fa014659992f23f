namespace Graft.Runtime;

/// <summary>The closed set of devices.</summary>
public enum DeviceKind
{
    /// <summary>Host memory and SIMD kernels.</summary>
    Cpu,

    /// <summary>Shapes and bookkeeping only.</summary>
    Meta,

    /// <summary>A CUDA card.</summary>
    Cuda,
}

/// <summary>Where tensors live and ops run.</summary>
public abstract class Device : IDisposable
{
    private readonly List<Arena> _arenas = [];

    private protected Device(DeviceKind kind, string name)
    {
        Kind = kind;
        Name = name;
    }

    /// <summary>Which of the closed set.</summary>
    public DeviceKind Kind { get; }

    /// <summary>The device whose memory is accounted: itself, or on meta the one that is planned for.</summary>
    public virtual DeviceKind Plans => Kind;

    /// <summary>As in messages: `cpu (2 threads)`, `meta`, `cuda:0 (` and the card's name `)`.</summary>
    public string Name { get; private protected set; }

    /// <summary>The arenas that are alive, for reports and leak checks.</summary>
    public IReadOnlyList<Arena> Arenas
    {
        get
        {
            lock (_arenas)
            {
                return [.. _arenas];
            }
        }
    }

    /// <summary>Releases what the device holds; dispose its arenas before.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>True where the host reads and writes elements in place, as spans.</summary>
    public virtual bool IsHost => Kind == DeviceKind.Cpu;

    /// <summary>True where the device computes; false on meta, which runs shape rules and bookkeeping only, so that values are neither read nor written there.</summary>
    public bool Computes => Kind != DeviceKind.Meta;

    /// <summary>True where ops take activations of this type: F32 everywhere, BF16 on CUDA and on meta where it plans for CUDA.</summary>
    public bool TakesActivations(DType type) => type == DType.F32 || (type == DType.BF16 && Plans == DeviceKind.Cuda);

    /// <summary>Debugging: every block of an arena is an allocation of its own, so that a tool can see each tensor's bounds.</summary>
    internal virtual bool GuardsBlocks => false;

    /// <summary>True after an error that ends the device: its values are gone, every use raises the error again, and what is left is to dispose of it and of what lies on it.</summary>
    public virtual bool IsLost => false;

    /// <summary>Makes ready what the first steps would otherwise wait for, one thing after the other: on CUDA all kernels are compiled in parallel, or read from the cache.</summary>
    public virtual void Prepare()
    {
    }

    /// <summary>Waits until everything asked of the device is done, and raises what went wrong. Reading elements does it by itself.</summary>
    public virtual void Synchronize()
    {
    }

    internal abstract nint AllocateSlab(long bytes);

    internal abstract void FreeSlab(nint address, long bytes);

    /// <summary>Host to device; the source may be written again when it returns.</summary>
    internal abstract void Upload(ReadOnlySpan<byte> from, nint to);

    /// <summary>Device to host; done when it returns.</summary>
    internal abstract void Download(nint from, Span<byte> to);

    /// <summary>Within the device, in order with the ops.</summary>
    internal abstract void Copy(nint from, nint to, long bytes);

    /// <summary>Sets bytes, in order with the ops.</summary>
    internal abstract void Fill(nint at, byte value, long bytes);

    /// <summary>target += source element by element, as many elements each; target F32 or F64, or BF16 where the device computes in it.</summary>
    internal abstract void AddInto(Tensor target, Tensor source);

    /// <summary>target = source in the target's dtype, as many elements each; both float.</summary>
    internal abstract void CastInto(Tensor target, Tensor source);

    /// <summary>Sets all elements of a float tensor.</summary>
    internal abstract void FillWith(Tensor target, float value);

    /// <summary>The dtype of the gradient of an activation: that of the activation on CUDA, at least F32 elsewhere.</summary>
    internal DType GradientType(DType activation) => Plans == DeviceKind.Cuda ? activation : GradientSlot.GradientType(activation);

    internal void Attach(Arena arena)
    {
        lock (_arenas)
        {
            _arenas.Add(arena);
        }
    }

    internal void Detach(Arena arena)
    {
        lock (_arenas)
        {
            _ = _arenas.Remove(arena);
        }
    }

    /// <summary>Releases native resources.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }
}
