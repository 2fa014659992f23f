using System.Collections;
using System.Text.RegularExpressions;
using Graft.Models.Checkpoints;

namespace Graft.Models.Adapters;

/// <summary>Numbers for some modules (ranks, alphas) by pattern, in order: the first that matches wins.</summary>
/// <remarks>A pattern matches a path M where `(.*\.)?(pattern)` matches M whole: an ending, or a regular expression. Compares by value, order
/// included.</remarks>
public sealed class PatternTable : IReadOnlyList<KeyValuePair<string, double>>, IEquatable<PatternTable>
{
    private readonly ValueList<KeyValuePair<string, double>> _entries;
    private readonly Regex[] _expressions;

    /// <summary>A table of patterns and their numbers.</summary>
    /// <exception cref="Runtime.ConfigurationException">A pattern is not a valid expression.</exception>
    public PatternTable(IEnumerable<KeyValuePair<string, double>> entries)
    {
        _entries = new ValueList<KeyValuePair<string, double>>(entries);
        _expressions = [.. _entries.Select(e => ModulePattern.Compile($@"\A(.*\.)?({e.Key})\z", e.Key))];
    }

    /// <summary>A table of patterns and their numbers, in this order.</summary>
    public PatternTable(params ReadOnlySpan<(string Pattern, double Value)> entries)
        : this(entries.ToArray().Select(e => KeyValuePair.Create(e.Pattern, e.Value)))
    {
    }

    /// <summary>No pattern at all.</summary>
    public static PatternTable Empty { get; } = new(Array.Empty<KeyValuePair<string, double>>());

    /// <inheritdoc/>
    public int Count => _entries.Count;

    /// <inheritdoc/>
    public KeyValuePair<string, double> this[int index] => _entries[index];

    /// <summary>The number of the first pattern that matches the module; null if none does.</summary>
    public double? Find(string module)
    {
        ArgumentNullException.ThrowIfNull(module);
        for (int i = 0; i < _expressions.Length; i++)
        {
            if (ModulePattern.IsMatch(_expressions[i], module))
            {
                return _entries[i].Value;
            }
        }

        return null;
    }

    /// <inheritdoc/>
    public bool Equals(PatternTable? other) => other is not null && _entries.Equals(other._entries);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as PatternTable);

    /// <inheritdoc/>
    public override int GetHashCode() => _entries.GetHashCode();

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, double>> GetEnumerator() => _entries.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>As in messages.</summary>
    public override string ToString() => _entries.ToString();
}
