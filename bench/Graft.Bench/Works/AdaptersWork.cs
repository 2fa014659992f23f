using System.Globalization;
using Graft.Bench.Report;
using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>Steps of other adapter methods beside our own LoRA step: all linear layers, the same rank, the same batch.</summary>
internal sealed class AdaptersWork : IWork
{
    private const double Allowed = 1.1; // a step may take a tenth longer than LoRA's

    /// <inheritdoc/>
    public string Name => "adapters";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        LoraConfig lora = SmolLm2Work.Lora;
        (string Name, AdapterConfig Config)[] methods =
        [
            ("DoRA", new DoraConfig { Rank = lora.Rank, Alpha = lora.Alpha, TargetModules = lora.TargetModules }),
            ("VeRA", new VeraConfig { Rank = lora.Rank, TargetModules = lora.TargetModules }),
            ("MiSS", new MissConfig { Rank = lora.Rank, TargetModules = lora.TargetModules }),
            ("PiSSA", new PissaConfig { Rank = lora.Rank, Alpha = lora.Alpha, TargetModules = lora.TargetModules, Iterations = 2 }),
        ];
        TokenBatch batch = SmolLm2Work.Tokens(options.Quick);
        BenchOptions fewer = options with { Rounds = Math.Min(options.Rounds, 6), Budget = options.Budget / 2 };
        using CpuDevice device = new();
        using GraftTrainer peer = SmolLm2.Trainer(device, options.Quick, lora, batch);
        foreach ((string name, AdapterConfig config) in methods)
        {
            using GraftTrainer method = SmolLm2.Trainer(device, options.Quick, config, batch);
            double first = method.Step();
            (Times Ours, Times? Theirs) times = Pair.Measure(fewer, () => method.Step(), () => peer.Step(), warmUps: 1, repeat: false);
            double last = method.Step();
            yield return BenchRow.Rate($"adapters: {name} step", "ms", 1, times, "our LoRA") with
            {
                Ours = 1e3 * times.Ours.Median,
                Theirs = 1e3 * times.Theirs?.Median,
                Target = 1 / Allowed,
                Failed = !(last < first),
                Note = string.Create(CultureInfo.InvariantCulture, $"r = {lora.Rank} for all, batch {batch.Rows} x {batch.Length}; loss {first:F4} at first, {last:F4} at last"),
            };
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // Memory is the business of other works.
    }
}
