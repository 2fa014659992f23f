namespace Graft.Models.Tokenizers;

/// <summary>Adds the tokens that a model expects around its input, and trims offsets.</summary>
internal abstract class PostProcessor
{
    /// <summary>Processes one part per sequence; the result is joined.</summary>
    public abstract List<EncodingPart> Process(List<EncodingPart> parts, bool addSpecialTokens);

    /// <summary>The ids before and after a single sequence; null if they are not that simple.</summary>
    public abstract (IReadOnlyList<int> Before, IReadOnlyList<int> After)? Surroundings { get; }

    /// <summary>Reads a post-processor; a type that is not known is refused by name.</summary>
    public static PostProcessor Read(TokenizerField field)
    {
        string type = field.TypeName();
        switch (type)
        {
            case "Sequence":
                return new PostProcessorSequence([.. field.Get("processors").Items().Select(Read)]);
            case "TemplateProcessing":
                return TemplateProcessor.FromField(field);
            case "BertProcessing":
                return new BertProcessor(TokenOf(field.Get("cls")), TokenOf(field.Get("sep")));
            case "RobertaProcessing":
                return new RobertaProcessor(
                    TokenOf(field.Get("cls")), TokenOf(field.Get("sep")), field.Get("trim_offsets").Boolean(), field.Get("add_prefix_space").Boolean());
            case "ByteLevel":
                return new ByteLevelProcessor(field.Get("trim_offsets").Boolean(), field.Get("add_prefix_space").Boolean());
            default:
                throw field.Find("type").Error($"the post-processor '{type}' is not known");
        }
    }

    private static (string Token, int Id) TokenOf(TokenizerField field)
    {
        List<TokenizerField> pair = field.Items();
        return pair.Count == 2 ? (pair[0].Text(), pair[1].Integer()) : throw field.Error("a token and its id are needed");
    }
}

/// <summary>Several post-processors, one after the other.</summary>
internal sealed class PostProcessorSequence(IReadOnlyList<PostProcessor> parts) : PostProcessor
{
    public override (IReadOnlyList<int> Before, IReadOnlyList<int> After)? Surroundings
    {
        get
        {
            List<int> before = [];
            List<int> after = [];
            foreach (PostProcessor part in parts)
            {
                if (part.Surroundings is not { } around)
                {
                    return null;
                }

                before.InsertRange(0, around.Before);
                after.AddRange(around.After);
            }

            return (before, after);
        }
    }

    public override List<EncodingPart> Process(List<EncodingPart> sequences, bool addSpecialTokens)
    {
        foreach (PostProcessor part in parts)
        {
            sequences = part.Process(sequences, addSpecialTokens);
        }

        return sequences;
    }
}

/// <summary>Trims offsets of byte-level tokens.</summary>
internal sealed class ByteLevelProcessor(bool trim, bool prefix) : PostProcessor
{
    public override (IReadOnlyList<int> Before, IReadOnlyList<int> After)? Surroundings => ([], []);

    public override List<EncodingPart> Process(List<EncodingPart> parts, bool addSpecialTokens)
    {
        if (trim)
        {
            parts.ForEach(p => Trim(p, prefix));
        }

        return parts;
    }

    /// <summary>Takes blanks at the ends of tokens out of their offsets; a single blank in front of the first may be one that was put there.</summary>
    public static void Trim(EncodingPart part, bool prefix)
    {
        for (int i = 0; i < part.Count; i++)
        {
            string token = part.Tokens[i];
            int leading = 0;
            for (int at = 0; at < token.Length && IsBlank(CodePoints.Next(token, ref at)); leading++)
            {
            }

            int trailing = 0;
            for (int at = token.Length; at > 0 && IsBlank(CodePoints.Previous(token, ref at)); trailing++)
            {
            }

            if (leading > 0)
            {
                bool first = i == 0 || part.Starts[i] == 0;
                leading = first && prefix && leading == 1 ? 0 : leading;
                part.Starts[i] = Math.Min(part.Starts[i] + leading, part.Ends[i]);
            }

            if (trailing > 0 && part.Ends[i] >= trailing)
            {
                part.Ends[i] = Math.Max(part.Ends[i] - trailing, part.Starts[i]);
            }
        }
    }

    private static bool IsBlank(int c) => c == ByteAlphabet.Space || CharacterProperties.IsWhiteSpace(c);
}

/// <summary>[CLS] A [SEP], and B [SEP] of type 1 for a second sequence.</summary>
internal sealed class BertProcessor((string Token, int Id) first, (string Token, int Id) separator) : PostProcessor
{
    public override (IReadOnlyList<int> Before, IReadOnlyList<int> After)? Surroundings => ([first.Id], [separator.Id]);

    public override List<EncodingPart> Process(List<EncodingPart> parts, bool addSpecialTokens)
    {
        if (!addSpecialTokens)
        {
            return parts;
        }

        List<EncodingPart> result = [];
        for (int i = 0; i < parts.Count; i++)
        {
            if (i == 0)
            {
                result.Add(EncodingPart.OfTemplate([first.Id], [first.Token], 0));
            }

            result.Add(parts[i]);
            result.Add(EncodingPart.OfTemplate([separator.Id], [separator.Token], i == 0 ? 0 : 1));
        }

        return result;
    }
}

/// <summary>&lt;s&gt; A &lt;/s&gt;, and &lt;/s&gt; B &lt;/s&gt; for a second sequence, all of type 0.</summary>
internal sealed class RobertaProcessor((string Token, int Id) first, (string Token, int Id) separator, bool trim, bool prefix) : PostProcessor
{
    public override (IReadOnlyList<int> Before, IReadOnlyList<int> After)? Surroundings => ([first.Id], [separator.Id]);

    public override List<EncodingPart> Process(List<EncodingPart> parts, bool addSpecialTokens)
    {
        List<EncodingPart> result = [];
        for (int i = 0; i < parts.Count; i++)
        {
            if (trim)
            {
                ByteLevelProcessor.Trim(parts[i], prefix);
            }

            parts[i].SetType(0);
            if (!addSpecialTokens)
            {
                result.Add(parts[i]);
                continue;
            }

            (string token, int id) = i == 0 ? first : separator;
            result.Add(EncodingPart.OfTemplate([id], [token], 0));
            result.Add(parts[i]);
            result.Add(EncodingPart.OfTemplate([separator.Id], [separator.Token], 0));
        }

        return result;
    }
}
