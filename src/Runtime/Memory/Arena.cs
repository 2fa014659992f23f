namespace Graft.Runtime;

/// <summary>Memory of one lifetime on one device: persistent (weights, optimizer state) or a step's (activations), given out as blocks and accounted by category.</summary>
/// <remarks>Not thread-safe: an arena belongs to the thread that runs the step. Several arenas on one device are independent of each other.</remarks>
public sealed class Arena : IDisposable
{
    // NaN in every float type: an op that reads what it never wrote shows at once.
    private static readonly bool s_poison = Environment.GetEnvironmentVariable("GRAFT_POISON") == "1";

    private readonly BlockAllocator _blocks;
    private readonly List<Frame> _frames = [];
    private readonly Stack<Storage> _spare = new();
    private MemoryUse _current;
    private MemoryUse _peak;
    private int _depth;
    private bool _disposed;

    /// <summary>An empty arena.</summary>
    /// <param name="device">Where the memory lies.</param>
    /// <param name="name">For messages and reports.</param>
    /// <param name="slabBytes">The least that is asked of the device at a time.</param>
    public Arena(Device device, string name, long slabBytes = 16 << 20)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(slabBytes);
        Device = device;
        Name = name;
        _blocks = new BlockAllocator(device, BlockAllocator.RoundUp(slabBytes));
        _frames.Add(new Frame { Name = $"arena '{name}'" });
        device.Attach(this);
    }

    /// <summary>Where the memory lies.</summary>
    public Device Device { get; }

    /// <summary>For messages and reports.</summary>
    public string Name { get; }

    internal bool IsDisposed => _disposed;

    /// <summary>Memory for a tensor, its elements undefined, owned by the innermost open scope (or the arena itself).</summary>
    /// <exception cref="OutOfDeviceMemoryException">The device has no more.</exception>
    public Tensor Allocate(Shape shape, DType dtype, MemoryCategory category, string? name = null)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        long bytes = BlockAllocator.RoundUp(shape.Count * dtype.Size());
        Frame frame = _frames[_depth];
        BlockAllocator.Block block = _blocks.Take(bytes, shape.Count * dtype.Size());
        Storage storage = _spare.TryPop(out Storage? spare) ? spare : new Storage(this);
        storage.Open(block, category, frame);
        frame.Add(storage);
        _current[category] += bytes;
        if (_current.Total > _peak.Total)
        {
            _peak = _current;
        }

        if (s_poison && storage.Address != 0)
        {
            Device.Fill(storage.Address, 0xFF, bytes);
        }

        return new Tensor(shape, dtype, storage, 0, name is null ? frame.Name : new Tensor.Label(name, frame.Name));
    }

    /// <summary>Bytes of workspace; beyond 2 GiB as rows of 64, since an axis counts no further.</summary>
    internal Tensor Scratch(long bytes)
    {
        Shape shape = bytes <= int.MaxValue ? new Shape((int)bytes) : new Shape(checked((int)((bytes + 63) / 64)), 64);
        return Allocate(shape, DType.U8, MemoryCategory.Workspace);
    }

    /// <summary>A tensor with the given elements.</summary>
    /// <exception cref="ShapeException">Another number of elements than the shape has.</exception>
    public Tensor Create<T>(Shape shape, ReadOnlySpan<T> values, MemoryCategory category, string? name = null)
        where T : unmanaged
    {
        Tensor tensor = Allocate(shape, DTypeExtensions.Of<T>(), category, name);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>A tensor of zeros.</summary>
    public Tensor Zeros(Shape shape, DType dtype, MemoryCategory category, string? name = null)
    {
        Tensor tensor = Allocate(shape, dtype, category, name);
        tensor.Clear();
        return tensor;
    }

    /// <summary>Opens a scope; dispose it to end it.</summary>
    public Scope Enter(string name)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _depth++;
        if (_depth == _frames.Count)
        {
            _frames.Add(new Frame());
        }

        _frames[_depth].Name = name;
        return new Scope(this, _depth);
    }

    /// <summary>Lets go of a tensor before its scope ends; the memory goes back as soon as no tape retains it. Views of it end too.</summary>
    public void Free(Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        if (tensor.Arena != this || !tensor.IsAlive || tensor.Storage.Owner is null)
        {
            throw new ArgumentException($"{tensor} is not held by arena '{Name}', or was freed before.", nameof(tensor));
        }

        tensor.Storage.Disown();
    }

    /// <summary>What is held now and was held at most.</summary>
    public ArenaReport Report() => new(Name, _current, _peak, _blocks.SlabBytes, _blocks.SlabAllocations);

    /// <summary>Sets the peak to what is held now.</summary>
    public void ResetPeak() => _peak = _current;

    /// <summary>Counts what a recorded step holds in this arena while it is replayed, which asks for no memory anew.</summary>
    /// <param name="use">Its peak, as it was when it was recorded.</param>
    public void CountPeak(MemoryUse use)
    {
        if (use.Total > _peak.Total)
        {
            _peak = use;
        }
    }

    /// <summary>Gives all memory back to the device. Tensors of this arena throw from now on.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        foreach (Frame frame in _frames)
        {
            foreach (Storage storage in frame.Owned)
            {
                if (storage.IsAlive)
                {
                    storage.Kill();
                }
            }

            frame.Owned.Clear();
        }

        _current = default;
        _blocks.Dispose();
        Device.Detach(this);
    }

    internal void Keep(Tensor tensor, int depth)
    {
        Storage storage = tensor.Storage;
        if (tensor.IsAlive && storage.Owner == _frames[depth])
        {
            Frame outer = _frames[depth - 1];
            storage.Owner = outer;
            outer.Add(storage); // the inner list keeps a stale entry, which its end skips
        }
    }

    internal void Leave(int depth)
    {
        if (_disposed || depth > _depth)
        {
            return; // a scope may be disposed twice
        }

        Frame frame = _frames[depth];
        if (depth < _depth)
        {
            throw new InvalidOperationException($"Scope '{frame.Name}' of arena '{Name}' was left while '{_frames[_depth].Name}' inside it is still open.");
        }

        foreach (Storage storage in frame.Owned)
        {
            if (storage.Owner == frame)
            {
                storage.Disown();
            }
        }

        frame.Owned.Clear();
        _depth--;
        if (_depth == 0)
        {
            _blocks.Consolidate();
        }
    }

    internal void Reclaim(Storage storage, BlockAllocator.Block block, nint address)
    {
        if (_disposed)
        {
            return;
        }

        if (s_poison && address != 0)
        {
            Device.Fill(address, 0xFF, storage.Bytes);
        }

        _current[storage.Category] -= storage.Bytes;
        _blocks.Return(block);
        _spare.Push(storage);
    }

    /// <summary>What one open scope holds. Entries whose owner is another frame, or none, are stale.</summary>
    internal sealed class Frame
    {
        private int _compactAt = 256;

        public string Name { get; set; } = "";

        public List<Storage> Owned { get; } = [];

        /// <summary>Adds an entry, and drops the stale ones whenever the list has doubled since the last time.</summary>
        public void Add(Storage storage)
        {
            if (Owned.Count >= _compactAt)
            {
                int kept = 0;
                for (int i = 0; i < Owned.Count; i++)
                {
                    if (Owned[i].Owner == this)
                    {
                        Owned[kept++] = Owned[i];
                    }
                }

                Owned.RemoveRange(kept, Owned.Count - kept);
                _compactAt = Math.Max(256, 2 * kept);
            }

            Owned.Add(storage);
        }
    }
}
