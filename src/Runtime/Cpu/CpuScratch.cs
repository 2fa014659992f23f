using System.Runtime.InteropServices;

namespace Graft.Runtime.Cpu;

/// <summary>Fixed native memory of a team: a block per worker for what lives no longer than a chunk, and one for all workers that lives as long as a job.</summary>
/// <remarks>The size does not depend on any tensor, so it is no part of a step's memory plan. Pages are committed by the system when first touched.</remarks>
internal sealed unsafe class CpuScratch : IDisposable
{
    /// <summary>Bytes of one worker's block: the packed panels of a matrix product and one tile.</summary>
    public const int BytesPerWorker = 2 << 20;

    /// <summary>Bytes of a half of the block that all workers share: the packed panels of a stage of a large product.</summary>
    public const int SharedBytes = 8 << 20;

    private readonly int _workers;
    private byte* _memory;

    public CpuScratch(int workers)
    {
        _workers = workers;
        _memory = (byte*)NativeMemory.AlignedAlloc(((nuint)workers * BytesPerWorker) + (2 * SharedBytes), 4096);
    }

    /// <summary>The block of a worker; 64-byte aligned.</summary>
    public byte* Of(int worker)
    {
        ObjectDisposedException.ThrowIf(_memory == null, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)worker, (uint)_workers);
        return _memory + ((long)worker * BytesPerWorker);
    }

    /// <summary>A half, 0 or 1, of the block that all workers share; 64-byte aligned.</summary>
    public byte* Shared(int half)
    {
        ObjectDisposedException.ThrowIf(_memory == null, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)half, 1u);
        return _memory + ((long)_workers * BytesPerWorker) + ((long)half * SharedBytes);
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }
}
