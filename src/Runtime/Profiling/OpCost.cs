namespace Graft.Runtime;

/// <summary>What a run of an op cannot do without.</summary>
/// <param name="Bytes">Read and written, each tensor once: what caches cannot save.</param>
/// <param name="Flops">A multiply and an add count as two; 0 where memory decides.</param>
public readonly record struct OpCost(long Bytes, long Flops = 0);

/// <summary>One run of an op, to be estimated by <see cref="IForwardOp{TSelf}.Cost"/>: its forward, or its backward with what that needs.</summary>
public readonly ref struct CostCall
{
    private readonly ReadOnlySpan<Tensor> _inputs;
    private readonly ReadOnlySpan<Tensor> _outputs;
    private readonly ReadOnlySpan<Tensor> _saved;
    private readonly Saves _saves;

    internal CostCall(ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs, ReadOnlySpan<Tensor> saved, Needs needs)
    {
        _inputs = inputs;
        _outputs = outputs;
        _saved = saved;
        Needs = needs;
    }

    internal CostCall(Node node)
        : this(node.Inputs, (Tensor[])[node.Output, .. node.Rest], node.Extras, node.Needs)
    {
        _saves = node.Saves;
        IsBackward = true;
    }

    /// <summary>True for the op's backward.</summary>
    public bool IsBackward { get; }

    /// <summary>Which inputs need a gradient; none where nothing is recorded.</summary>
    public Needs Needs { get; }

    /// <summary>Shape and dtype of an input.</summary>
    public TensorSpec Input(int i) => _inputs[i].Spec;

    /// <summary>Shape and dtype of an output.</summary>
    public TensorSpec Output(int i = 0) => _outputs[i].Spec;

    /// <summary>How many of two inputs need a gradient: of a product, each takes one product more.</summary>
    public int Products(int first, int second) => (Needs[first] ? 1 : 0) + (Needs[second] ? 1 : 0);

    /// <summary>Every tensor moved once: forward reads its inputs and writes outputs and saved tensors; backward reads the outputs' gradients and what was saved
    /// and writes the inputs' gradients.</summary>
    public OpCost Once(long flops = 0)
    {
        long bytes = 0;
        for (int i = 0; i < _inputs.Length; i++)
        {
            bytes += !IsBackward ? _inputs[i].Spec.Bytes : Kept(_saves.Inputs, i, _inputs[i]) + (Needs[i] ? Gradient(_inputs[i]) : 0);
        }

        for (int i = 0; i < _outputs.Length; i++)
        {
            bytes += !IsBackward ? _outputs[i].Spec.Bytes : Kept(_saves.Outputs, i, _outputs[i]) + Gradient(_outputs[i]);
        }

        for (int i = 0; i < _saved.Length; i++)
        {
            bytes += !IsBackward ? _saved[i].Spec.Bytes : Kept(_saves.Saved, i, _saved[i]);
        }

        return new OpCost(bytes, flops);
    }

    private static long Kept(uint mask, int i, Tensor tensor) => (mask >> i & 1) == 0 ? 0 : tensor.Spec.Bytes;

    private static long Gradient(Tensor tensor) => tensor.Shape.Count * tensor.Device.GradientType(tensor.DType).Size();
}
