using System.Globalization;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>The step of <see cref="Gpt2Work"/> beside llm.c, on the same weights and tokens.</summary>
internal sealed class LlmcWork : IWork
{
    private const double Tolerance = 2e-3; // of the losses; the peer is built with fast, less exact arithmetic

    /// <inheritdoc/>
    public string Name => "llm.c";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        string? program = Environment.GetEnvironmentVariable(LlmcTrainer.Variable);
        bool there = !options.OursOnly && File.Exists(program);
        TokenBatch batch = Gpt2Work.Tokens(options.Quick);
        using CpuDevice device = new();
        using GraftTrainer ours = Gpt2Work.Create(device, options.Quick);
        using LlmcTrainer? theirs = there
            ? new LlmcTrainer(program!, ours.Model.Parameters, Gpt2Work.Sizes(options.Quick), batch, Gpt2Work.LearningRate, weightDecay: 0.01)
            : null;
        double apart = 0;
        for (int step = 0; step < 3 && theirs is not null; step++)
        {
            apart = Math.Max(apart, Math.Abs(ours.Step() - theirs.Step()));
        }

        (Times Ours, Times? Theirs) times = Pair.Measure(options, () => ours.Step(), theirs is null ? null : () => theirs.Step(), warmUps: 1, repeat: false);
        string reason = options.OursOnly ? "" : $"no peer: {LlmcTrainer.Variable} names no program of bench/fetch-peers.sh";
        yield return BenchRow.Rate("gpt2: step beside llm.c", "ms", 1, times, "llm.c") with
        {
            Ours = 1e3 * times.Ours.Median,
            Theirs = 1e3 * times.Theirs?.Median,
            Target = 5,
            Failed = apart > Tolerance,
            Note = there ? string.Create(CultureInfo.InvariantCulture, $"gcc -Ofast -march=native -fopenmp; losses of three steps differ by {apart:E1} at most") : reason,
        };
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // A process of its own it is anyway; its memory is no question of this work.
    }
}
