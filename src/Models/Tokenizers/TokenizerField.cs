using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>A value of a tokenizer file together with its place, so that every error names file and field.</summary>
internal readonly struct TokenizerField
{
    private readonly JsonElement _value;
    private readonly string _file;

    public TokenizerField(JsonElement value, string file, string path)
    {
        _value = value;
        _file = file;
        Path = path;
    }

    /// <summary>The place in the file: `model.vocab`.</summary>
    public string Path { get; }

    public JsonValueKind Kind => _value.ValueKind;

    public bool IsNull => _value.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    public CheckpointException Error(string what) => new($"{_file}: {(Path.Length == 0 ? "the file" : Path)}: {what}");

    public bool Has(string name) => _value.ValueKind == JsonValueKind.Object && _value.TryGetProperty(name, out _);

    /// <summary>A field that may be absent or null; of several of one name the last.</summary>
    public TokenizerField Find(string name)
    {
        JsonElement found = default;
        if (_value.ValueKind == JsonValueKind.Object)
        {
            _value.TryGetProperty(name, out found);
        }

        return new TokenizerField(found, _file, Path.Length == 0 ? name : Path + "." + name);
    }

    /// <summary>A field that must be there and not null.</summary>
    public TokenizerField Get(string name)
    {
        if (_value.ValueKind != JsonValueKind.Object)
        {
            throw Error($"an object with '{name}' is needed, not {Shown()}");
        }

        TokenizerField field = Find(name);
        return field.IsNull ? throw field.Error("the field is missing") : field;
    }

    /// <summary>The names and values of an object, in the order of the file.</summary>
    public List<(string Name, JsonElement Value)> Entries()
    {
        if (_value.ValueKind != JsonValueKind.Object)
        {
            throw Error($"an object is needed, not {Shown()}");
        }

        List<(string, JsonElement)> entries = [];
        try
        {
            foreach (JsonProperty property in _value.EnumerateObject())
            {
                entries.Add((property.Name, property.Value));
            }
        }
        catch (InvalidOperationException)
        {
            // An escape of half a surrogate pair.
            throw Error("a name is no valid text");
        }

        return entries;
    }

    public List<TokenizerField> Items()
    {
        if (_value.ValueKind != JsonValueKind.Array)
        {
            throw Error($"an array is needed, not {Shown()}");
        }

        List<TokenizerField> items = new(_value.GetArrayLength());
        foreach (JsonElement item in _value.EnumerateArray())
        {
            items.Add(new TokenizerField(item, _file, Path));
        }

        return items;
    }

    public string Text()
    {
        if (_value.ValueKind != JsonValueKind.String)
        {
            throw Error($"a string is needed, not {Shown()}");
        }

        try
        {
            return _value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            // An escape of half a surrogate pair, or bytes that are no UTF-8.
            throw Error("the string is no valid text");
        }
    }

    public string? OptionalText() => IsNull ? null : Text();

    public bool Boolean() => _value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Error($"true or false is needed, not {Shown()}"),
    };

    public bool Boolean(bool byDefault) => IsNull ? byDefault : Boolean();

    public int Integer() =>
        _value.ValueKind == JsonValueKind.Number && _value.TryGetInt32(out int value) && value >= 0
            ? value
            : throw Error($"a number from 0 on is needed, not {Shown()}");

    public double Number() =>
        _value.ValueKind == JsonValueKind.Number && _value.TryGetDouble(out double value) && double.IsFinite(value)
            ? value
            : throw Error($"a number is needed, not {Shown()}");

    /// <summary>One code point.</summary>
    public string Character()
    {
        string text = Text();
        return CodePoints.Count(text) == 1 ? text : throw Error($"one character is needed, not '{text}'");
    }

    /// <summary>The `type` of a component.</summary>
    public string TypeName() => Get("type").Text();

    private string Shown()
    {
        if (_value.ValueKind == JsonValueKind.Undefined)
        {
            return "nothing";
        }

        string raw = _value.GetRawText();
        return raw.Length <= 60 ? raw : raw[..57] + "...";
    }
}
