using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Ops;

/// <summary>Cross-entropy and its relatives, built on the op, against recordings of PyTorch.</summary>
[TestFixture]
[Category("Fixtures")]
public sealed class CrossEntropyFixtureTests
{
    private static IEnumerable<TestCaseData> Rows()
    {
        string file = FixtureFolder.PathOf("losses", "cross-entropy", "case.json");
        return !File.Exists(file) ? [] : JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("rows").EnumerateArray()
            .Select(r => new TestCaseData(r).SetArgDisplayNames(r.GetProperty("name").GetString()!));
    }

    [TestCaseSource(nameof(Rows))]
    public void A_loss_agrees_with_the_recording(JsonElement row)
    {
        string name = row.GetProperty("name").GetString()!;
        ICheckpoint file = OpRecording.Open(FixtureFolder.PathOf("losses", "cross-entropy", "tensors.safetensors"));
        using CpuDevice device = new(2);
        using Arena arena = new(device, "fixture");
        using Tape tape = new(arena);
        using Scope scope = arena.Enter("row");
        Tensor logits = tape.Watch(arena.Create<float>(file.Tensors["input.logits"].Shape, file.ReadFloats("input.logits"), MemoryCategory.Activations));
        Tensor? loss = new Problem(tape, arena, file, row.GetProperty("settings")).Loss(name, logits);
        if (loss is null)
        {
            Assert.Ignore($"{name} is not built: no composition of this name");
            return;
        }

        _ = Tape.Pin(loss);
        JsonElement tolerance = row.GetProperty("tolerance");
        double[] expected = row.TryGetProperty("value_f64", out JsonElement value) ? [value.GetDouble()] : file.ReadArray<double>($"result_truth.{name}");
        Worst.Within(Doubles(loss), expected, tolerance.GetProperty("value").GetDouble(), 0, $"{name} value");
        tape.Backward(tape.Sum(loss));
        double[] truth = file.ReadArray<double>($"truth.{name}.logits");
        Worst.Within(Doubles(tape.GradientOf(logits)!), truth, tolerance.GetProperty("gradient").GetDouble(), 0, $"{name} gradient", logits.Shape);
    }

    private static double[] Doubles(Tensor x) => Array.ConvertAll(x.ToArray<float>(), v => (double)v);

    private sealed class Problem(Tape t, Arena arena, ICheckpoint file, JsonElement settings)
    {
        private readonly int[] _labels = Array.ConvertAll(file.ReadArray<long>("input.labels"), l => (int)l);

        private int Ignored => (int)Number("ignore_index", -100);

        private int Valid => _labels.Count(l => l != Ignored);

        public Tensor? Loss(string name, Tensor logits)
        {
            switch (name)
            {
                case "log-softmax":
                    return t.LogSoftmax(logits);
                case "entropy":
                    return t.Neg(t.Mean(t.Sum(t.Mul(t.Softmax(logits), t.LogSoftmax(logits)), -1)));
                case "soft-targets":
                    return t.Neg(t.Mean(t.Sum(t.Mul(Reversed(logits), t.LogSoftmax(logits)), -1)));
                case "none-upstream":
                    return t.Mul(Losses(logits), Create("input.upstream"));
                case "token-scaling":
                    Tensor rows = Losses(logits);
                    return t.Scale(t.Sum(t.Mul(rows, t.Exp(t.Neg(Tape.Detach(rows))))), 1.0 / Valid);
                case "soft-cap":
                    return Mean(Losses(t.Scale(t.Tanh(t.Scale(logits, 1 / Number("cap", 0))), Number("cap", 0))), null);
                case "large":
                    return Mean(Losses(t.Scale(logits, 5000)), null);
                case "z-loss":
                case "z-loss-smoothing":
                    Tensor squares = t.Mul(t.Square(t.LogSumExp(logits)), Counted());
                    return t.Add(Mean(Losses(logits), null), t.Scale(t.Sum(squares), Number("z", 0) / Valid));
                case "mean" or "sum" or "none" or "smoothing-mean" or "smoothing-sum" or "weights-mean" or "weights-sum" or "weights-smoothing-mean":
                    Tensor? weights = name.StartsWith("weights", StringComparison.Ordinal) ? Create("input.weights") : null;
                    Tensor losses = Losses(logits, weights);
                    string reduction = settings.TryGetProperty("reduction", out JsonElement given) ? given.GetString()! : "mean";
                    return reduction == "none" ? losses : reduction == "sum" ? t.Sum(losses) : Mean(losses, weights);
                default:
                    return null;
            }
        }

        private Tensor Losses(Tensor logits, Tensor? weights = null)
        {
            Tensor labels = arena.Create<int>(new Shape(_labels.Length), _labels, MemoryCategory.Activations);
            return t.CrossEntropy(logits, labels, weights, (float)Number("label_smoothing", 0), Ignored);
        }

        private Tensor Mean(Tensor losses, Tensor? weights)
        {
            double divisor = weights is null ? Valid : _labels.Where(l => l != Ignored).Sum(l => (double)weights.AsSpan<float>()[l]);
            return t.Scale(t.Sum(losses), 1 / divisor);
        }

        /// <summary>1 for rows that count, else 0.</summary>
        private Tensor Counted()
            => arena.Create<float>(new Shape(_labels.Length), Array.ConvertAll(_labels, l => l == Ignored ? 0f : 1f), MemoryCategory.Activations);

        private Tensor Reversed(Tensor logits)
        {
            float[] x = logits.ToArray<float>();
            int classes = logits.Shape.Last, n = logits.Shape[0];
            float[] reversed = new float[x.Length];
            for (int i = 0; i < n; i++)
            {
                x.AsSpan(i * classes, classes).CopyTo(reversed.AsSpan((n - 1 - i) * classes));
            }

            Tensor constant = arena.Create<float>(logits.Shape, reversed, MemoryCategory.Activations);
            return t.Softmax(t.Scale(constant, 1 / Number("temperature", 1)));
        }

        private Tensor Create(string name) => arena.Create<float>(file.Tensors[name].Shape, file.ReadFloats(name), MemoryCategory.Activations);

        private double Number(string name, double otherwise) => settings.TryGetProperty(name, out JsonElement given) ? given.GetDouble() : otherwise;
    }
}
