using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text;

namespace Graft.Runtime;

/// <summary>Up to six axis lengths, held by value. Tensors are row-major and contiguous, so this is all there is to a layout.</summary>
public readonly struct Shape : IEquatable<Shape>
{
    /// <summary>The largest rank.</summary>
    public const int MaxRank = 6;

    private readonly Axes _axes;
    private readonly byte _rank;

    /// <summary>A shape from axis lengths, outermost first; none for a scalar.</summary>
    /// <exception cref="ShapeException">More than six axes, or a negative length.</exception>
    public Shape(params ReadOnlySpan<int> axes)
    {
        if (axes.Length > MaxRank)
        {
            throw new ShapeException($"A shape has at most {MaxRank} axes; {axes.Length} were given.");
        }

        for (int i = 0; i < axes.Length; i++)
        {
            if (axes[i] < 0)
            {
                throw new ShapeException($"Axis {i} of a shape has the length {axes[i]}; lengths are zero or more.");
            }

            _axes[i] = axes[i];
        }

        _rank = (byte)axes.Length;
    }

    /// <summary>The number of axes.</summary>
    public int Rank => _rank;

    /// <summary>The number of elements; 1 for a scalar.</summary>
    public long Count
    {
        get
        {
            long count = 1;
            for (int i = 0; i < _rank; i++)
            {
                count *= _axes[i];
            }

            return count;
        }
    }

    /// <summary>The length of the last axis; 1 for a scalar.</summary>
    public int Last => _rank == 0 ? 1 : _axes[_rank - 1];

    /// <summary>The number of rows, that is the product of all axes but the last; 1 for a scalar.</summary>
    public long Rows
    {
        get
        {
            long rows = 1;
            for (int i = 0; i < _rank - 1; i++)
            {
                rows *= _axes[i];
            }

            return rows;
        }
    }

    /// <summary>The length of an axis; a negative index counts from the end.</summary>
    public int this[int axis]
    {
        get
        {
            int at = axis < 0 ? axis + _rank : axis;
            ArgumentOutOfRangeException.ThrowIfNegative(at, nameof(axis));
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(at, _rank, nameof(axis));
            return _axes[at];
        }
    }

    /// <summary>The same shape with one axis changed; a negative index counts from the end.</summary>
    public Shape With(int axis, int length)
    {
        Span<int> axes = stackalloc int[MaxRank];
        CopyTo(axes);
        axes[axis < 0 ? axis + _rank : axis] = length;
        return new Shape(axes[.._rank]);
    }

    /// <summary>The shape without its last axis.</summary>
    public Shape WithoutLast()
    {
        Span<int> axes = stackalloc int[MaxRank];
        CopyTo(axes);
        return new Shape(axes[..Math.Max(0, _rank - 1)]);
    }

    /// <summary>Writes the axes to the front of <paramref name="axes"/>.</summary>
    public void CopyTo(Span<int> axes)
    {
        for (int i = 0; i < _rank; i++)
        {
            axes[i] = _axes[i];
        }
    }

    /// <inheritdoc/>
    public bool Equals(Shape other)
    {
        if (_rank != other._rank)
        {
            return false;
        }

        for (int i = 0; i < _rank; i++)
        {
            if (_axes[i] != other._axes[i])
            {
                return false;
            }
        }

        return true;
    }

    /// <inheritdoc/>
    public override bool Equals([NotNullWhen(true)] object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        for (int i = 0; i < _rank; i++)
        {
            hash.Add(_axes[i]);
        }

        return hash.ToHashCode();
    }

    /// <summary>Same rank and lengths.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>Another rank or length.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    /// <summary>As in messages: `(8, 1024, 768)`.</summary>
    public override string ToString()
    {
        StringBuilder text = new("(");
        for (int i = 0; i < _rank; i++)
        {
            _ = text.Append(i == 0 ? "" : ", ").Append(_axes[i]);
        }

        return text.Append(')').ToString();
    }

    [InlineArray(MaxRank)]
    private struct Axes
    {
        private int _first;
    }
}
