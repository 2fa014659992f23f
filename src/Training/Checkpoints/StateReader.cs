using System.Globalization;
using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Training.Checkpoints;

/// <summary>Reads one section of a saved run. Everything that is missing or does not fit is a <see cref="CheckpointException"/> that names file and
/// field.</summary>
public sealed class StateReader : IDisposable
{
    private readonly string _file;
    private readonly JsonElement _fields;
    private readonly ICheckpoint? _tensors;

    internal StateReader(string section, string file, JsonElement fields, ICheckpoint? tensors)
    {
        Section = section;
        _file = file;
        _fields = fields;
        _tensors = tensors;
    }

    /// <summary>The section's name.</summary>
    public string Section { get; }

    /// <summary>The names of the section's tensors.</summary>
    public IEnumerable<string> TensorNames => _tensors?.Tensors.Keys ?? [];

    /// <summary>True where the section has this field.</summary>
    public bool Has(string field) => _fields.TryGetProperty(field, out _);

    /// <summary>A whole number.</summary>
    public long Int64(string field)
    {
        return Field(field) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt64(out long number) ? number : throw Wrong(field, "a whole number");
    }

    /// <summary>A number, to the last bit.</summary>
    public double Double(string field)
    {
        JsonElement value = Field(field);
        if (value.ValueKind == JsonValueKind.Number)
        {
            return value.GetDouble();
        }

        string? text = value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            ? number
            : throw Wrong(field, "a number");
    }

    /// <summary>A truth value.</summary>
    public bool Boolean(string field)
    {
        JsonElement value = Field(field);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Wrong(field, "true or false");
    }

    /// <summary>A text.</summary>
    public string Text(string field) => Field(field) is { ValueKind: JsonValueKind.String } value ? value.GetString()! : throw Wrong(field, "a text");

    /// <summary>Fails unless there is a tensor of this name, shape and dtype: to be asked of all tensors before the first is read, so that a failure changes
    /// nothing.</summary>
    public void Check(string name, TensorSpec spec)
    {
        TensorEntry entry = Entry(name);
        if (entry.Shape != spec.Shape || entry.Type != spec.DType)
        {
            throw new CheckpointException($"{_tensors!.Path}: '{name}' is {entry.Shape} {entry.TypeName}, the run has {spec}: the checkpoint belongs to " +
                "another configuration.");
        }
    }

    /// <summary>Overwrites a tensor by the one of this name; shape and dtype must be the same.</summary>
    public void Read(string name, Tensor into)
    {
        ArgumentNullException.ThrowIfNull(into);
        Check(name, into.Spec);
        into.WriteBytesOnHost((bytes, start) => _tensors!.ReadRaw(name, start, bytes));
    }

    /// <summary>A whole tensor as an array of its own element type.</summary>
    public T[] Array<T>(string name)
        where T : unmanaged
    {
        _ = Entry(name);
        return _tensors!.ReadArray<T>(name);
    }

    /// <summary>Closes the section's file.</summary>
    public void Dispose() => _tensors?.Dispose();

    private TensorEntry Entry(string name)
    {
        return _tensors is not null && _tensors.Tensors.TryGetValue(name, out TensorEntry? entry) ? entry
            : throw new CheckpointException($"{_tensors?.Path ?? _file}: section '{Section}' has no tensor '{name}': the checkpoint belongs to another " +
                "configuration.");
    }

    private JsonElement Field(string field)
    {
        return _fields.TryGetProperty(field, out JsonElement value) ? value
            : throw new CheckpointException($"{_file}: section '{Section}' has no field '{field}': the checkpoint belongs to another configuration.");
    }

    private CheckpointException Wrong(string field, string needed) => new($"{_file}: field '{field}' of section '{Section}' is {Field(field).GetRawText()}; " +
        $"needed is {needed}.");
}
