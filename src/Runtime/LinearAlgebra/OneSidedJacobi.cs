namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// Turns pairs of rows of W against each other until all are orthogonal; the rows of V go along. W = Σ Uᵀ then, and V holds the right vectors as rows.
/// </summary>
/// <remarks>
/// Blocks of rows meet in a round-robin tournament: the pairs of one round share no row, so they may run at once and the order of the arithmetic is fixed.
/// Method: Hestenes 1958; Demmel and Veselić 1992 for its accuracy.
/// </remarks>
internal sealed class OneSidedJacobi
{
    private const int Block = 16; // two blocks of W and V with 2048 columns fill a second-level cache of 1 MiB
    private const int MaxSweeps = 40;

    private readonly double[] _w;
    private readonly double[] _v;
    private readonly int _n;
    private readonly int _width;
    private readonly double _tolerance;
    private readonly double _null;

    private OneSidedJacobi(double[] w, double[] v, int n, int width)
    {
        _w = w;
        _v = v;
        _n = n;
        _width = width;
        _tolerance = Math.Max(10, Math.Sqrt(width)) * 1.1e-16;
        double largest = 0;
        for (int i = 0; i < n; i++)
        {
            largest = Math.Max(largest, Dense.Dot(W(i), W(i)));
        }

        // Rows this short carry nothing but rounding: they are left as they are, the caller replaces their vectors. Squared.
        _null = largest * Math.Pow(Math.Max(n, width) * 1.1e-16, 2);
    }

    /// <summary>Runs to convergence on W (n, width) and V (n, n).</summary>
    public static void Run(double[] w, double[] v, int n, int width)
    {
        OneSidedJacobi jacobi = new(w, v, n, width);
        for (int sweep = 0; sweep < MaxSweeps; sweep++)
        {
            if (jacobi.Sweep() == 0)
            {
                return;
            }
        }

        LinearAlgebraException.Throw($"Svd: no convergence of a {width} x {n} matrix in {MaxSweeps} sweeps.");
    }

    private Span<double> W(int row) => _w.AsSpan(row * _width, _width);

    private Span<double> V(int row) => _v.AsSpan(row * _n, _n);

    private int Sweep()
    {
        int blocks = (_n + Block - 1) / Block;
        int players = blocks + (blocks & 1);
        int[] rotations = new int[Math.Max(1, players)];
        double flops = 2.0 * _n * _n * _width / players;
        Dense.For(blocks, flops, b => rotations[b] += Inside(b));
        for (int round = 0; round < players - 1; round++)
        {
            int r = round;
            Dense.For(players / 2, flops, pair =>
            {
                // The circle method: one player stays, the others move on by one seat a round.
                int first = pair == 0 ? players - 1 : (r + pair) % (players - 1);
                int second = pair == 0 ? r : (r + players - 1 - pair) % (players - 1);
                if (first < blocks && second < blocks)
                {
                    rotations[pair] += Between(Math.Min(first, second), Math.Max(first, second));
                }
            });
        }

        return rotations.Sum();
    }

    private int Inside(int block)
    {
        int count = 0;
        int end = Math.Min(_n, (block + 1) * Block);
        for (int i = block * Block; i < end; i++)
        {
            for (int j = i + 1; j < end; j++)
            {
                count += Turn(i, j);
            }
        }

        return count;
    }

    private int Between(int first, int second)
    {
        int count = 0;
        int endFirst = Math.Min(_n, (first + 1) * Block);
        int endSecond = Math.Min(_n, (second + 1) * Block);
        for (int i = first * Block; i < endFirst; i++)
        {
            for (int j = second * Block; j < endSecond; j++)
            {
                count += Turn(i, j);
            }
        }

        return count;
    }

    private int Turn(int i, int j)
    {
        Span<double> x = W(i), y = W(j);
        double product = Dense.Dot(x, y);
        if (product == 0)
        {
            return 0;
        }

        double a = Dense.Dot(x, x), b = Dense.Dot(y, y);
        if (Math.Abs(product) <= _tolerance * Math.Sqrt(a) * Math.Sqrt(b) || a <= _null || b <= _null)
        {
            return 0;
        }

        double zeta = (b - a) / (2 * product);
        double t = double.IsInfinity(zeta * zeta) ? 0.5 / zeta : Math.CopySign(1, zeta) / (Math.Abs(zeta) + Math.Sqrt(1 + (zeta * zeta)));
        double cos = 1 / Math.Sqrt(1 + (t * t));
        Dense.Rotate(x, y, cos, cos * t);
        Dense.Rotate(V(i), V(j), cos, cos * t);
        return 1;
    }
}
