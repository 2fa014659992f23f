namespace Graft.Models.Adapters;

/// <summary>The adapters that act in a forward, in order of application: an argument of the call, so that a reference policy or a slow twin is just another call.</summary>
public sealed class ActiveAdapters
{
    private readonly string[] _names;

    /// <summary>These adapters, the first nearest to the base.</summary>
    public ActiveAdapters(params ReadOnlySpan<string> names)
    {
        _names = names.ToArray();
    }

    /// <summary>The base alone.</summary>
    public static ActiveAdapters None { get; } = new();

    /// <summary>The names, the first nearest to the base.</summary>
    public IReadOnlyList<string> Names => _names;

    internal ReadOnlySpan<string> Span => _names;
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
