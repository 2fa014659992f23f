namespace Graft.Runtime.Tests.Tables;

/// <summary>
/// Every op of the runtime. A new op needs one line here, in the file of its family: it then has its tests, its benchmark and its line in docs/ops.md.
/// </summary>
internal static partial class OpTable
{
    /// <summary>All rows.</summary>
    public static IReadOnlyList<Row> Rows { get; } = [.. MatrixRows(), .. VectorRows(), .. IndexingRows()];

    /// <summary>The rows as test cases.</summary>
    public static IEnumerable<TestCaseData> Cases(Func<Row, bool>? which = null) => Rows.Where(which ?? (static _ => true)).Select(Case);

    /// <summary>The rows of ops with a gradient as test cases.</summary>
    public static IEnumerable<TestCaseData> DifferentiableCases() => Rows.Where(r => r.HasGradient).Select(Case);

    private static TestCaseData Case(Row row) => new TestCaseData(row).SetArgDisplayNames(row.Label);
}
