namespace Graft.Runtime;

/// <summary>The K largest (or smallest) elements of each row, in order, with their indices; of equal ones the lower index comes first.</summary>
/// <remarks>
/// x (..., N) F32 or F64 (F32 or BF16 on CUDA) → values (..., K), indices (..., K) I32.
/// NaN counts as larger than everything, -0 equals 0. With K = N it is a stable sort.
/// </remarks>
/// <param name="K">How many, at most N.</param>
/// <param name="Smallest">The smallest, ascending, instead of the largest, descending.</param>
public readonly record struct TopK(int K, bool Smallest) : IOp<TopK>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("top_k", 1);

    /// <inheritdoc/>
    public static void Infer(in TopK op, ref InferCall c)
    {
        c.RequireActivation(0);
        Shape x = c.Shape(0);
        c.Require(x.Rank >= 1 && op.K >= 0 && op.K <= x.Last, $"{op.K} of each row were asked; a row must have at least as many");
        c.Output(x.With(-1, op.K), c.Input(0).DType);
        c.Output(x.With(-1, op.K), DType.I32);
        c.Workspace(c.Plans == DeviceKind.Cuda ? SelectCuda.TopKBytes(x, op.K) : 0);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in TopK op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static void Forward(in TopK op, CpuCall c)
    {
        Selection.Run(c.Team, c.Input(0), c.OutputAt(1), op.Smallest);
        ElementMoves.Gather(c.Team, c.Input(0), c.OutputAt(1), c.Output);
    }

    /// <inheritdoc/>
    public static Saves Saves(in TopK op, Needs needs) => Runtime.Saves.Nothing.Output(1);

    /// <inheritdoc/>
    public static void Forward(in TopK op, CudaCall c) => SelectCuda.TopK(c, op);

    /// <inheritdoc/>
    public static void Backward(in TopK op, BackwardCall c)
    {
        Tensor dx = c.Target(0, out bool accumulate);
        if (!accumulate)
        {
            dx.Clear();
        }

        if (c.OnCpu)
        {
            ElementMoves.ScatterAdd(c.Team, c.OutputGradient, c.OutputAt(1), dx);
        }
        else if (c.OnCuda)
        {
            SelectCuda.TopKBackward(c.Cuda, c.OutputGradient, c.OutputAt(1), dx);
        }
    }
}

/// <summary>Selection and order on a tape.</summary>
public static class TopKExtensions
{
    extension(Tape t)
    {
        /// <summary>The k largest elements of each row, or the smallest; see <see cref="Runtime.TopK"/>.</summary>
        public (Tensor Values, Tensor Indices) TopK(Tensor x, int k, bool smallest = false)
        {
            Tensor[] outputs = t.ApplyAll(new TopK(k, smallest), x);
            return (outputs[0], outputs[1]);
        }

        /// <summary>Each row in order, stable; see <see cref="Runtime.TopK"/>.</summary>
        public (Tensor Values, Tensor Indices) Sort(Tensor x, bool descending = false)
        {
            ArgumentNullException.ThrowIfNull(x);
            return t.TopK(x, x.Shape.Last, smallest: !descending);
        }
    }
}
