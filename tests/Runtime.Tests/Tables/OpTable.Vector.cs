namespace Graft.Runtime.Tests.Tables;

internal static partial class OpTable
{
    /// <summary>Element-wise ops, reductions, norms, activations, losses.</summary>
    private static Row[] VectorRows() => [];
}
