namespace Graft.Runtime;

/// <summary>y = op(a)·op(b), op being the identity or the transpose of the last two axes.</summary>
/// <remarks>
/// a (..., M, K), or (..., K, M) with <paramref name="TransposeA"/>; b (..., K, N), or (..., N, K) with <paramref name="TransposeB"/>; y (..., M, N).
/// Leading axes are equal, or one side is a single matrix that serves the whole batch. F32, F64, and F32 times BF16; y is F32 (F64). Sums in F32.
/// On CUDA a and b are F32 or BF16 each, and y has the type of a.
/// </remarks>
/// <param name="TransposeA">a is stored with its last two axes exchanged.</param>
/// <param name="TransposeB">b is stored with its last two axes exchanged.</param>
public readonly record struct MatMul(bool TransposeA, bool TransposeB) : IOp<MatMul>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("mat_mul", 2);

    /// <inheritdoc/>
    public static void Infer(in MatMul op, ref InferCall c)
    {
        c.RequireActivation(0);
        Products.RequireWeight(ref c, 1, c.Input(0).DType);
        Shape a = c.Shape(0);
        Shape b = c.Shape(1);
        c.Require(a.Rank >= 2 && b.Rank >= 2, "both inputs must have at least two axes");
        Sizes s = new(op, a, b);
        c.Require(s.K == s.KOfB, $"the summed axes differ: {s.K} of a and {s.KOfB} of b");
        c.Require(a.Rank == 2 || b.Rank == 2 || SameBatch(a, b), "leading axes must be equal, or one input must be a single matrix");
        Shape batch = a.Rank >= b.Rank ? a : b;
        TensorSpec y = new(batch.With(-2, s.M).With(-1, s.N), c.Input(0).DType);
        c.Output(y.Shape, y.DType);
        if (c.Plans == DeviceKind.Cuda)
        {
            c.Workspace(ProductsCuda.CastBytes(c.Input(0), c.Input(1), y));
        }
    }

    /// <inheritdoc/>
    public static Tensor Reference(in MatMul op, Tape t, ReadOnlySpan<Tensor> x)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Apply(op, x);
    }

    /// <inheritdoc/>
    public static void Forward(in MatMul op, CpuCall c)
    {
        Tensor a = c.Input(0);
        Tensor b = c.Input(1);
        Sizes s = new(op, a.Shape, b.Shape);
        if (s.FoldsA(op))
        {
            int rows = checked(s.Batch * s.M);
            Products.Run(c.Team, new(a, rows, s.K), MatrixB(op, s, b), new(c.Output, rows, s.N));
            return;
        }

        Products.Run(c.Team, MatrixA(op, s, a), MatrixB(op, s, b), new(c.Output, s.M, s.N, stride: (long)s.M * s.N), batch: s.Batch);
    }

    /// <inheritdoc/>
    public static void Forward(in MatMul op, CudaCall c)
    {
        Tensor a = c.Input(0);
        Tensor b = c.Input(1);
        Sizes s = new(op, a.Shape, b.Shape);
        if (s.FoldsA(op))
        {
            int rows = checked(s.Batch * s.M);
            ProductsCuda.Run(c.Device, new(a, rows, s.K), MatrixB(op, s, b), new(c.Output, rows, s.N), c.Workspace);
            return;
        }

        ProductsCuda.Run(c.Device, MatrixA(op, s, a), MatrixB(op, s, b), new(c.Output, s.M, s.N, stride: (long)s.M * s.N), c.Workspace, batch: s.Batch);
    }

    /// <inheritdoc/>
    public static Saves Saves(in MatMul op, Needs needs) => Runtime.Saves.Nothing.Input(0, needs[1]).Input(1, needs[0]);

    /// <inheritdoc/>
    public static void Backward(in MatMul op, BackwardCall c)
    {
        Sizes s = new(op, c.InputSpec(0).Shape, c.InputSpec(1).Shape);
        Tensor dy = c.OutputGradient;
        if (c.Needs(0))
        {
            Tensor da = c.Target(0, out bool accumulate);
            GradientOfA(op, s, c, dy, c.Input(1), da, accumulate);
        }

        if (c.Needs(1))
        {
            Tensor db = c.Target(1, out bool accumulate);
            GradientOfB(op, s, c, dy, c.Input(0), db, accumulate);
        }
    }

    /// <inheritdoc/>
    public static OpCost Cost(in MatMul op, CostCall c)
    {
        Sizes s = new(op, c.Input(0).Shape, c.Input(1).Shape);
        return c.Once(2L * s.Batch * s.M * s.N * s.K * (c.IsBackward ? c.Products(0, 1) : 1));
    }

    // da = dy·op(b)ᵀ, or its transpose op(b)·dyᵀ where a is stored transposed.
    private static void GradientOfA(in MatMul op, in Sizes s, BackwardCall c, Tensor dy, Tensor b, Tensor da, bool accumulate)
    {
        if (s.FoldsA(op))
        {
            int rows = checked(s.Batch * s.M);
            Products.Run(c, new(dy, rows, s.N), MatrixB(op, s, b, flip: true), new(da, rows, s.K), accumulate);
            return;
        }

        // A matrix that serves the whole batch takes the sum over it, one after the other.
        int steps = s.SharesA ? s.Batch : 1;
        for (int i = 0; i < steps; i++)
        {
            Tensor dyi = Part(dy, i, steps, s.M, s.N);
            Tensor bi = s.SharesA && !s.SharesB ? Part(b, i, steps, s.K, s.N) : b;
            Matrix gradient = new(dyi, s.M, s.N, op.TransposeA, (long)s.M * s.N);
            Matrix other = MatrixB(op, s, bi, flip: !op.TransposeA);
            Matrix target = op.TransposeA ? new(da, s.K, s.M, stride: (long)s.M * s.K) : new(da, s.M, s.K, stride: (long)s.M * s.K);
            (Matrix left, Matrix right) = op.TransposeA ? (other, gradient) : (gradient, other);
            Products.Run(c, left, right, target, accumulate || i > 0, batch: s.Batch / steps);
        }

        if (steps == 0 && !accumulate)
        {
            da.Clear();
        }
    }

    // db = op(a)ᵀ·dy, or its transpose dyᵀ·op(a) where b is stored transposed.
    private static void GradientOfB(in MatMul op, in Sizes s, BackwardCall c, Tensor dy, Tensor a, Tensor db, bool accumulate)
    {
        if (s.FoldsA(op))
        {
            int rows = checked(s.Batch * s.M);
            Matrix left = op.TransposeB ? new(dy, rows, s.N, true) : new(a, rows, s.K, true);
            Matrix right = op.TransposeB ? new(a, rows, s.K) : new(dy, rows, s.N);
            Products.Run(c, left, right, op.TransposeB ? new(db, s.N, s.K) : new(db, s.K, s.N), accumulate);
            return;
        }

        int steps = s.SharesB ? s.Batch : 1;
        for (int i = 0; i < steps; i++)
        {
            Tensor dyi = Part(dy, i, steps, s.M, s.N);
            Tensor ai = s.SharesB && !s.SharesA ? Part(a, i, steps, s.M, s.K) : a;
            Matrix gradient = new(dyi, s.M, s.N, op.TransposeB, (long)s.M * s.N);
            Matrix other = MatrixA(op, s, ai, flip: !op.TransposeB);
            Matrix target = op.TransposeB ? new(db, s.N, s.K, stride: (long)s.N * s.K) : new(db, s.K, s.N, stride: (long)s.N * s.K);
            (Matrix left, Matrix right) = op.TransposeB ? (gradient, other) : (other, gradient);
            Products.Run(c, left, right, target, accumulate || i > 0, batch: s.Batch / steps);
        }

        if (steps == 0 && !accumulate)
        {
            db.Clear();
        }
    }

    private static Tensor Part(Tensor x, int i, int parts, int rows, int columns) => parts == 1 ? x : x.Alias(new Shape(rows, columns), (long)i * rows * columns);

    private static Matrix MatrixA(in MatMul op, in Sizes s, Tensor a, bool flip = false)
    {
        long stride = s.SharesA ? 0 : (long)s.M * s.K;
        return op.TransposeA ? new(a, s.K, s.M, !flip, stride) : new(a, s.M, s.K, flip, stride);
    }

    private static Matrix MatrixB(in MatMul op, in Sizes s, Tensor b, bool flip = false)
    {
        long stride = s.SharesB ? 0 : (long)s.N * s.K;
        return op.TransposeB ? new(b, s.N, s.K, !flip, stride) : new(b, s.K, s.N, flip, stride);
    }

    private static bool SameBatch(Shape a, Shape b)
    {
        if (a.Rank != b.Rank)
        {
            return false;
        }

        for (int i = 0; i < a.Rank - 2; i++)
        {
            if (a[i] != b[i])
            {
                return false;
            }
        }

        return true;
    }

    private readonly struct Sizes
    {
        public Sizes(in MatMul op, Shape a, Shape b)
        {
            M = op.TransposeA ? a[-1] : a[-2];
            K = op.TransposeA ? a[-2] : a[-1];
            N = op.TransposeB ? b[-2] : b[-1];
            KOfB = op.TransposeB ? b[-1] : b[-2];
            Batch = 1;
            Shape larger = a.Rank >= b.Rank ? a : b;
            for (int i = 0; i < larger.Rank - 2; i++)
            {
                Batch = checked(Batch * larger[i]);
            }

            SharesA = a.Rank == 2;
            SharesB = b.Rank == 2;
        }

        public int M { get; }

        public int N { get; }

        public int K { get; }

        public int KOfB { get; }

        public int Batch { get; }

        public bool SharesA { get; }

        public bool SharesB { get; }

        /// <summary>The batch is just more rows of one product.</summary>
        public bool FoldsA(in MatMul op) => SharesB && !op.TransposeA;
    }
}

/// <summary>Matrix products on a tape.</summary>
public static class MatMulExtensions
{
    extension(Tape t)
    {
        /// <summary>op(a)·op(b) over the last two axes; see <see cref="Runtime.MatMul"/>.</summary>
        public Tensor MatMul(Tensor a, Tensor b, bool transposeA = false, bool transposeB = false) => t.Apply(new MatMul(transposeA, transposeB), a, b);
    }
}
