using System.Numerics;
using System.Numerics.Tensors;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Copies and sums of runs of memory at regular distances: what slices and concatenations are made of.</summary>
internal static unsafe class Blocks
{
    private const long ChunkBytes = 128 << 10; // as the grain of the element-wise kernels

    /// <summary>Copies <paramref name="count"/> runs of <paramref name="bytes"/>, each side with its own distance between runs.</summary>
    public static void Copy(WorkerTeam team, byte* from, long fromStride, byte* to, long toStride, long bytes, long count)
    {
        if (bytes == 0 || count == 0)
        {
            return;
        }

        CopyWork work = new() { From = from, To = to, FromStride = fromStride, ToStride = toStride, Bytes = bytes, Count = count };
        work.Grain = Math.Max(1, ChunkBytes / bytes);
        team.Run(WorkerTeam.ChunksFor(count, work.Grain), ref work);
    }

    /// <summary>The same, adding F32 or F64 elements to what is there.</summary>
    public static void Add(WorkerTeam team, DType type, byte* from, long fromStride, byte* to, long toStride, long bytes, long count)
    {
        if (bytes == 0 || count == 0)
        {
            return;
        }

        CopyWork range = new() { From = from, To = to, FromStride = fromStride, ToStride = toStride, Bytes = bytes, Count = count };
        range.Grain = Math.Max(1, ChunkBytes / bytes);
        if (type == DType.F64)
        {
            AddWork<double> work = new() { Range = range };
            team.Run(WorkerTeam.ChunksFor(count, range.Grain), ref work);
        }
        else
        {
            AddWork<float> work = new() { Range = range };
            team.Run(WorkerTeam.ChunksFor(count, range.Grain), ref work);
        }
    }

    /// <summary>Copies (or adds) runs of elements of one dtype on the device of a backward, each side with its own start and distance between runs.</summary>
    public static void Move(BackwardCall c, Tensor from, long fromStart, long fromStride, Tensor to, long toStart, long toStride, long run, long count, bool add)
    {
        if (c.OnCuda)
        {
            MovementCuda.Runs(c.Cuda, from, fromStart, fromStride, to, toStart, toStride, run, count, add);
            return;
        }

        if (!c.OnCpu)
        {
            return;
        }

        int size = to.DType.Size();
        byte* source = from.RawPointer() + (fromStart * size), target = to.RawPointer() + (toStart * size);
        if (add)
        {
            Add(c.Team, to.DType, source, fromStride * size, target, toStride * size, run * size, count);
        }
        else
        {
            Copy(c.Team, source, fromStride * size, target, toStride * size, run * size, count);
        }
    }

    /// <summary>Elements before and after an axis, so that a tensor is (outer, length, inner).</summary>
    public static (long Outer, long Inner) Around(Shape shape, int axis)
    {
        long outer = 1;
        long inner = 1;
        for (int i = 0; i < shape.Rank; i++)
        {
            if (i < axis)
            {
                outer *= shape[i];
            }
            else if (i > axis)
            {
                inner *= shape[i];
            }
        }

        return (outer, inner);
    }

    private struct CopyWork : IChunkWork
    {
        public byte* From;
        public byte* To;
        public long FromStride;
        public long ToStride;
        public long Bytes;
        public long Count;
        public long Grain;

        public readonly void Invoke(int chunk, int worker)
        {
            long end = Math.Min(Count, (chunk + 1) * Grain);
            for (long i = chunk * Grain; i < end; i++)
            {
                Buffer.MemoryCopy(From + (i * FromStride), To + (i * ToStride), Bytes, Bytes);
            }
        }
    }

    private struct AddWork<T> : IChunkWork
        where T : unmanaged, IAdditionOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        public CopyWork Range;

        public readonly void Invoke(int chunk, int worker)
        {
            long end = Math.Min(Range.Count, (chunk + 1) * Range.Grain);
            int length = checked((int)(Range.Bytes / sizeof(T)));
            for (long i = chunk * Range.Grain; i < end; i++)
            {
                Span<T> to = new(Range.To + (i * Range.ToStride), length);
                TensorPrimitives.Add(new ReadOnlySpan<T>(Range.From + (i * Range.FromStride), length), to, to);
            }
        }
    }
}
