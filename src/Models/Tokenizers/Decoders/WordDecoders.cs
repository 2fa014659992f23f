namespace Graft.Models.Tokenizers;

/// <summary>The mark of a blank becomes a blank; in the first piece it goes if it was put there.</summary>
internal sealed class MetaspaceDecoder(MetaspaceOptions options) : Decoder
{
    public override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        for (int i = 0; i < tokens.Count; i++)
        {
            string blank = i == 0 && options.Prepend != PrependScheme.Never ? string.Empty : " ";
            result.Add(tokens[i].Replace(options.Replacement, blank, StringComparison.Ordinal));
        }

        return result;
    }
}

/// <summary>Continuations lose their prefix, other words get a blank in front; perhaps blanks before punctuation go.</summary>
internal sealed class WordPieceDecoder(string prefix, bool cleanup) : Decoder
{
    private static readonly (string Old, string New)[] s_cleanup =
    [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"),
            (" 've", "'ve"), (" 're", "'re"),
    ];

    /// <summary>Undoes blanks that tokenization put before punctuation and English contractions.</summary>
    public static string Clean(string text) => s_cleanup.Aggregate(text, (t, c) => t.Replace(c.Old, c.New, StringComparison.Ordinal));

    public override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        for (int i = 0; i < tokens.Count; i++)
        {
            string token = tokens[i];
            if (i > 0)
            {
                token = token.StartsWith(prefix, StringComparison.Ordinal) ? token[prefix.Length..] : " " + token;
            }

            result.Add(cleanup ? Clean(token) : token);
        }

        return result;
    }
}

/// <summary>The suffix of words becomes a blank, at the end nothing.</summary>
internal sealed class BpeDecoder(string suffix) : Decoder
{
    public override List<string> Apply(List<string> tokens) =>
        [.. tokens.Select((token, i) => Substitute(token, suffix, i == tokens.Count - 1 ? string.Empty : " "))];
}

/// <summary>Connectionist temporal classification: repeated pieces become one, padding goes, delimiters become blanks (with the clean-up alone, as
/// in the reference).</summary>
internal sealed class CtcDecoder(string padding, string delimiter, bool cleanup) : Decoder
{
    public override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        for (int i = 0; i < tokens.Count; i++)
        {
            if (i > 0 && tokens[i] == tokens[i - 1])
            {
                continue;
            }

            string token = Substitute(tokens[i], padding, string.Empty);
            if (cleanup)
            {
                token = Substitute(WordPieceDecoder.Clean(token), delimiter, " ");
            }

            if (token.Length > 0)
            {
                result.Add(token);
            }
        }

        return result;
    }
}
