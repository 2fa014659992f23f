using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Fills tensors and parameters from a checkpoint, converting to their element type.</summary>
public static class WeightLoader
{
    private const int Piece = 1 << 14;

    /// <summary>Fills every parameter from the tensor of its name. Each tensor of the checkpoint is used exactly once, except those that may be left.</summary>
    /// <param name="checkpoint">Where from.</param>
    /// <param name="parameters">What to fill; on the meta device only names and shapes are checked.</param>
    /// <param name="mayBeLeft">True for names of tensors that a model may ignore: a tied head, buffers of old files. Null for none.</param>
    /// <param name="nameInFile">The file's name of a parameter, where it may be another; null where names are the same.</param>
    /// <exception cref="CheckpointException">Tensors are missing, left over, of other shapes, or not convertible; all are named together and nothing was written.</exception>
    public static void Load(
        ICheckpoint checkpoint, IEnumerable<Parameter> parameters, Func<string, bool>? mayBeLeft = null, Func<string, string>? nameInFile = null)
    {
        Load(checkpoint, parameters, [], mayBeLeft, nameInFile);
    }

    /// <summary>The same beside weights whose blocks are copied as they are stored.</summary>
    internal static void Load(
        ICheckpoint checkpoint,
        IEnumerable<Parameter> parameters,
        IReadOnlyList<QuantizedWeight> quantized,
        Func<string, bool>? mayBeLeft,
        Func<string, string>? nameInFile)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(parameters);
        (string Name, Parameter Parameter)[] all = [.. parameters.Select(p => (nameInFile?.Invoke(p.Name) ?? p.Name, p))];
        List<string> wrong = [];
        HashSet<string> used = new(quantized.Select(q => q.Name), StringComparer.Ordinal);
        foreach ((string name, Parameter parameter) in all)
        {
            if (!used.Add(name))
            {
                wrong.Add($"'{name}' is asked for twice by the model");
            }
            else if (!checkpoint.Tensors.TryGetValue(name, out TensorEntry? entry))
            {
                wrong.Add($"'{name}' {parameter.Shape} is missing");
            }
            else if (entry.Shape != parameter.Shape)
            {
                wrong.Add($"'{name}' has the shape {entry.Shape}, the model needs {parameter.Shape}");
            }
            else if (!GgmlBlocks.TryGetLayout(entry.TypeName, out _, out _))
            {
                wrong.Add($"'{name}' holds {entry.TypeName}, which cannot be converted");
            }
        }

        wrong.AddRange(checkpoint.Tensors.Values
            .Where(t => !used.Contains(t.Name) && mayBeLeft?.Invoke(t.Name) != true)
            .Select(t => $"'{t.Name}' {t.Shape} is not part of the model"));
        if (wrong.Count > 0)
        {
            throw new CheckpointException($"{checkpoint.Path}: does not fit the model: {MessageList.Join(wrong)}.");
        }

        // Tensors are independent of each other; dequantising is most of the work.
        _ = Parallel.ForEach(all, pair => checkpoint.Read(pair.Name, pair.Parameter.Value));
        _ = Parallel.ForEach(quantized, weight => weight.Codes.WriteBytesOnHost((bytes, start) => checkpoint.ReadRaw(weight.Name, start, bytes)));
    }

    /// <summary>Fills a tensor of the same shape on any device: F32, BF16 and F16 by conversion, other types from their own. Does nothing on the meta device.</summary>
    /// <exception cref="CheckpointException">No such tensor, another shape, or no conversion to the tensor's type.</exception>
    public static void Read(this ICheckpoint checkpoint, string name, Tensor destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        TensorEntry entry = checkpoint.Entry(name);
        if (entry.Shape != destination.Shape)
        {
            throw new CheckpointException($"{checkpoint.Path}: tensor '{name}' has the shape {entry.Shape} and is to fill {destination}.");
        }

        switch (destination.DType)
        {
            case DType.F32:
                destination.WriteOnHost<float>((values, start) => checkpoint.Read(name, start, values));
                break;
            case DType.BF16:
                destination.WriteOnHost<BFloat16>((values, start) => checkpoint.Read(name, start, values));
                break;
            case DType.F16 when entry.Type != DType.F16:
                destination.WriteOnHost<Half>((values, start) => ReadHalves(checkpoint, name, start, values));
                break;
            case var type:
                CheckSame(checkpoint, entry, type);
                destination.WriteBytesOnHost((bytes, start) => checkpoint.ReadRaw(name, start, bytes));
                break;
        }
    }

    /// <summary>Copies elements of one type without conversion, in pieces so that any number of bytes goes.</summary>
    internal static void ReadSame<T>(ICheckpoint checkpoint, TensorEntry entry, Span<T> destination)
        where T : unmanaged
    {
        DType type = DTypeExtensions.Of<T>();
        CheckSame(checkpoint, entry, type);
        for (int i = 0; i < destination.Length; i += Piece)
        {
            Span<T> piece = destination.Slice(i, Math.Min(Piece, destination.Length - i));
            checkpoint.ReadRaw(entry.Name, (long)i * type.Size(), System.Runtime.InteropServices.MemoryMarshal.AsBytes(piece));
        }
    }

    private static void CheckSame(ICheckpoint checkpoint, TensorEntry entry, DType type)
    {
        if (entry.Type != type)
        {
            throw new CheckpointException(
                $"{checkpoint.Path}: tensor '{entry.Name}' holds {entry.TypeName}, not {type.Name()}; read it as its own type, or convert it to F32, BF16 or F16.");
        }
    }

    private static void ReadHalves(ICheckpoint checkpoint, string name, long first, Span<Half> destination)
    {
        float[] floats = new float[Math.Min(Piece, destination.Length)];
        for (int i = 0; i < destination.Length; i += Piece)
        {
            Span<float> piece = floats.AsSpan(0, Math.Min(Piece, destination.Length - i));
            checkpoint.Read(name, first + i, piece);
            System.Numerics.Tensors.TensorPrimitives.ConvertToHalf(piece, destination[i..]);
        }
    }
}
