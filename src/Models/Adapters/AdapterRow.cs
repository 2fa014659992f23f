using System.Text.Json.Nodes;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>One method in <see cref="AdapterTable"/>: its name, its type on disk, its configuration, and how an adapter of it is made.</summary>
public sealed record AdapterRow
{
    private readonly Func<AdapterSite, AdapterConfig, IAdapter> _create;
    private readonly Func<AdapterSite, AdapterConfig, IEmbeddingAdapter>? _createEmbedding;
    private readonly Action<AdapterConfig, JsonObject> _write;

    private AdapterRow(
        string name, string peftType, string prefix, Type configType, Func<PeftKeys, AdapterConfig> read, Action<AdapterConfig, JsonObject> write,
        Func<AdapterSite, AdapterConfig, IAdapter> create, Func<AdapterSite, AdapterConfig, IEmbeddingAdapter>? createEmbedding)
    {
        (Name, PeftType, Prefix, ConfigType) = (name, peftType, prefix, configType);
        (Read, _write, _create, _createEmbedding) = (read, write, create, createEmbedding);
    }

    /// <summary>As users write it: `lora`.</summary>
    public string Name { get; }

    /// <summary>PEFT's `peft_type`.</summary>
    public string PeftType { get; }

    /// <summary>What PEFT puts before `_dropout` and `_only`: `lora`.</summary>
    public string Prefix { get; }

    /// <summary>The record of options.</summary>
    public Type ConfigType { get; }

    /// <summary>Which of several methods of one PEFT type a file means; rows are asked in order, the last one needs none.</summary>
    public Func<PeftKeys, bool>? Discriminator { get; init; }

    /// <summary>The parameters whose first axis (of three: the second) is the rank, so that files are read at the rank they have.</summary>
    public IReadOnlyList<string> RankTensors { get; init; } = [];

    /// <summary>Writes what PEFT has no key for to our own file; null for methods that PEFT knows.</summary>
    public Action<AdapterConfig, JsonObject>? WriteNative { get; init; }

    /// <summary>Why an adapter of this configuration cannot be saved in its own form; null where it can.</summary>
    public Func<AdapterConfig, string?> CannotSave { get; init; } = _ => null;

    /// <summary>PEFT's type has `exclude_modules`.</summary>
    public bool HasExclusions { get; init; } = true;

    /// <summary>PEFT's type has a dropout.</summary>
    public bool HasDropout { get; init; } = true;

    /// <summary>PEFT's type has `fan_in_fan_out`.</summary>
    public bool HasFanInFanOut { get; init; }

    /// <summary>True where tables can be adapted.</summary>
    public bool AdaptsEmbeddings => _createEmbedding is not null;

    internal Func<PeftKeys, AdapterConfig> Read { get; }

    /// <summary>A row.</summary>
    /// <param name="name">As users write it.</param>
    /// <param name="peftType">PEFT's `peft_type`.</param>
    /// <param name="prefix">What PEFT puts before `_dropout` and `_only`.</param>
    /// <param name="read">The method's own options from a file; the common ones are read for it.</param>
    /// <param name="write">The method's own options to a file.</param>
    /// <param name="create">An adapter on a linear layer, initialised.</param>
    /// <param name="createEmbedding">An adapter on a table; null where the method has none.</param>
    public static AdapterRow Of<TConfig>(
        string name, string peftType, string prefix, Func<PeftKeys, TConfig> read, Action<TConfig, JsonObject> write,
        Func<AdapterSite, TConfig, IAdapter> create, Func<AdapterSite, TConfig, IEmbeddingAdapter>? createEmbedding = null)
        where TConfig : AdapterConfig
    {
        return new AdapterRow(
            name, peftType, prefix, typeof(TConfig), read, (c, json) => write((TConfig)c, json), (s, c) => create(s, (TConfig)c),
            createEmbedding is null ? null : (s, c) => createEmbedding(s, (TConfig)c));
    }

    internal void Write(AdapterConfig config, JsonObject json) => _write(config, json);

    internal IAdapter Create(AdapterSite site, AdapterConfig config) => _create(site, config);

    internal IEmbeddingAdapter CreateEmbedding(AdapterSite site, AdapterConfig config)
    {
        return (_createEmbedding ?? throw new ConfigurationException($"'{site.Module}' is an embedding table, which {Name} cannot adapt. Exclude "
            + "it, or use lora or dora."))(site, config);
    }
}
