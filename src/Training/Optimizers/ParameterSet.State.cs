using System.Globalization;
using Graft.Runtime;
using Graft.Training.Checkpoints;
using Graft.Training.Numerics;

namespace Graft.Training.Optimizers;

public sealed partial class ParameterSet : IStateful
{
    /// <summary>Writes values, masters, optimizer state and step counts of what is or waits to be trained.</summary>
    public void Save(StateWriter state)
    {
        ArgumentNullException.ThrowIfNull(state);
        state.Put("parameters", All.Count);
        foreach (ParameterEntry entry in All.Where(e => e.IsActive || e.Parked is not null || e.Changed))
        {
            state.Put("id." + entry.Name, entry.Id);
            state.Put("active." + entry.Name, entry.IsActive);
            state.Put("steps." + entry.Name, entry.Steps);
            Tensor? master = entry.Master ?? entry.Parked?.Master;
            state.Put(entry.Name, entry.IsActive ? entry.Values : entry.Parameter.Value);
            if (!entry.IsActive && master is not null)
            {
                state.Put("master." + entry.Name, master);
            }

            int i = 0;
            foreach (Tensor slot in entry.IsActive ? entry.State : entry.Parked?.State ?? [])
            {
                state.Put(StateName(i++, entry), slot);
            }

            state.Put("states." + entry.Name, i);
        }
    }

    /// <summary>Takes values and state back, and trains what was trained then.</summary>
    public void Load(StateReader state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Int64("parameters") != All.Count)
        {
            throw new CheckpointException($"section '{state.Section}': the checkpoint was made with {state.Int64("parameters")} parameters, this run has " +
                $"{All.Count}.");
        }

        // Everything is checked before anything is changed.
        List<ParameterEntry> saved = [.. All.Where(e => state.Has("id." + e.Name))];
        foreach (ParameterEntry entry in saved)
        {
            Check(state, entry);
        }

        Activate(e => state.Has("active." + e.Name) && state.Boolean("active." + e.Name), StatePolicy.Reset);
        foreach (ParameterEntry entry in saved)
        {
            entry.Changed = true;
            entry.Steps = state.Int64("steps." + entry.Name);
            state.Read(entry.Name, entry.Values);
            if (entry.Master is { } master)
            {
                LowPrecision.Narrow(master, entry.Parameter.Value);
            }

            LoadState(state, entry);
        }

        Loaded?.Invoke(this);
    }

    private void Check(StateReader state, ParameterEntry entry)
    {
        if (state.Int64("id." + entry.Name) != entry.Id)
        {
            throw new CheckpointException($"section '{state.Section}': parameter '{entry.Name}' had the id {state.Int64("id." + entry.Name)} and now has " +
                $"{entry.Id}.");
        }

        bool active = state.Boolean("active." + entry.Name);
        state.Check(entry.Name, new TensorSpec(entry.Parameter.Shape, active ? DType.F32 : entry.Parameter.Value.DType));
        long count = state.Int64("states." + entry.Name);
        IReadOnlyList<TensorSpec> specs = StateSpecs(entry);
        if (count != specs.Count && (active || count != 0))
        {
            throw new CheckpointException(
                $"section '{state.Section}': '{entry.Name}' was saved with {count} tensors of optimizer state, the rule of this run has {specs.Count}: is it " +
                "another optimizer?");
        }

        for (int i = 0; i < count; i++)
        {
            state.Check(StateName(i, entry), specs[i]);
        }
    }

    private IReadOnlyList<TensorSpec> StateSpecs(ParameterEntry entry) => _rules?.Invoke(entry) switch
    {
        IUpdateRule flat => [.. Enumerable.Repeat(new TensorSpec(entry.Parameter.Shape, DType.F32), flat.Slots)],
        ITensorUpdateRule whole => whole.StateOf(new TensorSpec(entry.Parameter.Shape, DType.F32)),
        _ => [],
    };

    private static string StateName(int i, ParameterEntry entry) => string.Create(CultureInfo.InvariantCulture, $"state{i}.{entry.Name}");

    private void LoadState(StateReader state, ParameterEntry entry)
    {
        bool hasMaster = state.TensorNames.Contains("master." + entry.Name);
        List<Tensor> targets = [.. entry.State];
        if (!entry.IsActive)
        {
            // It waits to be trained again: its state goes to memory of its own, as after Activate with Keep.
            IReadOnlyList<TensorSpec> specs = state.Int64("states." + entry.Name) == 0 ? [] : StateSpecs(entry);
            targets = [.. specs.Select(s => Arena.Allocate(s.Shape, s.DType, MemoryCategory.Optimizer))];
            Tensor? master = hasMaster ? Arena.Allocate(entry.Parameter.Shape, DType.F32, MemoryCategory.Optimizer) : null;
            if (master is not null)
            {
                state.Read("master." + entry.Name, master);
            }

            entry.Parked = targets.Count > 0 || master is not null ? new ParameterEntry.ParkedState(master, [.. targets]) : null;
        }

        for (int i = 0; i < targets.Count; i++)
        {
            state.Read(StateName(i, entry), targets[i]);
        }
    }
}
