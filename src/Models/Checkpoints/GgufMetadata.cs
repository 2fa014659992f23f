using System.Globalization;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Typed access to the metadata of a GGUF file with errors that name file, key and value; remembers which keys were asked for.</summary>
internal sealed class GgufMetadata(GgufFile file)
{
    private readonly HashSet<string> _consumed = new(StringComparer.Ordinal);

    public int? OptionalInt(string key, int least = int.MinValue)
    {
        if (Take(key) is not { } value)
        {
            return null;
        }

        // Some files give one number for each layer; where all are the same that is the number.
        object single = value is Array { Length: > 0 } list && list.Cast<object>().Distinct().Count() == 1 ? list.GetValue(0)! : value;
        Int128? number = single switch
        {
            byte v => v,
            sbyte v => v,
            ushort v => v,
            short v => v,
            uint v => v,
            int v => v,
            ulong v => v,
            long v => v,
            _ => null,
        };
        return number >= least && number <= int.MaxValue ? (int)number : throw Error(key, $"must be one whole number, {least} or more");
    }

    public int Int(string key, int least = int.MinValue) => OptionalInt(key, least) ?? throw Error(key, "is missing");

    public double? OptionalNumber(string key)
    {
        double? number = Take(key) switch
        {
            null => null,
            float v => v,
            double v => v,
            _ => throw Error(key, "must be a number"),
        };
        return number is null || double.IsFinite(number.Value) ? number : throw Error(key, "must be finite");
    }

    public string? OptionalText(string key) => Take(key) switch
    {
        null => null,
        string v => v,
        _ => throw Error(key, "must be a string"),
    };

    public bool? OptionalFlag(string key) => Take(key) switch
    {
        null => null,
        bool v => v,
        _ => throw Error(key, "must be true or false"),
    };

    public T[]? OptionalList<T>(string key) => Take(key) switch
    {
        null => null,
        T[] v => v,
        uint[] v when typeof(T) == typeof(int) => (T[])(object)Array.ConvertAll(v, u => (int)Math.Min(u, int.MaxValue)),
        _ => throw Error(key, $"must be a list of {typeof(T).Name} values"),
    };

    public void Ignore(params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            _ = _consumed.Add(key);
        }
    }

    /// <summary>Refuses by name every key below a prefix that was not asked for and says more than "no".</summary>
    public void RefuseOthers(string prefix)
    {
        List<string> refused = [.. file.Metadata
            .Where(p => p.Key.StartsWith(prefix, StringComparison.Ordinal) && !_consumed.Contains(p.Key) && !SaysNothing(p.Value))
            .Select(p => $"'{p.Key}' = {Shown(p.Value)}")];
        if (refused.Count > 0)
        {
            throw new CheckpointException($"{file.Path}: options that may change what the model computes are not implemented: {MessageList.Join(refused)}.");
        }
    }

    public CheckpointException Error(string key, string what)
    {
        string value = file.Metadata.TryGetValue(key, out object? given) ? $" = {Shown(given)}" : "";
        return new CheckpointException($"{file.Path}: metadata '{key}'{value} {what}.");
    }

    private static bool SaysNothing(object value) => value is false or "" or 0u or 0 or 0f or 0ul or 0L or 0d;

    private static string Shown(object value) => value switch
    {
        Array list => $"a list of {list.Length}",
        string text => text.Length <= 100 ? $"'{text}'" : $"'{text.AsSpan(0, 100)}...'",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
    };

    private object? Take(string key)
    {
        _ = _consumed.Add(key);
        return file.Metadata.GetValueOrDefault(key);
    }
}
