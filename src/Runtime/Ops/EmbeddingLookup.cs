namespace Graft.Runtime;

/// <summary>y[i] = W[ids[i]]: rows of a table by index.</summary>
/// <remarks>
/// W (V, C) F32, BF16, F16 or, on the CPU, F64 or quantised (without a gradient then); ids (...) I32 in [0, V); y (..., C) F32 (F64). The gradient of W is F32, and repeated ids add up in their order.
/// </remarks>
/// <param name="PaddingIndex">A row that gets no gradient; -1 for none.</param>
public readonly record struct EmbeddingLookup(int PaddingIndex) : IOp<EmbeddingLookup>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("embedding", 2, Recompute: true);

    /// <summary>How W is quantised: then it is U8 (V, bytes of a row), and only the rows asked for are unpacked.</summary>
    public BlockType Blocks { get; init; }

    /// <inheritdoc/>
    public static void Infer(in EmbeddingLookup op, ref InferCall c)
    {
        DType type = c.Input(0).DType;
        if (op.Blocks == BlockType.None)
        {
            c.RequireType(0, DType.F32, DType.BF16, type == DType.F64 && c.Plans == DeviceKind.Cpu ? DType.F64 : DType.F16);
        }
        else
        {
            c.RequireBlocks(0, op.Blocks);
            c.Require(!c.Needs[0], "a quantised table is not trainable");
        }

        c.RequireType(1, DType.I32);
        Shape ids = c.Shape(1);
        c.Require(c.Shape(0).Rank == 2, "a table of two axes, (rows, width), is needed");
        c.Require(ids.Rank < Shape.MaxRank, $"ids may have at most {Shape.MaxRank - 1} axes");
        c.Require(op.PaddingIndex >= -1 && op.PaddingIndex < c.Shape(0)[0], $"the padding row {op.PaddingIndex} must be one of the table's, or -1");
        Span<int> axes = stackalloc int[Shape.MaxRank];
        ids.CopyTo(axes);
        axes[ids.Rank] = op.Blocks == BlockType.None ? c.Shape(0)[1] : op.Blocks.Columns(c.Shape(0)[1]);
        c.Output(new Shape(axes[..(ids.Rank + 1)]), type == DType.F64 ? DType.F64 : DType.F32);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in EmbeddingLookup op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static void Forward(in EmbeddingLookup op, CpuCall c)
    {
        RowMoves.Check(Info.Name, c.Input(1), c.Input(0).Shape[0]);
        RowMoves.Gather(c.Team, c.Input(0), c.Input(1), c.Output, op.Blocks);
    }

    /// <inheritdoc/>
    public static void Forward(in EmbeddingLookup op, CudaCall c) => IndexingCuda.Embedding(c.Device, c.Input(0), c.Input(1), c.Output);

    /// <inheritdoc/>
    /// <remarks>Only rows that an id names count: read and written, or added to.</remarks>
    public static OpCost Cost(in EmbeddingLookup op, CostCall c) => new(((c.IsBackward ? 3 : 2) * c.Output().Bytes) + c.Input(1).Bytes);

    /// <inheritdoc/>
    public static Saves Saves(in EmbeddingLookup op, Needs needs) => Runtime.Saves.Nothing.Input(1);

    /// <inheritdoc/>
    public static void Backward(in EmbeddingLookup op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient, ids = c.Input(1);
        GradientMemory dw = GradientMemory.Open(c, 0, dy.DType);
        Tensor? scratch = c.Plans == DeviceKind.Cuda ? c.Temporary(new Shape(IndexingCuda.ScratchBytes(ids.Shape.Count)), DType.U8) : null;
        if (!dw.Adds)
        {
            dw.Memory.Clear();
        }

        if (c.OnCpu)
        {
            RowMoves.ScatterAdd(c.Team, dy, ids, dw.Memory, op.PaddingIndex);
        }
        else if (c.OnCuda)
        {
            IndexingCuda.AddRows(c.Cuda, dy, ids, dw.Memory, scratch, op.PaddingIndex);
        }

        dw.Close(c);
    }
}

/// <summary>Rows by index on a tape.</summary>
public static class EmbeddingLookupExtensions
{
    extension(Tape t)
    {
        /// <summary>Rows of a table by id; see <see cref="EmbeddingLookup"/>.</summary>
        public Tensor Embedding(Tensor table, Tensor ids, int paddingIndex = -1) => t.Apply(new EmbeddingLookup(paddingIndex), table, ids);

        /// <summary>Rows of a quantised table, U8 (V, bytes of a row), by id; see <see cref="EmbeddingLookup"/>.</summary>
        public Tensor QuantizedEmbedding(Tensor codes, BlockType type, Tensor ids) => t.Apply(new EmbeddingLookup(-1) { Blocks = type }, codes, ids);

        /// <summary>Rows of x (N, C) by index: the same op under the name used where x is no table of words.</summary>
        public Tensor GatherRows(Tensor x, Tensor indices) => t.Apply(new EmbeddingLookup(-1), x, indices);
    }
}
