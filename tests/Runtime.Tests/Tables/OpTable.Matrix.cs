namespace Graft.Runtime.Tests.Tables;

internal static partial class OpTable
{
    /// <summary>Products, linear layers, attention.</summary>
    private static Row[] MatrixRows() => [];
}
