using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Training.Checkpoints;

/// <summary>Collects one named section of a run's state: numbers and texts by field, tensors by name.</summary>
/// <remarks>Tensors are not copied: write the section before they change.</remarks>
public sealed class StateWriter(string section)
{
    /// <summary>The section's name; its tensors go to `section.safetensors`.</summary>
    public string Section { get; } = section;

    internal SortedDictionary<string, object> Fields { get; } = new(StringComparer.Ordinal);

    internal List<TensorSource> Tensors { get; } = [];

    /// <summary>Writes a whole number.</summary>
    public void Put(string field, long value) => Fields.Add(field, value);

    /// <summary>Writes a number, to the last bit, infinities and NaN included.</summary>
    public void Put(string field, double value) => Fields.Add(field, value);

    /// <summary>Writes a truth value.</summary>
    public void Put(string field, bool value) => Fields.Add(field, value);

    /// <summary>Writes a text.</summary>
    public void Put(string field, string value) => Fields.Add(field, value);

    /// <summary>Writes a tensor, of any device.</summary>
    public void Put(string name, Tensor tensor)
    {
        Tensors.Add(TensorSource.Of(name, tensor));
    }

    /// <summary>Writes an array: float, double, long, int or byte.</summary>
    public void Put<T>(string name, T[] values)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(values);
        Tensors.Add(TensorSource.Of<T>(name, new Shape(values.Length), values));
    }
}
