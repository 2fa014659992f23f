using Graft.Runtime;

namespace Graft.Bench.Kernels.Plain;

/// <summary>A kernel of today and the plain version that it replaced, on the same inputs.</summary>
/// <param name="Name">Kernel and sizes.</param>
/// <param name="Make">Draws the inputs and makes both sides.</param>
internal sealed record PlainRow(string Name, Func<Arena, PlainRow.Sides> Make)
{
    /// <summary>How far the results may lie apart, in units of the largest element.</summary>
    public double Tolerance { get; init; } = 1e-5;

    /// <summary>One run of either side; what they return lies in the tape's arena, or is kept.</summary>
    /// <param name="Today">Today's kernel, as a step calls it.</param>
    /// <param name="Plain">The plain version.</param>
    internal sealed record Sides(Func<Tape, Tensor[]> Today, Func<Tape, Tensor[]> Plain)
    {
        /// <summary>Gives back what is not the arena's.</summary>
        public Action? End { get; init; }
    }
}
