using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>The parameters of a run and which of them are trained now. Values, gradients and each optimizer slot of the trained ones lie in one F32 block each;
/// 16-bit values have F32 masters in a block of their own.</summary>
/// <remarks>
/// Offsets are multiples of 16 elements; what lies between is zero and stays zero. A set holds less than 2^31 trained elements. Works on the meta device, where
/// it only accounts.
/// The blocks belong to the arena given: values are weights, gradients gradients, masters and slots optimizer. Sets in use at one time (two optimizers) must
/// not share parameters.
/// </remarks>
public sealed partial class ParameterSet : IDisposable
{
    internal const int Alignment = 16;

    private readonly List<ParameterEntry> _all = [];
    private readonly List<ParameterEntry> _active = [];
    private readonly Dictionary<Parameter, ParameterEntry> _byParameter = [];
    private readonly ParameterSetOptions _options;
    private int _nextId;
    private bool _disposed;

    /// <summary>A set in which those parameters are trained that are trainable now.</summary>
    /// <param name="parameters">All that may ever be trained; a parameter given twice counts once. Their order gives the ids.</param>
    /// <param name="arena">Persistent; takes the blocks.</param>
    /// <param name="options">Layout and groups.</param>
    /// <exception cref="ConfigurationException">Two parameters of one name, or too many elements for one set.</exception>
    /// <exception cref="DTypeException">A trained parameter that is neither F32, BF16 nor F16.</exception>
    public ParameterSet(IEnumerable<Parameter> parameters, Arena arena, ParameterSetOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(arena);
        _options = options ?? new ParameterSetOptions();
        Arena = arena;
        foreach (Parameter parameter in parameters)
        {
            _ = _byParameter.ContainsKey(parameter) ? null : Add(parameter);
        }

        Activate(static e => e.Parameter.Trainable, StatePolicy.Drop);
    }

    /// <summary>Every parameter of the set, by id.</summary>
    public IReadOnlyList<ParameterEntry> All => _all;

    /// <summary>Those that are trained now, in the order of the blocks.</summary>
    public IReadOnlyList<ParameterEntry> Active => _active;

    /// <summary>Takes the blocks.</summary>
    public Arena Arena { get; }

    /// <summary>Elements that are trained now, padding not counted.</summary>
    public long TrainedElements { get; private set; }

    /// <summary>Elements of all parameters of the set.</summary>
    public long AllElements => All.Sum(e => e.Count);

    /// <summary>Raised after <see cref="Activate"/> has changed what is trained.</summary>
    public event Action<ParameterSet>? Changed;

    /// <summary>Raised after values and state were read from a checkpoint.</summary>
    public event Action<ParameterSet>? Loaded;

    /// <summary>The entry of a parameter; null if it is not of this set.</summary>
    public ParameterEntry? Find(Parameter parameter) => _byParameter.GetValueOrDefault(parameter);

    /// <summary>The entry of a name; null if there is none.</summary>
    public ParameterEntry? Find(string name) => All.FirstOrDefault(e => e.Name == name);

    /// <summary>Chooses what is trained from here on: call it between steps. Gradients are forgotten; frozen parameters keep their bits.</summary>
    /// <param name="selects">By id, tags, name, ...; sets <see cref="Parameter.Trainable"/> of every parameter of the set.</param>
    /// <param name="policy">What becomes of optimizer state.</param>
    public void Activate(Func<ParameterEntry, bool> selects, StatePolicy policy = StatePolicy.Drop)
    {
        ArgumentNullException.ThrowIfNull(selects);
        ObjectDisposedException.ThrowIf(_disposed, this);
        List<ParameterEntry> next = [.. All.Where(selects)];
        foreach (ParameterEntry entry in next)
        {
            if (!entry.IsLow && entry.Parameter.Value.DType != DType.F32)
            {
                throw new DTypeException($"{entry} cannot be trained: trained parameters are F32, BF16 or F16.");
            }
        }

        long elements = next.Sum(e => (e.Count + Alignment - 1) & -Alignment);
        if (elements > Array.MaxLength)
        {
            throw new ConfigurationException($"{elements} elements are too many to train in one set, which holds less than 2^31: train fewer parameters at a " +
                "time, or an adapter.");
        }

        foreach (ParameterEntry entry in All)
        {
            entry.Parameter.Trainable = false;
        }

        // F32 values first: their block and that of the masters then are ranges of the same order.
        next.Sort(static (a, b) => a.IsLow != b.IsLow ? a.IsLow.CompareTo(b.IsLow) : a.Id.CompareTo(b.Id));
        Rebuild(next, policy);
        TrainedElements = next.Sum(e => e.Count);
        foreach (ParameterEntry entry in next)
        {
            entry.Parameter.Trainable = true;
            entry.Changed = true;
        }

        Changed?.Invoke(this);
    }

