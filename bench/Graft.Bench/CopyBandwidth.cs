using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Graft.Runtime;
using Graft.Runtime.Cpu;

namespace Graft.Bench;

/// <summary>The yardstick of memory-bound work: the fastest copy that was found, of blocks far beyond the caches, by all processors.</summary>
/// <remarks>
/// Stores go past the caches, else each line of the target is read before it is overwritten, and a third of the traffic is no copying: 47 against 31 GB/s on two cores of a
/// Zen 4. Prefetching by instructions, blocks of pages and 256-bit registers gave nothing on top (45, 38 and 47 GB/s).
/// </remarks>
internal sealed unsafe class CopyBandwidth : IDisposable
{
    private const int Piece = 1 << 18; // floats; the pieces are dealt out to the processors

    private readonly CpuDevice _device;
    private readonly Arena _arena;
    private readonly Tensor _from;
    private readonly Tensor _to;

    /// <summary>Takes two blocks of <paramref name="mebibytes"/> each.</summary>
    public CopyBandwidth(CpuDevice device, int mebibytes)
    {
        _device = device;
        _arena = new Arena(device, "copy");
        Shape shape = new(mebibytes << 18);
        _from = _arena.Allocate(shape, DType.F32, MemoryCategory.Workspace);
        _to = _arena.Allocate(shape, DType.F32, MemoryCategory.Workspace);
        new Rng(1).Stream("copy").FillUniform(0, _from.AsSpan<float>()); // drawn: some processors are faster on zeros
        Run();
    }

    /// <summary>What one run moves: read and written bytes, both counted.</summary>
    public double Bytes => 8.0 * _from.Shape.Count;

    /// <summary>One copy.</summary>
    public void Run()
    {
        Work work = new(_from.Pointer<float>(), _to.Pointer<float>());
        _device.Team.Run((int)(_from.Shape.Count / Piece), ref work);
    }

    /// <summary>Copies <paramref name="count"/> floats, a multiple of 64, between blocks aligned to 64 bytes.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* from, float* to, long count)
    {
        if (!Vector512.IsHardwareAccelerated)
        {
            for (long i = 0; i < count; i += 32)
            {
                Vector256<float> a = Vector256.Load(from + i), b = Vector256.Load(from + i + 8), c = Vector256.Load(from + i + 16), d = Vector256.Load(from + i + 24);
                a.StoreAlignedNonTemporal(to + i);
                b.StoreAlignedNonTemporal(to + i + 8);
                c.StoreAlignedNonTemporal(to + i + 16);
                d.StoreAlignedNonTemporal(to + i + 24);
            }
        }
        else
        {
            for (long i = 0; i < count; i += 64)
            {
                Vector512<float> a = Vector512.Load(from + i), b = Vector512.Load(from + i + 16), c = Vector512.Load(from + i + 32), d = Vector512.Load(from + i + 48);
                a.StoreAlignedNonTemporal(to + i);
                b.StoreAlignedNonTemporal(to + i + 16);
                c.StoreAlignedNonTemporal(to + i + 32);
                d.StoreAlignedNonTemporal(to + i + 48);
            }
        }

        if (Sse.IsSupported)
        {
            Sse.StoreFence();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    private readonly struct Work(float* from, float* to) : IChunkWork
    {
        public void Invoke(int chunk, int worker) => Copy(from + ((long)chunk * Piece), to + ((long)chunk * Piece), Piece);
    }
}
