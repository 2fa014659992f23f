using System.Globalization;
using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Optimizers;

/// <summary>Recorded trajectories of the reference implementations.</summary>
[Category("Fixtures")]
public class OptimizerFixtureTests
{
    // The reference's name, its defaults as (rate, rule of the settings); a case of another kind is not built.
    private static readonly Dictionary<string, (double Rate, Func<JsonElement, IOptimizerRule> Rule)> s_kinds = new()
    {
        ["torch.optim.Adam"] = (1e-3, s => Adam(s, AdamW.Adam)),
        ["torch.optim.AdamW"] = (1e-3, s => Adam(s, new AdamW())),
        ["torch.optim.AdamW with groups"] = (1e-3, s => Adam(s, new AdamW())),
        ["torch.optim.AdamW on F32 masters of BF16 parameters"] = (1e-3, s => Adam(s, new AdamW())),
        ["torch.optim.SGD"] = (1e-3, Descent),
        ["lion_pytorch.Lion"] = (1e-4, s => new Lion(Pair(s, 0, 0.9), Pair(s, 1, 0.99), Number(s, "weight_decay", 0))),
    };

    private static readonly string[] s_settings =
        ["lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "momentum", "dampening", "nesterov", "groups", "schedule"];

    public static IEnumerable<string> Cases() => FixtureFolder.Cases("optimizers");

    [TestCaseSource(nameof(Cases))]
    public void Trajectory_is_that_of_the_reference(string name)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(FixtureFolder.PathOf("optimizers", name, "case.json")));
        JsonElement root = json.RootElement;
        if (!root.TryGetProperty("kind", out JsonElement kindProperty))
        {
            Assert.Ignore("not an optimizer's trajectory: read by another test, or not built: no kind");
        }

        string kind = kindProperty.GetString()!;
        if (!s_kinds.TryGetValue(kind, out var known))
        {
            Assert.Ignore($"{kind} not built: none of the rules here");
        }

        JsonElement settings = root.GetProperty("settings");
        foreach (JsonProperty setting in settings.EnumerateObject())
        {
            if (!s_settings.Contains(setting.Name))
            {
                Assert.Ignore($"{kind} with {setting.Name} not built: no such option");
            }
        }

        using SafeTensorsFile trajectory = SafeTensorsFile.Open(FixtureFolder.PathOf("optimizers", name, "trajectory.safetensors"));
        bool low = trajectory.Tensors.ContainsKey("start." + First(trajectory, "after."));
        using SafeTensorsFile given = low ? SafeTensorsFile.Open(trajectory.Path) : SafeTensorsFile.Open(
            Path.GetFullPath(Path.Combine(FixtureFolder.PathOf("optimizers", name), root.GetProperty("given").GetString()!)));
        using Device device = new CpuDevice(2);
        using Arena arena = new(device, "test");
        List<Parameter> parameters = [];
        foreach (string tensor in trajectory.Tensors.Keys.Where(k => k.StartsWith("after.", StringComparison.Ordinal)).Select(k => k[6..]))
        {
            string start = (low ? "start." : "parameter.") + tensor;
            Tensor value = low
                ? arena.Create<BFloat16>(given.Tensors[start].Shape, given.ReadArray<BFloat16>(start), MemoryCategory.Weights)
                : arena.Create<float>(given.Tensors[start].Shape, given.ReadFloats(start), MemoryCategory.Weights);
            parameters.Add(new Parameter(tensor, value, trainable: true));
        }

