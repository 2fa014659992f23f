using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Named weights that can be read piece by piece, whatever the file format. Reading is safe from several threads; use after Dispose throws.</summary>
public interface ICheckpoint : IDisposable
{
    /// <summary>The file or folder, for messages.</summary>
    string Path { get; }

    /// <summary>Every tensor by name, in the order of the file.</summary>
    IReadOnlyDictionary<string, TensorEntry> Tensors { get; }

    /// <summary>Converts elements from <paramref name="firstElement"/> on to F32, as many as the destination holds. Widening is exact, F32 keeps its bits.</summary>
    /// <exception cref="CheckpointException">No such tensor, a range outside of it, or an element type that has no conversion.</exception>
    void Read(string name, long firstElement, Span<float> destination);

    /// <summary>Converts elements from <paramref name="firstElement"/> on to BF16 (nearest, ties to even), as many as the destination holds. BF16 keeps its bits.</summary>
    /// <exception cref="CheckpointException">No such tensor, a range outside of it, or an element type that has no conversion.</exception>
    void Read(string name, long firstElement, Span<BFloat16> destination);

    /// <summary>Copies bytes as stored, from <paramref name="firstByte"/> of the tensor on, as many as the destination holds.</summary>
    /// <exception cref="CheckpointException">No such tensor, or a range outside of it.</exception>
    void ReadRaw(string name, long firstByte, Span<byte> destination);
}

/// <summary>Whole-tensor reads on top of <see cref="ICheckpoint"/>.</summary>
public static class CheckpointExtensions
{
    /// <summary>The entry of a tensor.</summary>
    /// <exception cref="CheckpointException">There is none of that name.</exception>
    public static TensorEntry Entry(this ICheckpoint checkpoint, string name)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        return checkpoint.Tensors.TryGetValue(name, out TensorEntry? entry)
            ? entry
            : throw new CheckpointException($"{checkpoint.Path}: there is no tensor '{name}' among the {checkpoint.Tensors.Count} of this checkpoint.");
    }

    /// <summary>Converts a whole tensor to F32; the destination has exactly its number of elements.</summary>
    public static void Read(this ICheckpoint checkpoint, string name, Span<float> destination)
    {
        RequireLength(checkpoint, name, destination.Length);
        checkpoint.Read(name, 0, destination);
    }

    /// <summary>Converts a whole tensor to BF16; the destination has exactly its number of elements.</summary>
    public static void Read(this ICheckpoint checkpoint, string name, Span<BFloat16> destination)
    {
        RequireLength(checkpoint, name, destination.Length);
        checkpoint.Read(name, 0, destination);
    }

    /// <summary>A whole tensor as a new array of F32 values.</summary>
    public static float[] ReadFloats(this ICheckpoint checkpoint, string name)
    {
        float[] values = new float[CountForArray(checkpoint, name)];
        checkpoint.Read(name, 0, values.AsSpan());
        return values;
    }

    /// <summary>A whole tensor as a new array of its own element type, without conversion: `ReadArray&lt;long&gt;` of an I64 tensor.</summary>
    /// <exception cref="CheckpointException">The tensor has another element type.</exception>
    public static T[] ReadArray<T>(this ICheckpoint checkpoint, string name)
        where T : unmanaged
    {
        T[] values = new T[CountForArray(checkpoint, name)];
        WeightLoader.ReadSame(checkpoint, checkpoint.Entry(name), values.AsSpan());
        return values;
    }

    private static void RequireLength(ICheckpoint checkpoint, string name, int length)
    {
        TensorEntry entry = checkpoint.Entry(name);
        if (entry.Shape.Count != length)
        {
            throw new CheckpointException($"{checkpoint.Path}: tensor '{name}' {entry.Shape} has {entry.Shape.Count} elements and the destination has {length}.");
        }
    }

    private static int CountForArray(ICheckpoint checkpoint, string name)
    {
        TensorEntry entry = checkpoint.Entry(name);
        return entry.Shape.Count <= Array.MaxLength
            ? (int)entry.Shape.Count
            : throw new CheckpointException($"{checkpoint.Path}: tensor '{name}' {entry.Shape} is too large for one array; read it in pieces.");
    }
}
