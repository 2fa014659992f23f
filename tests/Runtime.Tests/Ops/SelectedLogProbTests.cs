using System.Text.Json;
using Graft.Models.Checkpoints;

namespace Graft.Runtime.Tests.Ops;

[TestFixture]
internal sealed class SelectedLogProbTests
{
    private static IEnumerable<TestCaseData> Rows()
    {
        string file = FixtureFolder.PathOf("losses", "linear-cross-entropy", "case.json");
        if (File.Exists(file))
        {
            foreach (JsonElement row in JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("rows").EnumerateArray())
            {
                yield return new TestCaseData(row).SetArgDisplayNames(row.GetProperty("name").GetString()!);
            }
        }
    }

    [TestCaseSource(nameof(Rows))]
    [Category("Fixtures")]
    public void Mean_cross_entropy_agrees_with_the_recording(JsonElement row)
    {
        string name = row.GetProperty("name").GetString()!;
        if (name is not "mean" and not "sum")
        {
            Assert.Ignore($"the reduction '{name}' is not built here: the op gives rows, losses reduce them");
        }

        string folder = FixtureFolder.PathOf("losses", "linear-cross-entropy");
        using SafeTensorsFile tensors = SafeTensorsFile.Open(Path.Combine(folder, "tensors.safetensors")), truth = SafeTensorsFile.Open(Path.Combine(folder, "truth.safetensors"));
        using CpuDevice device = new(2);
        using Arena arena = new(device, "loss");
        using Tape tape = new(arena);
        Tensor hidden = tape.Watch(arena.Create<float>(tensors.Tensors["input.hidden"].Shape, tensors.ReadFloats("input.hidden"), MemoryCategory.Activations));
        Tensor weight = tape.Watch(arena.Create<float>(tensors.Tensors["input.weight"].Shape, tensors.ReadFloats("input.weight"), MemoryCategory.Activations));
        int[] labels = Array.ConvertAll(tensors.ReadArray<long>("input.labels"), l => (int)l);
        Tensor targets = arena.Create<int>(new Shape(labels.Length), labels, MemoryCategory.Activations);
        JsonElement settings = row.GetProperty("settings");
        float smoothing = settings.TryGetProperty("label_smoothing", out JsonElement s) ? s.GetSingle() : 0;
        int count = name == "mean" ? labels.Count(l => l >= 0) : 1;
        Tensor loss = Tape.Pin(tape.Scale(tape.Sum(tape.SelectedLogProb(hidden, weight, targets, smoothing)), -1.0 / count));
        JsonElement tolerance = row.GetProperty("tolerance");
        double expected = row.GetProperty("value_f64").GetDouble();
        Assert.That(loss.ReadScalar(), Is.EqualTo(expected).Within(tolerance.GetProperty("value").GetDouble()));
        tape.Backward(loss);
        foreach ((string input, Tensor x) in new[] { ("hidden", hidden), ("weight", weight) })
        {
            string key = $"truth.{name}.{input}";
            double[] gradient = (truth.Tensors.ContainsKey(key) ? truth : tensors).ReadArray<double>(key);
            double[] given = Array.ConvertAll(tape.GradientOf(x)!.ToArray<float>(), v => (double)v);
            Support.Worst.Within(given, gradient, tolerance.GetProperty("gradient").GetDouble(), 0, $"gradient of {input}", x.Shape);
        }
    }

    [Test]
    public void Several_chunks_agree_with_f64([Values] bool frozen)
    {
        // 20 000 classes leave 838 rows of logits per chunk at most: two chunks of 450.
        const int Rows = 900, Width = 6, Classes = 20_000;
        double[] hidden = OpHarness.Random(Rows * Width, 1), weight = OpHarness.Random(Classes * Width, 2), seed = OpHarness.Random(Rows, 3);
        int[] labels = [.. Enumerable.Range(0, Rows).Select(i => i % 50 == 7 ? -100 : i * 6151 % Classes)];
        double[][] results = [.. new[] { DType.F32, DType.F64 }.SelectMany(type => Evaluate(type))];
        for (int i = 0; i < 3; i++)
        {
            OpHarness.Compare($"result {i}", results[i], results[i + 3], 2e-5);
        }

        double[][] Evaluate(DType type)
        {
            using CpuDevice device = new(2);
            using Arena arena = new(device, "a");
            using Tape tape = new(arena);
            Tensor x = tape.Watch(OpHarness.Create(arena, new Shape(Rows, Width), hidden, type));
            Tensor w = OpHarness.Create(arena, new Shape(Classes, Width), weight, type);
            w = frozen ? w : tape.Watch(w);
            Tensor y = Tape.Pin(tape.SelectedLogProb(x, w, arena.Create<int>(new Shape(Rows), labels, MemoryCategory.Activations)));
            tape.Backward(y, OpHarness.Create(arena, y.Shape, seed, type));
            return [OpHarness.Read(y), OpHarness.Read(tape.GradientOf(x)!), frozen ? [] : OpHarness.Read(tape.GradientOf(w)!)];
        }
    }

