using System.Numerics;
using System.Numerics.Tensors;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Rows picked and rows added by index, in an order that no thread count changes.</summary>
internal static unsafe class RowMoves
{
    private const int Shares = 32; // rows of the target are dealt out by index mod 32: each row has one worker, its sums keep the order of the indices

    /// <summary>Fails unless every index is within [0, bound).</summary>
    public static void Check(string op, Tensor indices, int bound)
    {
        ReadOnlySpan<int> values = indices.AsReadOnlySpan<int>();
        for (int i = 0; i < values.Length; i++)
        {
            if ((uint)values[i] >= (uint)bound)
            {
                throw new IndexException(
                    $"{op}: index {values[i]} at position {i} of {indices} is outside the {bound} rows or elements that it picks from; indices start at 0.");
            }
        }
    }

    /// <summary>output[i] = table[indices[i]], widened to the output's type.</summary>
    public static void Gather(WorkerTeam team, Tensor table, Tensor indices, Tensor output, BlockType blocks = BlockType.None)
    {
        int width = output.Shape.Last;
        int count = (int)indices.Shape.Count;
        if (width == 0 || count == 0)
        {
            return;
        }

        GatherWork work = new() { Table = table.RawPointer(), Type = table.DType, Blocks = blocks, Indices = indices.Pointer<int>(), Output = output.RawPointer() };
        work.Width = width;
        work.Count = count;
        work.Grain = Math.Max(1, WorkerTeam.Grain / width);
        work.Stream = Streams.Pay((long)count * width);
        CpuKernel.Run(team, WorkerTeam.ChunksFor(count, work.Grain), work);
    }

    /// <summary>target[indices[i]] += source[i]; index <paramref name="skip"/> is left out. F32 or F64.</summary>
    public static void ScatterAdd(WorkerTeam team, Tensor source, Tensor indices, Tensor target, int skip = -1)
    {
        if (target.DType == DType.F64)
        {
            ScatterWork<double> work = new() { Source = source.Pointer<double>(), Target = target.Pointer<double>() };
            Run(team, indices, target.Shape.Last, skip, ref work);
        }
        else
        {
            ScatterWork<float> work = new() { Source = source.Pointer<float>(), Target = target.Pointer<float>() };
            Run(team, indices, target.Shape.Last, skip, ref work);
        }
    }

    private static void Run<T>(WorkerTeam team, Tensor indices, int width, int skip, ref ScatterWork<T> work)
        where T : unmanaged, IAdditionOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        work.Indices = indices.Pointer<int>();
        work.Width = width;
        work.Count = (int)indices.Shape.Count;
        work.Skip = skip;
        team.Run(work.Count == 0 || width == 0 ? 0 : Shares, ref work);
    }

    private struct GatherWork : ILanesWork
    {
        public byte* Table;
        public DType Type;
        public BlockType Blocks;
        public int* Indices;
        public byte* Output;
        public int Width;
        public int Count;
        public int Grain;
        public bool Stream;

        public readonly void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int end = (int)Math.Min(Count, (chunk + 1L) * Grain);
            for (int i = chunk * Grain; i < end; i++)
            {
                if (Blocks != BlockType.None)
                {
                    BlockRows.Unpack(Blocks, Table, (long)Indices[i] * Width, Width, (float*)Output + ((long)i * Width));
                    continue;
                }

                byte* row = Table + ((long)Indices[i] * Width * Type.Size());
                switch (Type)
                {
                    case DType.BF16:
                        Conversions.Widen(new ReadOnlySpan<BFloat16>(row, Width), new Span<float>(Output + ((long)i * Width * sizeof(float)), Width));
                        break;
                    case DType.F16:
                        Span<float> wide = new(Output + ((long)i * Width * sizeof(float)), Width);
                        TensorPrimitives.ConvertToSingle(new ReadOnlySpan<Half>(row, Width), wide);
                        break;
                    default:
                        long bytes = (long)Width * Type.Size();
                        Bulk.Copy<T>(row, Output + (i * bytes), bytes, Stream);
                        break;
                }
            }
        }
    }

    private struct ScatterWork<T> : IChunkWork
        where T : unmanaged, IAdditionOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        public T* Source;
        public int* Indices;
        public T* Target;
        public int Width;
        public int Count;
        public int Skip;

        public readonly void Invoke(int chunk, int worker)
        {
            for (int i = 0; i < Count; i++)
            {
                int at = Indices[i];
                if (at % Shares != chunk || at == Skip)
                {
                    continue;
                }

                Span<T> target = new(Target + ((long)at * Width), Width);
                TensorPrimitives.Add(new ReadOnlySpan<T>(Source + ((long)i * Width), Width), target, target);
            }
        }
    }
}
