namespace Graft.Runtime.Tests.Tables;

internal static partial class OpTable
{
    private static string[] Lengths => ["1", "7", "16", "33", "5x123", "0x8"];

    /// <summary>Numbers with a distance of 1/20 or more from the corners at 0 and ±3, where differences say nothing.</summary>
    private static Given BesideCorners => Given.Of(DType.F32, (rng, count) =>
    {
        float[] x = new float[count];
        rng.FillNormal(0, x);
        return Array.ConvertAll(x, v => Math.Abs(v) < 0.05f ? v + 0.2 : Math.Abs(Math.Abs(v) - 3) < 0.05 ? v * 1.1 : (double)v);
    });

    /// <summary>Numbers that are far apart, so that the largest stays the largest.</summary>
    private static Given Apart => Given.Of(DType.F32, (rng, count) => Array.ConvertAll(rng.Permutation(count), i => (i - (count / 2)) * 0.125));

    /// <summary>Element-wise ops, reductions, norms, activations, losses.</summary>
    private static Row[] VectorRows() => [.. UnaryRows(), .. BinaryRows(), .. ReductionRows(), .. RowRows(), .. ConversionRows()];

    private static Row[] UnaryRows() =>
    [
        Row.Of(new Neg(), Lengths),
        Row.Of(new Exp(), Lengths, bench: "4096x4096"),
        Row.Of(new Log(), Lengths, inputs: [Given.Positive]),
        Row.Of(new Sqrt(), Lengths, inputs: [Given.Positive]),
        Row.Of(new Rsqrt(), Lengths, inputs: [Given.Positive]),
        Row.Of(new Tanh(), Lengths, bench: "4096x4096"),
        Row.Of(new Sigmoid(), Lengths),
        Row.Of(new Erf(), Lengths),
        Row.Of(new Relu(), Lengths, inputs: [BesideCorners]),
        Row.Of(new Abs(), Lengths, inputs: [BesideCorners]),
        Row.Of(new Square(), Lengths),
        Row.Of(new Silu(), Lengths, bench: "4096x4096"),
        Row.Of(new Gelu(), Lengths, bench: "4096x4096"),
        Row.Of(new GeluTanh(), Lengths, bench: "4096x4096"),
        Row.Of(new QuickGelu(), Lengths),
        Row.Of(new ReluSquared(), Lengths, inputs: [BesideCorners]),
        Row.Of(new Softplus(), Lengths, inputs: [BesideCorners]),
        Row.Of(new LogSigmoid(), Lengths),
        Row.Of(new Mish(), Lengths, inputs: [BesideCorners]),
        Row.Of(new HardSwish(), Lengths, inputs: [BesideCorners]),
        Row.Of(new LeakyRelu(0.1), Lengths, inputs: [BesideCorners]),
        Row.Of(new Elu(1.5), Lengths, inputs: [BesideCorners]),
        Row.Of(new Scale(-0.75), Lengths, bench: "4096x4096"),
        Row.Of(new AddScalar(0.75), Lengths),
    ];

    private static Row[] BinaryRows()
    {
        string[] shapes = ["7,7", "5x33,5x33", "3x5,5", "3x5,3x1", "5,3x5", "2x3x4,", "1x5,3x1", "2x1x3x1,4x1x5", "1,4", "0x3,3"];
        return
        [
            Row.Of(new Add(), shapes, bench: "4096x4096,4096x4096"),
            Row.Of(new Sub(), shapes),
            Row.Of(new Mul(), shapes, bench: "4096x4096,4096"),
            Row.Of(new Div(), shapes, inputs: [Given.F32, Given.Positive]),
        ];
    }

    private static Row[] ReductionRows()
    {
        string[] cube = ["2x3x5", "4x1x33", "3x70x16", "1x40x40"];
        return
        [
            // thousands of terms of both signs
            Row.Of(new Sum(0, 3, false), cube, tol: new(F32: 3e-6), bench: "16x1024x1024"),
            Row.Of(new Sum(2, 1, false), cube, bench: "16x1024x1024"),
            Row.Of(new Sum(0, 1, true), cube, bench: "1024x16x1024"),
            Row.Of(new Sum(1, 1, false), cube),
            Row.Of(new Sum(0, 2, false), cube),
            Row.Of(new Sum(0, 0, false), ["", "3"]),
            Row.Of(new Mean(0, 3, false), cube),
            Row.Of(new Mean(2, 1, true), cube),
            Row.Of(new Mean(0, 2, false), cube),
            Row.Of(new Mean(1, 1, true), cube),
            Row.Of(new Max(0, 3, false), cube, inputs: [Apart]),
            Row.Of(new Max(2, 1, true), cube, inputs: [Apart]),
            Row.Of(new Max(1, 1, false), cube, inputs: [Apart]),
            Row.Of(new Max(1, 1, false), ["3x9", "3x9x4"], inputs: [Given.Ties(3)]),
        ];
    }

