using System.Numerics;

namespace Graft.Runtime;

/// <summary>The index of the largest (or smallest) element of each row; the first of equal ones, and the first NaN where there is one.</summary>
/// <remarks>x (..., N) F32 or F64 (F32 or BF16 on CUDA), N at least 1 → (...) I32. No gradient.</remarks>
/// <param name="Smallest">The smallest instead.</param>
public readonly record struct ArgMax(bool Smallest) : INonDifferentiableOp<ArgMax>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("arg_max", 1);

    /// <inheritdoc/>
    public static void Infer(in ArgMax op, ref InferCall c)
    {
        c.RequireActivation(0);
        c.Require(c.Shape(0).Rank >= 1 && c.Shape(0).Last >= 1, "rows of at least one element are needed");
        c.Output(c.Shape(0).WithoutLast(), DType.I32);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in ArgMax op, Tape t, ReadOnlySpan<Tensor> x) => t.Evaluate(op, x)[0];

    /// <inheritdoc/>
    public static void Forward(in ArgMax op, CpuCall c)
    {
        Tensor x = c.Input(0);
        if (x.DType == DType.F64)
        {
            Run(x.AsReadOnlySpan<double>(), c.Output.AsSpan<int>(), x.Shape.Last, op.Smallest);
        }
        else
        {
            Run(x.AsReadOnlySpan<float>(), c.Output.AsSpan<int>(), x.Shape.Last, op.Smallest);
        }
    }

    /// <inheritdoc/>
    public static void Forward(in ArgMax op, CudaCall c) => SelectCuda.ArgMax(c, op.Smallest);

    private static void Run<T>(ReadOnlySpan<T> x, Span<int> result, int length, bool smallest)
        where T : IFloatingPointIeee754<T>
    {
        for (int row = 0; row < result.Length; row++)
        {
            ReadOnlySpan<T> values = x.Slice(row * length, length);
            int best = 0;
            for (int i = 1; i < length && !T.IsNaN(values[best]); i++)
            {
                if (T.IsNaN(values[i]) || (smallest ? values[i] < values[best] : values[i] > values[best]))
                {
                    best = i;
                }
            }

            result[row] = best;
        }
    }
}

/// <summary>Indices of extremes on a tape.</summary>
public static class ArgMaxExtensions
{
    extension(Tape t)
    {
        /// <summary>The index of the largest element of each row, or the smallest; see <see cref="Runtime.ArgMax"/>.</summary>
        public Tensor ArgMax(Tensor x, bool smallest = false) => t.Evaluate(new ArgMax(smallest), x)[0];
    }
}
