using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Two operands spread over one result: axes that walk through memory in step are joined, so that few and long ones remain.</summary>
/// <remarks>A stride of 0 repeats an operand. Equal shapes become one axis; (rows, columns) with (columns) or (rows, 1) two.</remarks>
internal struct BroadcastPlan
{
    private Axes _lengths;
    private Axes _xStrides;
    private Axes _yStrides;

    /// <summary>Axes that remain; at least one.</summary>
    public int Rank { get; private set; }

    /// <summary>The length of the innermost axis.</summary>
    public readonly int Inner => (int)_lengths[Rank - 1];

    /// <summary>0 or 1: how the first operand moves along the innermost axis.</summary>
    public readonly int XInner => (int)_xStrides[Rank - 1];

    /// <summary>0 or 1: how the second operand moves along the innermost axis.</summary>
    public readonly int YInner => (int)_yStrides[Rank - 1];

    /// <summary>Runs along the innermost axis.</summary>
    public long Rows { get; private set; }

    /// <summary>The common shape: axes are matched from the last; lengths must be equal or 1. False if they are not.</summary>
    public static bool TryCombine(Shape x, Shape y, out Shape result)
    {
        int rank = Math.Max(x.Rank, y.Rank);
        Span<int> axes = stackalloc int[Shape.MaxRank];
        for (int i = 1; i <= rank; i++)
        {
            int a = i <= x.Rank ? x[-i] : 1, b = i <= y.Rank ? y[-i] : 1;
            if (a != b && a != 1 && b != 1)
            {
                result = default;
                return false;
            }

            axes[rank - i] = a == 1 ? b : a;
        }

        result = new Shape(axes[..rank]);
        return true;
    }

    /// <summary>The walk over <paramref name="result"/>, to which both shapes must spread.</summary>
    public static BroadcastPlan Create(Shape x, Shape y, Shape result)
    {
        BroadcastPlan plan = default;
        Axes lengths = default, xs = default, ys = default; // innermost first
        int rank = 0;
        long xStride = 1, yStride = 1;
        plan.Rows = 1;
        for (int i = 1; i <= result.Rank; i++)
        {
            int length = result[-i];
            if (length == 1)
            {
                continue;
            }

            bool xMoves = i <= x.Rank && x[-i] != 1, yMoves = i <= y.Rank && y[-i] != 1;
            long xs0 = xMoves ? xStride : 0, ys0 = yMoves ? yStride : 0;
            xStride *= xMoves ? length : 1;
            yStride *= yMoves ? length : 1;
            if (rank > 0 && xs0 == xs[rank - 1] * lengths[rank - 1] && ys0 == ys[rank - 1] * lengths[rank - 1])
            {
                lengths[rank - 1] *= length;
                continue;
            }

            (lengths[rank], xs[rank], ys[rank]) = (length, xs0, ys0);
            rank++;
        }

        if (rank == 0)
        {
            (lengths[0], xs[0], ys[0], rank) = (1, 1, 1, 1);
        }

        plan.Rank = rank;
        for (int i = 0; i < rank; i++)
        {
            plan._lengths[i] = lengths[rank - 1 - i];
            plan._xStrides[i] = xs[rank - 1 - i];
            plan._yStrides[i] = ys[rank - 1 - i];
            plan.Rows *= i == rank - 1 ? 1 : plan._lengths[i];
        }

        return plan;
    }

    /// <summary>The length of an axis, and how far each operand moves along it.</summary>
    public readonly (long Length, long X, long Y) Axis(int i) => (_lengths[i], _xStrides[i], _yStrides[i]);

    /// <summary>Where the operands of a run begin.</summary>
    public readonly (long X, long Y) Offsets(long row)
    {
        long x = 0, y = 0;
        for (int i = Rank - 2; i >= 0; i--)
        {
            (row, long index) = Math.DivRem(row, _lengths[i]);
            x += index * _xStrides[i];
            y += index * _yStrides[i];
        }

        return (x, y);
    }

    [InlineArray(Shape.MaxRank)]
    private struct Axes
    {
        private long _first;
    }
}