    /// <summary>Looks at <see cref="Parameter.Trainable"/> again: for methods that freeze or thaw their own parameters between steps.</summary>
    public void Refresh(StatePolicy policy = StatePolicy.Drop)
    {
        if (All.Any(e => e.Parameter.Trainable != e.IsActive))
        {
            Activate(static e => e.Parameter.Trainable, policy);
        }
    }

    /// <summary>Takes another list of parameters, for methods that grow or exchange theirs: new ones start with fresh state and new ids, those gone leave with
    /// their values, the others keep their state.</summary>
    /// <remarks>A checkpoint of such a run can be read only where the list is the same again.</remarks>
    /// <exception cref="ConfigurationException">Two parameters of one name.</exception>
    public void Replace(IEnumerable<Parameter> parameters)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        HashSet<Parameter> wanted = [.. parameters];
        HashSet<Parameter> trained = [.. wanted.Where(p => Find(p)?.IsActive ?? p.Trainable)];
        if (_all.Count == wanted.Count && _all.All(e => wanted.Contains(e.Parameter)))
        {
            return;
        }

        Activate(e => trained.Contains(e.Parameter));
        foreach (ParameterEntry gone in _all.Where(e => !wanted.Contains(e.Parameter)).ToList())
        {
            _ = _all.Remove(gone);
            _ = _byParameter.Remove(gone.Parameter);
            gone.Parameter.Trainable = gone.WasTrainable;
        }

        foreach (Parameter parameter in wanted.Where(p => !_byParameter.ContainsKey(p)))
        {
            _ = Add(parameter);
        }

        Activate(e => trained.Contains(e.Parameter));
    }

    /// <summary>Forgets all gradients; costs nothing.</summary>
    public void ClearGradients()
    {
        foreach (ParameterEntry entry in _active)
        {
            entry.Parameter.ClearGradient();
        }
    }

    /// <summary>The names of trained parameters that have received no gradient since the last clearing.</summary>
    public IReadOnlyList<string> WithoutGradient() => [.. _active.Where(e => !e.Parameter.HasGradient).Select(e => e.Name)];

    /// <summary>Says which elements of a parameter never change (1 frozen, 0 trained); an empty span lifts it. Their bits stay, their state stays zero, their
    /// gradients count for nothing.</summary>
    /// <exception cref="ShapeException">Another number of elements than the parameter has.</exception>
    public void Freeze(ParameterEntry entry, ReadOnlySpan<byte> frozen)
    {
        ArgumentNullException.ThrowIfNull(entry);
        if (entry.Frozen is { } old)
        {
            Arena.Free(old);
            entry.Frozen = null;
        }

        if (!frozen.IsEmpty)
        {
            if (frozen.Length != entry.Count)
            {
                throw new ShapeException($"{entry}: a mask of {frozen.Length} elements was given.");
            }

            entry.Frozen = Arena.Create(entry.Parameter.Shape, frozen, MemoryCategory.Optimizer, entry.Name + ".frozen");
        }
    }

    /// <summary>Sets gradients of frozen elements to zero; clipping and updates call for it by themselves.</summary>
    public void MaskGradients()
    {
        foreach (ParameterEntry entry in _active)
        {
            if (entry.Frozen is not { } frozen || !entry.Parameter.HasGradient)
            {
                continue;
            }

            if (Arena.Device.IsHost)
            {
                Mask(entry.Parameter.Gradient!.AsSpan<float>(), frozen.AsReadOnlySpan<byte>());
            }
            else if (Arena.Device.Computes)
            {
                byte[] mask = frozen.ToArray<byte>();
                entry.Parameter.Gradient!.ChangeOnHost<float>((gradient, start) => Mask(gradient, mask.AsSpan((int)start, gradient.Length)));
            }
        }
    }

    /// <summary>Sets optimizer state and step count of a parameter to zero.</summary>
    public static void ResetState(ParameterEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        entry.Steps = 0;
        foreach (Tensor state in entry.State)
        {
            state.Clear();
        }
    }

    /// <summary>Gives gradients, masters and slots back to the arena: what training alone needed. Values stay, in memory of their own; what is trainable is as
    /// it was before the set.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        Release();
        foreach (ParameterEntry entry in All)
        {
            entry.Parameter.Trainable = entry.WasTrainable;
        }
    }

    private static void Mask(Span<float> gradient, ReadOnlySpan<byte> mask)
    {
        for (int i = 0; i < mask.Length; i++)
        {
            gradient[i] = mask[i] != 0 ? 0 : gradient[i];
        }
    }

    private ParameterEntry Add(Parameter parameter)
    {
        if (_all.Exists(e => e.Name == parameter.Name))
        {
            throw new ConfigurationException($"Two parameters have the name '{parameter.Name}': checkpoints tell parameters by name, so give each its own.");
        }

        ParameterEntry entry = new(_nextId++, parameter);
        entry.Group = _options.Groups.FirstOrDefault(g => g.Selects(entry)) ?? ParameterGroup.Rest;
        _all.Add(entry);
        _byParameter.Add(parameter, entry);
        return entry;
    }
}
