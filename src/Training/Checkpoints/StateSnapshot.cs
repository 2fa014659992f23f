using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Training.Checkpoints;

/// <summary>State kept in host memory, to go back to: searches of a learning rate, trials, clients of a federation.</summary>
public sealed class StateSnapshot
{
    private readonly IStateful[] _parts;
    private readonly StateWriter[] _sections;
    private readonly MemoryTensors[] _tensors;

    private StateSnapshot(IStateful[] parts, StateWriter[] sections, MemoryTensors[] tensors)
    {
        (_parts, _sections, _tensors) = (parts, sections, tensors);
    }

    /// <summary>Bytes of the tensors that are kept.</summary>
    public long Bytes => _tensors.Sum(t => t.Bytes);

    /// <summary>Copies the state of these parts, each less than 2 GiB a tensor.</summary>
    public static StateSnapshot Take(params ReadOnlySpan<IStateful> parts)
    {
        StateWriter[] sections = new StateWriter[parts.Length];
        MemoryTensors[] tensors = new MemoryTensors[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            sections[i] = new StateWriter($"snapshot{i}");
            parts[i].Save(sections[i]);
            tensors[i] = new MemoryTensors(sections[i].Tensors);
        }

        return new StateSnapshot(parts.ToArray(), sections, tensors);
    }

    /// <summary>Gives the same parts their state back; may be done any number of times.</summary>
    public void Restore()
    {
        using MemoryStream stream = new();
        RunCheckpoint.WriteFields(stream, _sections);
        using JsonDocument fields = JsonDocument.Parse(stream.ToArray());
        for (int i = 0; i < _parts.Length; i++)
        {
            using StateReader reader = new(_sections[i].Section, "snapshot", fields.RootElement.GetProperty(_sections[i].Section), _tensors[i]);
            _parts[i].Load(reader);
        }
    }

    /// <summary>Tensors as bytes, read like a file of weights.</summary>
    private sealed class MemoryTensors : ICheckpoint
    {
        private readonly Dictionary<string, byte[]> _bytes = new(StringComparer.Ordinal);
        private readonly Dictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);

        public MemoryTensors(IReadOnlyList<TensorSource> tensors)
        {
            foreach (TensorSource tensor in tensors)
            {
                byte[] bytes = new byte[tensor.ByteCount];
                using MemoryStream stream = new(bytes);
                tensor.Write(stream);
                _bytes.Add(tensor.Name, bytes);
                _entries.Add(tensor.Name, new TensorEntry(tensor.Name, tensor.Type.Name().ToUpperInvariant(), tensor.Type, tensor.Shape, 0, bytes.Length));
            }
        }

        public string Path => "snapshot";

        public IReadOnlyDictionary<string, TensorEntry> Tensors => _entries;

        public long Bytes => _bytes.Values.Sum(b => (long)b.Length);

        public void Read(string name, long firstElement, Span<float> destination)
        {
            RequireType(name, DType.F32);
            ReadRaw(name, firstElement * sizeof(float), System.Runtime.InteropServices.MemoryMarshal.AsBytes(destination));
        }

        public void Read(string name, long firstElement, Span<BFloat16> destination)
        {
            RequireType(name, DType.BF16);
            ReadRaw(name, firstElement * sizeof(ushort), System.Runtime.InteropServices.MemoryMarshal.AsBytes(destination));
        }

        public void ReadRaw(string name, long firstByte, Span<byte> destination)
        {
            _bytes[this.Entry(name).Name].AsSpan((int)firstByte, destination.Length).CopyTo(destination);
        }

        public void Dispose()
        {
            // Readers close what they read; the snapshot stays.
        }

        private void RequireType(string name, DType type)
        {
            if (this.Entry(name).Type != type)
            {
                throw new CheckpointException($"snapshot: tensor '{name}' holds {this.Entry(name).TypeName} and is kept as it is: read it as that.");
            }
        }
    }
}
