using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>An adapter on a model: its options, its tensors, the modules it sits on. Made by <see cref="AdapterHost"/>.</summary>
public sealed class AttachedAdapter
{
    internal AttachedAdapter(string name, AdapterConfig config, AdapterRow row, AdapterGroup group)
    {
        (Name, Config, Row, Group) = (name, config, row, group);
    }

    /// <summary>As it was named when it was attached.</summary>
    public string Name { get; }

    /// <summary>Its options.</summary>
    public AdapterConfig Config { get; }

    /// <summary>Its method.</summary>
    public AdapterRow Row { get; }

    /// <summary>Every tensor once: the modules' in the order of the forward, shared ones, then what it trains of the base itself (biases, norms).</summary>
    public IReadOnlyList<AdapterParameter> Parameters { get; internal set; } = [];

    /// <summary>Paths of the modules that the method sits on.</summary>
    public IReadOnlyList<string> Modules { get; internal set; } = [];

    /// <summary>What was noticed while it was read: unknown keys, and targets that match nothing.</summary>
    public IReadOnlyList<string> Warnings { get; internal set; } = [];

    /// <summary>Holds its tensors; ends when it is detached.</summary>
    public Arena Arena => Group.Arena;

    /// <summary>Trained numbers.</summary>
    public long TrainableCount => Parameters.Where(p => p.Parameter.Trainable).Sum(p => p.Parameter.Shape.Count);

    internal AdapterGroup Group { get; }

    internal List<(Linear Layer, IAdapter Adapter)> OnLinears { get; } = [];

    internal List<(Embedding Table, IEmbeddingAdapter Adapter)> OnEmbeddings { get; } = [];

    /// <summary>Parameters of the base trained in place, with what they held before.</summary>
    internal List<(AdapterParameter Parameter, SavedBits Before, bool Trainable)> OfBase { get; } = [];

    /// <summary>Weights that the initialisation changed, with what they held before.</summary>
    internal List<SavedBits> Replaced { get; } = [];

    /// <summary>What stays frozen whatever is asked: projections, B where a method says so.</summary>
    internal HashSet<Parameter> Frozen { get; set; } = [];
}

/// <summary>The bits of a parameter at some time, in host memory: restoring is exact.</summary>
internal sealed class SavedBits
{
    private readonly Array? _values;

    public SavedBits(Parameter parameter)
    {
        Parameter = parameter;
        _values = parameter.Value switch
        {
            { Device.Computes: false } => null,
            { DType: DType.F32 } => parameter.Value.ToArray<float>(),
            { DType: DType.BF16 } => parameter.Value.ToArray<BFloat16>(),
            { DType: DType.F16 } => parameter.Value.ToArray<Half>(),
            _ => throw new DTypeException($"{parameter} is not a weight that can be kept aside."),
        };
    }

    public Parameter Parameter { get; }

    public void Restore()
    {
        switch (_values)
        {
            case float[] values:
                Parameter.Value.CopyFrom<float>(values);
                break;
            case BFloat16[] values:
                Parameter.Value.CopyFrom<BFloat16>(values);
                break;
            case Half[] values:
                Parameter.Value.CopyFrom<Half>(values);
                break;
        }
    }
}
