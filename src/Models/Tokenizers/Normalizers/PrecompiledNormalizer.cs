using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Graft.Models.Tokenizers;

/// <summary>SentencePiece's `precompiled_charsmap`: a double-array trie over UTF-8 bytes that leads to replacements.</summary>
internal sealed class PrecompiledNormalizer : Normalizer
{
    // Longer clusters are looked up code point by code point, as the reference does.
    private const int LongestCluster = 6;

    private readonly uint[] _units;
    private readonly byte[] _replacements;

    private PrecompiledNormalizer(uint[] units, byte[] replacements)
    {
        _units = units;
        _replacements = replacements;
    }

    /// <summary>Reads the map; sizes that do not fit and text that is no UTF-8 are refused.</summary>
    public static PrecompiledNormalizer FromField(TokenizerField field)
    {
        TokenizerField map = field.Get("precompiled_charsmap");
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(map.Text());
        }
        catch (FormatException)
        {
            throw map.Error("the map is no valid base64");
        }

        uint size = bytes.Length >= 4 ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : uint.MaxValue;
        if (size > bytes.Length - 4 || size < 4 || size % 4 != 0)
        {
            throw map.Error($"the map has {bytes.Length} bytes, its trie claims {size}");
        }

        uint[] units = new uint[size / 4];
        for (int i = 0; i < units.Length; i++)
        {
            units[i] = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(4 + (4 * i)));
        }

        byte[] replacements = bytes[(4 + (int)size)..];
        if (!System.Text.Unicode.Utf8.IsValid(replacements))
        {
            throw map.Error("the replacements are no UTF-8");
        }

        return new PrecompiledNormalizer(units, replacements);
    }

    public override void Apply(NormalizedText text, int origin)
    {
        List<Change> changes = new(text.Text.Length);
        bool modified = false;
        ReadOnlySpan<char> rest = text.Text;
        while (!rest.IsEmpty)
        {
            int length = StringInfo.GetNextTextElementLength(rest);
            ReadOnlySpan<char> cluster = rest[..length];
            rest = rest[length..];
            if (length < LongestCluster && System.Text.Encoding.UTF8.GetByteCount(cluster) < LongestCluster && Find(cluster) is { } whole)
            {
                modified = true;
                Replace(changes, CodePoints.Count(cluster), whole);
                continue;
            }

            for (int at = 0; at < cluster.Length;)
            {
                int start = at;
                int c = CodePoints.Next(cluster, ref at);
                if (Find(cluster[start..at]) is { } single)
                {
                    modified = true;
                    Replace(changes, 1, single);
                }
                else
                {
                    changes.Add(new Change(c, 0));
                }
            }
        }

        if (modified)
        {
            text.Apply(changes, 0, origin);
        }
    }

    private static void Replace(List<Change> changes, int before, string replacement)
    {
        int first = changes.Count;
        for (int at = 0; at < replacement.Length;)
        {
            changes.Add(new Change(CodePoints.Next(replacement, ref at), 0));
        }

        int difference = changes.Count - first - before;
        for (int i = changes.Count - difference; difference > 0 && i < changes.Count; i++)
        {
            changes[i] = changes[i] with { Difference = 1 };
        }

        // What goes without a successor is counted to the code point before it.
        if (difference < 0 && changes.Count > 0)
        {
            changes[^1] = changes[^1] with { Difference = changes[^1].Difference + difference };
        }
    }

    /// <summary>The replacement of the shortest prefix in the trie, null if there is none.</summary>
    private string? Find(ReadOnlySpan<char> text)
    {
        Span<byte> utf8 = stackalloc byte[4 * LongestCluster];
        int length = System.Text.Encoding.UTF8.GetBytes(text, utf8);
        uint node = Offset(_units[0]);
        foreach (byte b in utf8[..length])
        {
            if (b == 0)
            {
                break;
            }

            node ^= b;
            if (node >= _units.Length)
            {
                return null;
            }

            uint unit = _units[node];
            if ((unit & 0x800000FF) != b)
            {
                return null;
            }

            node ^= Offset(unit);
            if (((unit >> 8) & 1) == 0)
            {
                continue;
            }

            uint at = node < _units.Length ? _units[node] & 0x7FFFFFFF : uint.MaxValue;
            if (at > _replacements.Length)
            {
                return null;
            }

            ReadOnlySpan<byte> found = _replacements.AsSpan((int)at);
            int end = found.IndexOf((byte)0);
            return System.Text.Encoding.UTF8.GetString(end < 0 ? found : found[..end]);
        }

        return null;
    }

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & (1u << 9)) >> 6);
}
