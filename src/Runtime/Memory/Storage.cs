namespace Graft.Runtime;

/// <summary>One block of an arena and who still needs it: its scope counts as one, every node of a tape that retains it as one more.</summary>
/// <remarks>Objects are reused by their arena, so that a step makes no garbage for them; a tensor carries the generation that it was made in and is dead in any other.</remarks>
internal sealed class Storage(Arena arena)
{
    private BlockAllocator.Block _block = null!;
    private int _references;

    public Arena Arena { get; } = arena;

    public MemoryCategory Category { get; private set; }

    public long Bytes { get; private set; }

    /// <summary>Zero on a device without host addresses, and after the release (block objects are reused).</summary>
    public nint Address { get; private set; }

    /// <summary>Counts the lives of this object.</summary>
    public int Generation { get; private set; }

    public bool IsAlive => _references > 0;

    /// <summary>True when only one party holds it, so that party may write in place.</summary>
    public bool IsExclusive => _references == 1;

    /// <summary>The scope that holds it; null once the scope has let go.</summary>
    public Arena.Frame? Owner { get; set; }

    /// <summary>Stays until its scope ends, even where a tape could free it earlier.</summary>
    public bool IsPinned { get; set; }

    /// <summary>Begins a life.</summary>
    public void Open(BlockAllocator.Block block, MemoryCategory category, Arena.Frame owner)
    {
        _block = block;
        _references = 1;
        Generation++;
        Category = category;
        Bytes = block.Bytes;
        Address = block.Address;
        Owner = owner;
        IsPinned = false;
    }

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
        if (Owner is not null)
        {
            Owner = null;
            Release();
        }
    }

    /// <summary>Ends the block whoever holds it: the arena is being disposed.</summary>
    public void Kill()
    {
        Owner = null;
        _references = 0;
        Address = 0;
    }
}
