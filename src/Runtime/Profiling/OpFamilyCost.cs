namespace Graft.Runtime;

/// <summary>What all runs of one op in one phase have cost together.</summary>
/// <param name="Name">The op's name, or that of a part of the step.</param>
/// <param name="Phase">Which part of a step.</param>
/// <param name="Calls">How many runs.</param>
/// <param name="Seconds">Their own time: what spans inside them took belongs to those.</param>
/// <param name="Bytes">By <see cref="IForwardOp{TSelf}.Cost"/>.</param>
/// <param name="Flops">By <see cref="IForwardOp{TSelf}.Cost"/>; 0 where memory decides.</param>
public readonly record struct OpFamilyCost(string Name, ProfilePhase Phase, long Calls, double Seconds, long Bytes, long Flops);

/// <summary>A span of time of a profile.</summary>
/// <param name="Name">The op's name, or that of a part of the step.</param>
/// <param name="Phase">Which part of a step.</param>
/// <param name="Start">By <see cref="System.Diagnostics.Stopwatch"/>'s clock.</param>
/// <param name="Ticks">Duration, spans inside it included.</param>
/// <param name="Cost">Its own; none where spans inside it have theirs.</param>
public readonly record struct OpSpan(string Name, ProfilePhase Phase, long Start, long Ticks, OpCost Cost);
