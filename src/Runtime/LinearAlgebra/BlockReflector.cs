namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// A product of Householder reflections H₀H₁…H_{b-1} = I - V T Vᵀ that acts on rows <paramref name="offset"/> and on, applied by matrix products.
/// </summary>
/// <remarks>
/// Vᵀ is (b, rows) with ones on its diagonal, T (b, b) upper triangular. Method: Schreiber and Van Loan 1989, "A storage-efficient WY representation".
/// </remarks>
internal sealed class BlockReflector(int offset, int rows, double[] vt, double[] tau)
{
    /// <summary>Reflections per block: the rank of the trailing update.</summary>
    public const int Size = 32;

    private readonly double[] _t = Triangle(vt, tau, rows);

    /// <summary>H x = (β, 0, ...) for H = I - τ v vᵀ with v₀ = 1: x becomes v, β is returned.</summary>
    public static double Make(Span<double> x, out double tau)
    {
        // Columns of a matrix of low rank end in numbers whose squares vanish: v does not depend on the scale, β is scaled back.
        double max = Dense.MaxAbs(x);
        if (max is > 0 and < 1e-100)
        {
            int exponent = Math.ILogB(max);
            Scaling.Restore(x, -exponent);
            return Math.ScaleB(Make(x, out tau), exponent);
        }

        double alpha = x[0];
        double tail = Dense.Dot(x[1..], x[1..]);
        x[0] = 1;
        if (tail == 0)
        {
            tau = 0;
            return alpha;
        }

        double beta = -Math.CopySign(Math.Sqrt((alpha * alpha) + tail), alpha);
        tau = (beta - alpha) / beta;
        double scale = 1 / (alpha - beta);
        for (int i = 1; i < x.Length; i++)
        {
            x[i] *= scale;
        }

        return beta;
    }

    /// <summary>C[offset.., column..] of a matrix with <paramref name="width"/> columns becomes H C, or Hᵀ C.</summary>
    public void Apply(double[] c, int width, int column, bool transpose)
    {
        int count = width - column;
        int block = tau.Length;
        if (count <= 0)
        {
            return;
        }

        double[] part = new double[rows * count];
        for (int r = 0; r < rows; r++)
        {
            c.AsSpan(((offset + r) * width) + column, count).CopyTo(part.AsSpan(r * count));
        }

        double[] inner = MatrixProduct.Multiply(vt, part, block, count, rows);
        double[] turned = MatrixProduct.Multiply(_t, inner, block, count, block, transposeA: transpose);
        for (int i = 0; i < turned.Length; i++)
        {
            turned[i] = -turned[i];
        }

        MatrixProduct.Accumulate(vt, turned, part, rows, count, block, transposeA: true);
        for (int r = 0; r < rows; r++)
        {
            part.AsSpan(r * count, count).CopyTo(c.AsSpan(((offset + r) * width) + column));
        }
    }

    private static double[] Triangle(double[] vt, double[] tau, int rows)
    {
        int block = tau.Length;
        double[] t = new double[block * block];
        Span<double> products = stackalloc double[Size];
        for (int j = 0; j < block; j++)
        {
            for (int i = 0; i < j; i++)
            {
                products[i] = Dense.Dot(vt.AsSpan(i * rows, rows), vt.AsSpan(j * rows, rows));
            }

            for (int i = 0; i < j; i++)
            {
                double sum = 0;
                for (int k = i; k < j; k++)
                {
                    sum += t[(i * block) + k] * products[k];
                }

                t[(i * block) + j] = -tau[j] * sum;
            }

            t[(j * block) + j] = tau[j];
        }

        return t;
    }
}
