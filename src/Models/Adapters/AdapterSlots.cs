using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>The adapters that act in a forward, in order of application: an argument of the call, so that a reference policy or a slow twin is just another
/// call.</summary>
public sealed class ActiveAdapters
{
    private readonly string[] _names;
    private readonly ActiveAdapters[] _rows = [];

    /// <summary>These adapters, the first nearest to the base.</summary>
    public ActiveAdapters(params ReadOnlySpan<string> names)
    {
        _names = names.ToArray();
    }

    private ActiveAdapters(ActiveAdapters[] rows)
    {
        (_names, _rows) = ([], rows);
    }

    /// <summary>Other adapters for each row of the batch: one server answers users of several adapters in one forward.</summary>
    /// <param name="rows">One for each of the B rows. Neighbours of the same adapters run together.</param>
    public static ActiveAdapters PerRow(params ReadOnlySpan<ActiveAdapters> rows)
    {
        return new ActiveAdapters(rows.ToArray());
    }

    /// <summary>The base alone.</summary>
    public static ActiveAdapters None { get; } = new();

    /// <summary>The names, the first nearest to the base.</summary>
    public IReadOnlyList<string> Names => _names;

    internal ReadOnlySpan<string> Span => _names;

    internal bool IsPerRow => _rows.Length > 0;

    /// <summary>Runs a module on each run of rows with the same adapters, and joins the results.</summary>
    /// <param name="t">Runs the ops.</param>
    /// <param name="x">(B, ...) or (B·T, ...): the leading axis is a multiple of the rows.</param>
    /// <param name="run">The module on some rows with some adapters.</param>
    internal Tensor ByRow(Tape t, Tensor x, Func<Tensor, ActiveAdapters, Tensor> run)
    {
        if (x.Shape.Rank == 0 || x.Shape[0] % _rows.Length != 0)
        {
            throw new ShapeException($"adapters for {_rows.Length} rows were given, but the batch is {x.Spec}.");
        }

        int height = x.Shape[0] / _rows.Length;
        long rowLength = x.Shape.Count / _rows.Length;
        List<Tensor> parts = [];
        for (int start = 0; start < _rows.Length;)
        {
            int end = start + 1;
            while (end < _rows.Length && _rows[end]._names.AsSpan().SequenceEqual(_rows[start]._names))
            {
                end++;
            }

            parts.Add(run(t.View(x, x.Shape.With(0, (end - start) * height), start * rowLength), _rows[start]));
            start = end;
        }

        return parts.Count == 1 ? parts[0] : t.Concat(0, [.. parts]);
    }
}

/// <summary>What is attached to one module, by adapter name.</summary>
public sealed class AdapterSlots
{
    private readonly List<(string Name, IAdapter? Linear, IEmbeddingAdapter? Embedding)> _slots = [];

    /// <summary>The names of the attached adapters.</summary>
    public IEnumerable<string> Names => _slots.Select(s => s.Name);

    /// <summary>The adapter of this name on a linear layer; null if there is none.</summary>
    public IAdapter? Find(string name) => _slots.Find(s => s.Name == name).Linear;

    /// <summary>The adapter of this name on an embedding; null if there is none.</summary>
    public IEmbeddingAdapter? FindEmbedding(string name) => _slots.Find(s => s.Name == name).Embedding;

    internal void Attach(string name, IAdapter adapter) => _slots.Add((name, adapter, null));

    internal void Attach(string name, IEmbeddingAdapter adapter) => _slots.Add((name, null, adapter));

    internal void Detach(string name) => _slots.RemoveAll(s => s.Name == name);

    /// <summary>How many of the active adapters sit here.</summary>
    internal int Depth(ActiveAdapters active)
    {
        int depth = 0;
        if (_slots.Count > 0)
        {
            foreach (string name in active.Span)
            {
                depth += IndexOf(name) >= 0 ? 1 : 0;
            }
        }

        return depth;
    }

    /// <summary>True where rows of the batch may differ here.</summary>
    internal bool Differs(ActiveAdapters active) => active.IsPerRow && _slots.Count > 0;

    internal IAdapter Linear(ActiveAdapters active, int depth) => _slots[At(active, depth)].Linear!;

    internal IEmbeddingAdapter Embedding(ActiveAdapters active, int depth) => _slots[At(active, depth)].Embedding!;

    private int At(ActiveAdapters active, int depth)
    {
        foreach (string name in active.Span)
        {
            int at = IndexOf(name);
            if (at >= 0 && --depth == 0)
            {
                return at;
            }
        }

        throw new ArgumentOutOfRangeException(nameof(depth));
    }

    private int IndexOf(string name)
    {
        for (int i = 0; i < _slots.Count; i++)
        {
            if (_slots[i].Name == name)
            {
                return i;
            }
        }

        return -1;
    }
}
