using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>The copying behind <see cref="Permute"/>.</summary>
/// <remarks>
/// Axes that stay neighbours are joined first. Where the last axis stays last, runs are copied whole; else it is a transpose of the two last axes
/// concerned, in tiles.
/// </remarks>
internal static unsafe class Permutation
{
    private const int Tile = 16; // 16 x 16 words of four bytes: a cache line per row on either side

    public static void Run<T>(WorkerTeam team, T* from, T* to, Shape shape, Shape axes)
        where T : unmanaged
    {
        if (shape.Count == 0)
        {
            return;
        }

        Work<T> work = new() { From = from, To = to };
        int rank = Join(shape, axes, new Span<long>(work.Lengths, Shape.MaxRank), new Span<long>(work.Strides, Shape.MaxRank));
        if (rank == 0)
        {
            *to = *from;
            return;
        }

        work.Rank = rank;
        long total = shape.Count;
        int last = rank - 1;
        work.Runs = work.Strides[last] == 1;
        // The output axis that runs along the input's contiguous one.
        work.Across = last;
        for (int i = 0; i < rank; i++)
        {
            if (work.Strides[i] == 1)
            {
                work.Across = i;
            }
        }

        work.Outer = total / work.Lengths[last] / (work.Runs ? 1 : work.Lengths[work.Across]);
        work.Grain = Math.Max(1, WorkerTeam.Grain / (total / work.Outer));
        team.Run(WorkerTeam.ChunksFor(work.Outer, work.Grain), ref work);
    }

    /// <summary>Output axes with their lengths and input strides, unit axes dropped, neighbours joined; how many remain.</summary>
    public static int Join(Shape shape, Shape axes, Span<long> lengths, Span<long> steps)
    {
        Span<long> strides = stackalloc long[Shape.MaxRank];
        long stride = 1;
        for (int i = shape.Rank - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride *= shape[i];
        }

        int rank = 0;
        for (int i = 0; i < axes.Rank; i++)
        {
            int length = shape[axes[i]];
            long step = strides[axes[i]];
            if (length == 1)
            {
                continue;
            }

            if (rank > 0 && steps[rank - 1] == step * length)
            {
                lengths[rank - 1] *= length;
                steps[rank - 1] = step;
                continue;
            }

            lengths[rank] = length;
            steps[rank++] = step;
        }

        return rank;
    }

    private struct Work<T> : IChunkWork
        where T : unmanaged
    {
        public T* From;
        public T* To;
        public fixed long Lengths[Shape.MaxRank];
        public fixed long Strides[Shape.MaxRank];
        public int Rank;
        public int Across;
        public bool Runs;
        public long Outer;
        public long Grain;

        public void Invoke(int chunk, int worker)
        {
            long end = Math.Min(Outer, (chunk + 1) * Grain);
            int last = Rank - 1;
            long* outputStrides = stackalloc long[Shape.MaxRank];
            long stride = 1;
            for (int i = last; i >= 0; i--)
            {
                outputStrides[i] = stride;
                stride *= Lengths[i];
            }

            for (long outer = chunk * Grain; outer < end; outer++)
            {
                long rest = outer;
                T* from = From;
                T* to = To;
                for (int i = last - 1; i >= 0; i--)
                {
                    if (!Runs && i == Across)
                    {
                        continue;
                    }

                    long at = rest % Lengths[i];
                    rest /= Lengths[i];
                    from += at * Strides[i];
                    to += at * outputStrides[i];
                }

                if (Runs)
                {
                    long bytes = Lengths[last] * sizeof(T);
                    Buffer.MemoryCopy(from, to, bytes, bytes);
                }
                else
                {
                    Transpose(from, Strides[last], to, outputStrides[Across], Lengths[Across], Lengths[last]);
                }
            }
        }

        // to[r·toStride + c] = from[c·fromStride + r]
        private static void Transpose(T* from, long fromStride, T* to, long toStride, long rows, long columns)
        {
            for (long r0 = 0; r0 < rows; r0 += Tile)
            {
                long r1 = Math.Min(rows, r0 + Tile);
                for (long c0 = 0; c0 < columns; c0 += Tile)
                {
                    long c1 = Math.Min(columns, c0 + Tile);
                    for (long r = r0; r < r1; r++)
                    {
                        for (long c = c0; c < c1; c++)
                        {
                            to[(r * toStride) + c] = from[(c * fromStride) + r];
                        }
                    }
                }
            }
        }
    }
}
