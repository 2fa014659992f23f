using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Cpu;

/// <summary>Products with a few rows, as in decoding: B is streamed once in its stored type and never copied.</summary>
internal static unsafe class Gemv
{
    /// <summary>Most rows that this path takes; above, packing pays.</summary>
    public const int MaxRows = 8;

    private const int MaxBlockColumns = CpuScratch.BytesPerWorker / sizeof(float) / (2 * MaxRows); // rows of A and their block sums lie in scratch memory
    private const int AxpyColumns = 512;

    /// <summary>A few contiguous rows of A against a matrix that is worth not copying.</summary>
    public static bool Fits(in GemmCall c)
    {
        return c.M <= MaxRows && !c.TransposeA && c.TypeA == OperandType.F32 && c.Batch == 1 && c.K > 0 && c.Alpha != 0 && c.N >= 16
            && (c.TypeB <= OperandType.BF16 || (c.TransposeB && c.K <= MaxBlockColumns));
    }

    /// <summary>Computes <paramref name="c"/>.</summary>
    public static void Run(WorkerTeam team, in GemmCall c)
    {
        switch (c.TypeB)
        {
            case OperandType.BF16:
                RunElements<LoadBFloat16>(team, c);
                break;
            case OperandType.Q40:
                GemvRows.Run<BlockDots<LoadQ40>>(team, c);
                break;
            case OperandType.Q41:
                GemvRows.Run<BlockDots<LoadQ41>>(team, c);
                break;
            case OperandType.Q80:
                GemvRows.Run<BlockDots<LoadQ80>>(team, c);
                break;
            default:
                RunElements<LoadSingle>(team, c);
                break;
        }
    }

    private static void RunElements<TLoad>(WorkerTeam team, in GemmCall c)
        where TLoad : IElementLoad
    {
        if (c.TransposeB)
        {
            GemvRows.Run<ElementDots<TLoad>>(team, c);
        }
        else
        {
            AxpyWork<TLoad> work = new(c);
            team.Run(WorkerTeam.ChunksFor(c.N, AxpyColumns), ref work);
        }
    }

    /// <summary>An element of C from its sum of products.</summary>
    public static float Finish(in GemmCall c, float sum, long column, float* at)
    {
        float value = c.Alpha * sum;
        if (c.Bias != null)
        {
            value += c.Bias[column];
        }

        return c.Beta == 0 ? value : value + (c.Beta * *at);
    }

