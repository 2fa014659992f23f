namespace Graft.Runtime.Cpu;

/// <summary>Inner products of a few rows of A with stored rows of B; a type argument, so that the driver exists once.</summary>
internal unsafe interface IRowDots
{
    /// <summary>Rows of A that are taken at once.</summary>
    static abstract int Height { get; }

    /// <summary>Bytes of a row of B.</summary>
    static abstract long RowBytes(in GemmCall c);

    /// <summary>Makes what all rows of B need of A, in the worker's scratch memory.</summary>
    static abstract void Prepare(in GemmCall c, float* scratch);

    /// <summary>sums[i + j·Height] = A[m + i] · b[j] for <paramref name="height"/> rows of A and <paramref name="rows"/> of B.</summary>
    static abstract void Dots(in GemmCall c, int m, int height, byte* b, int rows, float* scratch, float* sums);
}

/// <summary>A few rows against B as (N, K): each row of B is read once, in the order of memory.</summary>
/// <remarks>
/// One stored row after the other, not four side by side: short rows side by side are many short streams, which the processor does not prefetch, and software
/// prefetch makes up for half of that. Measured on Zen 4 with B outside of the caches, 1536 x 576, one core: BF16 10 GB/s side by side and 25 in order,
/// Q8_0 8 and 17. For the same reason B is cut into one part a thread, and what a thread claims next lies behind what it has read: all products of
/// a decoded token of SmolLM2-135M, two cores, take 8.1 ms as BF16 and 4.5 as Q4_1, and 8.5 and 4.8 where pieces are claimed across all of B.
/// </remarks>
internal static unsafe class GemvRows
{
    // Below 16 KiB (1 µs) claiming a piece costs, above 64 KiB threads wait for the last one.
    private const int PiecesOfThread = 8;
    private const long LeastBytes = 16 << 10;
    private const long MostBytes = 64 << 10;

    private const int RowsAtOnce = 32; // one call for so many: what a call costs is a quarter of a row of 576 elements
    private const int MaxHeight = 4;
    private const int Apart = 32; // counters of the parts, in two cache lines each

    /// <summary>Computes <paramref name="c"/>.</summary>
    public static void Run<TDots>(WorkerTeam team, in GemmCall c)
        where TDots : IRowDots
    {
        long rowBytes = TDots.RowBytes(c);
        int grain = (int)Math.Clamp(Math.Clamp(rowBytes * c.N / (PiecesOfThread * team.Threads), LeastBytes, MostBytes) / rowBytes, 1, c.N);
        int pieces = WorkerTeam.ChunksFor(c.N, grain);
        int parts = Math.Min(pieces, team.Threads);
        int* next = stackalloc int[parts * Apart];
        Work<TDots> work = new(team, c, grain, pieces, parts, next);
        for (int part = 0; part < parts; part++)
        {
            next[part * Apart] = work.First(part);
        }

        team.Run(parts, ref work);
    }

    /// <summary>Chunk i reads the i-th part of B, then helps with the others. A row's sum is made as a whole, so that no result depends on who makes it.</summary>
    private readonly struct Work<TDots>(WorkerTeam team, GemmCall call, int grain, int pieces, int parts, int* next) : IChunkWork
        where TDots : IRowDots
    {
        public int First(int part) => (int)((long)pieces * part / parts);

        public void Invoke(int chunk, int worker)
        {
            float* scratch = (float*)team.Scratch(worker);
            TDots.Prepare(call, scratch);
            for (int i = 0; i < parts; i++)
            {
                int part = (chunk + i) % parts;
                int end = First(part + 1);
                int piece;
                while ((piece = Interlocked.Increment(ref next[part * Apart]) - 1) < end)
                {
                    Rows(piece * grain, Math.Min(call.N, (piece + 1) * grain), scratch);
                }
            }
        }

        private void Rows(int from, int to, float* scratch)
        {
            float* sums = stackalloc float[MaxHeight * RowsAtOnce];
            for (int n = from; n < to; n += RowsAtOnce)
            {
                int rows = Math.Min(RowsAtOnce, to - n);
                byte* b = (byte*)call.B + (n * TDots.RowBytes(call));
                for (int m = 0; m < call.M; m += TDots.Height)
                {
                    int height = Math.Min(TDots.Height, call.M - m);
                    TDots.Dots(call, m, height, b, rows, scratch, sums);
                    for (int i = 0; i < height; i++)
                    {
                        float* c = call.C + ((m + i) * call.LeadingC) + n;
                        for (int j = 0; j < rows; j++)
                        {
                            c[j] = Gemv.Finish(call, sums[i + (j * TDots.Height)], n + j, c + j);
                        }
                    }
                }
            }
        }
    }
}
