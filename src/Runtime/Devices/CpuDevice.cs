using System.Runtime.InteropServices;
using Graft.Runtime.Cpu;
using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>Host memory and SIMD kernels on a team of threads. Results have the same bits on any number of threads.</summary>
public sealed class CpuDevice : Device
{
    /// <summary>A device with its own threads.</summary>
    /// <param name="threads">How many, the calling thread included; 0 for one per processor.</param>
    public CpuDevice(int threads = 0)
        : base(DeviceKind.Cpu, $"cpu ({Count(threads)} threads)")
    {
        Team = new WorkerTeam(Count(threads));
    }

    /// <summary>How many threads work, the caller's included.</summary>
    public int Threads => Team.Threads;

    internal WorkerTeam Team { get; }

    internal override unsafe nint AllocateSlab(long bytes)
    {
        try
        {
            if (bytes < 2 * HugePages.Size)
            {
                return (nint)NativeMemory.AlignedAlloc((nuint)bytes, BlockAllocator.Alignment);
            }

            void* slab = NativeMemory.AlignedAlloc((nuint)bytes, (nuint)HugePages.Size);
            HugePages.Ask(slab, bytes);
            return (nint)slab;
        }
        catch (OutOfMemoryException e)
        {
            string held = string.Join("; ", Arenas.Select(a => $"{a.Name}: {a.Report().Current}"));
            throw new OutOfDeviceMemoryException($"{Name}: {bytes} bytes could not be had. Arenas hold: {held}. Use a smaller batch, activation checkpointing or BF16 weights.", e);
        }
    }

    internal override unsafe void FreeSlab(nint address, long bytes) => NativeMemory.AlignedFree((void*)address);

    internal override unsafe void Upload(ReadOnlySpan<byte> from, nint to) => from.CopyTo(new Span<byte>((void*)to, from.Length));

    internal override unsafe void Download(nint from, Span<byte> to) => new ReadOnlySpan<byte>((void*)from, to.Length).CopyTo(to);

    internal override void Copy(nint from, nint to, long bytes) => Bulk.Copy(Team, from, to, bytes);

    internal override void Fill(nint at, byte value, long bytes) => Bulk.Fill(Team, at, value, bytes);

    internal override void AddInto(Tensor target, Tensor source) => CpuGradients.AddInto(Team, target, source);

    internal override void CastInto(Tensor target, Tensor source) => CpuGradients.CastInto(target, source);

    internal override void FillWith(Tensor target, float value) => CpuGradients.FillWith(target, value);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Team.Dispose();
        }

        base.Dispose(disposing);
    }

    private static int Count(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        return threads == 0 ? Environment.ProcessorCount : threads;
    }
}
