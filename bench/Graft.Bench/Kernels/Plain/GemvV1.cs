using System.Numerics.Tensors;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Bench.Kernels.Plain;

/// <summary>y = W·x, one dot product per row of W.</summary>
/// <remarks>What today's has on top: several rows at once, so that x is loaded once for all of them and no row waits for the sum of the last one.
/// Beyond the caches both wait for the memory.</remarks>
internal static class GemvV1
{
    private const int Rows = 64;

    /// <summary>w (N, K), x (1, K) → y (1, N).</summary>
    public static void Run(Tensor w, Tensor x, Tensor y)
    {
        int n = w.Shape[0], k = w.Shape[1];
        Parallel.For(0, (n + Rows - 1) / Rows, strip =>
        {
            ReadOnlySpan<float> weights = w.AsReadOnlySpan<float>(), vector = x.AsReadOnlySpan<float>();
            Span<float> result = y.AsSpan<float>();
            for (int row = strip * Rows; row < Math.Min(n, (strip + 1) * Rows); row++)
            {
                result[row] = TensorPrimitives.Dot(weights.Slice(row * k, k), vector);
            }
        });
    }
}
