namespace Graft.Runtime;

/// <summary>y[ids[i]] += x[i], from zero: the adjoint of picking rows.</summary>
/// <remarks>x (..., C) F32 or F64 (F32 or BF16 on CUDA); ids (...) I32 in [0, Rows); y (Rows, C). Sums keep the order of the ids.</remarks>
/// <param name="Rows">Rows of the result.</param>
public readonly record struct ScatterAddRows(int Rows) : IOp<ScatterAddRows>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("scatter_add_rows", 2);

    /// <inheritdoc/>
    public static void Infer(in ScatterAddRows op, ref InferCall c)
    {
        c.RequireActivation(0);
        c.RequireType(1, DType.I32);
        c.Require(op.Rows >= 0, "the number of rows must not be negative");
        c.Require(c.Shape(0).Rank >= 1 && c.Shape(0).WithoutLast() == c.Shape(1), "one index is needed for each row of the first input");
        c.Output(new Shape(op.Rows, c.Shape(0).Last), c.Input(0).DType);
        if (c.Plans == DeviceKind.Cuda)
        {
            c.Workspace(IndexingCuda.ScratchBytes(c.Shape(1).Count));
        }
    }

    /// <inheritdoc/>
    public static Tensor Reference(in ScatterAddRows op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static void Forward(in ScatterAddRows op, CpuCall c)
    {
        RowMoves.Check(Info.Name, c.Input(1), op.Rows);
        c.Output.Clear();
        RowMoves.ScatterAdd(c.Team, c.Input(0), c.Input(1), c.Output);
    }

    /// <inheritdoc/>
    public static void Forward(in ScatterAddRows op, CudaCall c)
    {
        c.Output.Clear();
        IndexingCuda.AddRows(c.Device, c.Input(0), c.Input(1), c.Output, c.Workspace, skip: -1);
    }

    /// <inheritdoc/>
    public static Saves Saves(in ScatterAddRows op, Needs needs) => Runtime.Saves.Nothing.Input(1);

    /// <inheritdoc/>
    public static void Backward(in ScatterAddRows op, BackwardCall c) => c.Accumulate(0, c.Tape.Apply(new EmbeddingLookup(-1), c.OutputGradient, c.Input(1)));
}

/// <summary>Sums of rows by index on a tape.</summary>
public static class ScatterAddRowsExtensions
{
    extension(Tape t)
    {
        /// <summary>Rows of x added up by index into a new tensor of <paramref name="rows"/> rows; see <see cref="Runtime.ScatterAddRows"/>.</summary>
        public Tensor ScatterAddRows(Tensor x, Tensor indices, int rows) => t.Apply(new ScatterAddRows(rows), x, indices);
    }
}
