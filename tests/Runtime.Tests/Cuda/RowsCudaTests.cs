using Graft.Runtime.Cpu;
using Graft.Runtime.Tests.Support;
using Graft.Runtime.Tests.Tables;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Ops over rows on CUDA at widths around packs, warps and blocks, against the CPU's F32 kernels on the same numbers.</summary>
[TestFixture]
[Category("CudaEmulator")]
public sealed class RowsCudaTests
{
    private const double Half = 1.0 / 128; // BF16 keeps 8 bits
    private static readonly int[] s_widths = [1, 7, 8, 9, 31, 32, 33, 127, 255, 256, 257, 1023, 1025, 4099];
    private static readonly int[] s_aligned = [64, 512, 1024, 4096]; // whole packs: the vector path
    private static readonly int[] s_rows = [0, 1, 2, 33];

    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open() => _device = CudaTestDevice.Open(guardBlocks: true);

    [OneTimeTearDown]
    public void Close() => _device?.Dispose();

    private static IEnumerable<TestCaseData> Ops()
    {
        Given labels = new(DType.I32, (rng, shapes, self) => Labels(rng, (int)shapes[self].Count, shapes[0].Last), false);
        yield return Case("rms_norm", new RmsNorm(1e-5f), (r, c) => $"{r}x{c},{c}");
        yield return Case("rms_norm with a BF16 weight", new RmsNorm(1e-5f), (r, c) => $"{r}x{c},{c}", [Given.F32, Given.BF16]);
        yield return Case("rms_norm with an F16 weight", new RmsNorm(1e-5f), (r, c) => $"{r}x{c},{c}", [Given.F32, Given.F16]);
        yield return Case("add_rms_norm", new AddRmsNorm(1e-5f), (r, c) => $"{r}x{c},{r}x{c},{c}");
        yield return Case("layer_norm", new LayerNorm(1e-5f), (r, c) => $"{r}x{c},{c},{c}");
        yield return Case("layer_norm without bias", new LayerNorm(1e-5f), (r, c) => $"{r}x{c},{c}");
        yield return Case("layer_norm, weights frozen", new LayerNorm(1e-5f), (r, c) => $"{r}x{c},{c},{c}", [Given.F32, Given.BF16.Fixed(), Given.F16.Fixed()]);
        yield return Case("layer_norm with a trained bias", new LayerNorm(1e-5f), (r, c) => $"{r}x{c},{c},{c}", [Given.F32, Given.F32.Fixed(), Given.F32]);
        yield return Case("softmax", new Softmax(), (r, c) => $"{r}x{c}");
        yield return Case("log_softmax", new LogSoftmax(), (r, c) => $"{r}x{c}");
        yield return Case("log_sum_exp", new LogSumExp(), (r, c) => $"{r}x{c}");
        yield return Case("sum of rows", new Sum(1, 1, false), (r, c) => $"{r}x{c}");
        yield return Case("sum of columns", new Sum(0, 1, false), (r, c) => $"{r}x{c}");
        yield return Case("sum of all", new Sum(0, 2, false), (r, c) => $"{r}x{c}");
        yield return Case("mean of the middle", new Mean(1, 1, false), (r, c) => $"3x{r + 1}x{c}");
        yield return Case("max of rows", new Max(1, 1, false), (r, c) => $"{r}x{c}", [Given.Ties(50) with { Differentiated = true }]);
        yield return Case("max of columns", new Max(0, 1, false), (r, c) => $"{r + 1}x{c}", [Given.Ties(50) with { Differentiated = true }]);
        yield return Case("running sums", new CumulativeSum(false), (r, c) => $"{r}x{c}");
        yield return Case("running sums from the end", new CumulativeSum(true), (r, c) => $"{r}x{c}");
        yield return Case("cross_entropy", new CrossEntropy(0, -100), (r, c) => $"{r}x{c},{r}", [Given.F32, labels]);
        yield return Case("cross_entropy with smoothing", new CrossEntropy(0.1f, -100), (r, c) => $"{r}x{c},{r}", [Given.F32, labels]);
        yield return Case("weighted cross_entropy", new CrossEntropy(0.1f, -100), (r, c) => $"{r}x{c},{r},{c}", [Given.F32, labels, Given.Positive.Fixed()]);
        yield return Case("top_k", new TopK(1, false), (r, c) => $"{r}x{c}", [Given.Ties(99) with { Differentiated = true }]);
        TestCaseData Case<TOp>(string name, TOp op, Func<int, int, string> shapes, Given[]? inputs = null)
            where TOp : struct, IOp<TOp>
        {
            string[] all = [.. s_rows.SelectMany(r => s_widths.Concat(s_aligned).Select(c => shapes(r, c)))];
            return new TestCaseData(Row.Of(op, all, inputs: inputs)).SetArgDisplayNames(name);
        }
    }

