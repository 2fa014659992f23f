using System.Globalization;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>How the cost of a step grows: with tokens and with layers along a line, and with a second core down to half.</summary>
internal sealed class GrowthWork : IWork
{
    private const double AllowedPercent = 5;
    private const double LeastSpeedUp = 1.85;
    private const int Length = 64;

    /// <inheritdoc/>
    public string Name => "growth";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        int[] rows = [1, 2, 4, 8], layers = [2, 4, 8];
        yield return Line(options, "tokens", rows, "rows of 64 tokens", (device, n) => Lora(device, options.Quick, new TokenBatch(n, Length, Vocabulary(options))));
        yield return Line(options, "layers", layers, "layers of width 256", (device, n) => Layers(device, n));
        yield return Cores(options);
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // Memory is the business of other works.
    }

    private static BenchRow Line(BenchOptions options, string what, int[] amounts, string unit, Func<CpuDevice, int, GraftTrainer> create)
    {
        using CpuDevice device = new();
        GraftTrainer[] trainers = [.. amounts.Select(n => create(device, n))];
        try
        {
            Times[] times = Pair.InTurn(options, [.. trainers.Select(t => (Action)(() => t.Step()))], warmUps: 2, repeat: true);
            double[] seconds = [.. times.Select(t => t.Median)];
            double percent = 100 * Growth.Deviation([.. amounts.Select(n => (double)n)], seconds);
            IEnumerable<string> points = amounts.Zip(seconds, (n, s) => string.Create(CultureInfo.InvariantCulture, $"{n}: {1e3 * s:F1} ms"));
            return new BenchRow($"growth: {what}, largest distance from a line", "%", Math.Max(percent, 0.01))
            {
                Peer = "allowed",
                Theirs = AllowedPercent,
                Target = 1,
                OursSpread = times.Max(t => t.Spread),
                Rounds = times[0].Count,
                Note = $"{unit}: {string.Join(", ", points)}",
            };
        }
        finally
        {
            Array.ForEach(trainers, t => t.Dispose());
        }
    }

    // The SmolLM2 step, on a device of one thread and on one of two.
    private static BenchRow Cores(BenchOptions options)
    {
        using CpuDevice one = new(1), two = new(2);
        TokenBatch batch = options.Quick ? new TokenBatch(2, 32, Vocabulary(options)) : new TokenBatch(4, 256, Vocabulary(options));
        using GraftTrainer slow = Lora(one, options.Quick, batch), fast = Lora(two, options.Quick, batch);
        BenchOptions fewer = options with { Rounds = Math.Min(options.Rounds, 5) };
        Times[] times = Pair.InTurn(fewer, [() => fast.Step(), () => slow.Step()], warmUps: 1, repeat: false);
        return new BenchRow("growth: 1 -> 2 cores, the smollm2 step", "x", times[1].Median / times[0].Median)
        {
            Peer = "two cores",
            Theirs = 2,
            Target = LeastSpeedUp / 2,
            OursSpread = times.Max(t => t.Spread),
            Rounds = times[0].Count,
            Note = string.Create(CultureInfo.InvariantCulture, $"{1e3 * times[1].Median:F0} ms on one, {1e3 * times[0].Median:F0} ms on two; a speed-up of {LeastSpeedUp} is wanted"),
        };
    }

    private static int Vocabulary(BenchOptions options) => SmolLm2.Sizes(options.Quick).Vocabulary;

    private static GraftTrainer Lora(CpuDevice device, bool quick, TokenBatch batch) => SmolLm2.Trainer(device, quick, SmolLm2Work.Lora, batch);

    private static GraftTrainer Layers(CpuDevice device, int layers)
    {
        PretrainedModel model = SmolLm2.Drawn(device, new LlamaSizes(1000, 256, 768, layers, 4, 4, 64, 10000, 1e-5));
        foreach (Parameter parameter in model.Model.Parameters)
        {
            parameter.Trainable = true;
        }

        return new GraftTrainer(model, model.Model.Parameters, ActiveAdapters.None, new TokenBatch(4, 128, 1000), 1e-4);
    }
}
