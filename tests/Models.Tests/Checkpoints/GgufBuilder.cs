using System.Runtime.InteropServices;
using System.Text;

namespace Graft.Models.Tests.Checkpoints;

/// <summary>Builds small GGUF files in memory.</summary>
internal sealed class GgufBuilder(uint version = 3)
{
    private readonly List<(string Key, object Value)> _metadata = [];
    private readonly List<(string Name, long[] Shape, uint Type, byte[] Data, ulong? Offset)> _tensors = [];

    public GgufBuilder Add(string key, object value)
    {
        _metadata.Add((key, value));
        return this;
    }

    /// <summary>A tensor; the shape is outermost first, as everywhere in Graft.</summary>
    public GgufBuilder Tensor(string name, long[] shape, uint type, byte[] data, ulong? offset = null)
    {
        _tensors.Add((name, shape, type, data, offset));
        return this;
    }

    public GgufBuilder Floats(string name, long[] shape, params float[] values) => Tensor(name, shape, 0, MemoryMarshal.AsBytes(values.AsSpan()).ToArray());

    public byte[] Build(int alignment = 32)
    {
        using MemoryStream file = new();
        file.Write("GGUF"u8);
        Bytes(file, version);
        Bytes(file, (ulong)_tensors.Count);
        Bytes(file, (ulong)_metadata.Count);
        foreach ((string key, object value) in _metadata)
        {
            Text(file, key);
            Bytes(file, TypeOf(value));
            Value(file, value);
        }

        using MemoryStream data = new();
        foreach ((string name, long[] shape, uint type, byte[] bytes, ulong? offset) in _tensors)
        {
            Pad(data, alignment);
            Text(file, name);
            Bytes(file, (uint)shape.Length);
            foreach (long axis in shape.Reverse())
            {
                Bytes(file, axis);
            }

            Bytes(file, type);
            Bytes(file, offset ?? (ulong)data.Length);
            data.Write(bytes);
        }

        Pad(data, alignment);
        Pad(file, alignment);
        data.WriteTo(file);
        return file.ToArray();
    }

    private static void Pad(MemoryStream stream, int alignment)
    {
        while (stream.Length % alignment != 0)
        {
            stream.WriteByte(0);
        }
    }

    private static uint TypeOf(object value) => value switch
    {
        byte => 0,
        sbyte => 1,
        ushort => 2,
        short => 3,
        uint => 4,
        int => 5,
        float => 6,
        bool => 7,
        string => 8,
        Array => 9,
        ulong => 10,
        long => 11,
        double => 12,
        _ => throw new ArgumentException(value.ToString()),
    };

    private static void Value(Stream to, object value)
    {
        switch (value)
        {
            case byte v: to.WriteByte(v); break;
            case sbyte v: to.WriteByte((byte)v); break;
            case ushort v: Bytes(to, v); break;
            case short v: Bytes(to, v); break;
            case uint v: Bytes(to, v); break;
            case int v: Bytes(to, v); break;
            case float v: Bytes(to, v); break;
            case bool v: to.WriteByte(v ? (byte)1 : (byte)0); break;
            case string v: Text(to, v); break;
            case ulong v: Bytes(to, v); break;
            case long v: Bytes(to, v); break;
            case double v: Bytes(to, v); break;
            case Array v:
                Bytes(to, v.Length == 0 ? 4u : TypeOf(v.GetValue(0)!));
                Bytes(to, (ulong)v.Length);
                foreach (object item in v)
                {
                    Value(to, item);
                }

                break;
        }
    }

    private static void Text(Stream to, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Bytes(to, (ulong)bytes.Length);
        to.Write(bytes);
    }

    private static void Bytes<T>(Stream to, T value)
        where T : unmanaged
    {
        to.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));
    }
}
