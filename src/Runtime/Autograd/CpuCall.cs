using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>One run of an op's CPU kernel: inputs, outputs and saved tensors with memory behind them.</summary>
public readonly ref struct CpuCall
{
    private readonly ReadOnlySpan<Tensor> _inputs;
    private readonly ReadOnlySpan<Tensor> _outputs;
    private readonly ReadOnlySpan<Tensor> _saved;
    private readonly Tensor? _workspace;

    internal CpuCall(CpuDevice device, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs, ReadOnlySpan<Tensor> saved, Tensor? workspace, Needs needs)
    {
        Device = device;
        _inputs = inputs;
        _outputs = outputs;
        _saved = saved;
        _workspace = workspace;
        Needs = needs;
    }

    /// <summary>The device that runs it.</summary>
    public CpuDevice Device { get; }

    /// <summary>Which inputs will need a gradient, as in <see cref="InferCall.Needs"/>.</summary>
    public Needs Needs { get; }

    /// <summary>How many inputs were given.</summary>
    public int Count => _inputs.Length;

    /// <summary>The first output.</summary>
    public Tensor Output => _outputs[0];

    internal WorkerTeam Team => Device.Team;

    /// <summary>An input.</summary>
    public Tensor Input(int i) => _inputs[i];

    /// <summary>An output.</summary>
    public Tensor OutputAt(int i) => _outputs[i];

    /// <summary>A tensor declared by <see cref="InferCall.Save"/>.</summary>
    public Tensor Saved(int i = 0) => _saved[i];

    /// <summary>The scratch declared by <see cref="InferCall.Workspace"/>, 64-byte aligned.</summary>
    public Span<byte> Workspace() => _workspace is null ? [] : _workspace.AsSpan<byte>();

    internal unsafe byte* WorkspacePointer() => _workspace is null ? null : _workspace.RawPointer();
}
