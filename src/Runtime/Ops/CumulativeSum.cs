using System.Numerics;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y[r, k] = Σ x[r, 0..k]: running sums along the last axis, or from the end with <paramref name="Reverse"/>.</summary>
/// <remarks>x (..., N) F32 or F64 (F32 or BF16 on CUDA); y as x. Sums are held in F64 and rounded once per element.</remarks>
/// <param name="Reverse">y[r, k] = Σ x[r, k..].</param>
public readonly record struct CumulativeSum(bool Reverse) : IOp<CumulativeSum>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("cumulative_sum", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in CumulativeSum op, ref InferCall c)
    {
        c.RequireActivation(0);
        c.Require(c.Shape(0).Rank >= 1, "at least one axis is needed");
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in CumulativeSum op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static unsafe void Forward(in CumulativeSum op, CpuCall c)
    {
        Tensor x = c.Input(0);
        int length = x.Shape.Last;
        int rows = x.Shape.Count == 0 ? 0 : checked((int)x.Shape.Rows);
        if (x.DType == DType.F64)
        {
            Work<double> work = new() { X = x.Pointer<double>(), Y = c.Output.Pointer<double>(), Length = length, Reverse = op.Reverse };
            c.Team.Run(rows, ref work);
        }
        else
        {
            Work<float> work = new() { X = x.Pointer<float>(), Y = c.Output.Pointer<float>(), Length = length, Reverse = op.Reverse };
            c.Team.Run(rows, ref work);
        }
    }

    /// <inheritdoc/>
    public static Saves Saves(in CumulativeSum op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in CumulativeSum op, CudaCall c) => SelectCuda.CumulativeSum(c, op.Reverse);

    /// <inheritdoc/>
    public static void Backward(in CumulativeSum op, BackwardCall c) => c.Accumulate(0, c.Tape.Apply(new CumulativeSum(!op.Reverse), c.OutputGradient));

    private unsafe struct Work<T> : IChunkWork
        where T : unmanaged, INumber<T>
    {
        public T* X;
        public T* Y;
        public int Length;
        public bool Reverse;

        public readonly void Invoke(int chunk, int worker)
        {
            long start = (long)chunk * Length;
            double sum = 0;
            for (int i = 0; i < Length; i++)
            {
                long at = start + (Reverse ? Length - 1 - i : i);
                sum += double.CreateTruncating(X[at]);
                Y[at] = T.CreateTruncating(sum);
            }
        }
    }
}

/// <summary>Running sums on a tape.</summary>
public static class CumulativeSumExtensions
{
    extension(Tape t)
    {
        /// <summary>Running sums along the last axis; see <see cref="Runtime.CumulativeSum"/>.</summary>
        public Tensor CumulativeSum(Tensor x, bool reverse = false) => t.Apply(new CumulativeSum(reverse), x);
    }
}