    /// <summary>Softmax, norms, gates, rotary embedding, losses.</summary>
    private static Row[] RowRows()
    {
        string[] rows = ["1x1", "5x7", "2x3x33", "70x1030", "3x40000"];
        string[] norms = ["2x31,31", "2x32,32", "2x3x33,33", "90x1030,1030", "3x2,2", "0x8,8"];
        string[] biased = ["2x31,31,31", "2x3x33,33,33", "90x1030,1030,1030", "0x8,8,8"];
        Given none = Given.F32.Fixed();
        Given labels = new(DType.I32, (rng, shapes, self) => [.. Enumerable.Range(0, (int)shapes[self].Count).Select(i => i % 5 == 3 ? -100.0 : rng.Below(i, shapes[0].Last))], false);
        return
        [
            Row.Of(new Softmax(), rows, bench: "4096x4096"),
            Row.Of(new LogSoftmax(), rows, tol: new(Gradient: 2e-5)), // the gradients of a long row add up in each element
            Row.Of(new LogSumExp(), rows),
            Row.Of(new RmsNorm(1e-5f), norms, bench: "4096x2048,2048"),
            Row.Of(new RmsNorm(1e-5f), ["2x33,33"], inputs: [Given.F32, Given.BF16]),
            Row.Of(new AddRmsNorm(1e-5f), ["2x31,2x31,31", "2x3x32,2x3x32,32", "90x1030,90x1030,1030", "0x8,0x8,8"], bench: "4096x2048,4096x2048,2048"),
            Row.Of(new LayerNorm(1e-5f), norms, bench: "4096x768,768"),
            Row.Of(new LayerNorm(1e-5f), biased, bench: "4096x768,768,768"),
            Row.Of(new LayerNorm(1e-5f), ["2x33,33,33"], inputs: [Given.F32, Given.BF16, Given.F16]),
            Row.Of(new SwiGlu(), ["7,7", "5x33,5x33", "40x1030,40x1030", "0x3,0x3"], bench: "4096x4096,4096x4096"),
            Row.Of(new RotaryEmbedding(), ["2x3x4x8,9x4,9x4,2x3", "5x2x16,9x8,9x8,5", "2x5x3x10,9x3,9x3,5", "6x1x2,4x1,4x1,6"], inputs: [Given.F32, none, none, Given.Below(4)], bench: "4x512x16x64,512x32,512x32,4x512"),
            Row.Of(new Dropout(0.3f, new Rng(11).Stream("dropout"), 5), ["1", "1000", "3x33", "0x4"], bench: "4096x4096"),
            Row.Of(new CrossEntropy(0, -100), ["1x5,1", "3x7,3", "2x6x33,2x6", "5x1000,5", "3x40000,3"], inputs: [Given.F32, labels], bench: "512x32000,512"),
            Row.Of(new CrossEntropy(0.1f, -100), ["3x7,3", "2x6x33,2x6", "5x1000,5"], inputs: [Given.F32, labels]),
            Row.Of(new CrossEntropy(0.1f, -100), ["3x7,3,7", "2x6x33,2x6,33"], inputs: [Given.F32, labels, Given.Positive.Fixed()]),
        ];
    }

    private static Row[] ConversionRows()
    {
        string[] lengths = ["1", "7", "16", "33", "5x123", "0x8"];
        return
        [
            Row.Of(new Cast(DType.F32), lengths, tol: Tolerance.Exact, inputs: [Given.BF16.Fixed()], bench: "4096x4096"),
            Row.Of(new Cast(DType.F32), lengths, tol: Tolerance.Exact, inputs: [Given.F16.Fixed()]),
            Row.Of(new Cast(DType.BF16), lengths, tol: Tolerance.Exact, inputs: [Given.F32.Fixed()], bench: "4096x4096"),
            Row.Of(new Cast(DType.F16), lengths, tol: Tolerance.Exact, inputs: [Given.F32.Fixed()]),
        ];
    }
}
