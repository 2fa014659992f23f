using Graft.Runtime;

namespace Graft.Bench.Kernels.Plain;

/// <summary>AdamW as it is written in the paper, one element after the other.</summary>
/// <remarks>What today's has on top: vectors. The square root and the two divisions of an element take as long as those of a whole vector.</remarks>
internal static class AdamWV1
{
    private const int Piece = 32768;
    private const float Beta1 = 0.9f;
    private const float Beta2 = 0.999f;
    private const float Epsilon = 1e-8f;
    private const float Decay = 0.01f;

    /// <summary>Update number <paramref name="step"/> (1 for the first) of p by g; m and v are the means of gradients and of their squares.</summary>
    public static void Run(Tensor p, Tensor g, Tensor m, Tensor v, float learningRate, int step)
    {
        float size = (float)(learningRate / (1 - Math.Pow(Beta1, step)));
        float root = (float)Math.Sqrt(1 - Math.Pow(Beta2, step));
        int count = (int)p.Shape.Count;
        Parallel.For(0, (count + Piece - 1) / Piece, piece =>
        {
            int from = piece * Piece, length = Math.Min(Piece, count - from);
            Span<float> parameter = p.AsSpan<float>().Slice(from, length), mean = m.AsSpan<float>().Slice(from, length), square = v.AsSpan<float>().Slice(from, length);
            ReadOnlySpan<float> gradient = g.AsReadOnlySpan<float>().Slice(from, length);
            for (int i = 0; i < length; i++)
            {
                parameter[i] *= 1 - (learningRate * Decay);
                mean[i] = (Beta1 * mean[i]) + ((1 - Beta1) * gradient[i]);
                square[i] = (Beta2 * square[i]) + ((1 - Beta2) * gradient[i] * gradient[i]);
                parameter[i] -= size * mean[i] / ((MathF.Sqrt(square[i]) / root) + Epsilon);
            }
        });
    }
}
