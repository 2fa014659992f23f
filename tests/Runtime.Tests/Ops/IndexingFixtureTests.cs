using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Ops;

[Category("Fixtures")]
public class IndexingFixtureTests
{
    /// <summary>What a row computes from its inputs by name: outputs by name ("" for a single one), the first being differentiated.</summary>
    private delegate (string Name, Tensor Value)[] Function(Tape t, OpRecording row, Dictionary<string, Tensor> x);

    private static readonly Dictionary<string, Function> s_functions = new()
    {
        ["embedding"] = (t, row, x) => [("", t.Embedding(x["table"], x["ids"], row.Settings.TryGetProperty("padding", out var p) ? p.GetInt32() : -1))],
        ["cumsum"] = (t, row, x) => [("", t.CumulativeSum(x["x"]))],
        ["topk"] = (t, row, x) => [("values", t.TopK(x["x"], row.Shape("truth", "values").Last).Values)], // which of equal entries is not binding
        ["sort"] = (t, row, x) => Pair(t.Sort(x["x"], row.Name.Contains("descending", StringComparison.Ordinal))),
        ["argmax"] = (t, row, x) => [("largest", t.ArgMax(x["x"])), ("smallest", t.ArgMax(x["x"], smallest: true))],
        ["gather"] = (t, row, x) => [("", t.Gather(x["x"], x["index"]))],
        ["scatter"] = (t, row, x) => [("", t.ScatterAdd(x["x"], x["index"], x["source"]))],
        ["max"] = (t, row, x) => [("", t.Max(x["x"], -1))],
        ["sum"] = (t, row, x) => [("", t.Sum(x["x"]))],
        ["variance"] = (t, row, x) => Variance(t, x["x"]),
        ["masked"] = (t, row, x) => [("", t.Softmax(t.MaskedFill(x["x"], Not(t, x["keep"]), float.NegativeInfinity)))],
        ["matrix"] = (t, row, x) => [("", t.MatMul(x["a"], x["b"]))],
        ["batched"] = (t, row, x) => [("", t.MatMul(x["a"], x["b"], transposeB: true))],
    };

    private static IEnumerable<TestCaseData> Rows() => OpRecording.Cases("indexing");

    [TestCaseSource(nameof(Rows))]
    public void An_op_agrees_with_the_recording(OpRecording row)
    {
        string name = row.Name.Split('-')[0];
        if (!s_functions.TryGetValue(name, out Function? function))
        {
            Assert.Ignore($"{row.Name} is not built: no op of that kind is needed yet.");
            return;
        }

        using CpuDevice device = new(2);
        using Arena arena = new(device, "test", 1 << 16);
        using Tape tape = new(arena);
        Dictionary<string, Tensor> x = [];
        foreach (string input in row.Inputs)
        {
            x[input] = Load(arena, row, input);
            if (row.HasGradient && row.Has("gradient_truth", input))
            {
                x[input] = tape.Watch(x[input]);
            }
        }

        (string Name, Tensor Value)[] outputs = function(tape, row, x);
        foreach ((string output, Tensor value) in outputs)
        {
            string? part = output.Length == 0 ? null : output;
            string kind = row.Has("truth", part) ? "truth" : "output"; // indices have no F64 run
            Assert.That(value.Shape, Is.EqualTo(row.Shape(kind, part)), $"{row.Name} {output}");
            Worst.Within(Elements(value), row.Doubles(kind, part), row.Tolerance("output"), 0, $"{row.Name} {output}", value.Shape);
        }

        if (!row.HasGradient)
        {
            return;
        }

        tape.Backward(outputs[0].Value, Load(arena, row, "upstream"));
        foreach (string input in row.Inputs.Where(i => row.Has("gradient_truth", i)))
        {
            double[] gradient = Elements(tape.GradientOf(x[input])!);
            Worst.Within(gradient, row.Doubles("gradient_truth", input), row.Tolerance("gradient"), 0, $"{row.Name} gradient of {input}", x[input].Shape);
        }
    }

    private static (string Name, Tensor Value)[] Pair((Tensor Values, Tensor Indices) sorted) => [("values", sorted.Values), ("indices", sorted.Indices)];

    private static (string Name, Tensor Value)[] Variance(Tape t, Tensor x)
    {
        Tensor squares = t.Sum(t.Square(t.Sub(x, t.Mean(x, -1, keepAxes: true))), -1);
        Tensor unbiased = t.Scale(squares, 1.0 / (x.Shape.Last - 1));
        return [("unbiased", unbiased), ("biased", t.Scale(squares, 1.0 / x.Shape.Last)), ("deviation", t.Sqrt(unbiased))];
    }

    private static Tensor Not(Tape t, Tensor mask) =>
        t.Arena.Create<bool>(mask.Shape, Array.ConvertAll(mask.ToArray<bool>(), v => !v), MemoryCategory.Activations);

    private static Tensor Load(Arena arena, OpRecording row, string input)
    {
        Shape shape = row.Shape("input", input);
        return row.TypeName("input", input) switch
        {
            "I64" or "I32" => arena.Create<int>(shape, row.Integers("input", input), MemoryCategory.Activations),
            "BOOL" => arena.Create<bool>(shape, Array.ConvertAll(row.Doubles("input", input), v => v != 0), MemoryCategory.Activations),
            _ => arena.Create<float>(shape, row.Floats("input", input), MemoryCategory.Activations),
        };
    }

    private static double[] Elements(Tensor x) =>
        x.DType == DType.I32 ? Array.ConvertAll(x.ToArray<int>(), v => (double)v) : Array.ConvertAll(x.ToArray<float>(), v => (double)v);
}
