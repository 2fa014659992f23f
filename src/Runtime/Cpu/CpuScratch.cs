using System.Runtime.InteropServices;

namespace Graft.Runtime.Cpu;

/// <summary>One fixed block of native memory per worker, for packed panels and tiles that live no longer than a chunk; owned by the team.</summary>
/// <remarks>The size does not depend on any tensor, so it is no part of a step's memory plan. Pages are committed by the system when first touched.</remarks>
internal sealed unsafe class CpuScratch : IDisposable
{
    /// <summary>Bytes of one worker's block: the packed panels of a matrix product and one tile.</summary>
    public const int BytesPerWorker = 2 << 20;

    private readonly int _workers;
    private byte* _memory;

    public CpuScratch(int workers)
    {
        _workers = workers;
        _memory = (byte*)NativeMemory.AlignedAlloc((nuint)workers * BytesPerWorker, 4096);
    }

    /// <summary>The block of a worker; 64-byte aligned.</summary>
    public byte* Of(int worker)
    {
        ObjectDisposedException.ThrowIf(_memory == null, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)worker, (uint)_workers);
        return _memory + ((long)worker * BytesPerWorker);
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }
}