    private static double[] Labels(Rng rng, int count, int classes) => [.. Enumerable.Range(0, count).Select(i => i % 5 == 3 ? -100.0 : rng.Below(i, classes))];

    [TestCaseSource(nameof(Ops))]
    public void Agrees_with_the_cpu_in_f32(object of) => Compare((Row)of, HalfInputs.None, 4e-6, 2e-5);

    [TestCaseSource(nameof(Ops))]
    public void Agrees_with_the_cpu_in_bf16(object of)
    {
        Row row = (Row)of;
        Compare(row, row.GivenOf(1).Type == DType.F32 && row.GivenOf(2) == Given.F32 ? HalfInputs.All : HalfInputs.First, Half, 2 * Half);
    }

    [TestCaseSource(nameof(Ops))]
    public void Results_do_not_depend_on_the_order_of_blocks_and_threads(object of)
    {
        if (CudaTestDevice.IsGpu)
        {
            Assert.Ignore("a card has no order to choose");
        }

        Row row = (Row)of;
        foreach (string shapes in row.Shapes.Where(s => s.StartsWith("33x", StringComparison.Ordinal) || s.StartsWith("3x34x", StringComparison.Ordinal)))
        {
            List<double[]>? first = null;
            foreach (string schedule in (string[])["forward", "reverse", "random:3"])
            {
                EmulatedDriver.Set("schedule", schedule);
                try
                {
                    using OpRun run = new(row, shapes, _device);
                    List<double[]> results = [.. run.Forward(), .. run.Backward(0, run.Differentiated).Select(g => g ?? [])];
                    first ??= results;
                    for (int i = 0; i < results.Count; i++)
                    {
                        Worst.Within(results[i], first[i], 0, 0, $"{row.Label} {shapes}: result {i}, {schedule}");
                    }
                }
                finally
                {
                    EmulatedDriver.Set("schedule", "forward");
                }
            }
        }
    }

    [TestCase("2x9001,9001")]
    [TestCase("3x20000,20000")]
    [TestCase("5003x8,8")]
    [TestCase("1500x264,264")]
    public void Norms_of_long_rows_and_of_many_rows(string shapes)
    {
        Compare(Row.Of(new RmsNorm(1e-5f), [shapes]), HalfInputs.None, 4e-6, 2e-5);
        Compare(Row.Of(new RmsNorm(1e-5f), [shapes]), HalfInputs.First, Half, 2 * Half);
        Compare(Row.Of(new LayerNorm(1e-5f), [shapes]), HalfInputs.None, 4e-6, 2e-5);
        Compare(Row.Of(new LayerNorm(1e-5f), [shapes]), HalfInputs.First, Half, 2 * Half);
    }

    [Test]
    public void Rows_longer_than_a_block_holds()
    {
        string[] shapes = ["2x20001", "1x40000"];
        Compare(Row.Of(new Softmax(), shapes), HalfInputs.None, 4e-6, 2e-5);
        Compare(Row.Of(new Softmax(), shapes), HalfInputs.First, Half, 2 * Half);
        Compare(Row.Of(new LogSoftmax(), shapes), HalfInputs.None, 4e-6, 5e-5); // the gradients of a long row add up in each element
        Compare(Row.Of(new Sum(1, 1, false), shapes), HalfInputs.None, 4e-6, 2e-5);
        Compare(Row.Of(new Sum(0, 2, false), ["70x1030"]), HalfInputs.None, 4e-6, 2e-5);
        Compare(Row.Of(new Sum(0, 1, false), ["3001x13", "1030x264"]), HalfInputs.None, 4e-6, 2e-5);
        Compare(Row.Of(new Sum(1, 1, false), ["3x700x5"]), HalfInputs.First, Half, 2 * Half);
        Compare(Row.Of(new Max(1, 1, false), ["2x40000", "3x700x5"], inputs: [Given.Ties(999) with { Differentiated = true }]), HalfInputs.None, 0, 2e-5);
    }