        // With groups the rate of the first stands for all; the others are factors on it.
        double rate = Number(settings.TryGetProperty("groups", out JsonElement listed) ? listed[0] : settings, "lr", known.Rate);
        using ParameterSet set = new(parameters, arena, new ParameterSetOptions { Groups = Groups(settings, rate) });
        Optimizer optimizer = new(set, known.Rule(settings), rate, Schedule(settings));
        Worst worst = new(root.GetProperty("tolerance").GetProperty("after").GetDouble());
        int steps = (int)trajectory.Tensors["after." + parameters[0].Name].Shape[0];
        for (int step = 0; step < steps; step++)
        {
            set.ClearGradients();
            if (root.TryGetProperty("learning_rates", out JsonElement rates))
            {
                Assert.That(optimizer.LearningRate, Is.EqualTo(rates[step][0].GetDouble()).Within(1e-12), "learning rate");
                Assert.That(rates[step].GetArrayLength(), Is.EqualTo(listed.GetArrayLength()), "groups");
            }

            foreach (Parameter parameter in parameters)
            {
                Give(parameter, At(given, "gradient." + parameter.Name, step, parameter.Shape));
            }

            optimizer.Update();
            foreach (ParameterEntry entry in set.All)
            {
                worst.Compare(entry.Values.ToArray<float>(), At(trajectory, "after." + entry.Name, step, entry.Parameter.Shape), $"{entry.Name} after step " +
                    $"{step + 1}");
                if (low)
                {
                    float[] expected = At(trajectory, "low." + entry.Name, step, entry.Parameter.Shape);
                    Assert.That(entry.Parameter.Value.ToArray<BFloat16>().Select(v => (float)v), Is.EqualTo(expected), $"BF16 copy of {entry.Name}, step " +
                        $"{step + 1}");
                }
            }
        }

