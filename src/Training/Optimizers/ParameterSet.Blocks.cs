using Graft.Runtime;
using Graft.Training.Numerics;

namespace Graft.Training.Optimizers;

public sealed partial class ParameterSet
{
    private Tape? _views;
    private Tensor? _values;
    private Tensor? _masters;
    private Tensor? _gradients;
    private Tensor?[] _slots = [];
    private Func<ParameterEntry, IOptimizerRule>? _rules;

    /// <summary>True where F32 values lie in one block.</summary>
    internal bool IsFlat => _options.Layout == ValueLayout.Flat;

    /// <summary>Allocates the state that these rules need; the optimizer's part.</summary>
    internal void UseRules(Func<ParameterEntry, IOptimizerRule> rules)
    {
        if (_rules is not null)
        {
            throw new InvalidOperationException("A parameter set has one optimizer; make a second set for a second one.");
        }

        _rules = rules;
        AllocateState();
    }

    /// <summary>Elements of neighbours in all blocks, from an entry's first on, as tensors of one axis.</summary>
    internal FlatRange Range(ParameterEntry first, int count)
    {
        Shape shape = new(count);
        bool inBlock = _values is not null && !first.IsLow;
        Tensor[] slots = [.. first.SlotOffsets.Select((at, i) => View(_slots[i]!, shape, at))];
        Tensor? frozen = first.Frozen is { } mask ? View(mask, shape, 0) : null;
        return new FlatRange(View(inBlock ? _values! : first.Values, shape, inBlock ? first.Offset : 0), Gradients(first, count), slots, frozen);
    }

    /// <summary>Gradients of neighbours, from an entry's first element on.</summary>
    internal Tensor Gradients(ParameterEntry first, int count) => View(_gradients!, new Shape(count), first.Offset);

    private void Rebuild(List<ParameterEntry> next, StatePolicy policy)
    {
        HashSet<ParameterEntry> stays = [.. next.Where(e => e.IsActive)];
        FreeGradients();
        foreach (ParameterEntry entry in _active)
        {
            bool keeps = policy != StatePolicy.Reset && (stays.Contains(entry) || policy == StatePolicy.Keep);
            Park(entry, master: keeps || stays.Contains(entry), state: keeps);
        }

        if (policy != StatePolicy.Keep)
        {
            foreach (ParameterEntry entry in All.Where(e => e.Parked is not null && !stays.Contains(e)))
            {
                FreeParked(entry);
                entry.Steps = 0;
            }
        }

        FreeState();
        PlaceValues(next);
        _active.Clear();
        _active.AddRange(next);
        PlaceMasters();
        AllocateState();
        PlaceGradients();
        foreach (ParameterEntry entry in next.Where(e => e.Parked is not null))
        {
            FreeParked(entry);
        }
    }

    /// <summary>Copies state aside: of a parameter that is frozen and shall have it again, or over the change of the blocks.</summary>
    private void Park(ParameterEntry entry, bool master, bool state)
    {
        Tensor[] copies = state ? [.. entry.State.Select(t => Copy(t, MemoryCategory.Optimizer))] : [];
        Tensor? values = master && entry.Master is { } m ? Copy(m, MemoryCategory.Optimizer) : null;
        entry.Steps = state ? entry.Steps : 0;
        if (values is not null || copies.Length > 0 || entry.Steps > 0)
        {
            entry.Parked = new ParameterEntry.ParkedState(values, copies);
        }
    }

    private void FreeParked(ParameterEntry entry)
    {
        foreach (Tensor tensor in entry.Parked!.State)
        {
            Arena.Free(tensor);
        }

        if (entry.Parked.Master is { } master)
        {
            Arena.Free(master);
        }

        entry.Parked = null;
    }

    /// <summary>Gives the offsets, and moves F32 values into their block, or out of it.</summary>
    private void PlaceValues(List<ParameterEntry> next)
    {
        Tensor? old = _values;
        foreach (ParameterEntry entry in _active.Except(next))
        {
            if (old is not null && !entry.IsLow)
            {
                MoveHome(entry);
            }

            entry.Offset = -1;
        }

        HashSet<ParameterEntry> inBlock = [.. _active.Where(e => e.IsActive && !e.IsLow)];
        bool flat = _options.Layout == ValueLayout.Flat;
        int offset = 0;
        int wide = next.Where(e => !e.IsLow).Sum(e => e.PaddedCount);
        _values = flat && wide > 0 ? Arena.Zeros(new Shape(wide), DType.F32, MemoryCategory.Weights, "trained values") : null;
        foreach (ParameterEntry entry in next)
        {
            entry.Offset = offset;
            offset += entry.PaddedCount;
            if (_values is not null && !entry.IsLow)
            {
                Tensor before = entry.Parameter.Value;
                Tensor view = View(_values, entry.Parameter.Shape, entry.Offset);
                view.CopyFrom(before);
                entry.Parameter.Rebind(view);
                if (!inBlock.Contains(entry) && before.IsAlive)
                {
                    entry.Home = before.Arena;
                    before.Arena.Free(before);
                }
            }
        }

        if (old is not null)
        {
            Arena.Free(old);
        }
    }

