using System.Diagnostics.CodeAnalysis;

namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// A matrix that a decomposition cannot take: entries that are not finite, a singular or indefinite matrix, or no convergence. Names the operation and
/// the entry.
/// </summary>
public sealed class LinearAlgebraException(string message) : GraftException(message)
{
    /// <summary>The matrix as F64, checked: its size fits and every entry is finite.</summary>
    internal static double[] Checked(string operation, ReadOnlySpan<float> a, int rows, int columns)
    {
        CheckSize(operation, a.Length, rows, columns);
        double[] copy = new double[a.Length];
        for (int i = 0; i < a.Length; i++)
        {
            copy[i] = a[i];
        }

        CheckFinite(operation, copy, columns);
        return copy;
    }

    /// <summary>A copy of the matrix, checked: its size fits and every entry is finite.</summary>
    internal static double[] Checked(string operation, ReadOnlySpan<double> a, int rows, int columns)
    {
        CheckSize(operation, a.Length, rows, columns);
        double[] copy = a.ToArray();
        CheckFinite(operation, copy, columns);
        return copy;
    }

    [DoesNotReturn]
    internal static void Throw(string message) => throw new LinearAlgebraException(message);

    private static void CheckSize(string operation, int length, int rows, int columns)
    {
        if (rows < 1 || columns < 1 || (long)rows * columns != length)
        {
            throw new ShapeException($"{operation}: a {rows} x {columns} matrix was announced, {length} entries were given; "
                + "both sizes must be at least 1 and their product the number of entries.");
        }
    }

    private static void CheckFinite(string operation, double[] a, int columns)
    {
        for (int i = 0; i < a.Length; i++)
        {
            if (!double.IsFinite(a[i]))
            {
                Throw($"{operation}: entry ({i / columns}, {i % columns}) is {a[i]}; every entry must be finite. Look for a diverged or damaged weight.");
            }
        }
    }
}
