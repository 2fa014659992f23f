using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Optimizers;

/// <summary>The older AdamW, and rules that see parameters whole, against recorded runs of GaLore, whose projectors are taken from the recording.</summary>
[Category("Fixtures")]
public class GaloreFixtureTests
{
    public static IEnumerable<string> Cases() => FixtureFolder.Cases("optimizers");

    [TestCaseSource(nameof(Cases))]
    public void Projected_updates_are_those_of_the_reference(string name)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(FixtureFolder.PathOf("optimizers", name, "case.json")));
        JsonElement root = json.RootElement;
        if (!root.TryGetProperty("kind", out JsonElement kind) || kind.GetString() != "galore_torch.GaLoreAdamW")
        {
            Assert.Ignore("not a recording of GaLore: read by another test, or not built: no such rule");
        }

        JsonElement settings = root.GetProperty("settings");
        JsonElement projection = settings.GetProperty("projection");
        string type = projection.GetProperty("proj_type").GetString()!;
        int rank = projection.GetProperty("rank").GetInt32();
        long gap = projection.GetProperty("update_proj_gap").GetInt64();
        double rate = settings.GetProperty("lr").GetDouble();
        double decay = settings.GetProperty("weight_decay").GetDouble();
        using SafeTensorsFile recorded = SafeTensorsFile.Open(FixtureFolder.PathOf("optimizers", name, "trajectory.safetensors"));
        using SafeTensorsFile given = SafeTensorsFile.Open(
            Path.GetFullPath(Path.Combine(FixtureFolder.PathOf("optimizers", name), root.GetProperty("given").GetString()!)));

        float[] Projector(ParameterEntry entry, bool left, long step)
        {
            long refreshed = ((step - 1) / gap * gap) + 1;
            return recorded.ReadFloats($"projector.{entry.Name}{(type == "full" ? left ? ".0" : ".1" : "")}.step{refreshed}");
        }

        (bool Left, bool Right) Sides(Shape shape) => type switch
        {
            "std" => (shape[0] < shape[1], shape[0] >= shape[1]),
            "reverse_std" => (shape[0] >= shape[1], shape[0] < shape[1]),
            "left" => (true, false),
            "right" => (false, true),
            _ => (true, true),
        };

        using Device device = new CpuDevice(2);
        using Arena arena = new(device, "test");
        List<Parameter> parameters = [];
        foreach (string tensor in recorded.Tensors.Keys.Where(k => k.StartsWith("after.", StringComparison.Ordinal)).Select(k => k[6..]))
        {
            Shape shape = given.Tensors["parameter." + tensor].Shape;
            parameters.Add(new Parameter(tensor, arena.Create<float>(shape, given.ReadFloats("parameter." + tensor), MemoryCategory.Weights), trainable: true));
        }

        AdamW inner = AdamW.Legacy with { WeightDecay = decay };
        ParameterGroup vectors = new("vectors", e => e.Parameter.Shape.Rank < 2) { Rule = inner };
        using ParameterSet set = new(parameters, arena, new ParameterSetOptions { Groups = [vectors] });
        Galore rule = new(AdamW.Legacy, rank, projection.GetProperty("scale").GetDouble(), Sides, Projector) { WeightDecay = decay };
        Optimizer optimizer = new(set, rule, rate);
        double tolerance = root.GetProperty("tolerance").GetProperty("after").GetDouble();
        for (int step = 0; step < root.GetProperty("steps").GetInt32(); step++)
        {
            foreach (Parameter parameter in parameters)
            {
                float[] gradient = new float[parameter.Shape.Count];
                given.Read("gradient." + parameter.Name, step * parameter.Shape.Count, gradient.AsSpan());
                OptimizerFixtureTests.Give(parameter, gradient);
            }

            optimizer.Update();
            foreach (Parameter parameter in parameters)
            {
                float[] expected = new float[parameter.Shape.Count];
                recorded.Read("after." + parameter.Name, step * parameter.Shape.Count, expected.AsSpan());
                float[] actual = parameter.Value.ToArray<float>();
                int worst = Enumerable.Range(0, actual.Length).MaxBy(i => Math.Abs(actual[i] - expected[i]));
                Assert.That(actual[worst], Is.EqualTo(expected[worst]).Within(tolerance), $"{parameter.Name}[{worst}] after step {step + 1}");
            }
        }
    }
}
