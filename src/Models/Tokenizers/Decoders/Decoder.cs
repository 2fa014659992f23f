using System.Text;

namespace Graft.Models.Tokenizers;

/// <summary>Turns tokens back into text, step by step: a list of pieces in, a list of pieces out.</summary>
internal abstract class Decoder
{
    public abstract List<string> Apply(List<string> tokens);

    /// <summary>Reads a decoder; a type that is not known is refused by name.</summary>
    public static Decoder Read(TokenizerField field)
    {
        string type = field.TypeName();
        switch (type)
        {
            case "Sequence":
                return new DecoderSequence([.. field.Get("decoders").Items().Select(Read)]);
            case "ByteLevel":
                return new ByteLevelDecoder();
            case "ByteFallback":
                return new ByteFallbackDecoder();
            case "Fuse":
                return new FuseDecoder();
            case "Replace":
                return new ReplaceDecoder(SplitPattern.Read(field.Get("pattern")), field.Get("content").Text());
            case "Strip":
                return new StripDecoder(field.Get("content").Character(), field.Get("start").Integer(), field.Get("stop").Integer());
            case "Metaspace":
                return new MetaspaceDecoder(MetaspaceOptions.Read(field));
            case "WordPiece":
                return new WordPieceDecoder(field.Get("prefix").Text(), field.Get("cleanup").Boolean());
            case "BPEDecoder":
                return new BpeDecoder(field.Get("suffix").Text());
            case "CTC":
                return new CtcDecoder(field.Get("pad_token").Text(), field.Get("word_delimiter_token").Text(), field.Get("cleanup").Boolean());
            default:
                throw field.Find("type").Error($"the decoder '{type}' is not known");
        }
    }

    /// <summary>Replaces texts; the empty text stands before every character and at the end.</summary>
    private protected static string Substitute(string text, string old, string replacement)
    {
        if (old.Length > 0)
        {
            return text.Replace(old, replacement, StringComparison.Ordinal);
        }

        StringBuilder result = new(replacement);
        for (int at = 0; at < text.Length;)
        {
            CodePoints.Append(result, CodePoints.Next(text, ref at));
            result.Append(replacement);
        }

        return result.ToString();
    }
}

/// <summary>Several decoders, one after the other.</summary>
internal sealed class DecoderSequence(IReadOnlyList<Decoder> parts) : Decoder
{
    public override List<string> Apply(List<string> tokens) => parts.Aggregate(tokens, (current, part) => part.Apply(current));
}

/// <summary>Characters of the byte alphabet become bytes and those text; a token with any other character counts as its own UTF-8.</summary>
internal sealed class ByteLevelDecoder : Decoder
{
    public override List<string> Apply(List<string> tokens)
    {
        List<byte> bytes = [];
        foreach (string token in tokens)
        {
            int first = bytes.Count;
            foreach (char c in token)
            {
                int value = ByteAlphabet.ToByte(c);
                if (value < 0)
                {
                    bytes.RemoveRange(first, bytes.Count - first);
                    bytes.AddRange(System.Text.Encoding.UTF8.GetBytes(token));
                    break;
                }

                bytes.Add((byte)value);
            }
        }

        return [System.Text.Encoding.UTF8.GetString([.. bytes])];
    }
}

/// <summary>Runs of &lt;0x0A&gt; tokens become text, or one U+FFFD each if they are no UTF-8.</summary>
internal sealed class ByteFallbackDecoder : Decoder
{
    private const int TokenLength = 6;

    public override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        List<byte> bytes = [];
        foreach (string token in tokens)
        {
            int value = ByteOf(token);
            if (value >= 0)
            {
                bytes.Add((byte)value);
                continue;
            }

            Flush();
            result.Add(token);
        }

        Flush();
        return result;

        void Flush()
        {
            byte[] run = [.. bytes];
            bytes.Clear();
            if (run.Length == 0)
            {
                return;
            }

            if (System.Text.Unicode.Utf8.IsValid(run))
            {
                result.Add(System.Text.Encoding.UTF8.GetString(run));
            }
            else
            {
                result.AddRange(Enumerable.Repeat("\uFFFD", run.Length));
            }
        }
    }

    private static int ByteOf(string token)
    {
        if (token.Length != TokenLength || !token.StartsWith("<0x", StringComparison.Ordinal) || token[^1] != '>')
        {
            return -1;
        }

        // A sign is taken as well, as the reference's number parser does.
        string digits = token[3] == '+' ? token[4..5] : token[3..5];
        return digits.All(char.IsAsciiHexDigit) ? Convert.ToInt32(digits, 16) : -1;
    }
}

/// <summary>All pieces become one.</summary>
internal sealed class FuseDecoder : Decoder
{
    public override List<string> Apply(List<string> tokens) => [string.Concat(tokens)];
}

/// <summary>Replaces what a pattern finds in each piece.</summary>
internal sealed class ReplaceDecoder(SplitPattern pattern, string content) : Decoder
{
    public override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        List<TextPart> parts = [];
        foreach (string token in tokens)
        {
            parts.Clear();
            pattern.FindParts(token, parts);
            result.Add(string.Concat(parts.Select(p => p.IsMatch ? content : token[p.Start..p.End])));
        }

        return result;
    }
}

/// <summary>Takes up to so many of one character from both ends of each piece.</summary>
internal sealed class StripDecoder(string content, int start, int stop) : Decoder
{
    public override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        foreach (string token in tokens)
        {
            int first = 0;
            for (int i = 0; i < start && token.AsSpan(first).StartsWith(content, StringComparison.Ordinal); i++)
            {
                first += content.Length;
            }

            int last = token.Length;
            for (int i = 0; i < stop && token.AsSpan(0, last).EndsWith(content, StringComparison.Ordinal); i++)
            {
                last -= content.Length;
            }

            result.Add(first < last ? token[first..last] : string.Empty);
        }

        return result;
    }
}
