using Graft.Runtime;

namespace Graft.Bench.Kernels.Plain;

/// <summary>Causal attention with its scores as a whole (T, T) matrix per head: product, mask, softmax, product, each an op of its own, which the tape differentiates.</summary>
/// <remarks>
/// The products and the softmax are those of today, so that what is left between the two is the method alone (Dao 2023, arXiv:2307.08691): blocks of scores that never
/// leave the cache, the half behind the mask left out, heads read where they lie. Memory: 12·B·H·T² bytes forward, where today's is 4·B·H·T.
/// </remarks>
internal static class AttentionV1
{
    /// <summary>q, k, v (B, T, H, D), mask (T, T): 0 where a query may look, else -∞ → (B, T, H, D).</summary>
    public static Tensor Run(Tape t, Tensor q, Tensor k, Tensor v, Tensor mask)
    {
        Tensor queries = t.Permute(q, 0, 2, 1, 3), keys = t.Permute(k, 0, 2, 1, 3), values = t.Permute(v, 0, 2, 1, 3); // (B, H, T, D)
        Tensor scores = t.Scale(t.MatMul(queries, keys, transposeB: true), 1 / Math.Sqrt(q.Shape[-1])); // (B, H, T, T)
        Tensor shares = t.Softmax(t.Add(scores, mask));
        return t.Permute(t.MatMul(shares, values), 0, 2, 1, 3);
    }

    /// <summary>The mask of T tokens.</summary>
    public static Tensor Mask(Arena arena, int tokens)
    {
        Tensor mask = arena.Zeros(new Shape(tokens, tokens), DType.F32, MemoryCategory.Weights);
        for (int i = 0; i < tokens; i++)
        {
            mask.AsSpan<float>()[((i * tokens) + i + 1)..((i + 1) * tokens)].Fill(float.NegativeInfinity);
        }

        return mask;
    }
}
