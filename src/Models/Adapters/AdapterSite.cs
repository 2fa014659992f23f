using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>Everything a method is given to make one adapter: the module, its rank and alpha, memory, randomness, and what the adapters of one attachment
/// share.</summary>
public sealed class AdapterSite
{
    private readonly Linear? _linear;
    private readonly Embedding? _embedding;
    private readonly Func<int> _rank;
    private readonly Action<Linear, float[]> _replaceBase;

    internal AdapterSite(AdapterGroup group, string module, Linear? linear, Embedding? embedding, Func<int> rank, double alpha, Action<Linear,
        float[]> replaceBase)
    {
        (Group, Module, _linear, _embedding, _rank, Alpha, _replaceBase) = (group, module, linear, embedding, rank, alpha, replaceBase);
    }

    /// <summary>What all adapters of this attachment share.</summary>
    public AdapterGroup Group { get; }

    /// <summary>The module's path.</summary>
    public string Module { get; }

    /// <summary>The layer.</summary>
    public Linear Linear => _linear ?? throw new InvalidOperationException($"'{Module}' is a table.");

    /// <summary>The table.</summary>
    public Embedding Embedding => _embedding ?? throw new InvalidOperationException($"'{Module}' is a linear layer.");

    /// <summary>R of this module.</summary>
    /// <exception cref="ConfigurationException">It is none: not asked for by methods without ranks.</exception>
    public int Rank => _rank();

    /// <summary>Alpha of this module.</summary>
    public double Alpha { get; }

    /// <summary>The randomness of this module: each tensor takes a stream of its own name from it.</summary>
    public Rng Random => Group.Random.Stream(Module);

    /// <summary>A stream's name for dropout, unlike that of any other adapter or module.</summary>
    public string DropoutSite => $"{Group.Adapter}/{Module}.dropout";

    /// <summary>A tensor of the adapter, F32, zero at first.</summary>
    /// <param name="key">Its name on disk below the module.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="role">What it is to the method.</param>
    /// <param name="trainable">False for frozen ones, which get no gradient.</param>
    public AdapterParameter Parameter(string key, Shape shape, AdapterRole role, bool trainable = true)
    {
        return Group.Make(Module, key, shape, role, trainable);
    }

    /// <summary>The base weight as (out, in) F32, row-major, in memory of the caller's own. Zeros on the meta device.</summary>
    public float[] BaseWeight()
    {
        Arena scratch = Group.Arena;
        using Scope scope = scratch.Enter("base weight");
        Tensor dense = Linear.Weight.Dense(Tape.None(scratch));
        return scratch.Device.Computes ? dense.ToArray<float>() : new float[dense.Shape.Count];
    }

    /// <summary>A statistic of this module from the calibration pass that came before: `gradient`, `input_covariance`, whatever the method asks for.</summary>
    /// <exception cref="ConfigurationException">There was no such pass, or it did not take this statistic.</exception>
    public float[] Calibrated(string statistic)
    {
        return Group.Calibration?.Find(Module, statistic) ?? throw new ConfigurationException(
            $"'{Module}': the method starts from the statistic '{statistic}' of a pass over data. Run one, and give it to Attach.");
    }

    /// <summary>Overwrites the base weight until the adapter is detached, which restores its bits.</summary>
    /// <exception cref="ConfigurationException">The weight is shared with another module, or another adapter has changed it already.</exception>
    public void ReplaceBase(float[] values) => _replaceBase(Linear, values);
}

/// <summary>What the adapters of one attachment share.</summary>
public sealed class AdapterGroup
{
    private readonly Dictionary<string, AdapterParameter> _shared = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Tensor> _derived = new(StringComparer.Ordinal);

    internal AdapterGroup(string adapter, Arena arena, Rng random, IReadOnlyList<Linear> linears, bool fromFile, ICalibration? calibration)
    {
        (Adapter, Arena, Random, Linears, FromFile, Calibration) = (adapter, arena, random, linears, fromFile, calibration);
    }

    /// <summary>The adapter's name.</summary>
    public string Adapter { get; }

