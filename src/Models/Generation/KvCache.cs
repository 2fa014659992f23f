using Graft.Runtime;

namespace Graft.Models.Generation;

/// <summary>Keys and values of the tokens so far, for every layer: (B, capacity, K, D) each, in memory that is taken once.</summary>
public sealed class KvCache
{
    private readonly Tensor[] _keys;
    private readonly Tensor[] _values;

    /// <summary>An empty cache.</summary>
    /// <param name="arena">Where it lies; it ends with the open scope, or the arena.</param>
    /// <param name="layers">L.</param>
    /// <param name="rows">B.</param>
    /// <param name="capacity">The most tokens of a row.</param>
    /// <param name="heads">K.</param>
    /// <param name="headSize">D.</param>
    /// <param name="type">Of the keys and values that it will be given.</param>
    public KvCache(Arena arena, int layers, int rows, int capacity, int heads, int headSize, DType type = DType.F32)
    {
        ArgumentNullException.ThrowIfNull(arena);
        Capacity = capacity;
        _keys = new Tensor[layers];
        _values = new Tensor[layers];
        Shape shape = new(rows, capacity, heads, headSize);
        for (int i = 0; i < layers; i++)
        {
            // Zeros, not undefined: nothing beyond the filled keys counts, but a kernel may read whole tiles.
            _keys[i] = arena.Zeros(shape, type, MemoryCategory.Workspace, $"cache.{i}.k");
            _values[i] = arena.Zeros(shape, type, MemoryCategory.Workspace, $"cache.{i}.v");
        }
    }

    /// <summary>The most tokens of a row.</summary>
    public int Capacity { get; }

    /// <summary>Writes the keys and values of new tokens behind the past ones; the layer's whole keys and values (B, capacity, K, D).</summary>
    /// <exception cref="ShapeException">The cache is full, or the tensors are of another shape.</exception>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor k, Tensor v, int past)
    {
        ArgumentNullException.ThrowIfNull(k);
        ArgumentNullException.ThrowIfNull(v);
        if (past + k.Shape[1] > Capacity)
        {
            throw new ShapeException($"The cache holds {Capacity} tokens of a row; {past} are there and {k.Shape[1]} more were given.");
        }

        Write(_keys[layer], k, past);
        Write(_values[layer], v, past);
        return (_keys[layer], _values[layer]);
    }

    private static void Write(Tensor cache, Tensor news, int past)
    {
        int width = cache.Shape[2] * cache.Shape[3];
        int length = news.Shape[1];
        if (news.DType != cache.DType || news.Shape[0] != cache.Shape[0] || news.Shape[2] != cache.Shape[2] || news.Shape[3] != cache.Shape[3])
        {
            throw new ShapeException($"{news} does not fit {cache}.");
        }

        for (int row = 0; row < news.Shape[0]; row++)
        {
            cache.CopyFrom(news, (long)row * length * width, (((long)row * cache.Shape[1]) + past) * width, (long)length * width);
        }
    }
}
