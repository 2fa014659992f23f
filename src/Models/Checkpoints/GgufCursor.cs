using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Unicode;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Reads values from the front of a mapped GGUF file; every length is checked against what is left before it is used.</summary>
internal unsafe ref struct GgufCursor(string path, byte* start, long length)
{
    private const int MaxDepth = 4;

    public long At { get; private set; }

    public readonly long Left => length - At;

    public T Read<T>(string what)
        where T : unmanaged
    {
        Need(sizeof(T), what);
        T value = Unsafe.ReadUnaligned<T>(start + At);
        At += sizeof(T);
        return value;
    }

    /// <summary>A count of items of at least so many bytes each: never more than the file can hold.</summary>
    public int ReadCount(int leastBytes, string what)
    {
        ulong count = Read<ulong>(what);
        return count <= (ulong)(Left / leastBytes) && count <= (ulong)Array.MaxLength
            ? (int)count
            : throw new CheckpointException($"{path}: {what} claims {count} items, more than the {Left} bytes left can hold; the file is truncated or damaged.");
    }

    public string ReadText(string what, bool strict)
    {
        ReadOnlySpan<byte> bytes = Take(ReadCount(1, what));
        return !strict || Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes) : throw new CheckpointException($"{path}: {what} is not UTF-8.");
    }

    /// <summary>A metadata value as its .NET type; arrays of plain types as arrays of theirs, arrays of arrays as object[].</summary>
    public object ReadValue(uint type, string key, int depth = 0)
    {
        return type switch
        {
            0 => Read<byte>(key),
            1 => Read<sbyte>(key),
            2 => Read<ushort>(key),
            3 => Read<short>(key),
            4 => Read<uint>(key),
            5 => Read<int>(key),
            6 => Read<float>(key),
            7 => Read<byte>(key) != 0,
            8 => ReadText(key, strict: false),
            9 => ReadList(key, depth),
            10 => Read<ulong>(key),
            11 => Read<long>(key),
            12 => Read<double>(key),
            _ => throw new CheckpointException($"{path}: the metadata value '{key}' has the unknown type {type}."),
        };
    }

    private object ReadList(string key, int depth)
    {
        if (depth == MaxDepth)
        {
            throw new CheckpointException($"{path}: the metadata value '{key}' nests lists more than {MaxDepth} deep.");
        }

        uint type = Read<uint>(key);
        switch (type)
        {
            case 0:
                return ReadArray<byte>(key);
            case 1:
                return ReadArray<sbyte>(key);
            case 2:
                return ReadArray<ushort>(key);
            case 3:
                return ReadArray<short>(key);
            case 4:
                return ReadArray<uint>(key);
            case 5:
                return ReadArray<int>(key);
            case 6:
                return ReadArray<float>(key);
            case 7:
                return Array.ConvertAll(ReadArray<byte>(key), b => b != 0);
            case 8:
                string[] texts = new string[ReadCount(8, key)];
                for (int i = 0; i < texts.Length; i++)
                {
                    texts[i] = ReadText(key, strict: false);
                }

                return texts;
            case 9:
                object[] lists = new object[ReadCount(12, key)];
                for (int i = 0; i < lists.Length; i++)
                {
                    lists[i] = ReadList(key, depth + 1);
                }

                return lists;
            case 10:
                return ReadArray<ulong>(key);
            case 11:
                return ReadArray<long>(key);
            case 12:
                return ReadArray<double>(key);
            default:
                throw new CheckpointException($"{path}: the metadata list '{key}' has items of the unknown type {type}.");
        }
    }

    private T[] ReadArray<T>(string key)
        where T : unmanaged
    {
        T[] items = new T[ReadCount(sizeof(T), key)];
        ReadOnlySpan<byte> bytes = Take((long)items.Length * sizeof(T));
        bytes.CopyTo(System.Runtime.InteropServices.MemoryMarshal.AsBytes(items.AsSpan()));
        return items;
    }

    private ReadOnlySpan<byte> Take(long count)
    {
        ReadOnlySpan<byte> bytes = new(start + At, checked((int)count));
        At += count;
        return bytes;
    }

    private readonly void Need(long bytes, string what)
    {
        if (bytes > Left)
        {
            throw new CheckpointException($"{path}: ends within {what}; the file is truncated.");
        }
    }
}
