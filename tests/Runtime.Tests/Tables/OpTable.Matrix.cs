namespace Graft.Runtime.Tests.Tables;

internal static partial class OpTable
{
    /// <summary>Products, linear layers, attention.</summary>
    private static Row[] MatrixRows() =>
    [
        Row.Of(new MatMul(false, false), shapes: ["1x1,1x1", "7x31,31x5", "33x32,32x127", "3x5x9,3x9x4", "2x3x5x7,7x8"], bench: "1024x1024,1024x1024"),
        Row.Of(new MatMul(false, true), shapes: ["7x31,5x31", "3x5x9,3x4x9", "5x9,2x4x9", "130x257,65x257"], bench: "1024x1024,1024x1024"),
        Row.Of(new MatMul(true, false), shapes: ["31x7,31x5", "3x9x5,3x9x4", "2x9x5,9x4"]),
        Row.Of(new MatMul(true, true), shapes: ["31x7,5x31", "3x9x5,3x4x9"]),
        Row.Of(new MatMul(false, true), shapes: ["7x31,5x31", "2x4x33,16x33"], inputs: [Given.F32, Given.BF16]),
        Row.Of(new LinearTransform(false, false, false, 0), shapes: ["3x8,5x8", "2x3x33,7x33", "64x130,200x130"], bench: "256x768,3072x768"),
        Row.Of(new LinearTransform(false, true, false, 0), shapes: ["3x8,5x8,5", "2x3x33,7x33,7"]),
        Row.Of(new LinearTransform(true, true, false, 0), shapes: ["3x8,8x5,5", "2x3x33,33x7,7"]),
        Row.Of(new LinearTransform(false, false, true, 2), shapes: ["3x8,5x8,3x4,5x4", "2x3x33,7x33,2x3x8,7x8"], bench: "256x768,3072x768,256x16,3072x16"),
        Row.Of(new LinearTransform(false, true, true, 0.5f), shapes: ["3x8,5x8,5,3x4,5x4"], inputs: [Given.F32, Given.BF16, Given.F32, Given.F32, Given.BF16]),
    ];
}
