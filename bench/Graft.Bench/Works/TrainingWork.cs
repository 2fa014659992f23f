using System.Globalization;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>The least ratios wanted of a training work; null where none is set.</summary>
/// <param name="Step">Of a step's time.</param>
/// <param name="Tokens">Of tokens per second.</param>
/// <param name="Peak">Of the peak of resident memory.</param>
/// <param name="Steady">Of resident memory after eight steps, where the peer's allocator has settled.</param>
internal sealed record TrainingTargets(double? Step = null, double? Tokens = null, double? Peak = null, double? Steady = null);

/// <summary>Whole training steps of both sides: first a check that they compute the same, then times by phase, tokens per second and peak memory.</summary>
internal abstract class TrainingWork : IWork
{
    private const string Peer = "TorchSharp";
    private const int CheckedSteps = 3;
    private const int SteadySteps = 8;
    private const double Tolerance = 1e-4; // of the first loss, on the same weights
    private const double LaterTolerance = 2e-3; // of those after updates, where AdamW's first steps turn the sign of tiny gradients into whole learning rates

    /// <inheritdoc/>
    public abstract string Name { get; }

    /// <summary>What is wanted.</summary>
    protected abstract TrainingTargets Targets { get; }

    /// <summary>The step in words, for notes.</summary>
    protected abstract string Describe(bool quick);

    /// <summary>Tokens of a step.</summary>
    protected abstract TokenBatch Batch(bool quick);

    /// <summary>Our side.</summary>
    protected abstract GraftTrainer Ours(CpuDevice device, bool quick);

    /// <summary>The peer, with our side's weights; with weights of its own where null is given.</summary>
    protected abstract ITrainer Theirs(GraftTrainer? source, bool quick);

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        ResidentMemory? oursMemory = ChildProcess.Memory(this, "ours", options.Quick);
        ResidentMemory? theirsMemory = Torch.IsAvailable ? ChildProcess.Memory(this, "theirs", options.Quick) : null;
        using CpuDevice device = new();
        using GraftTrainer ours = Ours(device, options.Quick);
        using ITrainer? theirs = Torch.IsAvailable ? Theirs(ours, options.Quick) : null;
        string note = Check(ours, theirs, out bool failed);
        List<Phases> a = [], b = []; // with the warm-up's, which are left out below
        double oursLoss = 0, theirsLoss = 0;
        Action? peer = theirs is null ? null : () => theirsLoss = Step(theirs, b);
        (Times Ours, Times? Theirs) times = Pair.Measure(options, () => oursLoss = Step(ours, a), peer, warmUps: 1, repeat: false);
        string losses = theirs is null ? $"{oursLoss:F4}" : $"{oursLoss:F4} / {theirsLoss:F4}";
        note = string.Create(CultureInfo.InvariantCulture, $"{Describe(options.Quick)}; {note}; last loss {losses}");
        int tokens = Batch(options.Quick).Tokens;
        BenchRow row = BenchRow.Rate($"{Name}: step", "ms", 1, times, Peer);
        yield return row with
        {
            Ours = 1e3 * times.Ours.Median,
            Theirs = 1e3 * times.Theirs?.Median,
            Target = Targets.Step,
            Flops = ours.Flops,
            Failed = failed,
            Note = note,
        };
        yield return BenchRow.Rate($"{Name}: tokens", "tokens/s", tokens, times, Peer) with { Target = Targets.Tokens, Failed = failed };
        int rounds = times.Ours.Count;
        yield return Phase("forward", a, b, rounds, p => p.Forward);
        yield return Phase("backward", a, b, rounds, p => p.Backward);
        yield return Phase("forward and backward", a, b, rounds, p => p.Forward + p.Backward);
        yield return Phase("update", a, b, rounds, p => p.Update);
        if (oursMemory is { } memory)
        {
            yield return Memory("peak resident memory", memory.Peak, theirsMemory?.Peak, Targets.Peak);
            yield return Memory($"resident memory after {SteadySteps} steps", memory.Settled, theirsMemory?.Settled, Targets.Steady);
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        using CpuDevice device = new();
        using ITrainer side = ours ? Ours(device, quick) : Theirs(null, quick);
        for (int i = 0; i < SteadySteps; i++)
        {
            _ = side.Step();
        }

        ChildProcess.Settle();
    }

    private static string Check(GraftTrainer ours, ITrainer? theirs, out bool failed)
    {
        double[] a = new double[CheckedSteps];
        double[] b = new double[CheckedSteps];
        double later = 0;
        for (int i = 0; i < CheckedSteps; i++)
        {
            a[i] = ours.Step();
            b[i] = theirs?.Step() ?? a[i];
            later = Math.Max(later, Math.Abs(a[i] - b[i]));
        }

        bool falls = a[^1] < a[0] && b[^1] < b[0];
        bool agrees = Math.Abs(a[0] - b[0]) <= Tolerance && later <= LaterTolerance;
        failed = !(falls && agrees);
        string losses = string.Join(", ", a.Select(l => l.ToString("F4", CultureInfo.InvariantCulture)));
        string trained = $"first losses {losses}{(falls ? "" : " DO NOT FALL")}";
        string apart = string.Create(CultureInfo.InvariantCulture, $"{Math.Abs(a[0] - b[0]):E1} in step 1, at most {later:E1} in {CheckedSteps}");
        return theirs is null ? trained : $"{trained}; differences to the peer {apart}";
    }

    private static double Step(ITrainer trainer, List<Phases> phases)
    {
        double loss = trainer.Step();
        phases.Add(trainer.Last);
        return loss;
    }

    private BenchRow Phase(string name, List<Phases> ours, List<Phases> theirs, int rounds, Func<Phases, double> part)
    {
        Times a = Times.Of([.. ours.TakeLast(rounds).Select(part)]);
        Times? b = theirs.Count == 0 ? null : Times.Of([.. theirs.TakeLast(rounds).Select(part)]);
        return new BenchRow($"{Name}: {name}", "ms", 1e3 * a.Median)
        {
            Peer = b is null ? null : Peer,
            Theirs = 1e3 * b?.Median,
            OursSpread = a.Spread,
            TheirsSpread = b?.Spread ?? 0,
            Rounds = a.Count,
        };
    }

    private BenchRow Memory(string name, long ours, long? theirs, double? target) => new($"{Name}: {name}", "MiB", ours / (double)(1 << 20))
    {
        Peer = theirs is null ? null : Peer,
        Theirs = theirs / (double)(1 << 20),
        Target = target,
        Rounds = 1,
        Note = "each side in a process of its own, .NET included",
    };
}