    /// <summary>sums[0..3] = x · B[j]; rows beyond <paramref name="width"/> repeat the last one.</summary>
    public static void Dots1<TLoad>(int k, float* x, void* b, long offset, long ld, int width, float* sums)
        where TLoad : IElementLoad
    {
        long o0 = offset;
        long o1 = offset + (Math.Min(1, width - 1) * ld);
        long o2 = offset + (Math.Min(2, width - 1) * ld);
        long o3 = offset + (Math.Min(3, width - 1) * ld);
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
        int i = 0;
        long ahead = 4 * ld;
        for (; i + 16 <= k; i += 16)
        {
            // The rows of the next call, at the same place: the processor's own prefetch stops at each page.
            Prefetch<TLoad>(b, o0 + ahead + i);
            Prefetch<TLoad>(b, o1 + ahead + i);
            Prefetch<TLoad>(b, o2 + ahead + i);
            Prefetch<TLoad>(b, o3 + ahead + i);
            Vector256<float> v = Vector256.Load(x + i);
            Vector256<float> w = Vector256.Load(x + i + 8);
            s0 = Vector256.MultiplyAddEstimate(v, TLoad.Eight(b, o0 + i), s0);
            t0 = Vector256.MultiplyAddEstimate(w, TLoad.Eight(b, o0 + i + 8), t0);
            s1 = Vector256.MultiplyAddEstimate(v, TLoad.Eight(b, o1 + i), s1);
            t1 = Vector256.MultiplyAddEstimate(w, TLoad.Eight(b, o1 + i + 8), t1);
            s2 = Vector256.MultiplyAddEstimate(v, TLoad.Eight(b, o2 + i), s2);
            t2 = Vector256.MultiplyAddEstimate(w, TLoad.Eight(b, o2 + i + 8), t2);
            s3 = Vector256.MultiplyAddEstimate(v, TLoad.Eight(b, o3 + i), s3);
            t3 = Vector256.MultiplyAddEstimate(w, TLoad.Eight(b, o3 + i + 8), t3);
        }

        float r0 = 0, r1 = 0, r2 = 0, r3 = 0;
        for (; i < k; i++)
        {
            r0 += x[i] * TLoad.One(b, o0 + i);
            r1 += x[i] * TLoad.One(b, o1 + i);
            r2 += x[i] * TLoad.One(b, o2 + i);
            r3 += x[i] * TLoad.One(b, o3 + i);
        }

        sums[0] = Vector256.Sum(s0 + t0) + r0;
        sums[1] = Vector256.Sum(s1 + t1) + r1;
        sums[2] = Vector256.Sum(s2 + t2) + r2;
        sums[3] = Vector256.Sum(s3 + t3) + r3;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch<TLoad>(void* b, long at)
        where TLoad : IElementLoad
    {
        // 15 to 30 % of the time at 4096 x 4096 on one Zen 4 core; nothing gained for F32, whose rows are twice as long.
        if (Sse.IsSupported && TLoad.Size == 2)
        {
            Sse.Prefetch0((byte*)b + (at * TLoad.Size)); // never faults, so that it may point behind the end
        }
    }

    /// <summary>B is (K, N): its rows are added with factors into a block of 512 columns that stays in L1.</summary>
    private readonly struct AxpyWork<TLoad>(GemmCall call) : IChunkWork
        where TLoad : IElementLoad
    {
        public void Invoke(int chunk, int worker)
        {
            int from = chunk * AxpyColumns;
            int columns = Math.Min(AxpyColumns, call.N - from);
            float* sums = stackalloc float[MaxRows * AxpyColumns];
            new Span<float>(sums, MaxRows * AxpyColumns).Clear();
            for (int k = 0; k < call.K; k += 4)
            {
                int depth = Math.Min(4, call.K - k);
                for (int m = 0; m < call.M; m++)
                {
                    float* x = (float*)call.A + (m * call.LeadingA) + k;
                    AddRows<TLoad>(sums + (m * AxpyColumns), columns, call.B, (k * call.LeadingB) + from, call.LeadingB, depth, x);
                }
            }

            for (int m = 0; m < call.M; m++)
            {
                float* c = call.C + (m * call.LeadingC) + from;
                for (int j = 0; j < columns; j++)
                {
                    c[j] = Finish(call, sums[(m * AxpyColumns) + j], from + j, c + j);
                }
            }
        }
    }

    /// <summary>sums += x[0]·B[0] + ... for up to 4 rows of B.</summary>
    public static void AddRows<TLoad>(float* sums, int columns, void* b, long offset, long ld, int depth, float* x)
        where TLoad : IElementLoad
    {
        if (depth < 4)
        {
            for (int i = 0; i < depth; i++, offset += ld)
            {
                for (int j = 0; j < columns; j++)
                {
                    sums[j] += x[i] * TLoad.One(b, offset + j);
                }
            }

            return;
        }

        Vector256<float> x0 = Vector256.Create(x[0]), x1 = Vector256.Create(x[1]), x2 = Vector256.Create(x[2]), x3 = Vector256.Create(x[3]);
        long o1 = offset + ld, o2 = o1 + ld, o3 = o2 + ld;
        long ahead = 4 * ld;
        int n = 0;
        for (; n + 8 <= columns; n += 8)
        {
            Prefetch<TLoad>(b, offset + ahead + n);
            Prefetch<TLoad>(b, o1 + ahead + n);
            Prefetch<TLoad>(b, o2 + ahead + n);
            Prefetch<TLoad>(b, o3 + ahead + n);
            Vector256<float> sum = Vector256.Load(sums + n);
            sum = Vector256.MultiplyAddEstimate(x0, TLoad.Eight(b, offset + n), sum);
            sum = Vector256.MultiplyAddEstimate(x1, TLoad.Eight(b, o1 + n), sum);
            sum = Vector256.MultiplyAddEstimate(x2, TLoad.Eight(b, o2 + n), sum);
            sum = Vector256.MultiplyAddEstimate(x3, TLoad.Eight(b, o3 + n), sum);
            sum.Store(sums + n);
        }

        for (; n < columns; n++)
        {
            sums[n] += (x[0] * TLoad.One(b, offset + n)) + (x[1] * TLoad.One(b, o1 + n)) + (x[2] * TLoad.One(b, o2 + n)) + (x[3] * TLoad.One(b, o3 + n));
        }
    }
}
