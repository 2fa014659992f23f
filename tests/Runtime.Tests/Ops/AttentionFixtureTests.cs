using System.Text.Json;
using Graft.Models.Checkpoints;

namespace Graft.Runtime.Tests.Ops;

/// <summary>Attention against recordings of the reference implementation in F64: ops/attention, q (B, H, T, D), k and v (B, K, S, D).</summary>
[TestFixture]
[Category("Fixtures")]
internal sealed class AttentionFixtureTests
{
    private static IEnumerable<TestCaseData> Rows()
    {
        string file = FixtureFolder.PathOf("ops", "attention", "case.json");
        if (File.Exists(file))
        {
            foreach (JsonElement row in JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("rows").EnumerateArray())
            {
                yield return new TestCaseData(row).SetArgDisplayNames(row.GetProperty("name").GetString()!);
            }
        }
    }

    [TestCaseSource(nameof(Rows))]
    public void Output_and_gradients_agree_with_the_recording(JsonElement row)
    {
        string name = row.GetProperty("name").GetString()!;
        string[] inputs = [.. row.GetProperty("inputs").EnumerateArray().Select(i => i.GetString()!)];
        if (inputs.Except(["q", "k", "v", "sinks"]).FirstOrDefault() is { } other)
        {
            Assert.Ignore($"attention with '{other}' is not built: an additive bias is a (T, S) matrix, which this op never holds; it is composed from mat_mul and softmax");
        }

        JsonElement settings = row.GetProperty("settings");
        using SafeTensorsFile tensors = Open(name);
        Shape q = tensors.Tensors[$"input.{name}.q"].Shape, k = tensors.Tensors[$"input.{name}.k"].Shape;
        using CpuDevice device = new(2);
        using Arena arena = new(device, "attention");
        using Tape tape = new(arena);
        Dictionary<string, Tensor> x = inputs.ToDictionary(i => i, i => tape.Watch(arena.Create<float>(
            tensors.Tensors[$"input.{name}.{i}"].Shape, tensors.ReadFloats($"input.{name}.{i}"), MemoryCategory.Activations)));
        Tensor Turned(string i) => tape.Permute(x[i], 0, 2, 1, 3);

        // The name says the mask: all but the plain row are causal; a continued cache is causal by absolute position.
        AttentionOptions options = new()
        {
            Causal = !name.StartsWith("full", StringComparison.Ordinal),
            Window = settings.TryGetProperty("window", out JsonElement window) ? window.GetInt32() : 0,
            Scale = settings.TryGetProperty("scale", out JsonElement scale) ? scale.GetSingle() : null,
            SoftCap = settings.TryGetProperty("cap", out JsonElement cap) ? cap.GetSingle() : 0,
            Sinks = x.GetValueOrDefault("sinks"),
        };
        Tensor output = Tape.Pin(tape.Permute(tape.ScaledDotProductAttention(Turned("q"), Turned("k"), Turned("v"), q[1], k[1], options), 0, 2, 1, 3));
        Near(output, tensors.ReadArray<double>($"truth.{name}"), row, "output");
        Tensor upstream = arena.Create<float>(output.Shape, tensors.ReadFloats($"input.{name}.upstream"), MemoryCategory.Activations);
        tape.Backward(output, upstream);
        foreach (string input in inputs)
        {
            Near(tape.GradientOf(x[input])!, tensors.ReadArray<double>($"gradient_truth.{name}.{input}"), row, "gradient", input);
        }
    }

    private static SafeTensorsFile Open(string name)
    {
        string folder = FixtureFolder.PathOf("ops", "attention");
        foreach (string file in Directory.EnumerateFiles(folder, "*.safetensors"))
        {
            SafeTensorsFile tensors = SafeTensorsFile.Open(file);
            if (tensors.Tensors.ContainsKey($"input.{name}.q"))
            {
                return tensors;
            }

            tensors.Dispose();
        }

        throw new FileNotFoundException($"no recording holds the inputs of {name}");
    }

    private static void Near(Tensor given, double[] expected, JsonElement row, string kind, string of = "")
    {
        double tolerance = row.GetProperty("tolerance").GetProperty(kind).GetDouble();
        Support.Worst.Within(Array.ConvertAll(given.ToArray<float>(), v => (double)v), expected, tolerance, 0, $"{kind} {of}", given.Shape);
    }
}