        worst.Check();
    }

    [TestCaseSource(nameof(Cases))]
    public void Clipped_gradients_are_those_of_the_reference(string name)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(FixtureFolder.PathOf("optimizers", name, "case.json")));
        JsonElement root = json.RootElement;
        if (root.TryGetProperty("kind", out _) || !File.Exists(FixtureFolder.PathOf("optimizers", name, "clipped.safetensors")))
        {
            Assert.Ignore("not a recording of clipping: read by another test");
        }

        using SafeTensorsFile clipped = SafeTensorsFile.Open(FixtureFolder.PathOf("optimizers", name, "clipped.safetensors"));
        string givenPath = Path.Combine(FixtureFolder.PathOf("optimizers", name), root.GetProperty("given").GetString()!);
        using SafeTensorsFile given = SafeTensorsFile.Open(Path.GetFullPath(givenPath));
        double tolerance = root.GetProperty("tolerance").GetProperty("clipped").GetDouble();
        using Device device = new CpuDevice(2);
        using Arena arena = new(device, "test");
        List<Parameter> parameters = [];
        foreach (string parameter in root.GetProperty("parameters").EnumerateArray().Select(p => p.GetString()!))
        {
            Shape shape = given.Tensors["parameter." + parameter].Shape;
            Tensor value = arena.Create<float>(shape, given.ReadFloats("parameter." + parameter), MemoryCategory.Weights);
            parameters.Add(new Parameter(parameter, value, trainable: true));
        }

        using ParameterSet set = new(parameters, arena);
        foreach (JsonElement row in root.GetProperty("rows").EnumerateArray())
        {
            string label = row.GetProperty("case").GetString()!;
            int step = row.GetProperty("step").GetInt32() - 1;
            set.ClearGradients();
            foreach (Parameter parameter in parameters)
            {
                if (clipped.Tensors.ContainsKey($"{label}/{parameter.Name}"))
                {
                    Give(parameter, At(given, "gradient." + parameter.Name, step, parameter.Shape));
                }
            }

            double limit = row.GetProperty("limit").GetDouble();
            if (row.GetProperty("kind").GetString() == "value")
            {
                GradientClipping.ByValue(limit, set);
            }
            else
            {
                NormOrder order = row.GetProperty("order").GetString() switch
                {
                    "2" => NormOrder.L2,
                    "1" => NormOrder.L1,
                    "inf" => NormOrder.Infinity,
                    var other => throw new InvalidOperationException(other),
                };
                double norm = GradientClipping.ByNorm(limit, order, set);
                Assert.That(norm, Is.EqualTo(row.GetProperty("total_norm").GetDouble()).Within(tolerance * 100).Percent, label);
            }

            foreach (Parameter parameter in parameters.Where(p => p.HasGradient))
            {
                float[] expected = clipped.ReadFloats($"{label}/{parameter.Name}");
                Worst worst = new(tolerance) { Relative = true };
                worst.Compare(parameter.Gradient!.ToArray<float>(), expected, $"{label}: {parameter.Name}");
                worst.Check();
            }
        }
    }

    internal static void Give(Parameter parameter, ReadOnlySpan<float> gradient)
    {
        parameter.GradientTarget(out _).CopyFrom(gradient);
    }

    private static AdamW Adam(JsonElement s, AdamW defaults) => defaults with
    {
        Beta1 = Pair(s, 0, defaults.Beta1),
        Beta2 = Pair(s, 1, defaults.Beta2),
        Epsilon = Number(s, "eps", defaults.Epsilon),
        WeightDecay = Number(s, "weight_decay", defaults.WeightDecay),
        AmsGrad = Flag(s, "amsgrad"),
        Maximize = Flag(s, "maximize"),
    };

    private static Sgd Descent(JsonElement s) => new(Number(s, "momentum", 0), Number(s, "dampening", 0), Number(s, "weight_decay", 0))
    {
        Nesterov = Flag(s, "nesterov"),
        Maximize = Flag(s, "maximize"),
    };

    private static List<ParameterGroup> Groups(JsonElement settings, double rate)
    {
        List<ParameterGroup> groups = [];
        if (settings.TryGetProperty("groups", out JsonElement rows))
        {
            foreach (JsonElement row in rows.EnumerateArray())
            {
                HashSet<string> names = [.. row.GetProperty("names").EnumerateArray().Select(n => n.GetString()!)];
                AdamW shared = Adam(settings, new AdamW());
                groups.Add(new ParameterGroup(string.Join("+", names), e => names.Contains(e.Name))
                {
                    LearningRateFactor = Number(row, "lr", rate) / rate,
                    Rule = Adam(row, shared),
                });
            }
        }

        return groups;
    }

    private static ISchedule? Schedule(JsonElement settings)
    {
        return settings.TryGetProperty("schedule", out JsonElement s) ? ScheduleTable.Create(s.GetProperty("name").GetString()!, new ScheduleSettings
        {
            TotalSteps = s.GetProperty("num_training_steps").GetInt64(),
            WarmupSteps = s.GetProperty("num_warmup_steps").GetInt64(),
        }) : null;
    }

    private static string First(SafeTensorsFile file, string prefix)
    {
        return file.Tensors.Keys.First(k => k.StartsWith(prefix, StringComparison.Ordinal))[prefix.Length..];
    }

    private static float[] At(SafeTensorsFile file, string name, int step, Shape shape)
    {
        float[] values = new float[shape.Count];
        file.Read(name, step * shape.Count, values.AsSpan());
        return values;
    }

    private static double Number(JsonElement s, string name, double otherwise) => s.TryGetProperty(name, out JsonElement value) ? value.GetDouble() : otherwise;

    private static double Pair(JsonElement s, int i, double otherwise) => s.TryGetProperty("betas", out JsonElement value) ? value[i].GetDouble() : otherwise;

    private static bool Flag(JsonElement s, string name) => s.TryGetProperty(name, out JsonElement value) && value.GetBoolean();

    /// <summary>The element farthest from what it should be.</summary>
    private sealed class Worst(double tolerance)
    {
        private double _error = -1;
        private string _text = "nothing was compared";

        public bool Relative { get; init; }

        public void Compare(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, string what)
        {
            Assert.That(actual.Length, Is.EqualTo(expected.Length), what);
            for (int i = 0; i < actual.Length; i++)
            {
                double error = Math.Abs((double)actual[i] - expected[i]) / (tolerance * (Relative ? Math.Max(Math.Abs(expected[i]), 1e-30) : 1));
                if (!(error <= _error))
                {
                    _error = error;
                    _text = string.Create(CultureInfo.InvariantCulture, $"{what}[{i}]: {actual[i]:R} for {expected[i]:R}, {error:G3} times the tolerance");
                }
            }
        }

        public void Check()
        {
            Assert.That(_error, Is.InRange(0, 1), _text);
            TestContext.Out.WriteLine("worst: " + _text);
        }
    }
}
