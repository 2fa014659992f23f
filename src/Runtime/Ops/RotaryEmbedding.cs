using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Rotates pairs (j, j + R/2) of the first R numbers of each head by the angle of the token's position.</summary>
/// <remarks>
/// x (..., H, D) F32 (or BF16 on CUDA), cos and sin (P, R/2) F32, positions I32 in [0, P): one per token, or (T) that repeat for every sequence of (B, T, H, D) → y like x.
/// Half-split layout of Llama's checkpoints. Method: Su et al. 2021, arXiv:2104.09864.
/// </remarks>
public readonly record struct RotaryEmbedding : IOp<RotaryEmbedding>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("rotary_embedding", 4, "arXiv:2104.09864", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in RotaryEmbedding op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.RequireType(1, DType.F32);
        c.RequireType(2, DType.F32);
        c.RequireType(3, DType.I32);
        Shape x = c.Shape(0), table = c.Shape(1);
        c.Require(x.Rank >= 2, "x must end in heads and head size");
        c.Require(table.Rank == 2 && c.Shape(2) == table, "cos and sin must be of one shape (positions, rotated / 2)");
        c.Require(2 * table.Last <= x.Last, $"at most the {x.Last} numbers of a head can be rotated, the table has {2 * table.Last}");
        long tokens = Tokens(x), positions = c.Shape(3).Count;
        c.Require(tokens == 0 || (positions > 0 && tokens % positions == 0), "there must be one position per token, or as many as repeat evenly");
        c.Require(!c.Needs[1] && !c.Needs[2], "cos and sin are constants: detach them");
        c.Output(x, c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in RotaryEmbedding op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Shape shape = x[0].Shape;
        int half = x[1].Shape.Last, rest = shape.Last - (2 * half), tokens = checked((int)Tokens(shape)), heads = shape[-2];
        Tensor c = Rows(t, x[1], x[3], tokens, x[0].DType), s = Rows(t, x[2], x[3], tokens, x[0].DType);
        Tensor whole = t.View(x[0], new Shape(tokens, heads, shape.Last));
        Tensor a = t.Slice(whole, -1, 0, half), b = t.Slice(whole, -1, half, half);
        Tensor first = t.Sub(t.Mul(a, c), t.Mul(b, s)), second = t.Add(t.Mul(b, c), t.Mul(a, s));
        Tensor y = rest == 0 ? t.Concat(-1, first, second) : t.Concat(-1, first, second, t.Slice(whole, -1, 2 * half, rest));
        return t.View(y, shape);
    }

    /// <inheritdoc/>
    public static Saves Saves(in RotaryEmbedding op, Needs needs) => Runtime.Saves.Nothing.Input(1).Input(2).Input(3);

    /// <inheritdoc/>
    public static void Forward(in RotaryEmbedding op, CpuCall c)
    {
        ReadOnlySpan<int> positions = c.Input(3).AsReadOnlySpan<int>();
        int rows = c.Input(1).Shape[0];
        for (int i = 0; i < positions.Length; i++)
        {
            if ((uint)positions[i] >= (uint)rows)
            {
                throw new GraftException($"rotary_embedding: position {positions[i]} of token {i} is not in the table of {rows} positions; make a longer table.");
            }
        }

        Rotate(c.Team, c.Input(0), c.Input(1), c.Input(2), positions, false, c.Output);
    }

    /// <inheritdoc/>
    public static void Forward(in RotaryEmbedding op, CudaCall c)
        => GateCuda.Rotary(c.Device, c.Input(0), c.Input(1), c.Input(2), c.Input(3), inverse: false, c.Output, add: false);

    /// <inheritdoc/>
    public static void Backward(in RotaryEmbedding op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        GradientMemory dx = GradientMemory.Open(c, 0, dy.DType, adds: c.Plans == DeviceKind.Cuda);
        if (c.OnCpu)
        {
            Rotate(c.Team, dy, c.Input(1), c.Input(2), c.Input(3).AsReadOnlySpan<int>(), true, dx.Memory);
        }
        else if (c.OnCuda)
        {
            GateCuda.Rotary(c.Cuda, dy, c.Input(1), c.Input(2), c.Input(3), inverse: true, dx.Memory, dx.Adds);
        }

        dx.Close(c);
    }

    private static void Rotate(WorkerTeam team, Tensor x, Tensor cos, Tensor sin, ReadOnlySpan<int> positions, bool inverse, Tensor y)
    {
        Shape shape = y.Shape;
        int heads = shape[-2], size = shape.Last, width = checked(heads * size);
        RotaryKernel.Run(
            team, checked((int)Tokens(shape)), heads, size, 2 * cos.Shape.Last, x.AsReadOnlySpan<float>(), width, cos.AsReadOnlySpan<float>(), sin.AsReadOnlySpan<float>(),
            positions, inverse, y.AsSpan<float>(), width);
    }

    private static long Tokens(Shape x) => x.WithoutLast().Rows;

    /// <summary>The table's rows of all tokens, (tokens, 1, R/2).</summary>
    private static Tensor Rows(Tape t, Tensor table, Tensor positions, int tokens, DType dtype)
    {
        int half = table.Shape.Last;
        double[] rows = new double[t.Device.Computes ? tokens * half : 0];
        if (rows.Length > 0)
        {
            int[] at = positions.ToArray<int>();
            double[] values = table.DType == DType.F64 ? table.ToArray<double>() : Array.ConvertAll(table.ToArray<float>(), v => (double)v);
            for (int i = 0; i < rows.Length; i++)
            {
                rows[i] = values[(at[i / half % at.Length] * half) + (i % half)];
            }
        }

        return HostConstants.Create(t, new Shape(tokens, 1, half), dtype, rows);
    }
}

/// <summary><see cref="Runtime.RotaryEmbedding"/> on a tape.</summary>
public static class RotaryEmbeddingExtensions
{
    extension(Tape t)
    {
        /// <summary>Rotates the heads of x (..., H, D) by their tokens' positions (I32); see <see cref="Runtime.RotaryEmbedding"/>.</summary>
        public Tensor RotaryEmbedding(Tensor x, RotaryTable table, Tensor positions)
        {
            ArgumentNullException.ThrowIfNull(table);
            return t.Apply(default(RotaryEmbedding), x, table.Cos, table.Sin, positions);
        }
    }
}
