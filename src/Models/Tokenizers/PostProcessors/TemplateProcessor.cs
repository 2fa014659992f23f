namespace Graft.Models.Tokenizers;

/// <summary>Special tokens around one or two sequences, as a template has them.</summary>
internal sealed class TemplateProcessor : PostProcessor
{
    private readonly IReadOnlyList<TemplatePiece> _single;
    private readonly IReadOnlyList<TemplatePiece> _pair;

    private TemplateProcessor(IReadOnlyList<TemplatePiece> single, IReadOnlyList<TemplatePiece> pair)
    {
        _single = single;
        _pair = pair;
    }

    /// <summary>A sequence by its number, or special tokens.</summary>
    private sealed record TemplatePiece(int Sequence, int TypeId, IReadOnlyList<int> Ids, IReadOnlyList<string> Tokens);

    public override (IReadOnlyList<int> Before, IReadOnlyList<int> After)? Surroundings
    {
        get
        {
            if (_single.Count(p => p.Sequence >= 0) != 1)
            {
                return null;
            }

            List<int> before = [.. _single.TakeWhile(p => p.Sequence < 0).SelectMany(p => p.Ids)];
            List<int> after = [.. _single.SkipWhile(p => p.Sequence < 0).SelectMany(p => p.Ids)];
            return (before, after);
        }
    }

    public static TemplateProcessor FromField(TokenizerField field)
    {
        Dictionary<string, (List<int>, List<string>)> tokens = new(StringComparer.Ordinal);
        TokenizerField special = field.Get("special_tokens");
        foreach ((string name, _) in special.Entries())
        {
            TokenizerField token = special.Get(name);
            List<int> ids = [.. token.Get("ids").Items().Select(i => i.Integer())];
            List<string> texts = [.. token.Get("tokens").Items().Select(t => t.Text())];
            if (ids.Count != texts.Count)
            {
                throw token.Error($"{ids.Count} ids but {texts.Count} tokens");
            }

            tokens[name] = (ids, texts);
        }

        return new TemplateProcessor(Pieces(field.Get("single"), 1, tokens), Pieces(field.Get("pair"), 2, tokens));
    }

    /// <summary>A template of special tokens before and after each sequence.</summary>
    public static TemplateProcessor Around(IReadOnlyList<(string Token, int Id)> before, IReadOnlyList<(string Token, int Id)> after)
    {
        TemplatePiece[] OfSequence(int number) =>
            [.. before.Select(t => Special(t, number)), new TemplatePiece(number, number, [], []), .. after.Select(t => Special(t, number))];
        return new TemplateProcessor(OfSequence(0), [.. OfSequence(0), .. OfSequence(1)]);

        static TemplatePiece Special((string Token, int Id) token, int type) => new(-1, type, [token.Id], [token.Token]);
    }

    public override List<EncodingPart> Process(List<EncodingPart> parts, bool addSpecialTokens)
    {
        List<EncodingPart> result = [];
        foreach (TemplatePiece piece in parts.Count == 1 ? _single : _pair)
        {
            if (piece.Sequence >= 0)
            {
                result.Add(parts[piece.Sequence].WithType(piece.TypeId));
            }
            else if (addSpecialTokens)
            {
                result.Add(EncodingPart.OfTemplate(piece.Ids, piece.Tokens, piece.TypeId));
            }
        }

        return result;
    }

    private static List<TemplatePiece> Pieces(TokenizerField field, int sequences, Dictionary<string, (List<int> Ids, List<string> Tokens)> tokens)
    {
        List<TemplatePiece> pieces = [];
        foreach (TokenizerField item in field.Items())
        {
            TokenizerField sequence = item.Find("Sequence");
            if (!sequence.IsNull)
            {
                int number = sequence.Get("id").Text() switch
                {
                    "A" => 0,
                    "B" => 1,
                    string other => throw sequence.Error($"the sequence '{other}' is not known: A or B"),
                };
                if (number >= sequences)
                {
                    throw sequence.Error("the template of a single sequence uses B");
                }

                pieces.Add(new TemplatePiece(number, sequence.Get("type_id").Integer(), [], []));
                continue;
            }

            TokenizerField special = item.Get("SpecialToken");
            string id = special.Get("id").Text();
            if (!tokens.TryGetValue(id, out (List<int> Ids, List<string> Tokens) token))
            {
                throw special.Error($"the token '{id}' is not among special_tokens");
            }

            pieces.Add(new TemplatePiece(-1, special.Get("type_id").Integer(), token.Ids, token.Tokens));
        }

        return pieces;
    }
}