    [TestCase(5, "3x513")]
    [TestCase(50, "2x32000")]
    [TestCase(513, "2x513")]
    [TestCase(600, "2x5000")]
    [TestCase(5000, "2x9001")] // keys in the workspace
    [TestCase(5000, "2x5000")]
    public void Selection_is_that_of_the_cpu(int k, string shapes)
    {
        foreach (bool smallest in (bool[])[false, true])
        {
            Compare(Row.Of(new TopK(k, smallest), [shapes]), HalfInputs.None, 0, 1e-6);
            Compare(Row.Of(new TopK(k, smallest), [shapes], inputs: [Given.Ties(7) with { Differentiated = true }]), HalfInputs.First, 0, 1e-6);
            Compare(Row.Plain(new ArgMax(smallest), [shapes], inputs: [Given.Ties(7)]), HalfInputs.None, 0, 0);
        }
    }

    [Test]
    public void Infinities_NaN_and_signed_zeros_are_those_of_the_cpu()
    {
        const float Inf = float.PositiveInfinity;
        float[][] rows =
        [
            [-Inf, 3e38f, 3e38f, -3e38f, 0, 1], [-Inf, -Inf, -Inf, -Inf, -Inf, -Inf], [1, Inf, 2, 3, Inf, -Inf], [1, 2, float.NaN, 3, float.NaN, -5],
            [0f, -0f, 0f, -0f, -1, -2], [-3e38f, -3e38f, -3e38f, -Inf, -3e38f, -3e38f],
        ];
        Given special = Given.Of(DType.F32, (_, count) => [.. rows.SelectMany(r => r).Select(v => (double)v).Take(count)]);
        Compare(Row.Of(new Softmax(), ["6x6"], inputs: [special]), HalfInputs.None, 1e-6, null);
        Compare(Row.Of(new LogSoftmax(), ["6x6"], inputs: [special]), HalfInputs.None, 1e-6, null);
        Compare(Row.Of(new LogSumExp(), ["6x6"], inputs: [special]), HalfInputs.None, 1e-6, null);
        Compare(Row.Of(new Max(1, 1, false), ["6x6"], inputs: [special]), HalfInputs.None, 0, null);
        Compare(Row.Of(new Max(0, 1, false), ["6x6"], inputs: [special]), HalfInputs.None, 0, null);
        foreach (bool smallest in (bool[])[false, true])
        {
            Compare(Row.Of(new TopK(4, smallest), ["6x6"], inputs: [special]), HalfInputs.None, 0, null);
            Compare(Row.Plain(new ArgMax(smallest), ["6x6"], inputs: [special]), HalfInputs.None, 0, null);
        }
    }

    [Test]
    public void Layer_norm_survives_a_large_mean()
    {
        Given far = Given.Of(DType.F32, (rng, count) =>
        {
            float[] x = new float[count];
            rng.FillNormal(0, x, 4000);
            return Array.ConvertAll(x, v => (double)v);
        });
        using OpRun run = new(Row.Of(new LayerNorm(0), ["2x1024,1024"], inputs: [far, Given.Positive]), "2x1024,1024", _device);
        double[] y = run.Forward()[0], expected = new double[y.Length];
        for (int row = 0; row < 2; row++)
        {
            double[] x = run.Elements[0][(row * 1024)..((row + 1) * 1024)];
            double mean = x.Average(), deviation = Math.Sqrt(x.Average(v => (v - mean) * (v - mean)));
            for (int i = 0; i < 1024; i++)
            {
                expected[(row * 1024) + i] = (x[i] - mean) / deviation * run.Elements[1][i];
            }
        }

        Worst.Within(y, expected, 5e-4, 0, "layer_norm at 4000"); // half an ulp of 4000 is 1.2e-4
    }

