using System.Globalization;
using System.Text;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Tables;

/// <summary>The checks that every row of the table passes, at each of its shapes.</summary>
public class OpTests
{
    private const int Differences = 40; // elements per input that are differenced: a whole backward is compared by the other checks
    private const double Step = 1e-5;
    private const int Misaligned = 3;

    private static IEnumerable<TestCaseData> All() => OpTable.Cases();

    private static IEnumerable<TestCaseData> Differentiable() => OpTable.DifferentiableCases();

    [TestCaseSource(nameof(All))]
    public void Forward_agrees_with_the_reference_in_doubles(object of)
    {
        Row row = (Row)of;
        ForEachShape(row, (shapes, device) =>
        {
            using OpRun floats = new(row, shapes, device);
            using OpRun doubles = new(row, shapes, device, doubles: true);
            double[][] actual = floats.Forward();
            double[] expected = doubles.Forward(reference: true)[0];
            Near(row, shapes, actual[0], expected, row.Tolerance.F32, "output 0");
            if (actual.Length > 1)
            {
                double[][] all = doubles.Forward(); // the reference has the first output alone
                for (int i = 1; i < actual.Length; i++)
                {
                    Near(row, shapes, actual[i], all[i], row.Tolerance.F32, $"output {i}");
                }
            }
        });
    }

    [TestCaseSource(nameof(All))]
    public void Forward_agrees_with_the_reference_in_floats(object of)
    {
        Row row = (Row)of;
        ForEachShape(row, (shapes, device) =>
        {
            using OpRun run = new(row, shapes, device);
            Near(row, shapes, run.Forward()[0], run.Forward(reference: true)[0], 2 * row.Tolerance.F32, "output 0");
        });
    }

    [TestCaseSource(nameof(Differentiable))]
    public void Backward_agrees_with_differences_of_the_reference_in_doubles(object of)
    {
        Row row = (Row)of;
        if (row.NotDerivative is { } reason)
        {
            Assert.Ignore(reason);
        }

        ForEachShape(row, (shapes, device) =>
        {
            using OpRun floats = new(row, shapes, device);
            using OpRun doubles = new(row, shapes, device, doubles: true);
            int[] inputs = floats.Differentiated;
            foreach (int output in floats.FloatOutputs())
            {
                double[]?[] gradients = floats.Backward(output, inputs);
                for (int i = 0; i < inputs.Length; i++)
                {
                    CheckDifferences(row, shapes, doubles, output, inputs[i], gradients[i]);
                }
            }
        });
    }

    [TestCaseSource(nameof(Differentiable))]
    public void Backward_agrees_with_that_of_the_reference(object of)
    {
        Row row = (Row)of;
        ForEachShape(row, (shapes, device) =>
        {
            using OpRun run = new(row, shapes, device);
            int[] inputs = run.Differentiated;
            if (!run.FloatOutputs().Contains(0))
            {
                return; // a row of integers
            }

            double[]?[] actual = run.Backward(0, inputs);
            double[]?[] expected = run.Backward(0, inputs, reference: true);
            for (int i = 0; i < inputs.Length; i++)
            {
                double[] gradient = OrZeros(run, actual[i], inputs[i]);
                Near(row, shapes, gradient, OrZeros(run, expected[i], inputs[i]), 2 * row.Tolerance.Gradient, $"gradient of input {inputs[i]}");
            }
        });
    }

    [TestCaseSource(nameof(Differentiable))]
    public void Gradients_are_the_same_whichever_others_are_needed_and_add_up(object of)
    {
        Row row = (Row)of;
        ForEachShape(row, (shapes, device) =>
        {
            using OpRun run = new(row, shapes, device);
            int[] inputs = run.Differentiated;
            foreach (int output in run.FloatOutputs())
            {
                double[]?[] together = run.Backward(output, inputs);
                for (int i = 0; i < inputs.Length; i++)
                {
                    double[] expected = OrZeros(run, together[i], inputs[i]);
                    double[] alone = OrZeros(run, run.Backward(output, [inputs[i]])[0], inputs[i]);
                    Near(row, shapes, alone, expected, row.Tolerance.Gradient, $"gradient of input {inputs[i]} alone");
                    double[] twice = OrZeros(run, run.Backward(output, [inputs[i]], times: 2)[0], inputs[i]);
                    Near(row, shapes, twice, [.. expected.Select(g => 2 * g)], row.Tolerance.Gradient, $"gradient of input {inputs[i]}, two times");
                }
            }
        });
    }

