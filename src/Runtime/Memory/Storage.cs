namespace Graft.Runtime;

/// <summary>One block of an arena and who still needs it: its scope counts as one, every node of a tape that retains it as one more.</summary>
internal sealed class Storage(Arena arena, BlockAllocator.Block block, MemoryCategory category, Arena.Frame owner)
{
    private readonly BlockAllocator.Block _block = block;
    private int _references = 1;
    private string _lastOwner = "";

    public Arena Arena { get; } = arena;

    public MemoryCategory Category { get; } = category;

    public long Bytes { get; } = block.Bytes;

    /// <summary>Zero on a device without host addresses, and after the release (block objects are reused).</summary>
    public nint Address { get; private set; } = block.Address;

    public bool IsAlive => _references > 0;

    /// <summary>True when only one party holds it, so that party may write in place.</summary>
    public bool IsExclusive => _references == 1;

    /// <summary>The scope that holds it; null once the scope has let go.</summary>
    public Arena.Frame? Owner { get; set; } = owner;

    /// <summary>Stays until its scope ends, even where a tape could free it earlier.</summary>
    public bool IsPinned { get; set; }

    /// <summary>For messages: who let go of it, or holds it.</summary>
    public string OwnerName => Owner?.Name ?? _lastOwner;

    public void Retain() => _references++;

    public void Release()
    {
        if (--_references == 0)
        {
            nint address = Address;
            Address = 0;
            Arena.Reclaim(this, _block, address);
        }
    }

    /// <summary>The scope lets go; memory goes back as soon as no tape retains it.</summary>
    public void Disown()
    {
        if (Owner is { } owner)
        {
            _lastOwner = owner.Name;
            Owner = null;
            Release();
        }
    }

    /// <summary>Ends the block whoever holds it: the arena is being disposed.</summary>
    public void Kill(string reason)
    {
        _lastOwner = reason;
        Owner = null;
        _references = 0;
        Address = 0;
    }
}
