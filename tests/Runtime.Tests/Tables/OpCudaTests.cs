using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Tables;

/// <summary>Every row on a CUDA device (the emulated one, or a card with GRAFT_TEST_GPU=1) against the CPU, per dtype.</summary>
[Category("CudaEmulator")]
public class OpCudaTests
{
    // BF16 keeps 8 bits: a result is rounded once (2^-9), and so are the intermediate gradients that an op hands on.
    private const double HalfForward = 1.0 / 128;
    private const double HalfBackward = 1.0 / 64;
    private const int Misaligned = 3;

    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open() => _device = CudaTestDevice.Open(guardBlocks: true);

    [OneTimeTearDown]
    public void Close() => _device?.Dispose();

    private static IEnumerable<TestCaseData> All() => OpTable.Cases(r => r.OnCuda);

    /// <summary>The rows whose first input is an activation; the others have no form in BF16.</summary>
    private static IEnumerable<TestCaseData> Activations() => OpTable.Cases(r => r.OnCuda && r.GivenOf(0).Type == DType.F32);

    [TestCaseSource(nameof(All))]
    public void Agrees_with_the_cpu_in_f32(object of)
    {
        Row row = (Row)of;
        Compare(row, HalfInputs.None, forward: 2 * row.Tolerance.F32, backward: 2 * row.Tolerance.Gradient);
    }

    [TestCaseSource(nameof(Activations))]
    public void Agrees_with_the_cpu_in_bf16(object of)
    {
        Row row = (Row)of;
        Compare(row, HalfOf(row), HalfForward, HalfBackward);
    }

    [TestCaseSource(nameof(All))]
    public void Gives_the_same_bits_every_time_and_leaves_nothing_behind(object of)
    {
        Row row = (Row)of;
        foreach (string shapes in row.Shapes)
        {
            using OpRun first = new(row, shapes, _device);
            using OpRun second = new(row, shapes, _device);
            List<double[]> a = first.Results(), b = second.Results();
            for (int i = 0; i < a.Count; i++)
            {
                Worst.Within(a[i], b[i], 0, 0, $"{row.Label} {shapes}: result {i}");
            }

            Assert.That(first.Step.Report().Current.Total, Is.Zero, $"{row.Label} {shapes}: memory left behind");
        }
    }

    [TestCaseSource(nameof(All))]
    public void Takes_inputs_that_are_views_at_an_odd_offset(object of)
    {
        Row row = (Row)of;
        foreach (string shapes in row.Shapes)
        {
            using OpRun plain = new(row, shapes, _device);
            using OpRun views = new(row, shapes, _device, offset: Misaligned);
            List<double[]> expected = plain.Results(), actual = views.Results();
            int outputs = plain.Forward().Length;
            for (int i = 0; i < expected.Count; i++)
            {
                double[] part = actual[i];
                if (i >= outputs && part.Length > 0)
                {
                    Assert.That(part[..Misaligned].Concat(part[^Misaligned..]), Is.All.Zero, $"{row.Label} {shapes}: gradient outside the view");
                    part = part[Misaligned..^Misaligned];
                }

                Near(part, expected[i], i < outputs ? row.Tolerance.F32 : row.Tolerance.Gradient, $"{row.Label} {shapes}: result {i}");
            }
        }
    }

    [TestCaseSource(nameof(All))]
    public void Takes_the_memory_that_meta_plans_for_it(object of)
    {
        Row row = (Row)of;
        using MetaDevice meta = new(DeviceKind.Cuda);
        foreach (HalfInputs half in HalfOf(row) == HalfInputs.None ? new[] { HalfInputs.None } : [HalfInputs.None, HalfOf(row)])
        {
            foreach (string shapes in row.Shapes)
            {
                using OpRun real = new(row, shapes, _device, half: half);
                using OpRun planned = new(row, shapes, meta, half: half);
                _ = real.Results();
                _ = planned.Results();
                Assert.That(planned.Step.Report().Peak, Is.EqualTo(real.Step.Report().Peak), $"{row.Label} {shapes}: peak bytes by category");
            }
        }
    }

    /// <summary>BF16 for all float inputs, or the first alone where the op wants others in F32 (tables of angles).</summary>
    private static HalfInputs HalfOf(Row row)
    {
        if (row.GivenOf(0).Type != DType.F32)
        {
            return HalfInputs.None;
        }

        using MetaDevice meta = new(DeviceKind.Cuda);
        foreach (HalfInputs half in (HalfInputs[])[HalfInputs.All, HalfInputs.First])
        {
            try
            {
                using OpRun run = new(row, row.Shapes[0], meta, half: half);
                using Scope scope = run.Step.Enter("try");
                _ = row.Run(run.Tape, run.Inputs);
                return half;
            }
            catch (DTypeException)
            {
                // the next one
            }
        }

        throw new AssertionException($"{row.Label} refuses BF16 activations on CUDA.");
    }

    private void Compare(Row row, HalfInputs half, double forward, double backward)
    {
        using CpuDevice cpu = new(1);
        foreach (string shapes in row.Shapes)
        {
            using OpRun expected = new(row, shapes, cpu, half: half);
            using OpRun actual = new(row, shapes, _device, half: half);
            double[][] outputs = actual.Forward(), known = expected.Forward();
            for (int i = 0; i < outputs.Length; i++)
            {
                Near(outputs[i], known[i], forward, $"{row.Label} {shapes}: output {i}");
            }

            if (!row.HasGradient)
            {
                continue;
            }

            foreach (int output in expected.FloatOutputs())
            {
                double[]?[] gradients = actual.Backward(output, actual.Differentiated), wanted = expected.Backward(output, expected.Differentiated);
                double[]?[] doubled = actual.Backward(output, actual.Differentiated, times: 2);
                for (int i = 0; i < gradients.Length; i++)
                {
                    string what = $"{row.Label} {shapes}: gradient of input {expected.Differentiated[i]} for output {output}";
                    double[] zeros = new double[expected.Elements[expected.Differentiated[i]].Length];
                    // The gradient of a 16-bit input has its type here, F32 on the CPU.
                    bool narrow = row.GivenOf(expected.Differentiated[i]).Type is DType.BF16 or DType.F16;
                    double tolerance = narrow ? HalfBackward : backward;
                    Near(gradients[i] ?? zeros, wanted[i] ?? zeros, tolerance, what);
                    Near(doubled[i] ?? zeros, [.. (wanted[i] ?? zeros).Select(g => 2 * g)], tolerance, what + ", added up twice");
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