    [TestCaseSource(nameof(All))]
    public void Results_are_the_same_bits_on_any_number_of_threads_and_every_time(object of)
    {
        Row row = (Row)of;
        foreach (string shapes in row.Shapes)
        {
            List<double[]>? first = null;
            foreach (int threads in (int[])[1, 2, 3, 3])
            {
                using CpuDevice device = new(threads);
                using OpRun run = new(row, shapes, device);
                List<double[]> results = run.Results();
                first ??= results;
                for (int i = 0; i < results.Count; i++)
                {
                    Same(row, shapes, results[i], first[i], $"result {i} with {threads} threads");
                }
            }
        }
    }

    [TestCaseSource(nameof(All))]
    public void Inputs_that_are_views_at_an_odd_offset_give_the_same_bits(object of)
    {
        Row row = (Row)of;
        ForEachShape(row, (shapes, device) =>
        {
            using OpRun plain = new(row, shapes, device);
            using OpRun views = new(row, shapes, device, offset: Misaligned);
            List<double[]> expected = plain.Results();
            List<double[]> actual = views.Results();
            int outputs = plain.Forward().Length;
            for (int i = 0; i < expected.Count; i++)
            {
                double[] part = actual[i];
                if (i >= outputs && part.Length > 0)
                {
                    Assert.That(part[..Misaligned].Concat(part[^Misaligned..]), Is.All.Zero, $"{row.Label} {shapes}: gradient outside the view");
                    part = part[Misaligned..^Misaligned];
                    expected[i] = Array.ConvertAll(expected[i], g => g + 0.0); // the view's gradient is added to zeros, and -0 + 0 = 0
                }

                Same(row, shapes, part, expected[i], $"result {i}");
            }
        });
    }

    [TestCaseSource(nameof(All))]
    public void Meta_gives_the_shapes_and_takes_the_memory_of_the_cpu(object of)
    {
        Row row = (Row)of;
        using MetaDevice meta = new();
        ForEachShape(row, (shapes, device) =>
        {
            using OpRun real = new(row, shapes, device);
            using OpRun planned = new(row, shapes, meta);
            using (real.Step.Enter("a"))
            using (planned.Step.Enter("b"))
            {
                TensorSpec[] specs = [.. row.Run(real.Tape, real.Inputs).Select(t => t.Spec)];
                Assert.That(row.Run(planned.Tape, planned.Inputs).Select(t => t.Spec), Is.EqualTo(specs), $"{row.Label} {shapes}");
            }

            _ = real.Results();
            _ = planned.Results();
            Assert.That(planned.Step.Report().Peak, Is.EqualTo(real.Step.Report().Peak), $"{row.Label} {shapes}: peak bytes by category");
            Assert.That(planned.Step.Report().Current.Total, Is.Zero, $"{row.Label} {shapes}: memory left behind");
            Assert.That(real.Step.Report().Current.Total, Is.Zero, $"{row.Label} {shapes}: memory left behind");
        });
    }

    [Test]
    public void Every_op_of_the_runtime_has_a_row()
    {
        HashSet<Type> covered = [.. OpTable.Rows.Select(r => r.OpType)];
        IEnumerable<string> missing = typeof(Tape).Assembly.GetTypes()
            .Where(t => t.IsValueType && !covered.Contains(t))
            .Where(t => t.GetInterfaces().Any(i => i.IsGenericType && i.GetGenericTypeDefinition() == typeof(IForwardOp<>)))
            .Select(t => t.Name).Order();
        Assert.That(missing, Is.Empty, "ops without a row in tests/Runtime.Tests/Tables");
    }

