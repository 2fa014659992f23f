using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training;

/// <summary>Micro-batches as CUDA graphs: the first of a form runs as usual, the second is recorded, all later ones are one launch each.</summary>
/// <remarks>
/// A recording holds the addresses of the step's arena. It is thrown away when that arena took memory since, and made anew. What differs between steps lies in memory
/// that stays: the batch, and the seed of backward, which carries the count that the loss is divided by.
/// </remarks>
internal sealed class StepRecorder(CudaDevice device, IObjective objective, ParameterSet set, bool checkpointing) : IDisposable
{
    private const int MostForms = 8;

    private readonly Dictionary<Form, Slot> _slots = [];
    private readonly Arena _arena = new(device, "recorded step", 1 << 16);

    /// <summary>How many micro-batches were one launch.</summary>
    public long Replays { get; private set; }

    /// <summary>Runs a micro-batch by its recording; null where it has to run as usual.</summary>
    /// <param name="c">The step.</param>
    /// <param name="batch">The micro-batch.</param>
    /// <param name="random">Its random numbers.</param>
    /// <param name="countOf">By what a term's sum is divided.</param>
    public (LossTerm Term, double Sum)? Run(StepContext c, Batch batch, Rng random, Func<LossUnit, double> countOf)
    {
        Form form = new(batch.Rows, batch.Length, LanguageModelObjective.LayoutOf(batch).IsPlain, !set.Active.Any(e => e.Parameter.HasGradient));
        if (!_slots.TryGetValue(form, out Slot? slot))
        {
            if (_slots.Count < MostForms)
            {
                _slots.Add(form, new Slot());
            }

            return null;
        }

        int slabs = c.Arena.Report().SlabAllocations;
        if (slot.Recording is { } old && old.Slabs != slabs)
        {
            old.Graph.Dispose();
            slot.Recording = null;
            return null;
        }

        slot.Places ??= new Places(new BatchInputs(_arena, batch), Scalar("seed"), Scalar("sum"));
        if (slot.Recording is { } recording)
        {
            foreach (Parameter parameter in recording.Touched)
            {
                _ = parameter.GradientTarget(out _);
            }

            c.Arena.CountPeak(recording.Peak);
        }
        else
        {
            recording = slot.Recording = Record(c, batch, random, slot.Places, slabs);
        }

        slot.Places.Inputs.Write(batch);
        slot.Places.Seed.CopyFrom<float>([(float)(recording.Term.Weight / countOf(recording.Term.Unit))]);
        recording.Graph.Launch();
        Replays++;
        return (recording.Term, slot.Places.Sum.ReadScalar());
    }

    public void Dispose()
    {
        foreach (Slot slot in _slots.Values)
        {
            slot.Recording?.Graph.Dispose();
        }

        _arena.Dispose();
    }

    private Tensor Scalar(string name) => _arena.Allocate(default, DType.F32, MemoryCategory.Workspace, name);

    private Recording Record(StepContext c, Batch batch, Rng random, Places places, int slabs)
    {
        HashSet<Parameter> before = [.. set.Active.Select(e => e.Parameter).Where(p => p.HasGradient)];
        LossTerm recorded = default;
        CudaGraph graph = Capture(() =>
        {
            using Scope scope = c.Arena.Enter("micro-batch");
            using Tape tape = new(c.Arena);
            IReadOnlyList<LossTerm> terms = objective.Forward(new ObjectiveCall
            {
                Tape = tape,
                Batch = batch,
                Random = random,
                IsTraining = true,
                ActivationCheckpointing = checkpointing,
                Inputs = places.Inputs,
            });
            if (terms is not [LossTerm term] || !tape.RequiresGradient(term.Sum))
            {
                throw new ConfigurationException($"A recorded step needs an objective of one term that depends on the trained parameters; this one has {terms.Count}. Switch cudaGraph off.");
            }

            places.Sum.CopyFrom(Tape.Detach(term.Sum));
            tape.Backward(term.Sum, places.Seed);
            recorded = term;
        });
        Parameter[] touched = [.. set.Active.Select(e => e.Parameter).Where(p => p.HasGradient && !before.Contains(p))];
        return new Recording(graph, recorded, touched, c.Arena.Report().Peak, slabs);
    }

    private CudaGraph Capture(Action work)
    {
        try
        {
            return device.Capture(work);
        }
        catch (GraftException e) when (e.GetType() == typeof(GraftException))
        {
            throw new ConfigurationException($"The step cannot be recorded: {e.Message} Or switch cudaGraph off.", e);
        }
    }

    /// <summary>What must be the same for a recording to serve: the batch's form, and whether its gradients are the first of the step.</summary>
    private readonly record struct Form(int Rows, int Length, bool IsPlain, bool IsFirst);

    /// <summary>Memory that every recording of a form reads and writes, whatever the step's arena does.</summary>
    private sealed record Places(BatchInputs Inputs, Tensor Seed, Tensor Sum);

    private sealed record Recording(CudaGraph Graph, LossTerm Term, IReadOnlyList<Parameter> Touched, MemoryUse Peak, int Slabs);

    private sealed class Slot
    {
        public Places? Places { get; set; }

        public Recording? Recording { get; set; }
    }
}
