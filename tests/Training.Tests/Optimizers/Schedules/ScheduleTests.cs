using System.Text.Json;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Optimizers.Schedules;

public sealed class ScheduleTests
{
    private static readonly string s_folder = FixtureFolder.PathOf("optimizers", "schedules");

    [Category("Fixtures")]
    [TestCaseSource(nameof(Rows))]
    public void A_recorded_schedule_is_followed(int index)
    {
        using JsonDocument rows = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(s_folder, "schedules.json")));
        using JsonDocument info = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(s_folder, "case.json")));
        double tolerance = info.RootElement.GetProperty("tolerance").GetProperty("rates").GetDouble();
        JsonElement row = rows.RootElement[index];
        string name = row.GetProperty("name").GetString()!;
        double[] expected = Numbers(row, "rates");
        if (name == "reduce_lr_on_plateau")
        {
            var plateau = new PlateauController(row.GetProperty("rate").GetDouble(), PlateauOptionsOf(row.GetProperty("options")));
            Compare(expected, Array.ConvertAll(Numbers(row, "metrics"), plateau.Report), tolerance);
            return;
        }

        if (name == "one_cycle")
        {
            OneCycleSchedule cycle = OneCycleOf(row);
            double peak = row.GetProperty("options").GetProperty("max_lr").GetDouble();
            Compare(expected, [.. Enumerable.Range(0, expected.Length).Select(i => cycle.Rate(i, peak))], tolerance);
            Compare(Numbers(row, "momenta"), [.. Enumerable.Range(0, expected.Length).Select(i => cycle.Momentum(i))], tolerance);
            return;
        }

        if (!ScheduleTable.Names.Contains(name))
        {
            Assert.Ignore($"{name}: not built: no schedule of this name");
        }

        double rate = row.GetProperty("rate").GetDouble();
        ISchedule schedule = ScheduleTable.Create(name, SettingsOf(row, rate));
        Compare(expected, [.. Enumerable.Range(0, expected.Length).Select(i => schedule.Rate(i, rate))], tolerance);
    }

    [Test]
    public void Resuming_a_plateau_controller_gives_the_same_rates()
    {
        double[] metrics = [3, 2, 2.1, 2.2, 2.3, 2.05, 2.4, 2.5, 1.9, 2.6, 2.7, 2.8];
        PlateauOptions options = new() { Factor = 0.5, Patience = 1, Cooldown = 1 };
        var whole = new PlateauController(1, options);
        var first = new PlateauController(1, options);
        double[] expected = Array.ConvertAll(metrics, whole.Report);
        double[] start = Array.ConvertAll(metrics[..5], first.Report);
        var second = new PlateauController(123, options) { State = first.State };
        double[] rest = Array.ConvertAll(metrics[5..], second.Report);
        Assert.That((double[])[.. start, .. rest], Is.EqualTo(expected));
        Assert.That(expected[^1], Is.LessThan(1));
    }

    [Test]
    public void An_unknown_name_is_answered_with_the_known_ones()
    {
        Assert.That(() => ScheduleTable.Create("cosin", new ScheduleSettings()), Throws.TypeOf<ConfigurationException>().With.Message.Contains("'cosin'")
            .And.Message.Contains("cosine_with_restarts"));
    }

    [Test]
    public void Warm_up_and_decay_longer_than_the_run_are_refused()
    {
        ScheduleSettings settings = new() { TotalSteps = 10, WarmupSteps = 6, DecaySteps = 5 };
        Assert.That(() => ScheduleTable.Create("warmup_stable_decay", settings), Throws.TypeOf<ConfigurationException>()
            .With.Message.Contains("do not fit into 10"));
    }

    private static IEnumerable<TestCaseData> Rows()
    {
        string path = Path.Combine(s_folder, "schedules.json");
        if (!File.Exists(path))
        {
            yield break;
        }

        using JsonDocument rows = JsonDocument.Parse(File.ReadAllBytes(path));
        for (int i = 0; i < rows.RootElement.GetArrayLength(); i++)
        {
            JsonElement row = rows.RootElement[i];
            string options = row.GetProperty("options").GetRawText().ReplaceLineEndings(" ");
            yield return new TestCaseData(i).SetArgDisplayNames($"{i} {row.GetProperty("name").GetString()} {options}");
        }
    }

    private static ScheduleSettings SettingsOf(JsonElement row, double rate)
    {
        JsonElement options = row.GetProperty("options");
        string[] known = ["num_cycles", "min_lr", "min_lr_rate", "min_lr_ratio", "lr_end", "power", "timescale", "warmup_lr", "warmup_lr_rate",
            "num_decay_steps", "num_stable_steps", "warmup_type", "decay_type"];
        foreach (JsonProperty option in options.EnumerateObject())
        {
            if (!known.Contains(option.Name))
            {
                Assert.Ignore($"not built: option {option.Name}");
            }
        }

        double? Ratio(string ratio, string absolute) => Optional(options, ratio) ?? (Optional(options, absolute) is { } value ? value / rate : null);
        long total = row.GetProperty("num_training_steps").GetInt64();
        long warmup = row.TryGetProperty("num_warmup_steps", out JsonElement steps) ? steps.GetInt64() : 0;
        long decay = (long)(Optional(options, "num_decay_steps") ?? 0);
        return new ScheduleSettings
        {
            TotalSteps = Optional(options, "num_stable_steps") is { } stable ? warmup + (long)stable + decay : total,
            WarmupSteps = warmup,
            DecaySteps = decay,
            Cycles = Optional(options, "num_cycles"),
            MinRatio = Ratio("min_lr_rate", "min_lr") ?? Ratio("min_lr_ratio", "lr_end")
                ?? (row.GetProperty("name").GetString() == "polynomial" ? 1e-7 / rate : null),
            WarmupRatio = Ratio("warmup_lr_rate", "warmup_lr"),
            Power = Optional(options, "power") ?? 1,
            Timescale = Optional(options, "timescale") ?? 0,
            WarmupShape = Shape(options, "warmup_type", RampShape.Linear),
            DecayShape = Shape(options, "decay_type", RampShape.Cosine),
        };
    }

    private static PlateauOptions PlateauOptionsOf(JsonElement options) => new()
    {
        Maximize = options.TryGetProperty("mode", out JsonElement mode) && mode.GetString() == "max",
        Factor = Optional(options, "factor") ?? 0.1,
        Patience = (int)(Optional(options, "patience") ?? 10),
        Threshold = Optional(options, "threshold") ?? 1e-4,
        AbsoluteThreshold = options.TryGetProperty("threshold_mode", out JsonElement kind) && kind.GetString() == "abs",
        Cooldown = (int)(Optional(options, "cooldown") ?? 0),
        MinRate = Optional(options, "min_lr") ?? 0,
        Epsilon = Optional(options, "eps") ?? 1e-8,
    };

    private static OneCycleSchedule OneCycleOf(JsonElement row)
    {
        JsonElement options = row.GetProperty("options");
        return new OneCycleSchedule(row.GetProperty("total_steps").GetInt64())
        {
            RiseRatio = Optional(options, "pct_start") ?? 0.3,
            DivFactor = Optional(options, "div_factor") ?? 25,
            FinalDivFactor = Optional(options, "final_div_factor") ?? 1e4,
            ThreePhase = options.TryGetProperty("three_phase", out JsonElement three) && three.GetBoolean(),
            Shape = options.TryGetProperty("anneal_strategy", out JsonElement shape) && shape.GetString() == "linear" ? RampShape.Linear : RampShape.Cosine,
            BaseMomentum = Optional(options, "base_momentum") ?? 0.85,
            MaxMomentum = Optional(options, "max_momentum") ?? 0.95,
        };
    }

    private static RampShape Shape(JsonElement options, string key, RampShape otherwise)
    {
        return !options.TryGetProperty(key, out JsonElement value) ? otherwise : value.GetString() switch
        {
            "linear" => RampShape.Linear,
            "cosine" => RampShape.Cosine,
            _ => RampShape.OneMinusSqrt,
        };
    }

    private static double? Optional(JsonElement options, string key) => options.TryGetProperty(key, out JsonElement value)
        && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    private static double[] Numbers(JsonElement row, string key) => [.. row.GetProperty(key).EnumerateArray().Select(e => e.GetDouble())];

    private static void Compare(double[] expected, double[] actual, double tolerance)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length));
        (int worst, double multiple) = (0, 0);
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs(actual[i] - expected[i]) / (tolerance * Math.Max(Math.Abs(expected[i]), double.Epsilon / tolerance));
            if (!(error <= multiple))
            {
                (worst, multiple) = (i, error);
            }
        }

        Assert.That(multiple, Is.LessThanOrEqualTo(1), $"step {worst}: expected {expected[worst]:R}, got {actual[worst]:R}: {multiple:G3} x the tolerance");
    }
}
