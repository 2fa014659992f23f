using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>One direction of an op at one size, on both sides.</summary>
/// <param name="Name">Op, direction and shape.</param>
/// <param name="Bytes">What must be moved at least: inputs read once, results written once.</param>
/// <param name="Flops">Operations; an exponential counts as one.</param>
/// <param name="Ours">Runs ours.</param>
/// <param name="Result">What ours writes.</param>
internal sealed record OpCase(string Name, double Bytes, double Flops, Action Ours, Tensor Result)
{
    /// <summary>Runs the peer's op; its result is compared with ours and freed with the scope around the call. Null without a peer.</summary>
    public Func<TorchSharp.torch.Tensor>? Theirs { get; init; }

    /// <summary>How far the results may lie apart, in units of the largest element.</summary>
    public double Tolerance { get; init; } = 1e-5;

    /// <summary>False for work that is limited by arithmetic: it has no share of the copy bandwidth to reach.</summary>
    public bool IsMemoryBound { get; init; } = true;

    /// <summary>Frees what the peer's side holds.</summary>
    public Action? End { get; init; }
}
