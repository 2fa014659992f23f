using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Rows of F32 or BF16.</summary>
internal readonly unsafe struct ElementDots<TLoad> : IRowDots
    where TLoad : IElementLoad
{
    public static int Height => 4;

    public static long RowBytes(in GemmCall c) => c.LeadingB * TLoad.Size;

    public static void Prepare(in GemmCall c, float* scratch)
    {
    }

    public static void Dots(in GemmCall c, int m, int height, byte* b, int rows, float* scratch, float* sums)
    {
        // Rows of A beyond the last repeat it.
        float* x = (float*)c.A + (m * c.LeadingA);
        float* x1 = x + (Math.Min(1, height - 1) * c.LeadingA);
        float* x2 = x + (Math.Min(2, height - 1) * c.LeadingA);
        float* x3 = x + (Math.Min(3, height - 1) * c.LeadingA);
        long rowBytes = RowBytes(c);
        for (int row = 0; row < rows; row++, b += rowBytes, sums += Height)
        {
            if (height == 1)
            {
                *sums = Vector512.IsHardwareAccelerated ? One512(c.K, x, b) : One256(c.K, x, b);
            }
            else if (Vector512.IsHardwareAccelerated)
            {
                Four512(c.K, x, x1, x2, x3, b, sums);
            }
            else
            {
                Four256(c.K, x, x1, x2, x3, b, sums);
            }
        }
    }

    private static float One512(int k, float* x, void* b)
    {
        Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        int i = 0;
        for (; i + 64 <= k; i += 64)
        {
            s0 = Vector512.MultiplyAddEstimate(TLoad.Sixteen(b, i), Vector512.Load(x + i), s0);
            s1 = Vector512.MultiplyAddEstimate(TLoad.Sixteen(b, i + 16), Vector512.Load(x + i + 16), s1);
            s2 = Vector512.MultiplyAddEstimate(TLoad.Sixteen(b, i + 32), Vector512.Load(x + i + 32), s2);
            s3 = Vector512.MultiplyAddEstimate(TLoad.Sixteen(b, i + 48), Vector512.Load(x + i + 48), s3);
        }

        for (; i + 16 <= k; i += 16)
        {
            s0 = Vector512.MultiplyAddEstimate(TLoad.Sixteen(b, i), Vector512.Load(x + i), s0);
        }

        return Lanes512.Sum(new(s0 + s1 + (s2 + s3))) + Rest(i, k, x, b);
    }

    private static float One256(int k, float* x, void* b)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        int i = 0;
        for (; i + 32 <= k; i += 32)
        {
            s0 = Vector256.MultiplyAddEstimate(TLoad.Eight(b, i), Vector256.Load(x + i), s0);
            s1 = Vector256.MultiplyAddEstimate(TLoad.Eight(b, i + 8), Vector256.Load(x + i + 8), s1);
            s2 = Vector256.MultiplyAddEstimate(TLoad.Eight(b, i + 16), Vector256.Load(x + i + 16), s2);
            s3 = Vector256.MultiplyAddEstimate(TLoad.Eight(b, i + 24), Vector256.Load(x + i + 24), s3);
        }

        for (; i + 8 <= k; i += 8)
        {
            s0 = Vector256.MultiplyAddEstimate(TLoad.Eight(b, i), Vector256.Load(x + i), s0);
        }

        return Lanes256.Sum(new(s0 + s1 + (s2 + s3))) + Rest(i, k, x, b);
    }

    private static void Four512(int k, float* x0, float* x1, float* x2, float* x3, void* b, float* sums)
    {
        Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
        int i = 0;
        for (; i + 32 <= k; i += 32)
        {
            Vector512<float> y = TLoad.Sixteen(b, i);
            Vector512<float> z = TLoad.Sixteen(b, i + 16);
            s0 = Vector512.MultiplyAddEstimate(y, Vector512.Load(x0 + i), s0);
            s1 = Vector512.MultiplyAddEstimate(y, Vector512.Load(x1 + i), s1);
            s2 = Vector512.MultiplyAddEstimate(y, Vector512.Load(x2 + i), s2);
            s3 = Vector512.MultiplyAddEstimate(y, Vector512.Load(x3 + i), s3);
            t0 = Vector512.MultiplyAddEstimate(z, Vector512.Load(x0 + i + 16), t0);
            t1 = Vector512.MultiplyAddEstimate(z, Vector512.Load(x1 + i + 16), t1);
            t2 = Vector512.MultiplyAddEstimate(z, Vector512.Load(x2 + i + 16), t2);
            t3 = Vector512.MultiplyAddEstimate(z, Vector512.Load(x3 + i + 16), t3);
        }

        sums[0] = Lanes512.Sum(new(s0 + t0)) + Rest(i, k, x0, b);
        sums[1] = Lanes512.Sum(new(s1 + t1)) + Rest(i, k, x1, b);
        sums[2] = Lanes512.Sum(new(s2 + t2)) + Rest(i, k, x2, b);
        sums[3] = Lanes512.Sum(new(s3 + t3)) + Rest(i, k, x3, b);
    }

    private static void Four256(int k, float* x0, float* x1, float* x2, float* x3, void* b, float* sums)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
        int i = 0;
        for (; i + 16 <= k; i += 16)
        {
            Vector256<float> y = TLoad.Eight(b, i);
            Vector256<float> z = TLoad.Eight(b, i + 8);
            s0 = Vector256.MultiplyAddEstimate(y, Vector256.Load(x0 + i), s0);
            s1 = Vector256.MultiplyAddEstimate(y, Vector256.Load(x1 + i), s1);
            s2 = Vector256.MultiplyAddEstimate(y, Vector256.Load(x2 + i), s2);
            s3 = Vector256.MultiplyAddEstimate(y, Vector256.Load(x3 + i), s3);
            t0 = Vector256.MultiplyAddEstimate(z, Vector256.Load(x0 + i + 8), t0);
            t1 = Vector256.MultiplyAddEstimate(z, Vector256.Load(x1 + i + 8), t1);
            t2 = Vector256.MultiplyAddEstimate(z, Vector256.Load(x2 + i + 8), t2);
            t3 = Vector256.MultiplyAddEstimate(z, Vector256.Load(x3 + i + 8), t3);
        }

        sums[0] = Lanes256.Sum(new(s0 + t0)) + Rest(i, k, x0, b);
        sums[1] = Lanes256.Sum(new(s1 + t1)) + Rest(i, k, x1, b);
        sums[2] = Lanes256.Sum(new(s2 + t2)) + Rest(i, k, x2, b);
        sums[3] = Lanes256.Sum(new(s3 + t3)) + Rest(i, k, x3, b);
    }

    private static float Rest(int i, int k, float* x, void* b)
    {
        float sum = 0;
        for (; i < k; i++)
        {
            sum += x[i] * TLoad.One(b, i);
        }

        return sum;
    }
}
