using System.Numerics.Tensors;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Bench.Kernels.Plain;

/// <summary>C = A·B by adding up rows of B, in blocks so that a part of B stays in the cache; every multiply-add reads and writes C in memory.</summary>
/// <remarks>What today's has on top: sums of a tile of C held in registers, operands packed in the order they are read, shares by the work and not by the rows.</remarks>
internal static class GemmV1
{
    private const int Rows = 32;
    private const int Depth = 128;
    private const int Columns = 1024; // 128 x 1024 of B: 512 KiB, half of a second-level cache

    /// <summary>a (M, K), b (K, N) → c (M, N).</summary>
    public static void Run(Tensor a, Tensor b, Tensor c)
    {
        int m = a.Shape[0], k = a.Shape[1], n = b.Shape[1];
        c.Fill(0);
        Parallel.For(0, (m + Rows - 1) / Rows, strip =>
        {
            int top = strip * Rows, bottom = Math.Min(m, top + Rows);
            for (int left = 0; left < n; left += Columns)
            {
                for (int from = 0; from < k; from += Depth)
                {
                    AddBlock(a, b, c, (top, bottom), (left, Math.Min(n, left + Columns)), (from, Math.Min(k, from + Depth)));
                }
            }
        });
    }

    private static void AddBlock(Tensor a, Tensor b, Tensor c, (int From, int To) rows, (int From, int To) columns, (int From, int To) depth)
    {
        int k = a.Shape[1], n = b.Shape[1], width = columns.To - columns.From;
        ReadOnlySpan<float> left = a.AsReadOnlySpan<float>(), right = b.AsReadOnlySpan<float>();
        Span<float> result = c.AsSpan<float>();
        for (int i = rows.From; i < rows.To; i++)
        {
            Span<float> sums = result.Slice((i * n) + columns.From, width);
            for (int l = depth.From; l < depth.To; l++)
            {
                TensorPrimitives.MultiplyAdd(right.Slice((l * n) + columns.From, width), left[(i * k) + l], sums, sums);
            }
        }
    }
}
