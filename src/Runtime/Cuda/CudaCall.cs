namespace Graft.Runtime;

/// <summary>One run of an op's CUDA kernels: inputs, outputs and saved tensors with device memory behind them.</summary>
public readonly ref struct CudaCall
{
    private readonly ReadOnlySpan<Tensor> _inputs;
    private readonly ReadOnlySpan<Tensor> _outputs;
    private readonly ReadOnlySpan<Tensor> _saved;

    internal CudaCall(CudaDevice device, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs, ReadOnlySpan<Tensor> saved, Tensor? workspace, Needs needs, Arena arena)
    {
        Device = device;
        _inputs = inputs;
        _outputs = outputs;
        _saved = saved;
        Workspace = workspace;
        Needs = needs;
        Arena = arena;
    }

    /// <summary>The device that runs it.</summary>
    public CudaDevice Device { get; }

    /// <summary>Which inputs will need a gradient, as in <see cref="InferCall.Needs"/>.</summary>
    public Needs Needs { get; }

    /// <summary>How many inputs were given.</summary>
    public int Count => _inputs.Length;

    /// <summary>The first output.</summary>
    public Tensor Output => _outputs[0];

    /// <summary>The scratch declared by <see cref="InferCall.Workspace"/> as bytes; null where none was.</summary>
    public Tensor? Workspace { get; }

    internal Arena Arena { get; }

    internal ReadOnlySpan<Tensor> Inputs => _inputs;

    internal ReadOnlySpan<Tensor> Outputs => _outputs;

    internal int SavedCount => _saved.Length;

    /// <summary>An input.</summary>
    public Tensor Input(int i) => _inputs[i];

    /// <summary>An output.</summary>
    public Tensor OutputAt(int i) => _outputs[i];

    /// <summary>A tensor declared by <see cref="InferCall.Save"/>.</summary>
    public Tensor Saved(int i = 0) => _saved[i];
}
