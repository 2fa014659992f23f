using System.Globalization;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Ops;

/// <summary>Activations, softmax and norms against recordings of PyTorch, forward and backward.</summary>
[TestFixture]
[Category("Fixtures")]
public sealed class ActivationFixtureTests
{
    private static readonly Dictionary<string, Func<Tape, OpRecording, Tensor[], Tensor>> s_ops = new()
    {
        ["softmax"] = (t, r, x) => t.Softmax(x[0]),
        ["softmax-extreme"] = (t, r, x) => t.Softmax(x[0]),
        ["log-softmax"] = (t, r, x) => t.LogSoftmax(x[0]),
        ["logsumexp"] = (t, r, x) => t.LogSumExp(x[0]),
        ["rms-norm"] = (t, r, x) => t.RmsNorm(Part(r, x, "x"), Part(r, x, "weight"), (float)Number(r, "eps")),
        ["layer-norm"] = (t, r, x) => t.LayerNorm(Part(r, x, "x"), Part(r, x, "weight"), Part(r, x, "bias"), (float)Number(r, "eps")),
        ["group-norm"] = GroupNorm,
        ["swiglu"] = (t, r, x) => t.SwiGlu(Part(r, x, "gate"), Part(r, x, "up")),
        ["gelu-erf"] = (t, r, x) => t.Gelu(x[0]),
        ["gelu-tanh"] = (t, r, x) => t.GeluTanh(x[0]),
        ["silu"] = (t, r, x) => t.Silu(x[0]),
        ["relu"] = (t, r, x) => t.Relu(x[0]),
        ["relu-squared"] = (t, r, x) => t.ReluSquared(x[0]),
        ["sigmoid"] = (t, r, x) => t.Sigmoid(x[0]),
        ["tanh"] = (t, r, x) => t.Tanh(x[0]),
        ["softplus"] = (t, r, x) => t.Softplus(x[0]),
        ["erf"] = (t, r, x) => t.Erf(x[0]),
        ["elu"] = (t, r, x) => t.Elu(x[0]),
        ["leaky-relu"] = (t, r, x) => t.LeakyRelu(x[0]),
        ["mish"] = (t, r, x) => t.Mish(x[0]),
        ["hard-swish"] = (t, r, x) => t.HardSwish(x[0]),
        ["quick-gelu"] = (t, r, x) => t.QuickGelu(x[0]),
        ["log-sigmoid"] = (t, r, x) => t.LogSigmoid(x[0]),
        ["exp-eighth"] = (t, r, x) => t.Exp(t.Scale(x[0], 0.125)),
    };

    private static IEnumerable<TestCaseData> Rows() => OpRecording.Cases("activations-and-norms");

    [TestCaseSource(nameof(Rows))]
    public void An_op_agrees_with_the_recording(OpRecording row)
    {
        string name = row.Name;
        int dash = name.LastIndexOf('-');
        if (!s_ops.ContainsKey(name) && dash > 0 && int.TryParse(name[(dash + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            name = name[..dash]; // the number is the width
        }

        if (!s_ops.TryGetValue(name, out Func<Tape, OpRecording, Tensor[], Tensor>? op))
        {
            Assert.Ignore($"{row.Name} is not built: there is no op of this name");
            return;
        }

        using CpuDevice device = new(2);
        using Arena arena = new(device, "fixture");
        using Tape tape = new(arena);
        using Scope scope = arena.Enter("row");
        Tensor[] x = [.. row.Inputs.Select(i => tape.Watch(arena.Create<float>(row.Shape("input", i), row.Floats("input", i), MemoryCategory.Activations)))];
        Tensor y = Tape.Pin(op(tape, row, x));
        Worst.Within(Doubles(y), row.Doubles("truth"), row.Tolerance("output"), 0, $"{row.Name} output", y.Shape);
        if (row.HasGradient)
        {
            tape.Backward(y, arena.Create<float>(y.Shape, row.Floats("input", "upstream"), MemoryCategory.Activations));
            for (int i = 0; i < x.Length; i++)
            {
                Worst.Within(Doubles(tape.GradientOf(x[i])!), row.Doubles("gradient_truth", row.Inputs[i]), row.Tolerance("gradient"), 0, $"{row.Name} gradient of {row.Inputs[i]}", x[i].Shape);
            }
        }
    }

    /// <summary>x (N, C, ...) normalised over groups of channels, from primitive ops.</summary>
    private static Tensor GroupNorm(Tape t, OpRecording row, Tensor[] inputs)
    {
        Tensor x = Part(row, inputs, "x");
        int groups = (int)Number(row, "groups"), channels = x.Shape[1], samples = x.Shape[0];
        Tensor rows = t.View(x, new Shape(samples * groups, (int)(x.Shape.Count / (samples * groups))));
        Tensor centred = t.Sub(rows, t.Mean(rows, -1, keepAxes: true));
        Tensor normal = t.Mul(centred, t.Rsqrt(t.AddScalar(t.Mean(t.Square(centred), -1, keepAxes: true), Number(row, "eps"))));
        Shape column = new(channels, 1), flat = new(samples, channels, (int)(x.Shape.Count / (samples * channels)));
        Tensor y = t.Add(t.Mul(t.View(normal, flat), t.View(Part(row, inputs, "weight"), column)), t.View(Part(row, inputs, "bias"), column));
        return t.View(y, x.Shape);
    }

    private static Tensor Part(OpRecording row, Tensor[] inputs, string name) => inputs[Array.IndexOf(row.Inputs, name)];

    private static double Number(OpRecording row, string setting) => row.Settings.GetProperty(setting).GetDouble();

    private static double[] Doubles(Tensor x) => Array.ConvertAll(x.ToArray<float>(), v => (double)v);
}
