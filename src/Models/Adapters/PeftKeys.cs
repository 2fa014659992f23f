using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>The keys of an adapter_config.json while it is read: typed, with errors that name file, key and value, and with account of what was asked
/// for.</summary>
public sealed class PeftKeys
{
    private readonly JsonElement _root;
    private readonly ConfigReader _reader;
    private readonly HashSet<string> _taken = new(StringComparer.Ordinal);

    internal PeftKeys(JsonElement root, string file, JsonElement? native, string nativeFile, bool baseHoldsResidual)
    {
        BaseHoldsResidual = baseHoldsResidual;
        _root = root;
        _reader = new ConfigReader(root, file);
        Native = native is { } n ? new ConfigReader(n, nativeFile) : null;
        NativeMethod = Native?.OptionalText("method");
    }

    /// <summary>The file, for messages.</summary>
    public string File => _reader.File;

    /// <summary>The keys of our own file beside PEFT's, for methods that PEFT does not know; null if there is none.</summary>
    public ConfigReader? Native { get; }

    /// <summary>The method that our own file names; null if there is none.</summary>
    public string? NativeMethod { get; }

    /// <summary>True where the base at hand is the one that the initialisation has changed already, so that what is left is a plain LoRA.</summary>
    public bool BaseHoldsResidual { get; }

    /// <summary>True where an adapter is to be made with these options, false where one is read.</summary>
    public bool IsNew { get; internal init; }

    /// <summary>True where the key is there and not null.</summary>
    public bool Has(string key) => _reader.Has(key);

    /// <summary>A whole number, or the default.</summary>
    public int Int(string key, int fallback, int least = int.MinValue) => Taken(key)._reader.IntOr(key, fallback, least);

    /// <summary>A finite number, or the default.</summary>
    public double Number(string key, double fallback) => Taken(key)._reader.NumberOr(key, fallback);

    /// <summary>True or false, or the default.</summary>
    public bool Flag(string key, bool fallback) => Taken(key)._reader.FlagOr(key, fallback);

    /// <summary>A string, or null.</summary>
    public string? Text(string key) => Taken(key)._reader.OptionalText(key);

    /// <summary>One of a few strings, or the default.</summary>
    public string Choice(string key, string fallback, params ReadOnlySpan<string> choices) => Taken(key)._reader.ChoiceOr(key, fallback, choices);

    /// <summary>A value that may be true, false or a string, as a string: `true`, `false`, or the string itself; the default where absent.</summary>
    public string FlagOrText(string key, string fallback)
    {
        return Raw(key) is not { } value ? fallback : value.ValueKind switch
        {
            JsonValueKind.True => "true",
            JsonValueKind.False => "false",
            JsonValueKind.String => value.GetString()!,
            _ => throw Error(key, "must be true, false or a string"),
        };
    }

    /// <summary>One whole number or a list of them; null where absent or empty.</summary>
    public ValueList<int>? Ints(string key)
    {
        ValueList<int> values = Taken(key)._reader.Ints(key);
        return values.Count == 0 ? null : values;
    }

    /// <summary>One string or a list of them; null where absent or empty.</summary>
    public ValueList<string>? Texts(string key)
    {
        if (Raw(key) is not { } value)
        {
            return null;
        }

        ValueList<string> values = value.ValueKind == JsonValueKind.String ? new([value.GetString()!]) : _reader.OptionalTexts(key)!;
        return values.Count == 0 || (values.Count == 1 && values[0].Length == 0) ? null : values;
    }

    /// <summary>A list of names, an expression, or `all-linear`; <see cref="ModulePattern.None"/> where absent.</summary>
    public ModulePattern Modules(string key)
    {
        return Raw(key) is not { } value ? ModulePattern.None
            : value.ValueKind != JsonValueKind.String ? ModulePattern.Of(_reader.OptionalTexts(key)!)
            : value.GetString() == "all-linear" ? ModulePattern.AllLinear
            : ModulePattern.Matching(value.GetString()!);
    }

    /// <summary>An object of patterns and numbers, in the order of the file.</summary>
    public PatternTable Patterns(string key)
    {
        if (Raw(key) is not { } value)
        {
            return PatternTable.Empty;
        }

        if (value.ValueKind != JsonValueKind.Object || value.EnumerateObject().Any(p => p.Value.ValueKind != JsonValueKind.Number))
        {
            throw Error(key, "must be an object of patterns and numbers");
        }

        return new PatternTable(value.EnumerateObject().Select(p => KeyValuePair.Create(p.Name, p.Value.GetDouble())));
    }

    /// <summary>The value as JSON; null where absent or null.</summary>
    public JsonElement? Raw(string key)
    {
        _ = Taken(key);
        return _root.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;
    }

    /// <summary>An error that names file, key and value.</summary>
    public CheckpointException Error(string key, string what) => _reader.Error(key, what);

    /// <summary>The keys that nobody asked for.</summary>
    internal IEnumerable<JsonProperty> Rest() => _root.EnumerateObject().Where(p => !_taken.Contains(p.Name));

    private PeftKeys Taken(string key)
    {
        _ = _taken.Add(key);
        return this;
    }
}