    /// <summary>Holds the adapter's tensors; its lifetime is the adapter's.</summary>
    public Arena Arena { get; }

    /// <summary>The randomness of the attachment.</summary>
    public Rng Random { get; }

    /// <summary>All linear layers that this attachment adapts.</summary>
    public IReadOnlyList<Linear> Linears { get; }

    /// <summary>Statistics of a pass over data; null if there was none.</summary>
    public ICalibration? Calibration { get; }

    /// <summary>True where the values will be read from a file: drawing is then wasted, but a change of the base is not.</summary>
    public bool FromFile { get; }

    /// <summary>The tensors used by several modules, in the order they were made; saved once, below the model itself.</summary>
    public IReadOnlyCollection<AdapterParameter> Shared => _shared.Values;

    /// <summary>A tensor used by several modules: made by the first that asks, F32, zero at first.</summary>
    /// <param name="key">Its name on disk below the model.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="initialize">Fills it; called once.</param>
    /// <param name="trainable">True where it gets gradients.</param>
    public AdapterParameter SharedParameter(string key, Shape shape, Action<Tensor> initialize, bool trainable = false)
    {
        ArgumentNullException.ThrowIfNull(initialize);
        if (!_shared.TryGetValue(key, out AdapterParameter? parameter))
        {
            parameter = Make("", key, shape, AdapterRole.Projection, trainable);
            initialize(parameter.Value);
            _shared.Add(key, parameter);
        }

        return parameter;
    }

    /// <summary>A tensor computed from frozen ones and kept: a slice, a norm. Made anew after the parameters were replaced from outside.</summary>
    /// <param name="key">What it is; the same key gives the same tensor.</param>
    /// <param name="make">Computes it.</param>
    public Tensor Derived(string key, Func<Tape, Tensor> make)
    {
        ArgumentNullException.ThrowIfNull(make);
        // Made within a scope of this arena, while an adapter was being created, it ended with that scope.
        if (!_derived.TryGetValue(key, out Tensor? tensor) || !tensor.IsAlive)
        {
            using Scope scope = Arena.Enter(key);
            tensor = scope.Keep(make(Tape.None(Arena)));
            _derived[key] = tensor;
        }

        return tensor;
    }

    /// <summary>Forgets what was derived: the parameters have other values now.</summary>
    internal void Refresh()
    {
        foreach (Tensor tensor in _derived.Values.Where(t => t.IsAlive))
        {
            Arena.Free(tensor);
        }

        _derived.Clear();
    }

    internal AdapterParameter Make(string module, string key, Shape shape, AdapterRole role, bool trainable)
    {
        string name = module.Length == 0 ? $"{Adapter}/{key}" : $"{Adapter}/{module}.{key}";
        Tensor value = Arena.Zeros(shape, DType.F32, MemoryCategory.Weights, name);
        return new AdapterParameter(key, new Parameter(name, value, trainable), role) { Module = module };
    }
}

/// <summary>Statistics that a pass over data took of the modules, before adapters are made from them (LoRA-GA: gradients; EVA: inputs).</summary>
public interface ICalibration
{
    /// <summary>A statistic of a module, row-major; null where it was not taken.</summary>
    float[]? Find(string module, string statistic);
}

/// <summary>Fills tensors with drawn numbers; nothing happens on devices that compute nothing.</summary>
internal static class Draw
{
    public static void Uniform(Tensor tensor, Rng random, double bound)
    {
        float[] values = new float[tensor.Shape.Count];
        random.FillUniform(0, values, (float)-bound, (float)bound);
        tensor.CopyFrom<float>(values);
    }

    public static void Normal(Tensor tensor, Rng random, double deviation)
    {
        float[] values = new float[tensor.Shape.Count];
        random.FillNormal(0, values, 0, (float)deviation);
        tensor.CopyFrom<float>(values);
    }

    public static void Constant(Tensor tensor, float value)
    {
        float[] values = new float[tensor.Shape.Count];
        values.AsSpan().Fill(value);
        tensor.CopyFrom<float>(values);
    }
}
