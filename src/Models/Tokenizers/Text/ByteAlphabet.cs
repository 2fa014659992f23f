using System.Text;

namespace Graft.Models.Tokenizers;

/// <summary>GPT-2's alphabet: each byte has a printable character, those of ASCII and Latin-1 themselves, the others from U+0100 on.</summary>
internal static class ByteAlphabet
{
    private const int Size = 256;

    private static readonly char[] s_characters = Characters();
    private static readonly short[] s_bytes = Bytes(s_characters);

    /// <summary>The character of the blank.</summary>
    public const char Space = '\u0120';

    public static char ToCharacter(byte value) => s_characters[value];

    /// <summary>The byte of a character, -1 if it has none.</summary>
    public static int ToByte(char character) => character < s_bytes.Length ? s_bytes[character] : -1;

    /// <summary>The text with every byte of its UTF-8 form as a character.</summary>
    public static string Map(ReadOnlySpan<char> text)
    {
        StringBuilder result = new(text.Length + 8);
        Span<byte> utf8 = stackalloc byte[4];
        for (int at = 0; at < text.Length;)
        {
            int count = new Rune(CodePoints.Next(text, ref at)).EncodeToUtf8(utf8);
            foreach (byte b in utf8[..count])
            {
                result.Append(s_characters[b]);
            }
        }

        return result.ToString();
    }

    /// <summary>Maps a text in place, keeping its alignments.</summary>
    public static void Apply(NormalizedText text, int origin)
    {
        List<Change> changes = new(text.Text.Length);
        Span<byte> utf8 = stackalloc byte[4];
        for (int at = 0; at < text.Text.Length;)
        {
            int count = new Rune(CodePoints.Next(text.Text, ref at)).EncodeToUtf8(utf8);
            for (int i = 0; i < count; i++)
            {
                changes.Add(new Change(s_characters[utf8[i]], i == 0 ? 0 : 1));
            }
        }

        text.Apply(changes, 0, origin);
    }

    private static char[] Characters()
    {
        char[] characters = new char[Size];
        int next = Size;
        for (int b = 0; b < Size; b++)
        {
            bool printable = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            characters[b] = printable ? (char)b : (char)next++;
        }

        return characters;
    }

    private static short[] Bytes(char[] characters)
    {
        short[] bytes = new short[characters.Max() + 1];
        Array.Fill(bytes, (short)-1);
        for (int b = 0; b < Size; b++)
        {
            bytes[characters[b]] = (short)b;
        }

        return bytes;
    }
}
