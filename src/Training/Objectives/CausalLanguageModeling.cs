using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training.Objectives;

/// <summary>The next token of every position that carries loss: -Σ log p(target), summed over the batch, never divided here.</summary>
/// <remarks>
/// Head and loss are one op that holds no (B·T, V) logits (<see cref="SelectedLogProb"/>); a head with a bias, an adapter or a transposed weight makes logits (B·T, V) and takes their cross-entropy.
/// Losses that layers add by themselves (<see cref="ForwardContext.AuxiliaryLosses"/>) are a second term, a mean over micro-batches.
/// </remarks>
/// <param name="model">The decoder.</param>
/// <param name="adapters">The adapters that act; null for none.</param>
public sealed class CausalLanguageModeling(ILanguageModel model, ActiveAdapters? adapters = null) : IMeasuredObjective
{
    // 64 rows of logits are 12 MiB at a vocabulary of 49152: measuring needs no more than a training step does.
    private const int MeasuredRows = 64;

    private readonly ActiveAdapters _adapters = adapters ?? ActiveAdapters.None;

    /// <inheritdoc/>
    public IReadOnlyList<LossTerm> Forward(ObjectiveCall c)
    {
        ArgumentNullException.ThrowIfNull(c);
        Tape t = c.Tape;
        ForwardContext context = Context(c);
        Tensor hidden = model.Hidden(context, Integers(c, c.Batch.Ids));
        Tensor targets = Integers(c, c.Batch.Targets);
        Tensor sum = FusedWeight() is { } weight
            ? t.Neg(t.Sum(t.SelectedLogProb(hidden, weight.Value, targets)))
            : t.Sum(t.CrossEntropy(model.Head.Forward(context, hidden), targets));
        List<LossTerm> terms = [new("loss", sum)];
        if (context.AuxiliaryLosses.Count > 0)
        {
            Tensor total = context.AuxiliaryLosses[0];
            foreach (Tensor loss in context.AuxiliaryLosses.Skip(1))
            {
                total = t.Add(total, loss);
            }

            terms.Add(new LossTerm("auxiliary", total, 1, LossUnit.MicroBatches));
        }

        return terms;
    }

    /// <inheritdoc/>
    public void Measure(ObjectiveCall c, Action<int, double, bool> report)
    {
        ArgumentNullException.ThrowIfNull(c);
        ArgumentNullException.ThrowIfNull(report);
        ForwardContext context = Context(c);
        Tensor hidden = model.Hidden(context, Integers(c, c.Batch.Ids));
        int[] positions = [.. Enumerable.Range(0, c.Batch.Targets.Length).Where(i => c.Batch.Targets[i] != Batch.IgnoredTarget)];
        foreach (int[] chunk in positions.Chunk(MeasuredRows))
        {
            using Scope scope = c.Tape.Enter("measure");
            MeasureRows(c, context, hidden, chunk, report);
        }
    }

    private void MeasureRows(ObjectiveCall c, ForwardContext context, Tensor hidden, int[] positions, Action<int, double, bool> report)
    {
        int width = hidden.Shape.Last;
        Tensor rows = c.Tape.Arena.Allocate(new Shape(positions.Length, width), DType.F32, MemoryCategory.Activations);
        if (rows.Device.Kind != DeviceKind.Cpu)
        {
            return;
        }

        int[] targets = Array.ConvertAll(positions, p => c.Batch.Targets[p]);
        for (int i = 0; i < positions.Length; i++)
        {
            hidden.AsReadOnlySpan<float>().Slice(positions[i] * width, width).CopyTo(rows.AsSpan<float>()[(i * width)..]);
        }

        Tensor logits = model.Head.Forward(context, rows);
        Tensor labels = c.Tape.Arena.Create<int>(new Shape(positions.Length), targets, MemoryCategory.Activations);
        float[] losses = c.Tape.CrossEntropy(logits, labels).ToArray<float>();
        int[] best = c.Tape.ArgMax(logits).ToArray<int>();
        for (int i = 0; i < positions.Length; i++)
        {
            report(positions[i], losses[i], best[i] == targets[i]);
        }
    }

    private ForwardContext Context(ObjectiveCall c)
    {
        Batch batch = c.Batch;
        int[] starts = new int[batch.Ids.Length];
        for (int i = 0; i < starts.Length; i++)
        {
            starts[i] = batch.Documents[2 * i];
        }

        return new ForwardContext(c.Tape, new TokenLayout(batch.Rows, batch.Length, batch.Positions, starts))
        {
            Phase = c.IsTraining ? ForwardPhase.Train : ForwardPhase.Evaluate,
            Adapters = _adapters,
            Random = c.Random,
            ActivationCheckpointing = c.ActivationCheckpointing,
        };
    }

    /// <summary>The head's weight (V, C) where head and loss can be one op.</summary>
    private Parameter? FusedWeight()
    {
        Linear head = model.Head;
        bool adapted = head.Adapters.Names.Any(_adapters.Names.Contains);
        return head.Bias is null && !adapted && head.Weight is DenseWeight { InputFirst: false } dense ? dense.Parameter : null;
    }

    private static Tensor Integers(ObjectiveCall c, int[] values)
    {
        return c.Tape.Arena.Create<int>(new Shape(c.Batch.Rows, c.Batch.Length), values, MemoryCategory.Activations);
    }
}
