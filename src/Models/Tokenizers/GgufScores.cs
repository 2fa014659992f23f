namespace Graft.Models.Tokenizers;

/// <summary>Makes the merges of a SentencePiece vocabulary explicit.</summary>
internal static class GgufScores
{
    private const int Normal = 1;
    private const int UserDefined = 4;

    // SentencePiece's pieces are short; beyond this, cuts would cost time without end in a hostile file.
    private const int LongestPiece = 512;

    /// <summary>Every way to cut a token into two tokens, ranked by the score of the whole: the merge of highest score comes first, as in the file's
    /// model.</summary>
    public static PairTable ToMerges(GgufVocabulary source, IReadOnlyList<float> scores, Vocabulary vocabulary)
    {
        int[] order = [.. Enumerable.Range(0, source.Tokens.Count).Where(id => IsPiece(source, id)).OrderByDescending(id => scores[id])];
        PairTable merges = new(4 * order.Length);
        int rank = -1;
        float last = float.NaN;
        foreach (int id in order)
        {
            // Equal scores have equal rank, so that among them the leftmost pair wins.
            if (scores[id] != last)
            {
                rank++;
                last = scores[id];
            }

            ReadOnlySpan<char> token = source.Tokens[id];
            for (int cut = 0; cut < token.Length;)
            {
                CodePoints.Next(token, ref cut);
                if (cut < token.Length && vocabulary.TryGetId(token[..cut], out int left) && vocabulary.TryGetId(token[cut..], out int right)
                    && IsPiece(source, left) && IsPiece(source, right))
                {
                    merges.Set(left, right, rank, id);
                }
            }
        }

        return merges;
    }

    private static bool IsPiece(GgufVocabulary source, int id) =>
        source.Tokens[id].Length is > 0 and <= LongestPiece && (source.TokenTypes is not { } types || types[id] is Normal or UserDefined);
}
