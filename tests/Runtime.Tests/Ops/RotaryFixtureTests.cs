using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Ops;

/// <summary>Frequencies, tables and rotated heads of every kind of rotary embedding against recordings of transformers.</summary>
[TestFixture]
[Category("Fixtures")]
public sealed class RotaryFixtureTests
{
    private static JsonElement Case()
    {
        string file = FixtureFolder.PathOf("ops", "rotary", "case.json");
        return File.Exists(file) ? JsonDocument.Parse(File.ReadAllText(file)).RootElement : default;
    }

    private static IEnumerable<TestCaseData> Rows()
    {
        JsonElement root = Case();
        return root.ValueKind == JsonValueKind.Undefined ? [] : root.GetProperty("rows").EnumerateArray()
            .Select(r => new TestCaseData(r).SetArgDisplayNames(r.GetProperty("name").GetString()!));
    }

    [TestCaseSource(nameof(Rows))]
    public void Tables_and_rotation_agree_with_the_recording(JsonElement row)
    {
        string name = row.GetProperty("name").GetString()!;
        JsonElement tolerance = Case().GetProperty("tolerance");
        double near = tolerance.GetProperty("cos_sin").GetDouble(), relative = tolerance.GetProperty("inverse_frequency").GetDouble();
        ICheckpoint file = OpRecording.Open(FixtureFolder.PathOf("ops", "rotary", "tensors.safetensors"));
        if (Options(row) is not { } options)
        {
            Assert.Ignore($"{name} is not built: no such rope_type");
            return;
        }

        using CpuDevice device = new(2);
        using Arena arena = new(device, "fixture");
        int[] positions = Positions(file, "input.positions");
        RotaryTable table = RotaryTable.Create(arena, options, row.GetProperty("positions_end").GetInt32());
        Assert.That(table.AttentionFactor, Is.EqualTo(row.GetProperty("attention_factor").GetDouble()).Within(1e-6));
        RotaryTable initial = RotaryTable.Create(arena, options, 1);
        Frequencies(file, $"inverse_frequency.{name}", initial, relative);
        Frequencies(file, $"inverse_frequency_long.{name}", table, relative);
        Tables(file, "", name, table, positions, near);
        foreach (string other in (string[])["near_", "far_"])
        {
            if (file.Tensors.ContainsKey($"{other}positions.{name}"))
            {
                int[] at = Positions(file, $"{other}positions.{name}");
                RotaryTable its = RotaryTable.Create(arena, options, at.Max() + 1);
                Tables(file, other, name, its, at, near);
                Frequencies(file, $"inverse_frequency_{other.TrimEnd('_')}.{name}", its, relative);
            }
        }

        if (file.Tensors.ContainsKey($"rotated.{name}"))
        {
            Rotated(file, name, arena, table, positions, tolerance.GetProperty("rotated").GetDouble());
        }
    }

    private static void Rotated(ICheckpoint file, string name, Arena arena, RotaryTable table, int[] positions, double tolerance)
    {
        Tape t = Tape.None(arena);
        Tensor q = arena.Create<float>(file.Tensors["input.q"].Shape, file.ReadFloats("input.q"), MemoryCategory.Activations); // (B, H, T, D)
        Tensor at = arena.Create<int>(new Shape(positions.Length), positions, MemoryCategory.Activations);
        Tensor y = t.Permute(t.RotaryEmbedding(t.Permute(q, 0, 2, 1, 3), table, at), 0, 2, 1, 3);
        double[] expected = Array.ConvertAll(file.ReadFloats($"rotated.{name}"), v => (double)v);
        Worst.Within(Array.ConvertAll(y.ToArray<float>(), v => (double)v), expected, tolerance, 0, $"{name} rotated", y.Shape);
    }

    private static void Tables(ICheckpoint file, string prefix, string name, RotaryTable table, int[] positions, double tolerance)
    {
        foreach ((string key, Tensor tensor) in new[] { ("cos", table.Cos), ("sin", table.Sin) })
        {
            float[] all = tensor.ToArray<float>();
            int half = tensor.Shape.Last;
            double[] rows = [.. positions.SelectMany(p => Enumerable.Range(0, 2 * half).Select(j => (double)all[(p * half) + (j % half)]))];
            Worst.Within(rows, Array.ConvertAll(file.ReadFloats($"{prefix}{key}.{name}"), v => (double)v), tolerance, 0, $"{name} {prefix}{key}");
        }
    }

    private static void Frequencies(ICheckpoint file, string key, RotaryTable table, double tolerance)
    {
        if (file.Tensors.ContainsKey(key))
        {
            Worst.Within([.. table.InverseFrequencies], Array.ConvertAll(file.ReadFloats(key), v => (double)v), 0, tolerance, key);
        }
    }

    private static int[] Positions(ICheckpoint file, string key) => Array.ConvertAll(file.ReadArray<long>(key), p => (int)p);

    private static RotaryOptions? Options(JsonElement row)
    {
        JsonElement p = row.GetProperty("parameters");
        double Number(string name, double otherwise) => p.TryGetProperty(name, out JsonElement value) ? value.GetDouble() : otherwise;
        double[] List(string name) => p.TryGetProperty(name, out JsonElement value) ? [.. value.EnumerateArray().Select(v => v.GetDouble())] : [];
        RotaryScaling? scaling = p.GetProperty("rope_type").GetString() switch
        {
            "default" => RotaryScaling.None,
            "linear" => RotaryScaling.Linear,
            "dynamic" => RotaryScaling.Dynamic,
            "yarn" => RotaryScaling.Yarn,
            "longrope" => RotaryScaling.LongRope,
            "llama3" => RotaryScaling.Llama3,
            _ => null,
        };
        return scaling is null ? null : new RotaryOptions(row.GetProperty("head_width").GetInt32(), Number("rope_theta", 10000))
        {
            Scaling = scaling.Value,
            Factor = Number("factor", 1),
            LowFrequencyFactor = Number("low_freq_factor", 1),
            HighFrequencyFactor = Number("high_freq_factor", 4),
            OriginalMaxPositions = (int)Number("original_max_position_embeddings", 0),
            MaxPositions = row.GetProperty("max_position_embeddings").GetInt32(),
            BetaFast = Number("beta_fast", 32),
            BetaSlow = Number("beta_slow", 1),
            MScale = Number("mscale", 0),
            MScaleAllDimensions = Number("mscale_all_dim", 0),
            Truncate = !p.TryGetProperty("truncate", out JsonElement truncate) || truncate.GetBoolean(),
            AttentionFactor = p.TryGetProperty("attention_factor", out JsonElement factor) && factor.ValueKind == JsonValueKind.Number ? factor.GetDouble() : null,
            ShortFactors = List("short_factor"),
            LongFactors = List("long_factor"),
        };
    }
}
