namespace Graft.Runtime;

/// <summary>y = x·Wᵀ + b + s·u·Bᵀ: a linear layer with optional bias and optional low-rank branch in one op.</summary>
/// <remarks>
/// x (..., in), W (out, in), or (in, out) with <paramref name="InputFirst"/> (Conv1D of GPT-2); b (out); u (..., r), B (out, r); y (..., out).
/// W, B are F32 or BF16, the rest F32 (or all F64); W may be quantised on the CPU, and has no gradient then; on CUDA x, u and y are F32 or BF16, b as W. The branch is that of LoRA with u = x·Aᵀ, Hu et al. 2021,
/// arXiv:2106.09685.
/// </remarks>
/// <param name="InputFirst">W is stored as (in, out).</param>
/// <param name="Bias">Input 2 is b.</param>
/// <param name="Branch">The last two inputs are u and B.</param>
/// <param name="Scale">s.</param>
public readonly record struct LinearTransform(bool InputFirst, bool Bias, bool Branch, float Scale) : IOp<LinearTransform>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("linear", 2, "arXiv:2106.09685");

    /// <summary>How W is quantised: then it is U8 (out, bytes of a row), read as it is stored.</summary>
    public BlockType Blocks { get; init; }

    private int InputU => Bias ? 3 : 2;

    /// <inheritdoc/>
    public static void Infer(in LinearTransform op, ref InferCall c)
    {
        int inputs = 2 + (op.Bias ? 1 : 0) + (op.Branch ? 2 : 0);
        c.Require(c.Count == inputs, $"x, W{(op.Bias ? ", b" : "")}{(op.Branch ? ", u, B" : "")} are needed");
        c.RequireActivation(0);
        DType type = c.Input(0).DType;
        Shape x = c.Shape(0);
        if (op.Blocks == BlockType.None)
        {
            Products.RequireWeight(ref c, 1, type);
        }
        else
        {
            c.RequireBlocks(1, op.Blocks);
            c.Require(!op.InputFirst && !c.Needs[1], "a quantised weight is stored as (out, in), and is not trainable");
        }

        Shape w = op.Weight(c.Shape(1));
        c.Require(x.Rank >= 1 && w.Rank == 2, "x (..., in) and a weight of two axes are needed");
        int outputs = w[op.InputFirst ? 1 : 0];
        c.Require(w[op.InputFirst ? 0 : 1] == x.Last, $"the last axis of x has {x.Last} elements, but the weight takes {w[op.InputFirst ? 0 : 1]}");
        if (op.Bias)
        {
            Products.RequireWeight(ref c, 2, type, half: false);
            c.Require(c.Shape(2).Count == outputs, $"the bias must have {outputs} elements");
        }

        if (op.Branch)
        {
            c.RequireType(op.InputU, type);
            Products.RequireWeight(ref c, op.InputU + 1, type);
            Shape u = c.Shape(op.InputU);
            Shape up = c.Shape(op.InputU + 1);
            c.Require(u.Rows == x.Rows && u.Rank >= 1, $"u must have {x.Rows} rows as x has");
            c.Require(up.Rank == 2 && up[0] == outputs && up[1] == u.Last, $"B must be ({outputs}, {u.Last})");
        }

        TensorSpec y = new(x.With(-1, outputs), type);
        c.Output(y.Shape, type);
        if (c.Plans == DeviceKind.Cuda)
        {
            // One after the other in the same bytes.
            long bytes = ProductsCuda.CastBytes(c.Input(0), c.Input(1), y, op.Bias ? c.Input(2) : null);
            c.Workspace(op.Branch ? Math.Max(bytes, ProductsCuda.CastBytes(c.Input(op.InputU), c.Input(op.InputU + 1), y)) : bytes);
        }
    }

    /// <inheritdoc/>
    public static Tensor Reference(in LinearTransform op, Tape t, ReadOnlySpan<Tensor> x)
    {
        ArgumentNullException.ThrowIfNull(t);

        return t.Apply(op, x);
    }

    /// <inheritdoc/>
    public static void Forward(in LinearTransform op, CpuCall c)
    {
        Tensor x = c.Input(0);
        Shape w = op.Weight(c.Input(1).Shape);
        int rows = checked((int)x.Shape.Rows);
        Matrix y = new(c.Output, rows, c.Output.Shape.Last);
        Matrix weight = new(c.Input(1), w[0], w[1], !op.InputFirst, blocks: op.Blocks);
        Products.Branch? branch = null;
        if (op.Branch)
        {
            Tensor u = c.Input(op.InputU);
            Tensor up = c.Input(op.InputU + 1);
            branch = new(new(u, rows, u.Shape.Last), new(up, up.Shape[0], up.Shape[1], true), op.Scale);
        }

        Products.Run(c.Team, new(x, rows, x.Shape.Last), weight, y, bias: op.Bias ? c.Input(2) : null, branch: branch);
    }

    /// <inheritdoc/>
    public static void Forward(in LinearTransform op, CudaCall c)
    {
        Tensor x = c.Input(0);
        Tensor w = c.Input(1);
        int rows = checked((int)x.Shape.Rows);
        Matrix y = new(c.Output, rows, c.Output.Shape.Last);
        if (op.Branch)
        {
            // The branch first: it is the small term, so rounding it to BF16 costs little, and the base product adds it in F32 before y is rounded as a whole.
            Tensor u = c.Input(op.InputU);
            Tensor up = c.Input(op.InputU + 1);
            ProductsCuda.Run(c.Device, new(u, rows, u.Shape.Last), new(up, up.Shape[0], up.Shape[1], true), y, c.Workspace, alpha: op.Scale);
        }

        Matrix weight = new(w, w.Shape[0], w.Shape[1], !op.InputFirst);
        ProductsCuda.Run(c.Device, new(x, rows, x.Shape.Last), weight, y, c.Workspace, accumulate: op.Branch, bias: op.Bias ? c.Input(2) : null);
    }

    /// <inheritdoc/>
    public static Saves Saves(in LinearTransform op, Needs needs)
    {
        Saves saves = Runtime.Saves.Nothing.Input(0, needs[1]).Input(1, needs[0]);
        return op.Branch ? saves.Input(op.InputU, needs[op.InputU + 1]).Input(op.InputU + 1, needs[op.InputU]) : saves;
    }

    /// <inheritdoc/>
    public static void Backward(in LinearTransform op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        int rows = checked((int)c.InputSpec(0).Shape.Rows);
        Shape w = op.Weight(c.InputSpec(1).Shape);
        int outputs = w[op.InputFirst ? 1 : 0];
        int inputs = c.InputSpec(0).Shape.Last;
        if (c.Needs(0))
        {
            Tensor dx = c.Target(0, out bool accumulate);
            Products.Run(c, new(dy, rows, outputs), new(c.Input(1), w[0], w[1], op.InputFirst, blocks: op.Blocks), new(dx, rows, inputs), accumulate);
        }

        if (c.Needs(1))
        {
            Tensor dw = c.Target(1, out bool accumulate);
            Tensor x = c.Input(0);
            Matrix left = op.InputFirst ? new(x, rows, inputs, true) : new(dy, rows, outputs, true);
            Matrix right = op.InputFirst ? new(dy, rows, outputs) : new(x, rows, inputs);
            Products.Run(c, left, right, new(dw, w[0], w[1]), accumulate);
        }

        if (op.Bias && c.Needs(2))
        {
            Tensor db = c.Target(2, out bool accumulate);
            Products.SumRows(c, dy, db, accumulate);
        }

        if (op.Branch)
        {
            BranchBackward(op, c, dy, rows, outputs);
        }
    }

    /// <inheritdoc/>
    public static OpCost Cost(in LinearTransform op, CostCall c)
    {
        Shape x = c.Input(0).Shape;
        long product = 2 * x.Rows * op.Weight(c.Input(1).Shape).Count;
        long branch = op.Branch ? 2 * x.Rows * c.Input(op.InputU + 1).Shape.Count : 0;
        return c.Once(c.IsBackward ? (product * c.Products(0, 1)) + (branch * c.Products(op.InputU, op.InputU + 1)) : product + branch);
    }

    // (out, in), or (in, out), from the stored shape; not of two axes where the stored one is not.
    private Shape Weight(Shape stored) => Blocks == BlockType.None || stored.Rank != 2 ? stored : new Shape(stored[0], Blocks.Columns(stored[1]));

    private static void BranchBackward(in LinearTransform op, BackwardCall c, Tensor dy, int rows, int outputs)
    {
        int u = op.InputU;
        int rank = c.InputSpec(u).Shape.Last;
        if (c.Needs(u))
        {
            Tensor du = c.Target(u, out bool accumulate);
            Products.Run(c, new(dy, rows, outputs), new(c.Input(u + 1), outputs, rank), new(du, rows, rank), accumulate, op.Scale);
        }

        if (c.Needs(u + 1))
        {
            Tensor db = c.Target(u + 1, out bool accumulate);
            Products.Run(c, new(dy, rows, outputs, true), new(c.Input(u), rows, rank), new(db, outputs, rank), accumulate, op.Scale);
        }
    }
}

