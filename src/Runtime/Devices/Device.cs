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

    /// <summary>As in messages: `cpu (2 threads)`, `meta`.</summary>
    public string Name { get; }

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

    /// <summary>True where addresses are those of host memory.</summary>
    internal virtual bool IsHost => Kind == DeviceKind.Cpu;

    internal abstract nint AllocateSlab(long bytes);

    internal abstract void FreeSlab(nint address, long bytes);

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
