using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>One parameter in a <see cref="ParameterSet"/>: who it is, where it lies in the flat blocks, and how many updates it has had.</summary>
public sealed class ParameterEntry
{
    internal ParameterEntry(int id, Parameter parameter)
    {
        Id = id;
        Parameter = parameter;
        Tags = ParameterTags.Of(parameter.Name);
        Count = parameter.Shape.Count;
        WasTrainable = parameter.Trainable;
    }

    /// <summary>Its place among all parameters that the set was made of: the same in every phase and after a resume.</summary>
    public int Id { get; }

    /// <summary>The parameter.</summary>
    public Parameter Parameter { get; }

    /// <summary>The checkpoint's name.</summary>
    public string Name => Parameter.Name;

    /// <summary>Layer, role and module by the name.</summary>
    public ParameterTags Tags { get; }

    /// <summary>Elements.</summary>
    public long Count { get; }

    /// <summary>The group it belongs to.</summary>
    public ParameterGroup Group { get; internal set; } = ParameterGroup.Rest;

    /// <summary>True where it is trained now.</summary>
    public bool IsActive => Offset >= 0;

    /// <summary>Its first element in the flat blocks, a multiple of 16; -1 while it is frozen.</summary>
    public int Offset { get; internal set; } = -1;

    /// <summary>Updates it has had: what bias correction counts by. Goes with the state.</summary>
    public long Steps { get; internal set; }

    /// <summary>The F32 elements that updates act on: the value itself, or the master of a 16-bit value.</summary>
    public Tensor Values => Master ?? Parameter.Value;

    /// <summary>The F32 master of a 16-bit value; null for F32 values and while frozen.</summary>
    public Tensor? Master { get; internal set; }

    /// <summary>Elements that never change, as bytes of 1; null for none. Acts on gradient, state, decay and update together.</summary>
    public Tensor? Frozen { get; internal set; }

    /// <summary>The slots of an element-wise rule, of the parameter's shape; empty while frozen.</summary>
    public IReadOnlyList<Tensor> Slots => SlotViews;

    /// <summary>The state of a rule that sees the parameter whole; empty for other rules.</summary>
    public IReadOnlyList<Tensor> TensorState { get; internal set; } = [];

    /// <summary>A factor (rows) F32 on the update of each row, worked out before the update; null for 1.</summary>
    public Func<Tape, Tensor>? UpdateScale { get; set; }

    /// <summary>The arena its F32 value was in before it moved into a block, and goes back to.</summary>
    internal Arena? Home { get; set; }

    /// <summary>As it was before the set was made, and will be after.</summary>
    internal bool WasTrainable { get; }

    /// <summary>True once it was trained in this run: its value then belongs into the checkpoint.</summary>
    internal bool Changed { get; set; }

    internal Tensor[] SlotViews { get; set; } = [];

    internal int[] SlotOffsets { get; set; } = [];

    /// <summary>State that waits for the parameter to be trained again (<see cref="StatePolicy.Keep"/>), or for the new blocks.</summary>
    internal ParkedState? Parked { get; set; }

    /// <summary>True for BF16 and F16 values, which are updated through a master.</summary>
    internal bool IsLow => Parameter.Value.DType is DType.BF16 or DType.F16;

    internal int PaddedCount => checked((int)((Count + ParameterSet.Alignment - 1) & -ParameterSet.Alignment));

    internal IEnumerable<Tensor> State => SlotViews.Concat(TensorState);

    /// <summary>As in messages.</summary>
    public override string ToString() => $"{Name} {Parameter.Value.Spec}";

    internal sealed record ParkedState(Tensor? Master, Tensor[] State);
}
