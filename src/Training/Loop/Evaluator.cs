using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training;

/// <summary>Measures an objective on a held-out set without recording anything.</summary>
public interface IEvaluator
{
    /// <summary>Evaluates with the parameters as they are.</summary>
    /// <param name="arena">Takes activations.</param>
    /// <param name="cancellation">Asked before every batch.</param>
    EvaluationResult Run(Arena arena, CancellationToken cancellation);
}

/// <summary>Loss, token accuracy and exact match over batches, each sample once.</summary>
/// <param name="objective">What to measure.</param>
/// <param name="batches">The batches, anew for each evaluation: `() => sampler.Take(count)`.</param>
public sealed class Evaluator(IObjective objective, Func<IEnumerable<Batch>> batches) : IEvaluator
{
    /// <inheritdoc/>
    public EvaluationResult Run(Arena arena, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(arena);
        Totals totals = default;
        foreach (Batch batch in batches())
        {
            cancellation.ThrowIfCancellationRequested();
            if (batch.TargetCount > 0)
            {
                using Scope scope = arena.Enter("evaluation");
                Add(ref totals, batch, new ObjectiveCall { Tape = Tape.None(arena), Batch = batch, Random = new Rng(0), IsTraining = false });
            }
        }

        if (totals.Tokens == 0)
        {
            throw new ConfigurationException("No token of the evaluation data carries loss: there is nothing to measure. Look at its loss mask, or leave it " +
                "out.");
        }

        bool measured = objective is IMeasuredObjective;
        return new EvaluationResult(
            totals.Loss / totals.Tokens,
            measured ? (double)totals.Right / totals.Tokens : double.NaN,
            measured ? (double)totals.Exact / totals.Samples : double.NaN,
            totals.Tokens,
            totals.Samples);
    }

    private void Add(ref Totals totals, Batch batch, ObjectiveCall call)
    {
        totals.Tokens += batch.TargetCount;
        int[] targets = new int[batch.Segments.Count];
        int[] right = new int[batch.Segments.Count];
        int[] owner = Owners(batch, targets);
        if (objective is IMeasuredObjective measured)
        {
            double loss = 0;
            measured.Measure(call, (position, value, isRight) =>
            {
                loss += value;
                right[owner[position]] += isRight ? 1 : 0;
            });
            totals.Loss += loss;
        }
        else
        {
            foreach (LossTerm term in objective.Forward(call))
            {
                totals.Loss += term.Unit == LossUnit.Tokens ? term.Weight * term.Sum.ReadScalar() : 0;
            }
        }

        for (int i = 0; i < targets.Length; i++)
        {
            totals.Right += right[i];
            totals.Samples += targets[i] > 0 ? 1 : 0;
            totals.Exact += targets[i] > 0 && right[i] == targets[i] ? 1 : 0;
        }
    }

    /// <summary>The segment of every position, and the targets of every segment.</summary>
    private static int[] Owners(Batch batch, int[] targets)
    {
        int[] owner = new int[batch.Ids.Length];
        for (int s = 0; s < batch.Segments.Count; s++)
        {
            BatchSegment segment = batch.Segments[s];
            int first = (segment.Row * batch.Length) + segment.Start;
            for (int i = first; i < first + segment.Length; i++)
            {
                owner[i] = s;
                targets[s] += batch.Targets[i] != Batch.IgnoredTarget ? 1 : 0;
            }
        }

        return owner;
    }

    private struct Totals
    {
        public double Loss;
        public long Tokens;
        public long Right;
        public long Exact;
        public long Samples;
    }
}
