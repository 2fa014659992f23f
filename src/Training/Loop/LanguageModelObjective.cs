using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training;

/// <summary>Next-token prediction: the sum of -log p(target) over the tokens that carry loss. Logits are never held; the head works in chunks.</summary>
/// <param name="model">The model.</param>
/// <param name="adapters">The adapters that act; null for none.</param>
public sealed class LanguageModelObjective(ILanguageModel model, ActiveAdapters? adapters = null) : IMeasuredObjective
{
    // 16 MiB of logits at a time in evaluations: less than the head's workspace in training, so that a plan of the step holds for them too.
    private const int LogitsOfChunk = 4 << 20;

    /// <summary>Weight of the auxiliary losses that layers add (balance of experts, orthogonality).</summary>
    public double AuxiliaryWeight { get; init; } = 1;

    /// <summary>Label smoothing ε in training, in [0, 1); evaluations are without.</summary>
    public float Smoothing { get; init; }

    /// <inheritdoc/>
    public IReadOnlyList<LossTerm> Forward(ObjectiveCall c)
    {
        ArgumentNullException.ThrowIfNull(c);
        ForwardContext context = Context(c);
        Tensor hidden = model.Hidden(context, c.Inputs?.Ids ?? Integers(c, c.Batch.Ids));
        Tensor logProb = LogProb(context, hidden, c.Inputs?.Targets ?? Integers(c, c.Batch.Targets), c.IsTraining ? Smoothing : 0);
        List<LossTerm> terms = [new LossTerm("loss", c.Tape.Scale(c.Tape.Sum(logProb), -1))];
        foreach (Tensor auxiliary in context.AuxiliaryLosses)
        {
            terms.Add(new LossTerm("auxiliary", auxiliary, AuxiliaryWeight, LossUnit.MicroBatches));
        }

        return terms;
    }

    /// <inheritdoc/>
    public void Measure(ObjectiveCall c, Action<int, double, bool> report)
    {
        ArgumentNullException.ThrowIfNull(c);
        ArgumentNullException.ThrowIfNull(report);
        ForwardContext context = Context(c);
        Tensor hidden = model.Hidden(context, Integers(c, c.Batch.Ids)); // (B, T, C)
        Tensor rows = c.Tape.View(hidden, new Shape(c.Batch.Rows * c.Batch.Length, model.HiddenSize));
        List<int> positions = [];
        for (int i = 0; i < c.Batch.Targets.Length; i++)
        {
            if (c.Batch.Targets[i] != Batch.IgnoredTarget)
            {
                positions.Add(i);
            }
        }

        int chunk = Math.Clamp(LogitsOfChunk / model.VocabSize, 1, 512);
        for (int at = 0; at < positions.Count; at += chunk)
        {
            MeasureChunk(c, context, rows, [.. positions.Skip(at).Take(chunk)], report);
        }
    }

    /// <summary>How the batch's rows lie: each token sees its own document.</summary>
    public static TokenLayout LayoutOf(Batch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        // One document at the start of each row: causality alone keeps padding behind it out.
        if (batch.Segments.All(s => s.Start == 0))
        {
            return new TokenLayout(batch.Rows, batch.Length);
        }

        int[] starts = new int[batch.Ids.Length];
        for (int i = 0; i < starts.Length; i++)
        {
            starts[i] = batch.Documents[2 * i];
        }

        return new TokenLayout(batch.Rows, batch.Length, batch.Positions, starts);
    }

    private void MeasureChunk(ObjectiveCall c, ForwardContext context, Tensor rows, int[] positions, Action<int, double, bool> report)
    {
        using Scope scope = c.Tape.Enter("evaluation.head");
        Arena arena = c.Tape.Arena;
        int[] targets = Array.ConvertAll(positions, p => c.Batch.Targets[p]);
        Tensor picked = c.Tape.GatherRows(rows, arena.Create<int>(new Shape(positions.Length), positions, MemoryCategory.Activations));
        Tensor logits = model.Head.Forward(context, picked);
        Tensor losses = c.Tape.CrossEntropy(logits, arena.Create<int>(new Shape(targets.Length), targets, MemoryCategory.Activations));
        Tensor best = c.Tape.ArgMax(logits);
        if (!arena.Device.Computes)
        {
            return;
        }

        ReadOnlySpan<float> loss = losses.OnHost<float>();
        ReadOnlySpan<int> chosen = best.OnHost<int>();
        for (int i = 0; i < positions.Length; i++)
        {
            report(positions[i], loss[i], chosen[i] == targets[i]);
        }
    }

    private ForwardContext Context(ObjectiveCall c)
    {
        ForwardContext context = new(c.Tape, LayoutOf(c.Batch))
        {
            Phase = c.IsTraining ? ForwardPhase.Train : ForwardPhase.Evaluate,
            Adapters = adapters ?? ActiveAdapters.None,
            Random = c.Random,
            ActivationCheckpointing = c.ActivationCheckpointing,
        };
        if (c.Inputs is { } inputs)
        {
            context.Take(inputs.Positions, inputs.Ranges);
        }

        return context;
    }

    private Tensor LogProb(ForwardContext context, Tensor hidden, Tensor targets, float smoothing)
    {
        Tape t = context.Tape;
        Linear head = model.Head;
        if (head.Bias is null && !context.Adapters.Names.Any(head.Adapters.Names.Contains))
        {
            // A stored (V, C) matrix goes in as it is; any other form is made dense once.
            bool asStored = head.Weight is DenseWeight { Parameter: { } stored } && stored.Shape == new Shape(head.Out, head.In);
            return t.SelectedLogProb(hidden, asStored ? head.Weight.Parameter!.Value : head.Weight.Dense(t), targets, smoothing);
        }

        return t.Scale(t.CrossEntropy(head.Forward(context, hidden), targets, smoothing: smoothing, ignoreIndex: Batch.IgnoredTarget), -1);
    }

    private static Tensor Integers(ObjectiveCall c, int[] values)
    {
        return c.Tape.Arena.Create<int>(new Shape(c.Batch.Rows, c.Batch.Length), values, MemoryCategory.Activations);
    }
}
