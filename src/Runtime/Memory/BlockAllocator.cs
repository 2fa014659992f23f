namespace Graft.Runtime;

/// <summary>Best-fit blocks over a few slabs, with coalescing of free neighbours. The same calls give the same addresses, on every device.</summary>
/// <remarks>Free blocks lie in a list ordered by (size, slab, offset): the best fit is a binary search, and block objects are reused, so a warm allocator makes no garbage.</remarks>
internal sealed class BlockAllocator(Device device, long slabBytes) : IDisposable
{
    /// <summary>Sizes and addresses are multiples of this: a cache line, and the widest vector.</summary>
    public const int Alignment = 64;

    private readonly List<Slab> _slabs = [];
    private readonly List<Block> _free = [];
    private readonly Stack<Block> _spare = new();
    private readonly HashSet<Slab> _guarded = []; // allocations that are one block each: only where the device guards blocks

    public long SlabBytes { get; private set; }

    public int SlabAllocations { get; private set; }

    public int UsedBlocks { get; private set; }

    public static long RoundUp(long bytes) => Math.Max(Alignment, (bytes + Alignment - 1) & -Alignment);

    /// <summary>Takes a block of exactly <paramref name="bytes"/> (already rounded).</summary>
    /// <param name="bytes">The size of the block.</param>
    /// <param name="used">How many of them the tensor has.</param>
    public Block Take(long bytes, long used)
    {
        if (device.GuardsBlocks)
        {
            UsedBlocks++;
            SlabBytes += bytes;
            Slab own = new(-1, device.AllocateSlab(Math.Max(1, used)), Math.Max(1, used));
            _ = _guarded.Add(own);
            return NewBlock(own, 0, bytes);
        }

        int at = LowerBound(bytes);
        if (at == _free.Count)
        {
            AddSlab(Math.Max(slabBytes, bytes));
            at = LowerBound(bytes);
        }

        Block block = _free[at];
        _free.RemoveAt(at);
        if (block.Bytes > bytes)
        {
            Block rest = NewBlock(block.Slab, block.Offset + bytes, block.Bytes - bytes);
            rest.Previous = block;
            rest.Next = block.Next;
            if (block.Next is { } next)
            {
                next.Previous = rest;
            }

            block.Next = rest;
            block.Bytes = bytes;
            InsertFree(rest);
        }

        block.IsFree = false;
        UsedBlocks++;
        return block;
    }

    /// <summary>Gives a block back; free neighbours grow together.</summary>
    public void Return(Block block)
    {
        UsedBlocks--;
        if (device.GuardsBlocks)
        {
            _ = _guarded.Remove(block.Slab);
            device.FreeSlab(block.Slab.Address, block.Slab.Bytes);
            SlabBytes -= block.Bytes;
            _spare.Push(block);
            return;
        }

        if (block.Next is { IsFree: true } next)
        {
            RemoveFree(next);
            Absorb(block, next);
        }

        if (block.Previous is { IsFree: true } previous)
        {
            RemoveFree(previous);
            Absorb(previous, block);
            block = previous;
        }

        InsertFree(block);
    }

    /// <summary>When nothing is held and several slabs exist, puts one slab of their joint size in their place, so that the next step finds its memory in one piece.</summary>
    public void Consolidate()
    {
        if (UsedBlocks != 0 || _slabs.Count < 2)
        {
            return;
        }

        long total = SlabBytes;
        Clear();
        AddSlab(total);
    }

    public void Dispose() => Clear();

    private void Clear()
    {
        foreach (Slab slab in _slabs.Concat(_guarded))
        {
            device.FreeSlab(slab.Address, slab.Bytes);
        }

        _guarded.Clear();
        _slabs.Clear();
        _free.Clear();
        SlabBytes = 0;
    }

    private void AddSlab(long bytes)
    {
        Slab slab = new(_slabs.Count, device.AllocateSlab(bytes), bytes);
        _slabs.Add(slab);
        SlabBytes += bytes;
        SlabAllocations++;
        InsertFree(NewBlock(slab, 0, bytes));
    }

    private Block NewBlock(Slab slab, long offset, long bytes)
    {
        if (!_spare.TryPop(out Block? block))
        {
            block = new Block();
        }

        block.Slab = slab;
        block.Offset = offset;
        block.Bytes = bytes;
        return block;
    }

    private void Absorb(Block block, Block next)
    {
        block.Bytes += next.Bytes;
        block.Next = next.Next;
        if (next.Next is { } after)
        {
            after.Previous = block;
        }

        next.Previous = null;
        next.Next = null;
        next.IsFree = false;
        _spare.Push(next);
    }

    private void InsertFree(Block block)
    {
        block.IsFree = true;
        _free.Insert(Position(block), block);
    }

    private void RemoveFree(Block block)
    {
        block.IsFree = false;
        _free.RemoveAt(Position(block));
    }

    private int LowerBound(long bytes)
    {
        int low = 0;
        int high = _free.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (_free[middle].Bytes < bytes)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private int Position(Block block)
    {
        int low = 0;
        int high = _free.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (Compare(_free[middle], block) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private static int Compare(Block left, Block right)
    {
        int order = left.Bytes.CompareTo(right.Bytes);
        order = order != 0 ? order : left.Slab.Index.CompareTo(right.Slab.Index);
        return order != 0 ? order : left.Offset.CompareTo(right.Offset);
    }

    internal sealed record Slab(int Index, nint Address, long Bytes);

    internal sealed class Block
    {
        public Slab Slab { get; set; } = null!;

        public long Offset { get; set; }

        public long Bytes { get; set; }

        public bool IsFree { get; set; }

        public Block? Previous { get; set; }

        public Block? Next { get; set; }

        /// <summary>Zero where the device has no addresses (meta).</summary>
        public nint Address => Slab.Address == 0 ? 0 : Slab.Address + (nint)Offset;
    }
}
