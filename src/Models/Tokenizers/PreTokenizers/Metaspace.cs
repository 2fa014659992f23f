namespace Graft.Models.Tokenizers;

/// <summary>When the mark of a blank is put in front.</summary>
internal enum PrependScheme
{
    First,
    Never,
    Always,
}

/// <summary>The settings that Metaspace shares as pre-tokenizer and decoder.</summary>
internal sealed record MetaspaceOptions(string Replacement, PrependScheme Prepend, bool Split)
{
    public static MetaspaceOptions Read(TokenizerField field)
    {
        TokenizerField scheme = field.Find("prepend_scheme");
        PrependScheme prepend = scheme.OptionalText() switch
        {
            null or "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            string other => throw scheme.Error($"the scheme '{other}' is not known: first, never or always"),
        };
        TokenizerField old = field.Find("add_prefix_space");
        if (!old.Boolean(true))
        {
            if (!scheme.IsNull && prepend != PrependScheme.Never)
            {
                throw old.Error("add_prefix_space is false but prepend_scheme says otherwise");
            }

            prepend = PrependScheme.Never;
        }

        return new MetaspaceOptions(field.Get("replacement").Character(), prepend, field.Find("split").Boolean(true));
    }
}

/// <summary>Blanks become a visible mark; words begin with it.</summary>
internal sealed class MetaspacePreTokenizer(MetaspaceOptions options) : PreTokenizer
{
    private static readonly SplitPattern s_blank = SplitPattern.OfLiteral(" ");
    private readonly int _mark = char.ConvertToUtf32(options.Replacement, 0);

    public override bool NeedsAlignment => options.Prepend == PrependScheme.First;

    public override void Apply(PreTokenizedText text) => text.Split((piece, into) =>
    {
        piece = piece.Own();
        piece.Source.Replace(s_blank, options.Replacement, piece.OriginalStart);
        bool marked = piece.Source.Text.StartsWith(options.Replacement, StringComparison.Ordinal);
        if (!marked && (options.Prepend == PrependScheme.Always || (options.Prepend == PrependScheme.First && piece.OriginalStart == 0)))
        {
            piece.Source.Prepend(options.Replacement);
        }

        piece = piece.Whole();
        if (options.Split)
        {
            text.SplitPiece(piece, c => c == _mark, SplitBehavior.MergedWithNext, into);
        }
        else
        {
            into.Add(piece);
        }
    });
}

/// <summary>Cuts where the script changes; Japanese counts as Han, blanks as any.</summary>
internal sealed class ScriptPreTokenizer : PreTokenizer
{
    private const string Any = "Any";

    public override void Apply(PreTokenizedText text) => text.Split(static (piece, into) =>
    {
        ReadOnlySpan<char> span = piece.Span;
        string? last = null;
        int start = -1;
        for (int at = 0; at < span.Length;)
        {
            int before = at;
            string script = ScriptOf(CodePoints.Next(span, ref at));
            if (script != Any && last != script)
            {
                if (start >= 0)
                {
                    into.Add(piece.Slice(start, before));
                }

                start = before;
            }

            if (script != Any)
            {
                last = script;
            }
        }

        // Blanks in front of all scripts belong to no piece, as in the reference.
        if (start >= 0)
        {
            into.Add(piece.Slice(start, span.Length));
        }
    });

    private static string ScriptOf(int c)
    {
        if (c == 0x30FC)
        {
            return "Han";
        }

        if (c == ' ')
        {
            return Any;
        }

        string script = PropertyTable.Shared.ScriptOf(c);
        return script is "Hiragana" or "Katakana" ? "Han" : script == "Unknown" ? Any : script;
    }
}
