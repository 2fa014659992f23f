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
                state.Put(string.Create(CultureInfo.InvariantCulture, $"state{i++}.{entry.Name}"), slot);
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
            throw new CheckpointException($"section '{state.Section}': the checkpoint was made with {state.Int64("parameters")} parameters, this run has {All.Count}.");
        }

        Activate(e => state.Has("active." + e.Name) && state.Boolean("active." + e.Name), StatePolicy.Reset);
        foreach (ParameterEntry entry in All.Where(e => state.Has("id." + e.Name)))
        {
            if (state.Int64("id." + entry.Name) != entry.Id)
            {
                throw new CheckpointException($"section '{state.Section}': parameter '{entry.Name}' had the id {state.Int64("id." + entry.Name)} and now has {entry.Id}.");
            }

            entry.Changed = true;
            entry.Steps = state.Int64("steps." + entry.Name);
            state.Read(entry.Name, entry.Values);
            if (entry.Master is { } master && master.Device.Kind == DeviceKind.Cpu)
            {
                LowPrecision.Narrow(master, entry.Parameter.Value);
            }

            LoadState(state, entry);
        }
    }

    private void LoadState(StateReader state, ParameterEntry entry)
    {
        long count = state.Int64("states." + entry.Name);
        List<Tensor> targets = [.. entry.State];
        if (!entry.IsActive && count + (state.TensorNames.Contains("master." + entry.Name) ? 1 : 0) > 0)
        {
            // It waits to be trained again: its state goes to memory of its own, as after Activate with Keep.
            IOptimizerRule? rule = _rules?.Invoke(entry);
            Tensor[] parked = rule switch
            {
                IUpdateRule flat => [.. Enumerable.Range(0, flat.Slots).Select(_ => Arena.Allocate(entry.Parameter.Shape, DType.F32, MemoryCategory.Optimizer))],
                ITensorUpdateRule whole => [.. whole.StateOf(new TensorSpec(entry.Parameter.Shape, DType.F32)).Select(s => Arena.Allocate(s.Shape, s.DType, MemoryCategory.Optimizer))],
                _ => [],
            };
            Tensor? master = null;
            if (state.TensorNames.Contains("master." + entry.Name))
            {
                master = Arena.Allocate(entry.Parameter.Shape, DType.F32, MemoryCategory.Optimizer);
                state.Read("master." + entry.Name, master);
            }

            entry.Parked = new ParameterEntry.ParkedState(master, parked);
            targets = [.. parked];
        }

        if (count != targets.Count)
        {
            throw new CheckpointException($"section '{state.Section}': '{entry.Name}' was saved with {count} tensors of optimizer state, the rule of this run has {targets.Count}: is it another optimizer?");
        }

        for (int i = 0; i < targets.Count; i++)
        {
            state.Read(string.Create(CultureInfo.InvariantCulture, $"state{i}.{entry.Name}"), targets[i]);
        }
    }
}
