using Graft.Runtime;

namespace Graft.Training.Checkpoints;

/// <summary>Numbers kept per example by its stable id: reference log-probabilities, last losses, personal temperatures. They go into the checkpoint.</summary>
public sealed class ExampleScalars : IStateful
{
    private readonly SortedDictionary<string, Dictionary<ulong, double>> _columns = new(StringComparer.Ordinal);

    /// <summary>The names in use.</summary>
    public IEnumerable<string> Names => _columns.Keys;

    /// <summary>The number of an example; null if it has none of this name.</summary>
    public double? Get(string name, ulong sampleId)
    {
        return _columns.TryGetValue(name, out Dictionary<ulong, double>? column) && column.TryGetValue(sampleId, out double value) ? value : null;
    }

    /// <summary>Sets the number of an example.</summary>
    public void Set(string name, ulong sampleId, double value)
    {
        if (!_columns.TryGetValue(name, out Dictionary<ulong, double>? column))
        {
            _columns.Add(name, column = []);
        }

        column[sampleId] = value;
    }

    /// <inheritdoc/>
    public void Save(StateWriter state)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach ((string name, Dictionary<ulong, double> column) in _columns)
        {
            ulong[] ids = [.. column.Keys.Order()];
            state.Put(name + ".ids", Array.ConvertAll(ids, static id => (long)id));
            state.Put(name + ".values", Array.ConvertAll(ids, id => column[id]));
        }
    }

    /// <inheritdoc/>
    public void Load(StateReader state)
    {
        ArgumentNullException.ThrowIfNull(state);
        _columns.Clear();
        foreach (string name in state.TensorNames.Where(n => n.EndsWith(".ids", StringComparison.Ordinal)).Select(n => n[..^4]).ToList())
        {
            long[] ids = state.Array<long>(name + ".ids");
            double[] values = state.Array<double>(name + ".values");
            if (ids.Length != values.Length)
            {
                throw new CheckpointException($"section '{state.Section}': '{name}' has {ids.Length} ids and {values.Length} values.");
            }

            for (int i = 0; i < ids.Length; i++)
            {
                Set(name, (ulong)ids[i], values[i]);
            }
        }
    }
}
