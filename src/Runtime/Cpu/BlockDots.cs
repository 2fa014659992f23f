using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Cpu;

/// <summary>Rows of a quantised matrix: blocks are read as they are stored, and A stays F32, so that nothing is rounded but the sums.</summary>
/// <remarks>
/// Over a block, Σ x·(d·q + m) = d·Σ x·q + m·Σ x: codes become floats by a permutation (four bits) or a conversion (eight), a scale enters once a block, and
/// the block sums of x are made once a chunk.
/// </remarks>
internal readonly unsafe struct BlockDots<TBlock> : IRowDots
    where TBlock : IBlockLoad
{
    public static int Height => 1;

    public static long RowBytes(in GemmCall c) => c.LeadingB / BlockTypeExtensions.BlockElements * TBlock.Bytes;

    /// <summary>Each row of A, the upper halves of its blocks divided by what the codes are multiplied by (which is exact), then the block sums of all rows.</summary>
    public static void Prepare(in GemmCall c, float* scratch)
    {
        int blocks = c.K / BlockTypeExtensions.BlockElements;
        float* blockSums = scratch + ((long)c.M * c.K);
        Vector256<float> factor = Vector256.Create(Vector512.IsHardwareAccelerated ? 1 / TBlock.HighFactor : 1);
        for (int m = 0; m < c.M; m++)
        {
            float* x = (float*)c.A + (m * c.LeadingA);
            for (int i = 0; i < blocks; i++, x += BlockTypeExtensions.BlockElements, scratch += BlockTypeExtensions.BlockElements)
            {
                Vector256<float> x0 = Vector256.Load(x), x1 = Vector256.Load(x + 8), x2 = Vector256.Load(x + 16), x3 = Vector256.Load(x + 24);
                x0.Store(scratch);
                x1.Store(scratch + 8);
                (x2 * factor).Store(scratch + 16);
                (x3 * factor).Store(scratch + 24);
                if (TBlock.HasMinimum)
                {
                    *blockSums++ = Lanes256.Sum(new(x0 + x1 + (x2 + x3)));
                }
            }
        }
    }

    public static void Dots(in GemmCall c, int m, int height, byte* b, int rows, float* scratch, float* sums)
    {
        int blocks = c.K / BlockTypeExtensions.BlockElements;
        float* x = scratch + ((long)m * c.K);
        float* blockSums = scratch + ((long)c.M * c.K) + ((long)m * blocks);
        if (Vector512.IsHardwareAccelerated)
        {
            Rows512(rows, blocks, x, blockSums, b, RowBytes(c), HalfTable.Values, sums);
        }
        else
        {
            Rows256(rows, blocks, x, blockSums, b, RowBytes(c), HalfTable.Values, sums);
        }
    }

    private static void Rows512(int rows, int blocks, float* x, float* blockSums, byte* b, long rowBytes, float* half, float* sums)
    {
        for (int row = 0; row < rows; row++, b += rowBytes)
        {
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0;
            float m0 = 0, m1 = 0;
            byte* block = b;
            float* at = x;
            int i = 0;
            for (; i + 2 <= blocks; i += 2)
            {
                if (Sse.IsSupported && TBlock.Ahead > 0)
                {
                    Sse.Prefetch0(block + TBlock.Ahead); // never faults, so that it may point behind the end
                }

                s0 = Block512(block, at, half, s0);
                s1 = Block512(block + TBlock.Bytes, at + BlockTypeExtensions.BlockElements, half, s1);
                m0 = Minimum(block, blockSums + i, half, m0);
                m1 = Minimum(block + TBlock.Bytes, blockSums + i + 1, half, m1);
                at += 2 * BlockTypeExtensions.BlockElements;
                block += 2 * TBlock.Bytes;
            }

            if (i < blocks)
            {
                s0 = Block512(block, at, half, s0);
                m0 = Minimum(block, blockSums + i, half, m0);
            }

            sums[row] = Lanes512.Sum(new(s0 + s1)) + (m0 + m1);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Block512(byte* block, float* x, float* half, Vector512<float> sum)
    {
        TBlock.Codes(block, out Vector512<float> low, out Vector512<float> high);
        Vector512<float> product = Vector512.MultiplyAddEstimate(high, Vector512.Load(x + 16), low * Vector512.Load(x));
        return Vector512.MultiplyAddEstimate(product, Vector512.Create(half[*(ushort*)block]), sum);
    }

    private static void Rows256(int rows, int blocks, float* x, float* blockSums, byte* b, long rowBytes, float* half, float* sums)
    {
        for (int row = 0; row < rows; row++, b += rowBytes)
        {
            Vector256<float> s0 = Vector256<float>.Zero, s1 = s0;
            float minima = 0;
            byte* block = b;
            float* at = x;
            for (int i = 0; i < blocks; i++)
            {
                Vector256<float> scale = Vector256.Create(half[*(ushort*)block]);
                Vector256<float> p0 = TBlock.Codes(block, 0) * Vector256.Load(at);
                Vector256<float> p1 = TBlock.Codes(block, 8) * Vector256.Load(at + 8);
                p0 = Vector256.MultiplyAddEstimate(TBlock.Codes(block, 16), Vector256.Load(at + 16), p0);
                p1 = Vector256.MultiplyAddEstimate(TBlock.Codes(block, 24), Vector256.Load(at + 24), p1);
                s0 = Vector256.MultiplyAddEstimate(p0, scale, s0);
                s1 = Vector256.MultiplyAddEstimate(p1, scale, s1);
                minima = Minimum(block, blockSums + i, half, minima);
                at += BlockTypeExtensions.BlockElements;
                block += TBlock.Bytes;
            }

            sums[row] = Lanes256.Sum(new(s0 + s1)) + minima;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Minimum(byte* block, float* blockSum, float* half, float sum)
    {
        return TBlock.HasMinimum ? float.MultiplyAddEstimate(*blockSum, half[((ushort*)block)[1]], sum) : 0;
    }
}
