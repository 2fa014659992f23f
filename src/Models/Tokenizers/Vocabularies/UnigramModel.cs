using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>The unigram model: the cut of highest total score, found by Viterbi (Kudo 2018, arXiv:1804.10959).</summary>
internal sealed class UnigramModel : TokenModel
{
    private const double UnknownPenalty = 10;

    private readonly PairTable _trie;
    private readonly double[] _scores;
    private readonly double _unknownScore;
    private readonly int _unknown;
    private readonly bool _byteFallback;

    public UnigramModel(Vocabulary vocabulary, double[] scores, int unknown, bool byteFallback)
        : base(vocabulary)
    {
        _scores = scores;
        _unknown = unknown;
        _byteFallback = byteFallback;
        _unknownScore = (scores.Length == 0 ? 0 : scores.Min()) - UnknownPenalty;
        _trie = BuildTrie(vocabulary);
    }

    public static UnigramModel FromField(TokenizerField field)
    {
        TokenizerField vocab = field.Get("vocab");
        List<string> tokens = [];
        List<double> scores = [];
        foreach (TokenizerField item in vocab.Items())
        {
            List<TokenizerField> pair = item.Items();
            if (pair.Count != 2)
            {
                throw item.Error($"entry {tokens.Count} has {pair.Count} parts, not a token and a score");
            }

            tokens.Add(pair[0].Text());
            scores.Add(pair[1].Number());
        }

        TokenizerField unknown = field.Find("unk_id");
        int id = unknown.IsNull ? -1 : unknown.Integer();
        if (id >= tokens.Count)
        {
            throw unknown.Error($"the id {id} is beyond the {tokens.Count} tokens");
        }

        return new UnigramModel(Vocabulary.Of(tokens), [.. scores], id, field.Find("byte_fallback").Boolean(false));
    }

    public override void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<int> ids)
    {
        List<ModelToken> tokens = [];
        Tokenize(piece, bytes, tokens);
        foreach (ModelToken token in tokens)
        {
            ids.Add(token.Id);
        }
    }

    public override void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<ModelToken> tokens)
    {
        List<(int Start, int End)> cut = Cut(piece);
        int at = 0;
        foreach ((int start, int end) in cut)
        {
            ReadOnlySpan<char> text = piece[start..end];
            int length = System.Text.Encoding.UTF8.GetByteCount(text);
            if (Vocabulary.TryGetId(text, out int id))
            {
                tokens.Add(new ModelToken(id, at, at + length));
            }
            else if (!TryBytes(text, at, length, tokens))
            {
                tokens.Add(new ModelToken(_unknown >= 0 ? _unknown : throw Missing(), at, at + length, text.ToString()));
            }

            at += length;
        }
    }

    private static CheckpointException Missing() => new("model.unk_id: a character is not in the vocabulary and the file names no unknown token");

    private static PairTable BuildTrie(Vocabulary vocabulary)
    {
        // Value: the next node, and the token that ends there or -1.
        PairTable trie = new(4 * vocabulary.Size);
        int nodes = 1;
        for (int id = 0; id < vocabulary.Size; id++)
        {
            string token = vocabulary.TokenOf(id)!;
            int node = 0;
            for (int i = 0; i < token.Length; i++)
            {
                bool known = trie.TryGet(node, token[i], out (int Node, int Id) next);
                if (!known)
                {
                    next = (nodes++, -1);
                }

                if (!known || i == token.Length - 1)
                {
                    trie.Set(node, token[i], next.Node, i == token.Length - 1 ? vocabulary.IdOf(token)!.Value : next.Id);
                }

                node = next.Node;
            }
        }

        return trie;
    }

    private List<(int Start, int End)> Cut(ReadOnlySpan<char> text)
    {
        (int Id, double Score, int Start)[] best = new (int, double, int)[text.Length + 1];
        Array.Fill(best, (0, 0, -1));
        for (int start = 0; start < text.Length;)
        {
            double here = best[start].Score;
            int after = start;
            CodePoints.Next(text, ref after);
            bool single = false;
            int node = 0;
            for (int at = start; at < text.Length && _trie.TryGet(node, text[at], out (int Node, int Id) next); at++)
            {
                node = next.Node;
                if (next.Id < 0)
                {
                    continue;
                }

                Offer(best, at + 1, next.Id, here + _scores[next.Id], start);
                single |= at + 1 == after;
            }

            if (!single)
            {
                Offer(best, after, _unknown >= 0 ? _unknown : throw Missing(), here + _unknownScore, start);
            }

            start = after;
        }

        // Unknown neighbours become one.
        List<(int Start, int End)> cut = [];
        bool lastUnknown = false;
        for (int end = text.Length; end > 0; end = best[end].Start)
        {
            bool unknown = best[end].Id == _unknown;
            if (unknown && lastUnknown)
            {
                cut[^1] = (best[end].Start, cut[^1].End);
            }
            else
            {
                cut.Add((best[end].Start, end));
            }

            lastUnknown = unknown;
        }

        cut.Reverse();
        return cut;
    }

    private static void Offer((int Id, double Score, int Start)[] best, int end, int id, double score, int start)
    {
        if (best[end].Start < 0 || score > best[end].Score)
        {
            best[end] = (id, score, start);
        }
    }

    private bool TryBytes(ReadOnlySpan<char> text, int at, int length, List<ModelToken> tokens)
    {
        if (!_byteFallback)
        {
            return false;
        }

        int first = tokens.Count;
        foreach (byte b in System.Text.Encoding.UTF8.GetBytes(text.ToArray()))
        {
            if (Vocabulary.IdOf(BpeModel.ByteToken(b)) is not { } id)
            {
                tokens.RemoveRange(first, tokens.Count - first);
                return false;
            }

            tokens.Add(new ModelToken(id, at, at + length));
        }

        return true;
    }
}