    [Test]
    public void Large_logits_stay_finite_and_a_target_beyond_the_vocabulary_is_refused()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        Tape t = Tape.None(arena);
        Tensor hidden = arena.Create<float>(new Shape(1, 1), [1e4f], MemoryCategory.Activations);
        Tensor weight = arena.Create<float>(new Shape(3, 1), [1, -1, 0], MemoryCategory.Activations);
        Tensor targets = arena.Create<int>(new Shape(1), [1], MemoryCategory.Activations);
        Assert.That(t.SelectedLogProb(hidden, weight, targets).ReadScalar(), Is.EqualTo(-2e4));
        targets.AsSpan<int>()[0] = 3;
        Assert.That(() => t.SelectedLogProb(hidden, weight, targets), Throws.InstanceOf<GraftException>().With.Message.Contains("target 3 of row 0"));
    }

    [Test]
    public void Memory_of_the_head_grows_with_the_rows_of_a_chunk_and_not_with_all_rows()
    {
        using MetaDevice device = new();
        long[] peaks = [.. new[] { 670, 4096 }.Select(rows =>
        {
            using Arena arena = new(device, "a");
            using Tape tape = new(arena);
            Tensor hidden = tape.Watch(arena.Allocate(new Shape(rows, 64), DType.F32, MemoryCategory.Weights));
            Tensor weight = arena.Allocate(new Shape(50_000, 64), DType.F32, MemoryCategory.Weights);
            Tensor targets = arena.Allocate(new Shape(rows), DType.I32, MemoryCategory.Weights);
            tape.Backward(tape.Sum(tape.SelectedLogProb(hidden, weight, targets)));
            return arena.Report().Peak[MemoryCategory.Workspace];
        })];
        Assert.That(peaks[1], Is.LessThan(peaks[0] + (64 * 4096)));
        Assert.That(peaks[1], Is.LessThan(70 << 20));
    }

    [TestCase(60, TestName = "A second backward of one recording makes the overwritten logits again: one chunk")]
    [TestCase(900, TestName = "A second backward of one recording makes the overwritten logits again: two chunks")]
    public void Backward_twice(int rows)
    {
        const int Width = 6, Classes = 20_000;
        using CpuDevice device = new(2);
        using Arena arena = new(device, "a");
        using Tape tape = new(arena);
        Tensor x = tape.Watch(OpHarness.Create(arena, new Shape(rows, Width), OpHarness.Random(rows * Width, 1), DType.F32));
        Tensor w = tape.Watch(OpHarness.Create(arena, new Shape(Classes, Width), OpHarness.Random(Classes * Width, 2), DType.F32));
        int[] labels = [.. Enumerable.Range(0, rows).Select(i => i % 50 == 7 ? -100 : i * 6151 % Classes)];
        (Tensor y, Tensor lse) = tape.SelectedLogProbAndSum(x, w, arena.Create<int>(new Shape(rows), labels, MemoryCategory.Activations), 0.1f, 2);
        Tensor loss = tape.Add(tape.Sum(y), tape.Sum(tape.Square(lse)));
        tape.Backward(loss, keep: true);
        double[][] once = [OpHarness.Read(tape.GradientOf(x)!), OpHarness.Read(tape.GradientOf(w)!)];
        tape.Backward(loss);
        double[][] twice = [OpHarness.Read(tape.GradientOf(x)!), OpHarness.Read(tape.GradientOf(w)!)];
        for (int i = 0; i < 2; i++)
        {
            OpHarness.Compare($"gradient {i}", [.. once[i].Select(g => 2 * g)], twice[i], 1e-5);
        }
    }
}
