using System.Numerics.Tensors;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Bench.Kernels.Plain;

/// <summary>Softmax by one library call per step of the formula: five passes over a row.</summary>
/// <remarks>What today's has on top: subtraction, exponential and sum in one pass, and the division as a factor in another; the maximum is the third.</remarks>
internal static class SoftmaxV1
{
    /// <summary>x (N, C) → y (N, C), rows that add up to 1.</summary>
    public static void Run(Tensor x, Tensor y)
    {
        int columns = x.Shape[-1];
        Parallel.For(0, (int)(x.Shape.Count / columns), row =>
        {
            ReadOnlySpan<float> values = x.AsReadOnlySpan<float>().Slice(row * columns, columns);
            Span<float> shares = y.AsSpan<float>().Slice(row * columns, columns);
            TensorPrimitives.Subtract(values, TensorPrimitives.Max(values), shares);
            TensorPrimitives.Exp(shares, shares);
            TensorPrimitives.Divide(shares, TensorPrimitives.Sum(shares), shares);
        });
    }
}