    [Test]
    [Category("Docs")]
    public void The_table_of_ops_in_the_documentation_is_up_to_date()
    {
        StringBuilder text = new();
        _ = text.Append("# Ops\n\n")
            .Append("Every op of Graft.Runtime, made from the op table of the tests (`tests/Runtime.Tests/Tables`).\n")
            .Append("To make it anew: `GRAFT_UPDATE_DOCS=1 dotnet test tests/Runtime.Tests --filter FullyQualifiedName~OpTests`.\n\n")
            .Append("Inputs is the least number; recompute says that running the op again in backward is cheaper than keeping its result.\n\n")
            .Append("| op | inputs | gradient | recompute | source |\n|---|---|---|---|---|\n");
        foreach (Row row in OpTable.Rows.DistinctBy(r => r.Info.Name).OrderBy(r => r.Info.Name, StringComparer.Ordinal))
        {
            string source = row.Info.Source.Length == 0 ? "definition" : row.Info.Source;
            OpInfo info = row.Info;
            _ = text.Append(CultureInfo.InvariantCulture, $"| {info.Name} | {info.Inputs} | {YesNo(row.HasGradient)} | {YesNo(info.Recompute)} | {source} |\n");
        }

        if (FixtureFolder.Repository is not { } root)
        {
            Assert.Ignore("no checkout here: the committed file is not at hand");
            return;
        }

        string path = Path.Combine(root, "docs", "ops.md");
        if (Environment.GetEnvironmentVariable("GRAFT_UPDATE_DOCS") == "1")
        {
            _ = Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text.ToString());
        }

        string committed = File.Exists(path) ? File.ReadAllText(path) : "";
        Assert.That(committed, Is.EqualTo(text.ToString()), "docs/ops.md is out of date: run this test with GRAFT_UPDATE_DOCS=1 and commit the file");
    }

    private static string YesNo(bool value) => value ? "yes" : "no";

    private static void ForEachShape(Row row, Action<string, Device> check)
    {
        using CpuDevice device = new(2);
        foreach (string shapes in row.Shapes)
        {
            check(shapes, device);
        }
    }

    private static void CheckDifferences(Row row, string shapes, OpRun doubles, int output, int input, double[]? gradient)
    {
        double[] x = doubles.Elements[input];
        double[] given = gradient ?? new double[x.Length];
        int[] picked = x.Length <= Differences
            ? [.. Enumerable.Range(0, x.Length)]
            : [0, x.Length - 1, .. new Rng(3).Permutation(x.Length).Take(Differences - 2)];
        double[] expected = (double[])given.Clone(); // what is not picked agrees with itself
        foreach (int at in picked)
        {
            double[] moved = (double[])x.Clone();
            double h = Step * Math.Max(1, Math.Abs(x[at]));
            moved[at] = x[at] + h;
            double above = Objective(doubles, output, input, moved);
            moved[at] = x[at] - h;
            expected[at] = (above - Objective(doubles, output, input, moved)) / (2 * h);
        }

        doubles.Set(input, x);
        double scale = Math.Max(1, given.Select(Math.Abs).DefaultIfEmpty().Max());
        string what = $"{row.Label} {shapes}: gradient of input {input} for output {output}";
        Worst.Within(given, expected, row.Tolerance.Gradient * scale, 0, what, doubles.Shapes[input]);
    }

    private static double Objective(OpRun doubles, int output, int input, double[] values)
    {
        doubles.Set(input, values);
        double[] y = output == 0 ? doubles.Forward(reference: true)[0] : doubles.Forward()[output];
        double[] upstream = doubles.Upstream(new Shape(y.Length), output);
        double sum = 0;
        for (int i = 0; i < y.Length; i++)
        {
            sum += y[i] * upstream[i];
        }

        return sum;
    }

    private static double[] OrZeros(OpRun run, double[]? gradient, int input) => gradient ?? new double[run.Elements[input].Length];

    private static void Near(Row row, string shapes, double[] actual, double[] expected, double tolerance, string what)
    {
        double scale = Math.Max(1, expected.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max());
        Worst.Within(actual, expected, tolerance * scale, 0, $"{row.Label} {shapes}: {what}");
    }

    private static void Same(Row row, string shapes, double[] actual, double[] expected, string what)
    {
        Worst.Within(actual, expected, 0, 0, $"{row.Label} {shapes}: {what}");
        IEnumerable<long> bits = expected.Select(BitConverter.DoubleToInt64Bits);
        Assert.That(actual.Select(BitConverter.DoubleToInt64Bits), Is.EqualTo(bits), $"{row.Label} {shapes}: {what}, signs of zeros");
    }
}
