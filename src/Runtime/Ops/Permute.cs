using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Axes in another order, written out: axis i of y is axis Axes[i] of x.</summary>
/// <remarks>x of any dtype, rank up to 6.</remarks>
/// <param name="Axes">A permutation of 0 to rank - 1.</param>
public readonly record struct Permute(Shape Axes) : IOp<Permute>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("permute", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Permute op, ref InferCall c)
    {
        Shape x = c.Shape(0);
        Span<int> axes = stackalloc int[Shape.MaxRank];
        uint seen = 0;
        for (int i = 0; i < op.Axes.Rank; i++)
        {
            seen |= op.Axes[i] < Shape.MaxRank ? 1u << op.Axes[i] : 0;
        }

        c.Require(op.Axes.Rank == x.Rank && seen == (1u << x.Rank) - 1, $"{op.Axes} must be a permutation of the {x.Rank} axes");
        for (int i = 0; i < x.Rank; i++)
        {
            axes[i] = x[op.Axes[i]];
        }

        c.Output(new Shape(axes[..x.Rank]), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Permute op, Tape t, ReadOnlySpan<Tensor> x)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Apply(op, x);
    }

    /// <inheritdoc/>
    public static unsafe void Forward(in Permute op, CpuCall c)
    {
        byte* from = c.Input(0).RawPointer();
        byte* to = c.Output.RawPointer();
        Shape shape = c.Input(0).Shape;
        switch (c.Output.DType.Size())
        {
            case 1:
                Permutation.Run(c.Team, from, to, shape, op.Axes);
                break;
            case 2:
                Permutation.Run(c.Team, (ushort*)from, (ushort*)to, shape, op.Axes);
                break;
            case 4:
                Permutation.Run(c.Team, (uint*)from, (uint*)to, shape, op.Axes);
                break;
            default:
                Permutation.Run(c.Team, (ulong*)from, (ulong*)to, shape, op.Axes);
                break;
        }
    }

    /// <inheritdoc/>
    public static void Forward(in Permute op, CudaCall c) => MovementCuda.Permute(c.Device, c.Input(0), op.Axes, c.Output);

    /// <inheritdoc/>
    public static Saves Saves(in Permute op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Backward(in Permute op, BackwardCall c)
    {
        Span<int> inverse = stackalloc int[Shape.MaxRank];
        for (int i = 0; i < op.Axes.Rank; i++)
        {
            inverse[op.Axes[i]] = i;
        }

        c.Accumulate(0, c.Tape.Apply(new Permute(new Shape(inverse[..op.Axes.Rank])), c.OutputGradient));
    }
}

/// <summary>Other orders of axes on a tape.</summary>
public static class PermuteExtensions
{
    extension(Tape t)
    {
        /// <summary>Axes in another order; see <see cref="Runtime.Permute"/>.</summary>
        public Tensor Permute(Tensor x, params ReadOnlySpan<int> axes) => t.Apply(new Permute(new Shape(axes)), x);

        /// <summary>Two axes exchanged; negative ones count from the end.</summary>
        public Tensor Transpose(Tensor x, int first = -2, int second = -1)
        {
            ArgumentNullException.ThrowIfNull(x);
            int rank = x.Shape.Rank;
            Span<int> axes = stackalloc int[Shape.MaxRank];
            for (int i = 0; i < rank; i++)
            {
                axes[i] = i;
            }

            first = first < 0 ? first + rank : first;
            second = second < 0 ? second + rank : second;
            if ((uint)first >= (uint)rank || (uint)second >= (uint)rank)
            {
                throw new ShapeException($"transpose: axes {first} and {second} are not both among the {rank} of {x.Spec}.");
            }

            (axes[first], axes[second]) = (second, first);
            return t.Apply(new Permute(new Shape(axes[..rank])), x);
        }
    }
}