    [Test]
    public void A_view_gives_the_bits_of_its_copy()
    {
        Row[] rows =
        [
            Row.Of(new Softmax(), ["3x4096"]), Row.Of(new LogSumExp(), ["3x4096"]), Row.Of(new RmsNorm(1e-5f), ["3x4096,4096"]),
            Row.Of(new CrossEntropy(0.1f, -100), ["3x4096,3"], inputs: [Given.F32, Given.Index(0, 1)]),
        ];
        foreach (Row row in rows)
        {
            using OpRun plain = new(row, row.Shapes[0], _device), view = new(row, row.Shapes[0], _device, offset: 3);
            Worst.Within(view.Forward()[0], plain.Forward()[0], 0, 0, row.Label);
        }
    }

    [Test]
    public void Sums_of_rows_are_added_to_what_is_there()
    {
        using Arena arena = new(_device, "sums", 4096);
        float[] x = new float[50_001];
        new Rng(5).FillNormal(0, x);
        using Scope scope = arena.Enter("test");
        Shape matrix = new(1000, 50);
        Tensor rows = arena.Create<float>(matrix, x.AsSpan(0, 50_000), MemoryCategory.Activations);
        Tensor sums = arena.Create<float>(new Shape(50), [.. Enumerable.Repeat(2f, 50)], MemoryCategory.Activations);
        Tensor parts = arena.Allocate(new Shape((int)ReduceCuda.Workspace(ReduceCuda.RowsOf(matrix, 50))), DType.F32, MemoryCategory.Workspace);
        ReduceCuda.SumRows(_device, rows, sums, parts, accumulate: true);
        double[] columns = [.. Enumerable.Range(0, 50).Select(c => 2 + Enumerable.Range(0, 1000).Sum(r => (double)x[(r * 50) + c]))];
        Worst.Within(Array.ConvertAll(sums.ToArray<float>(), v => (double)v), columns, 1e-4, 0, "sum of rows");
    }

    [Test]
    public void A_label_outside_the_classes_raises_an_error()
    {
        using Arena arena = new(_device, "labels", 4096);
        using Scope scope = arena.Enter("test");
        Tensor logits = arena.Create<float>(new Shape(2, 3), new float[6], MemoryCategory.Activations);
        Tensor labels = arena.Create<int>(new Shape(2), [1, 3], MemoryCategory.Activations);
        _ = Tape.None(arena).CrossEntropy(logits, labels);
        _ = Assert.Throws<IndexException>(_device.Synchronize);
        _device.Synchronize(); // raised once
    }

    /// <summary>Outputs, gradients (null: none are compared), and gradients that add up.</summary>
    private void Compare(Row row, HalfInputs half, double forward, double? backward)
    {
        using CpuDevice cpu = new(1);
        foreach (string shapes in row.Shapes)
        {
            using OpRun expected = new(row, shapes, cpu, half: half), actual = new(row, shapes, _device, half: half);
            double[][] outputs = actual.Forward(), known = expected.Forward();
            for (int i = 0; i < outputs.Length; i++)
            {
                Near(outputs[i], known[i], forward, $"{row.Label} {shapes} {half}: output {i}");
            }

            if (backward is not { } tolerance || !row.HasGradient || actual.Differentiated.Length == 0)
            {
                continue;
            }

            int[] inputs = expected.Differentiated;
            for (int output = 0; output < (row.OpType == typeof(AddRmsNorm) ? 2 : 1); output++)
            {
                double[]?[] gradients = actual.Backward(output, inputs), wanted = expected.Backward(output, inputs);
                double[]?[] twice = actual.Backward(output, inputs, times: 2);
                for (int i = 0; i < gradients.Length; i++)
                {
                    double[] zeros = new double[expected.Elements[inputs[i]].Length];
                    string what = $"{row.Label} {shapes} {half}: gradient of input {inputs[i]} for output {output}";
                    double near = row.GivenOf(inputs[i]).Type == DType.F32 ? tolerance : 2 * Half; // a watched tensor's gradient has its dtype on CUDA
                    Near(gradients[i] ?? zeros, wanted[i] ?? zeros, near, what);
                    Near(twice[i] ?? zeros, [.. (wanted[i] ?? zeros).Select(g => 2 * g)], near, what + ", added up twice");
                }
            }
        }
    }

    private static void Near(double[] actual, double[] expected, double tolerance, string what)
    {
        double scale = Math.Max(1, expected.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max());
        Worst.Within(actual, expected, tolerance * scale, 0, what);
    }
}
