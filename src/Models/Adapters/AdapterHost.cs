using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>Puts adapters on a model and takes them off again: what every method needs, done once. Which of them act is said by each forward (<see
/// cref="ActiveAdapters"/>).</summary>
/// <remarks>Attaching changes nothing of the base, except where a method says so (PiSSA), and detaching restores its bits.</remarks>
public sealed partial class AdapterHost
{
    private readonly IReadOnlyList<Linear> _linears;
    private readonly IReadOnlyList<Embedding> _embeddings;
    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly Linear? _head;
    private readonly List<AttachedAdapter> _adapters = [];

    /// <summary>A host over a model.</summary>
    public AdapterHost(ILanguageModel model)
        : this((model ?? throw new ArgumentNullException(nameof(model))).Linears, model.Embeddings, model.Parameters, model.Head)
    {
    }

    /// <summary>A host over modules of any origin.</summary>
    /// <param name="linears">The layers that can be adapted, named by their paths.</param>
    /// <param name="embeddings">The tables that can be adapted; the first is the input's.</param>
    /// <param name="parameters">All parameters of the base, by the checkpoint's names.</param>
    /// <param name="head">The output layer, which `all-linear` leaves out; null if there is none.</param>
    public AdapterHost(IReadOnlyList<Linear> linears, IReadOnlyList<Embedding> embeddings, IReadOnlyList<Parameter> parameters, Linear? head = null)
    {
        ArgumentNullException.ThrowIfNull(linears);
        ArgumentNullException.ThrowIfNull(embeddings);
        ArgumentNullException.ThrowIfNull(parameters);
        (_linears, _embeddings, _parameters, _head) = (linears, embeddings, parameters, head);
    }

    /// <summary>The methods to choose from; add rows of your own.</summary>
    public IReadOnlyList<AdapterRow> Methods { get; init; } = AdapterTable.Rows;

    /// <summary>What is attached, in order.</summary>
    public IReadOnlyList<AttachedAdapter> Adapters => _adapters;

    /// <summary>The adapter of this name.</summary>
    /// <exception cref="ConfigurationException">There is none; says which there are.</exception>
    public AttachedAdapter this[string name]
    {
        get => _adapters.Find(a => a.Name == name)
            ?? throw new ConfigurationException($"there is no adapter '{name}'; attached are: "
                + $"{(_adapters.Count == 0 ? "none" : string.Join(", ", _adapters.Select(a => a.Name)))}.");
    }

    /// <summary>Makes a new adapter, trainable, on every module that the options select.</summary>
    /// <param name="name">Not empty, no '/', unlike all others.</param>
    /// <param name="config">The method and its options.</param>
    /// <param name="random">Each tensor takes a stream of its own name.</param>
    /// <param name="calibration">Statistics of a pass over data, for methods that start from them; null if there was none.</param>
    /// <exception cref="ConfigurationException">The options select nothing, or do not fit a module; nothing is attached then.</exception>
    public AttachedAdapter Attach(string name, AdapterConfig config, Rng random, ICalibration? calibration = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        AttachedAdapter attached = Build(name, config, random, null, calibration);
        Ready(attached);
        return attached;
    }

    /// <summary>The names as an argument of forwards, after a check that they are attached.</summary>
    public ActiveAdapters Active(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            _ = this[name];
        }

        return new ActiveAdapters(names);
    }

    /// <summary>Removes an adapter, gives its memory back, and restores the bits of whatever it changed of the base.</summary>
    public void Detach(string name)
    {
        AttachedAdapter attached = this[name];
        if (_merged is { } merged && merged.Names.Contains(name))
        {
            Unmerge();
        }

        _ = _adapters.Remove(attached);
        Undo(attached);
        BaseChanged();
    }

    /// <summary>Makes an adapter's tensors trainable or frozen; those that its method keeps frozen stay so.</summary>
    public void SetTrainable(string name, bool trainable)
    {
        AttachedAdapter attached = this[name];
        foreach (AdapterParameter parameter in attached.Parameters)
        {
            parameter.Parameter.Trainable = trainable && !attached.Frozen.Contains(parameter.Parameter);
        }
    }

    /// <summary>Tells the adapters that an optimizer step is done.</summary>
    /// <returns>True where some adapter has other parameters now: look at <see cref="AttachedAdapter.Parameters"/> again.</returns>
    public bool AfterStep(in AdapterStep step)
    {
        bool any = false;
        foreach (AttachedAdapter attached in _adapters)
        {
            bool changed = false;
            foreach ((_, IAdapter adapter) in attached.OnLinears)
            {
                changed |= adapter.AfterStep(step);
            }

            if (changed)
            {
                Collect(attached);
                any = true;
            }
        }

        return any;
    }

    /// <summary>Tells an adapter that its parameters were replaced from outside (a checkpoint of a run was read, another twin was copied in).</summary>
    public void Refresh(string name) => Ready(this[name]);

    private Device Device => _parameters.Count > 0 ? _parameters[0].Value.Device : throw new ConfigurationException("the model has no parameters, "
        + "so no device to put adapters on.");

    // What adapters have derived from the base (DoRA's norms) is of another base now.
    private void BaseChanged() => _adapters.ForEach(Ready);

    private static void Ready(AttachedAdapter attached)
    {
        attached.Group.Refresh();
        foreach ((_, IAdapter adapter) in attached.OnLinears)
        {
            adapter.Loaded();
        }
    }

    private AttachedAdapter Build(string name, AdapterConfig config, Rng random, Func<string, int?>? rankInFile, ICalibration? calibration = null)
    {
        if (string.IsNullOrWhiteSpace(name) || name.Contains('/') || _adapters.Exists(a => a.Name == name))
        {
            throw new ConfigurationException($"an adapter cannot be named '{name}': a name is not empty, has no '/', and is given once.");
        }

        if (_merged is not null)
        {
            throw new ConfigurationException($"adapters are merged into the base ({string.Join(", ", _merged.Names)}); unmerge them before attaching another.");
        }

        AdapterRow row = AdapterTable.Of(config, Methods);
        Linear[] linears = [.. _linears.Where(l => TargetMatcher.IsTarget(config, l.Name, l != _head))];
        Embedding[] tables = [.. _embeddings.Where(e => TargetMatcher.IsTarget(config, e.Name, false))];
        if (linears.Length + tables.Length == 0)
        {
            string known = string.Join(", ", _linears.Select(l => l.Name).Concat(_embeddings.Select(e => e.Name)).Take(12));
            throw new ConfigurationException($"adapter '{name}': the target modules {config.TargetModules} match none of the model's. They are {known}, ...");
        }

        Arena arena = new(Device, $"adapter '{name}'", 1 << 20);
        AdapterGroup group = new(name, arena, random, linears, rankInFile is not null, calibration);
        AttachedAdapter attached = new(name, config, row, group);
        try
        {
            foreach (Linear linear in linears)
            {
                attached.OnLinears.Add((linear, row.Create(Site(linear.Name, linear, null), config)));
            }

            foreach (Embedding table in tables)
            {
                attached.OnEmbeddings.Add((table, row.CreateEmbedding(Site(table.Name, null, table), config)));
            }

            attached.Modules = [.. linears.Select(l => l.Name), .. tables.Select(e => e.Name)];
            AddTokenRows(attached, Plain);
            AddSavedModules(attached, Plain);
            AddBaseParameters(attached, linears);
            Collect(attached);
        }
        catch
        {
            Undo(attached);
            throw;
        }

        attached.OnLinears.ForEach(p => p.Layer.Adapters.Attach(name, p.Adapter));
        attached.OnEmbeddings.ForEach(p => p.Table.Adapters.Attach(name, p.Adapter));
        if (attached.Replaced.Count > 0)
        {
            BaseChanged();
        }

        _adapters.Add(attached);
        return attached;

        AdapterSite Site(string module, Linear? linear, Embedding? table)
        {
            int? inFile = rankInFile?.Invoke(module);
            return new AdapterSite(group, module, linear, table, () => inFile ?? config.RankOf(module), config.AlphaOf(module),
                (l, values) => ReplaceBase(attached, l, values));
        }

        AdapterSite Plain(string module, Linear? linear, Embedding? table) => new(group, module, linear, table, () => 0, 0, (_, _) => { });
    }

    // Base parameters stay frozen or not as they are; only what this adapter trains of them is switched on.
    private void AddBaseParameters(AttachedAdapter attached, Linear[] targets)
    {
        AdapterConfig config = attached.Config;
        HashSet<Parameter> copied = [.. attached.OnLinears.Where(p => p.Adapter is SavedLinear)
            .SelectMany(p => new[] { p.Layer.Weight.Parameter, p.Layer.Bias }).OfType<Parameter>()];
        copied.UnionWith(attached.OnEmbeddings.Where(p => p.Adapter is SavedEmbedding).Select(p => p.Table.Weight));
        Dictionary<Parameter, string> biases = targets.Where(l => l.Bias is not null).ToDictionary(l => l.Bias!, l => l.Name);
        foreach (Parameter parameter in _parameters)
        {
            int dot = parameter.Name.LastIndexOf('.');
            string module = dot < 0 ? "" : parameter.Name[..dot];
            bool saved = TargetMatcher.IsSaved(config, module);
            bool bias = parameter.Name.EndsWith(".bias", StringComparison.Ordinal)
                && (config.Bias == BiasTraining.All || (config.Bias == BiasTraining.Adapted && biases.ContainsKey(parameter)));
            if (copied.Contains(parameter) || (!saved && !bias))
            {
                continue;
            }

            if (_adapters.Find(a => a.OfBase.Exists(o => o.Before.Parameter == parameter)) is { } other)
            {
                throw new ConfigurationException($"adapter '{attached.Name}': '{parameter.Name}' is trained in place by adapter '{other.Name}' "
                    + "already. Detach that one, or train the parameter by one of them only.");
            }

            AdapterParameter entry = biases.TryGetValue(parameter, out string? layer)
                ? new AdapterParameter("base_layer.bias", parameter, AdapterRole.Bias) { Module = layer }
                : new AdapterParameter(parameter.Name[(dot + 1)..], parameter, bias ? AdapterRole.Bias : AdapterRole.Module) { Module = module };
            attached.OfBase.Add((entry, new SavedBits(parameter), parameter.Trainable));
            parameter.Trainable = true;
        }
    }

    private void AddSavedModules(AttachedAdapter attached, Func<string, Linear?, Embedding?, AdapterSite> site)
    {
        AdapterConfig config = attached.Config;
        Linear[] linears = [.. _linears.Where(l => TargetMatcher.IsSaved(config, l.Name))];
        Embedding[] tables = [.. _embeddings.Where(e => TargetMatcher.IsSaved(config, e.Name))];
        if (config.EnsureWeightTying)
        {
            HashSet<Parameter> weights = [.. linears.Select(l => l.Weight.Parameter).Concat(tables.Select(e => e.Parameter)).OfType<Parameter>()];
            linears = [.. _linears.Where(l => l.Weight.Parameter is { } p && weights.Contains(p))];
            tables = [.. _embeddings.Where(e => e.Parameter is { } p && weights.Contains(p))];
        }

        Dictionary<Parameter, AdapterParameter> tied = [];
        foreach (Embedding table in tables)
        {
            SavedEmbedding saved = new(site(table.Name, null, table));
            attached.OnEmbeddings.Add((table, saved));
            if (config.EnsureWeightTying)
            {
                tied[table.Weight] = saved.Weight;
            }
        }

        foreach (Linear linear in linears)
        {
            attached.OnLinears.Add((linear, new SavedLinear(site(linear.Name, linear, null), tied.GetValueOrDefault(linear.Weight.Parameter!))));
        }
    }

    private void AddTokenRows(AttachedAdapter attached, Func<string, Linear?, Embedding?, AdapterSite> site)
    {
        foreach (TokenRows wanted in attached.Config.TrainableTokens)
        {
            Embedding table = (wanted.Module.Length == 0 ? (_embeddings.Count > 0 ? _embeddings[0] : null)
                    : _embeddings.FirstOrDefault(e => e.Name == wanted.Module || ModulePattern.EndsWith(e.Name, wanted.Module)))
                ?? throw new ConfigurationException($"trainable_token_indices: there is no embedding table '{wanted.Module}'; there are "
                    + $"{string.Join(", ", _embeddings.Select(e => e.Name))}.");
            Linear[] tied = [.. _linears.Where(table.Shares)];
            if (attached.OnEmbeddings.Exists(p => p.Table == table) || attached.OnLinears.Exists(p => tied.Contains(p.Layer)))
            {
                throw new ConfigurationException($"trainable_token_indices: '{table.Name}', or the head tied to it, is adapted as a whole too. "
                    + "Choose one of the two.");
            }

            TokenRowsEmbedding rows = new(site(table.Name, null, table), wanted.Tokens);
            attached.OnEmbeddings.Add((table, rows));
            attached.OnLinears.AddRange(tied.Select(l => (l, (IAdapter)new TokenRowsHead(rows))));
        }
    }

    private void ReplaceBase(AttachedAdapter attached, Linear linear, float[] values)
    {
        Parameter parameter = linear.Weight.Parameter
            ?? throw new ConfigurationException($"'{linear.Name}' holds a quantised weight, which this method cannot change. Attach it before quantising.");
        if (Users(parameter) > 1 || _adapters.Exists(a => a.Replaced.Exists(r => r.Parameter == parameter)))
        {
            throw new ConfigurationException($"'{linear.Name}': the method changes the base weight, but that is shared with another module, or "
                + "changed by another adapter already.");
        }

        attached.Replaced.Add(new SavedBits(parameter));
        linear.Weight.Store(values);
    }

    private int Users(Parameter parameter) => _linears.Count(l => l.Weight.Parameter == parameter) + _embeddings.Count(e => e.Parameter == parameter);

    private static void Collect(AttachedAdapter attached)
    {
        HashSet<Parameter> seen = [];
        attached.Parameters =
        [
            .. attached.OnLinears.SelectMany(p => p.Adapter.Parameters)
                .Concat(attached.OnEmbeddings.SelectMany(p => p.Adapter.Parameters))
                .Concat(attached.Group.Shared)
                .Concat(attached.OfBase.Select(p => p.Parameter))
                .Where(p => seen.Add(p.Parameter)),
        ];
        attached.Frozen = [.. attached.Parameters.Where(p => !p.Parameter.Trainable).Select(p => p.Parameter)];
    }

    private static void Undo(AttachedAdapter attached)
    {
        attached.OnLinears.ForEach(p => p.Layer.Adapters.Detach(attached.Name));
        attached.OnEmbeddings.ForEach(p => p.Table.Adapters.Detach(attached.Name));
        foreach ((_, SavedBits before, bool trainable) in attached.OfBase)
        {
            before.Restore();
            before.Parameter.Trainable = trainable;
        }

        attached.Replaced.ForEach(r => r.Restore());
        attached.Group.Arena.Dispose();
    }
}
