using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Typed access to a JSON object of settings that remembers which keys were asked for, so that none is silently without effect.</summary>
/// <remarks>A key that is absent or null takes the default. Every error is a <see cref="CheckpointException"/> that names file, key and value.</remarks>
public sealed class ConfigReader
{
    private readonly JsonElement _root;
    private readonly string _prefix;
    private readonly HashSet<string> _consumed = new(StringComparer.Ordinal);

    /// <summary>Reads an object; <paramref name="file"/> is for messages.</summary>
    /// <exception cref="CheckpointException">The element is not an object.</exception>
    public ConfigReader(JsonElement root, string file)
        : this(root, file, "")
    {
    }

    private ConfigReader(JsonElement root, string file, string prefix)
    {
        (_root, File, _prefix) = (root, file, prefix);
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw new CheckpointException($"{file}: {(prefix.Length == 0 ? "the file" : $"'{prefix.TrimEnd('.')}'")} must be a JSON object, not {Shown(root)}.");
        }
    }

    /// <summary>The file, for messages.</summary>
    public string File { get; }

    /// <summary>True where the key is there and not null; does not consume it.</summary>
    public bool Has(string key) => _root.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>True where the key is there, null or not; does not consume it.</summary>
    public bool IsPresent(string key) => _root.TryGetProperty(key, out _);

    /// <summary>A whole number that must be there.</summary>
    public int Int(string key, int least = int.MinValue) => OptionalInt(key, least) ?? throw Error(key, "is missing; it must be a whole number");

    /// <summary>A whole number, or the default.</summary>
    public int IntOr(string key, int fallback, int least = int.MinValue) => OptionalInt(key, least) ?? fallback;

    /// <summary>A whole number, or null.</summary>
    public int? OptionalInt(string key, int least = int.MinValue)
    {
        return Take(key) is not { } value ? null
            : AsInt(value) is { } number && number >= least ? number
            : throw Error(key, least == int.MinValue ? "must be a whole number" : $"must be a whole number, {least} or more");
    }

    /// <summary>A finite number, or the default.</summary>
    public double NumberOr(string key, double fallback) => OptionalNumber(key) ?? fallback;

    /// <summary>A finite number that must be there.</summary>
    public double Number(string key) => OptionalNumber(key) ?? throw Error(key, "is missing; it must be a number");

    /// <summary>A finite number, or null.</summary>
    public double? OptionalNumber(string key)
    {
        return Take(key) is not { } value ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number) ? number
            : throw Error(key, "must be a finite number");
    }

    /// <summary>A number above zero, or the default.</summary>
    public double PositiveOr(string key, double fallback)
    {
        double number = NumberOr(key, fallback);
        return number > 0 ? number : throw Error(key, "must be above zero");
    }

    /// <summary>True or false, or the default.</summary>
    public bool FlagOr(string key, bool fallback)
    {
        return Take(key) is not { } value ? fallback
            : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
            : throw Error(key, "must be true or false");
    }

    /// <summary>A string, or null.</summary>
    public string? OptionalText(string key)
    {
        return Take(key) is not { } value ? null : value.ValueKind == JsonValueKind.String ? value.GetString() : throw Error(key, "must be a string");
    }

    /// <summary>One of a few strings, or the default.</summary>
    public string ChoiceOr(string key, string fallback, params ReadOnlySpan<string> choices)
    {
        string text = OptionalText(key) ?? fallback;
        return choices.Contains(text) ? text : throw Error(key, $"is not supported; supported are {string.Join(", ", choices)}");
    }

    /// <summary>A list of strings, or null.</summary>
    public ValueList<string>? OptionalTexts(string key)
    {
        return Take(key) is not { } value ? null
            : value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(v => v.ValueKind == JsonValueKind.String)
                ? new ValueList<string>(value.EnumerateArray().Select(v => v.GetString()!))
            : throw Error(key, "must be a list of strings");
    }

    /// <summary>One whole number or a list of them; empty where absent.</summary>
    public ValueList<int> Ints(string key)
    {
        if (Take(key) is not { } value)
        {
            return new ValueList<int>([]);
        }

        JsonElement[] items = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        return new ValueList<int>(items.Select(v => AsInt(v) ?? throw Error(key, "must be a whole number or a list of them")));
    }

    /// <summary>A list of lists of whole numbers; empty where absent.</summary>
    public ValueList<ValueList<int>> IntLists(string key)
    {
        if (Take(key) is not { } value)
        {
            return new([]);
        }

        const string Needed = "must be a list of lists of whole numbers";
        if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(v => v.ValueKind != JsonValueKind.Array))
        {
            throw Error(key, Needed);
        }

        return new(value.EnumerateArray().Select(list => new ValueList<int>(list.EnumerateArray().Select(v => AsInt(v) ?? throw Error(key, Needed)))));
    }

    /// <summary>An object inside, with keys of its own, or null.</summary>
    public ConfigReader? OptionalObject(string key) => Take(key) is { } value ? new ConfigReader(value, File, $"{_prefix}{key}.") : null;

    /// <summary>Marks keys that have no effect on what is computed.</summary>
    public void Ignore(params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            _ = _consumed.Add(key);
        }
    }

    /// <summary>Ends reading: refuses by name every key not asked for that changes what is computed, and lists those that are not known at all.</summary>
    /// <returns>One warning for each unknown key.</returns>
    /// <exception cref="CheckpointException">Options that are not implemented; all are named together.</exception>
    public IReadOnlyList<string> RefuseUnknownBehaviour() => RefuseUnknownBehaviour(ConfigKeys.Model);

    internal IReadOnlyList<string> RefuseUnknownBehaviour(ConfigKeys keys)
    {
        List<string> refused = [];
        List<string> warnings = [];
        foreach (JsonProperty property in _root.EnumerateObject())
        {
            if (_consumed.Contains(property.Name) || keys.IsHarmless(property.Name))
            {
                continue;
            }

            if (!keys.IsBehaviour(property.Name))
            {
                warnings.Add($"{File}: the key '{_prefix}{property.Name}' is not known and has no effect.");
            }
            else if (!keys.IsNeutral(property.Name, property.Value))
            {
                refused.Add($"'{_prefix}{property.Name}' = {Shown(property.Value)}");
            }
        }

        return refused.Count == 0
            ? warnings
            : throw new CheckpointException($"{File}: options that change the result are not implemented here: {MessageList.Join(refused)}.");
    }

    /// <summary>An error that names file, key and value.</summary>
    public CheckpointException Error(string key, string what)
    {
        string value = _root.TryGetProperty(key, out JsonElement given) ? $" = {Shown(given)}" : "";
        return new CheckpointException($"{File}: '{_prefix}{key}'{value} {what}.");
    }

    private static int? AsInt(JsonElement value)
    {
        return value.ValueKind != JsonValueKind.Number ? null
            : value.TryGetInt32(out int number) ? number
            : value.TryGetDouble(out double real) && real == Math.Floor(real) && Math.Abs(real) <= int.MaxValue ? (int)real
            : null;
    }

    private static string Shown(JsonElement value)
    {
        string text = value.GetRawText();
        return text.Length <= 100 ? text : $"{text.AsSpan(0, 100)}...";
    }

    private JsonElement? Take(string key)
    {
        _ = _consumed.Add(key);
        return _root.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;
    }
}
