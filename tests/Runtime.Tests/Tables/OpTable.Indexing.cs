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
        Row.Of(new EmbeddingLookup(-1), shapes: ["1x1,1", "11x5,29", "40x33,3x7", "9x8,0", "50x300,400"], tol: Tolerance.Exact, bench: "32000x768,4096",
            inputs: [Given.F32, Given.Index(0, 0)]),
        Row.Of(new EmbeddingLookup(3), shapes: ["11x5,29"], tol: Tolerance.Exact,
            inputs: [Given.F32, Given.Index(0, 0)], notDerivative: "the padding row gets no gradient by definition; the recordings check it"),
        Row.Of(new EmbeddingLookup(-1), shapes: ["11x5,29", "40x33,3x7"], tol: Tolerance.Exact, inputs: [Given.BF16, Given.Index(0, 0)]),
        Row.Of(new EmbeddingLookup(-1), shapes: ["11x37,29"], tol: Tolerance.Exact, inputs: [Given.F16, Given.Index(0, 0)]),
        Row.Of(new EmbeddingLookup(-1) { Blocks = BlockType.Q80 }, shapes: ["11x68,3x7"], tol: Tolerance.Exact, inputs: [Given.Blocks(BlockType.Q80), Given.Index(0, 0)]),
        Row.Of(new ScatterAddRows(11), shapes: ["29x5,29", "2x3x33,2x3", "0x4,0", "700x90,700"], bench: "4096x768,4096", inputs: [Given.F32, Given.Below(11)]),
        Row.Of(default(Gather), shapes: ["1,1", "4x13,4x6", "2x3x9,2x3x17", "4x5,4x0"], tol: Tolerance.Exact, bench: "4096x32000,4096x1",
            inputs: [Given.F32, Given.Index(0, -1)]),
        Row.Of(default(ScatterAdd), shapes: ["4x13,4x6,4x6", "9,30,30", "3x5,3x0,3x0"], inputs: [Given.F32, Given.Index(0, -1), Given.F32]),
        Row.Of(new TopK(1, false), shapes: ["1", "5x31", "3x0x4"], tol: Tolerance.Exact),
        Row.Of(new TopK(5, false), shapes: ["6x17", "2x3x5"], tol: Tolerance.Exact, bench: "64x32000"),
        Row.Of(new TopK(5, true), shapes: ["6x17"], tol: Tolerance.Exact, inputs: [Given.Ties(5)]),
        Row.Of(new TopK(100, true), shapes: ["3x100", "2x257"], tol: Tolerance.Exact),
        Row.Plain(new ArgMax(false), shapes: ["1", "6x17", "2x3x33", "0x3"], tol: Tolerance.Exact, inputs: [Given.Ties(9)]),
        Row.Plain(new ArgMax(true), shapes: ["6x17"], tol: Tolerance.Exact),
        Row.Of(new MaskedFill(-3), shapes: ["4x13,4x13", "2x3x5x5,5x5", "0x4,4", "3x40000,40000"], tol: Tolerance.Exact, inputs: [Given.F32, Given.Mask]),
        Row.Of(default(Where), shapes: ["7,7,7", "3x20000,3x20000,3x20000"], tol: Tolerance.Exact, inputs: [Given.Mask]),
        Row.Of(new CumulativeSum(false), shapes: ["1", "4x13", "2x3x33", "0x5", "3x1001"]),
        Row.Of(new CumulativeSum(true), shapes: ["4x13"]),
    ];
}
