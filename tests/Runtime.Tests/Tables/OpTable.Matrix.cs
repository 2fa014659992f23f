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
        Row.Of(new LinearTransform(false, false, false, 0) { Blocks = BlockType.Q40 }, shapes: ["3x64,5x36", "1x96,50x54", "40x64,70x36"], inputs: [Given.F32, Given.Blocks(BlockType.Q40)]),
        Row.Of(new LinearTransform(false, true, false, 0) { Blocks = BlockType.Q41 }, shapes: ["3x32,5x20,5", "1x1x608,67x380,67", "5x64,40x40,40", "200x416,70x260,70"],
            inputs: [Given.F32, Given.Blocks(BlockType.Q41)], bench: "1x576,1536x360,1536"),
        Row.Of(new LinearTransform(false, false, true, 2) { Blocks = BlockType.Q80 }, shapes: ["3x64,5x68,3x4,5x4", "1x96,50x102,1x8,50x8", "2x33x64,70x68,2x33x4,70x4"],
            inputs: [Given.F32, Given.Blocks(BlockType.Q80)]),
        Row.Plain(new Dequantize(BlockType.Q40), shapes: ["7x36", "300x90"], tol: Tolerance.Exact, inputs: [Given.Blocks(BlockType.Q40)]),
        Row.Plain(new Dequantize(BlockType.Q41), shapes: ["1x20", "300x100"], tol: Tolerance.Exact, inputs: [Given.Blocks(BlockType.Q41)], bench: "4096x2560"),
        Row.Plain(new Dequantize(BlockType.Q80), shapes: ["7x68", "0x34"], tol: Tolerance.Exact, inputs: [Given.Blocks(BlockType.Q80)]),
        Row.Of(new ScaledDotProductAttention(2, 2, 0.35f, false, 0, 0, 0, false, false, false), shapes: ["1x1x2x4,1x1x2x4,1x1x2x4", "2x7x2x8,2x40x2x8,2x40x2x8", "1x3x2x4,1x0x2x4,1x0x2x4"]),
        Row.Of(new ScaledDotProductAttention(6, 2, 0.3f, true, 0, 0, 0, false, false, false), shapes: ["2x35x6x9,2x35x2x9,2x35x2x9", "1x3x96,1x20x32,1x20x32"], bench: "1x1024x6x64,1x1024x2x64,1x1024x2x64"),
        Row.Of(new ScaledDotProductAttention(3, 1, 0.3f, true, 5, 4, 11, false, false, false), shapes: ["2x6x3x16,2x17x1x16,2x17x1x16"]),
        Row.Of(new ScaledDotProductAttention(4, 2, 0.3f, true, 0, 0, 0, true, false, false), shapes: ["2x33x96", "1x70x128"], bench: "4x256x1024"),
        Row.Of(new ScaledDotProductAttention(2, 1, 0.3f, true, 0, 0, 0, true, true, true), shapes: ["2x33x32,2x33x2,2", "1x3x32,1x3x2,2"], inputs: [Given.F32, Intervals, Given.F32]),
        Row.Of(new ScaledDotProductAttention(2, 1, 0.3f, false, 0, 3, 0, false, true, false), shapes: ["2x9x16,2x30x8,2x30x8,2x9x2"], inputs: [Given.F32, Given.F32, Given.F32, Intervals]),
        Row.Of(new SelectedLogProb(0, 0, false), shapes: ["5x8,11x8,5", "2x40x16,11x16,2x40", "0x4,11x4,0"], inputs: [Given.F32, Given.F32, Labels(11)], bench: "512x768,32000x768,512"),
        Row.Of(new SelectedLogProb(0, 0, false), shapes: ["5x8,11x8,5", "50x9,11x9,50"], inputs: [Given.F32, Given.BF16.Fixed(), Labels(11)]),
        Row.Of(new SelectedLogProb(0.1f, 0, true), shapes: ["5x8,37x8,5"], inputs: [Given.F32, Given.F32, Labels(37)]),
        Row.Of(new SelectedLogProb(0.2f, 3, true), shapes: ["6x8,37x8,6"], inputs: [Given.F32, Given.F32, Labels(37)]),
        Row.Of(new SelectedLogProb(0.2f, 3, false), shapes: ["7x8,37x8,7"], inputs: [Given.F32, Given.F32.Fixed(), Labels(37)]),
    ];

    /// <summary>Classes, and now and then -1 for none.</summary>
    private static Given Labels(int classes) => Given.Of(DType.I32, (rng, count) => [.. Enumerable.Range(0, count).Select(i => (double)rng.Below(i, classes + 1) - 1)]);

    /// <summary>Pairs of a start and an end, of which some are empty.</summary>
    private static Given Intervals => Given.Of(DType.I32, (rng, count) => [.. Enumerable.Range(0, count).Select(i => (double)rng.Below(i, i % 2 == 0 ? 6 : 30))]);
}