/// <summary>Linear layers on a tape.</summary>
public static class LinearTransformExtensions
{
    extension(Tape t)
    {
        /// <summary>x·Wᵀ + b + scale·u·Bᵀ with a quantised W, U8 (out, bytes of a row); b, and u with B, may be null. See <see cref="LinearTransform"/>.</summary>
        public Tensor QuantizedLinear(Tensor x, Tensor codes, BlockType type, Tensor? bias = null, Tensor? u = null, Tensor? up = null, float scale = 1)
        {
            LinearTransform op = new(false, bias is not null, u is not null, scale) { Blocks = type };
            return (bias, u) switch
            {
                (null, null) => t.Apply(op, x, codes),
                (_, null) => t.Apply(op, x, codes, bias),
                (null, _) => t.Apply(op, x, codes, u, up!),
                _ => t.Apply(op, x, codes, bias, u, up!),
            };
        }

        /// <summary>x·Wᵀ + b, or x·W + b with <paramref name="inputFirst"/>; see <see cref="LinearTransform"/>.</summary>
        public Tensor Linear(Tensor x, Tensor weight, Tensor? bias = null, bool inputFirst = false)
        {
            return bias is null ? t.Apply(new LinearTransform(inputFirst, false, false, 0), x, weight) : t.Apply(new LinearTransform(inputFirst, true, false, 0), x, weight, bias);
        }

        /// <summary>x·Wᵀ + b + scale·u·Bᵀ in one pass, u being the small side of a low-rank branch; see <see cref="LinearTransform"/>.</summary>
        public Tensor LinearWithBranch(Tensor x, Tensor weight, Tensor? bias, Tensor u, Tensor up, float scale, bool inputFirst = false)
        {
            return bias is null
                ? t.Apply(new LinearTransform(inputFirst, false, true, scale), x, weight, u, up)
                : t.Apply(new LinearTransform(inputFirst, true, true, scale), x, weight, bias, u, up);
        }
    }
}