    private void PlaceMasters()
    {
        int low = _active.Where(e => e.IsLow).Sum(e => e.PaddedCount);
        if (low == 0)
        {
            return;
        }

        _masters = Arena.Zeros(new Shape(low), DType.F32, MemoryCategory.Optimizer, "masters");
        int start = _active.First(e => e.IsLow).Offset;
        foreach (ParameterEntry entry in _active.Where(e => e.IsLow))
        {
            entry.Master = View(_masters, entry.Parameter.Shape, entry.Offset - start);
            if (entry.Parked?.Master is { } parked)
            {
                entry.Master.CopyFrom(parked);
            }
            else
            {
                LowPrecision.Widen(entry.Parameter.Value, entry.Master);
            }
        }
    }

    private void AllocateState()
    {
        if (_rules is null)
        {
            return;
        }

        int[] totals = new int[UpdateCall.MaxSlots];
        foreach (ParameterEntry entry in _active)
        {
            int slots = _rules(entry) is IUpdateRule rule ? rule.Slots : 0;
            entry.SlotOffsets = totals[..slots];
            for (int i = 0; i < slots; i++)
            {
                totals[i] += entry.PaddedCount;
            }
        }

        _slots = [.. totals.Select((n, i) => n == 0 ? null : Arena.Zeros(new Shape(n), DType.F32, MemoryCategory.Optimizer, $"slot {i}"))];
        foreach (ParameterEntry entry in _active)
        {
            entry.SlotViews = [.. entry.SlotOffsets.Select((at, i) => View(_slots[i]!, entry.Parameter.Shape, at))];
            entry.TensorState = _rules(entry) is ITensorUpdateRule rule
                ? [.. rule.StateOf(entry.Values.Spec).Select((s, i) => Arena.Zeros(s.Shape, s.DType, MemoryCategory.Optimizer, $"{entry.Name}.state {i}"))]
                : [];
            if (entry.Parked is { State.Length: > 0 } parked)
            {
                foreach ((Tensor to, Tensor from) in entry.State.Zip(parked.State))
                {
                    to.CopyFrom(from);
                }
            }
        }
    }

    private void PlaceGradients()
    {
        int total = _active.Sum(e => e.PaddedCount);
        if (total == 0)
        {
            return;
        }

        _gradients = Arena.Zeros(new Shape(total), DType.F32, MemoryCategory.Gradients, "gradients");
        foreach (ParameterEntry entry in _active)
        {
            entry.Parameter.BindGradient(View(_gradients, entry.Parameter.Shape, entry.Offset));
        }
    }

    private void FreeGradients()
    {
        foreach (ParameterEntry entry in _active)
        {
            entry.Parameter.BindGradient(null);
        }

        Free(ref _gradients);
    }

    private void FreeState()
    {
        foreach (ParameterEntry entry in _active)
        {
            foreach (Tensor state in entry.TensorState)
            {
                Arena.Free(state);
            }

            entry.TensorState = [];
            entry.SlotViews = [];
            entry.Master = null;
        }

        foreach (Tensor? slot in _slots)
        {
            Tensor? block = slot;
            Free(ref block);
        }

        _slots = [];
        Free(ref _masters);
    }

    private void Release()
    {
        FreeGradients();
        FreeState();
        foreach (ParameterEntry entry in All)
        {
            if (entry.Parked is not null)
            {
                FreeParked(entry);
            }

            if (entry.Frozen is { } frozen)
            {
                Arena.Free(frozen);
                entry.Frozen = null;
            }

            // Out of the block again: another set may take the parameter, and gives back the memory that it had. A lost device has no values to bring home.
            if (_values is not null && entry.IsActive && !entry.IsLow && !Arena.Device.IsLost)
            {
                MoveHome(entry);
            }

            entry.Offset = -1;
        }

        _active.Clear();
        Free(ref _values);
    }

    private void Free(ref Tensor? block)
    {
        if (block is not null && block.IsAlive)
        {
            Arena.Free(block);
        }

        block = null;
    }

    /// <summary>Gives a value memory of its own again, where it was before.</summary>
    private void MoveHome(ParameterEntry entry)
    {
        Tensor value = entry.Parameter.Value;
        Arena home = entry.Home is { } before && Arena.Device.Arenas.Contains(before) ? before : Arena; // an adapter may have been detached
        Tensor copy = home.Allocate(value.Shape, value.DType, MemoryCategory.Weights, value.Name);
        copy.CopyFrom(value);
        entry.Parameter.Rebind(copy);
    }

    private Tensor Copy(Tensor source, MemoryCategory category)
    {
        Tensor copy = Arena.Allocate(source.Shape, source.DType, category, source.Name);
        copy.CopyFrom(source);
        return copy;
    }

    private Tensor View(Tensor block, Shape shape, int offset) => (_views ??= Tape.None(Arena)).View(block, shape, offset);
}
