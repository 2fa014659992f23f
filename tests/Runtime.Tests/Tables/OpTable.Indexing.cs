namespace Graft.Runtime.Tests.Tables;

internal static partial class OpTable
{
    /// <summary>Ops that move, pick and order elements.</summary>
    private static Row[] IndexingRows() =>
    [
        Row.Of(new Slice(-1, 2, 5), shapes: ["7", "3x9", "2x1x8", "0x7"], tol: Tolerance.Exact, bench: "4096x2304"),
        Row.Of(new Slice(1, 0, 3), shapes: ["2x3", "4x5x6", "3x40x300"], tol: Tolerance.Exact),
        Row.Of(new Concat(0), shapes: ["3", "2x5,1x5", "0x4,3x4,2x4"], tol: Tolerance.Exact),
        Row.Of(new Concat(-1), shapes: ["4x3,4x1,4x30", "2x3x7,2x3x9", "300x100,300x50"], tol: Tolerance.Exact, bench: "4096x768,4096x768"),
        Row.Of(new Concat(-1), shapes: ["4x3,4x1"], tol: Tolerance.Exact, inputs: [Given.Below(9), Given.Below(9)]),
        Row.Of(new Permute(new Shape(1, 0)), shapes: ["1x1", "7x9", "33x31", "300x200", "0x3"], tol: Tolerance.Exact, bench: "2048x2048"),
        Row.Of(new Permute(new Shape(0, 2, 1, 3)), shapes: ["2x5x3x8", "1x3x1x4", "4x50x6x64"], tol: Tolerance.Exact, bench: "4x1024x12x64"),
        Row.Of(new Permute(new Shape(2, 0, 1)), shapes: ["2x3x4", "5x1x7", "20x30x70"], tol: Tolerance.Exact),
        Row.Of(new Permute(new Shape(5, 3, 4, 0, 2, 1)), shapes: ["2x3x2x3x2x3"], tol: Tolerance.Exact),
        Row.Of(new Permute(new Shape(0, 1)), shapes: ["4x5"], tol: Tolerance.Exact, inputs: [Given.Mask]),
    ];
}
