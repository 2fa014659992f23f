using Graft.Runtime;

namespace Graft.Training.Runs;

/// <summary>A change of a run file that saves memory.</summary>
/// <param name="What">In words, with its price.</param>
/// <param name="Overrides">As for `--set`.</param>
/// <param name="Peak">Bytes with it; 0 until it has been planned.</param>
public sealed record PlanChange(string What, IReadOnlyList<string> Overrides, long Peak = 0);

/// <summary>What a run file will need, found on the meta device.</summary>
/// <param name="Memory">Bytes of arenas, exact on the CPU.</param>
/// <param name="FlopsPerStep">Floating-point operations of the matrix products of an optimizer step.</param>
/// <param name="Steps">Optimizer steps of the run.</param>
/// <param name="Threads">Threads of the run; 0 for every core.</param>
public sealed record RunPlan(TrainingPlan Memory, double FlopsPerStep, long Steps, int Threads)
{
    /// <summary>Plans a run.</summary>
    /// <exception cref="GraftException">As in <see cref="RunSession.Open"/>.</exception>
    public static async Task<RunPlan> OfAsync(RunFile run, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(run);
        using MetaDevice device = new(DeviceName.KindOf(run.Training.Device));
        using RunSession session = RunSession.Open(run, new RunSessionOptions { Device = device }, cancellation);
        TrainingPlan plan = await TrainingPlan.OfAsync(session.Trainer).ConfigureAwait(false);
        TrainingSection training = run.Training;
        long tokens = (long)training.BatchSize * training.SequenceLength * training.GradientAccumulationSteps;
        double flops = FlopsEstimate.OfStep(session.Model.Model, tokens, training.SequenceLength, training.ActivationCheckpointing);
        return new RunPlan(plan, flops, session.TotalSteps, run.Training.Threads);
    }

    /// <summary>Changes that save memory, the cheapest first: same results and time, then more time, then other roundings, then other data.</summary>
    public static IEnumerable<PlanChange> Changes(RunFile run)
    {
        ArgumentNullException.ThrowIfNull(run);
        TrainingSection training = run.Training;
        List<PlanChange> batches = [];
        for (int rows = training.BatchSize; rows > 1 && rows % 2 == 0;)
        {
            rows /= 2;
            int accumulation = training.BatchSize / rows * training.GradientAccumulationSteps;
            batches.Add(new PlanChange(
                $"batches of {rows} with accumulation, the same gradient",
                [$"training.batch_size={rows}", $"training.gradient_accumulation_steps={accumulation}"]));
        }

        PlanChange[] checkpointing = training.ActivationCheckpointing ? []
            : [new PlanChange("activation checkpointing, about a third more time", ["training.activation_checkpointing=true"])];
        PlanChange[] half = run.Model.DType == "bf16" ? [] : [new PlanChange("BF16 weights, rounded", ["model.dtype=bf16"])];
        IEnumerable<PlanChange> changes = [.. batches, .. checkpointing, .. batches.SelectMany(b => checkpointing.Select(c => And(c, b)))];
        changes = [.. changes, .. half, .. changes.SelectMany(c => half.Select(h => And(h, c)))];
        PlanChange smallest = changes.LastOrDefault(new PlanChange("", []));
        List<PlanChange> shorter = [];
        for (int length = training.SequenceLength / 2; length >= 32; length /= 2)
        {
            string[] sets = [$"training.sequence_length={length}", $"data.max_length={length}"];
            shorter.Add(And(smallest, new PlanChange($"rows of {length} tokens, longer samples cut", sets)));
        }

        return [.. changes, .. shorter];
    }

    private static PlanChange And(PlanChange first, PlanChange second)
    {
        return new PlanChange(first.What.Length == 0 ? second.What : $"{first.What}; {second.What}", [.. first.Overrides, .. second.Overrides]);
    }
}
