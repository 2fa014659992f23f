using System.Buffers;

namespace Graft.Models.Tokenizers;

/// <summary>The added tokens: their ids, their texts, and finding them.</summary>
internal sealed class AddedVocabulary
{
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly Dictionary<int, AddedToken> _tokens = [];
    private readonly Dictionary<int, string> _forms = [];
    private readonly HashSet<string> _special = new(StringComparer.Ordinal);
    private readonly TokenFinder? _raw;
    private readonly TokenFinder? _normalized;

    /// <summary>Gives ids as the reference does: the vocabulary's if it has the text, else the next that is free. The id a file claims does not
    /// count.</summary>
    public AddedVocabulary(IEnumerable<AddedToken> tokens, Vocabulary vocabulary, Normalizer? normalizer)
    {
        int next = vocabulary.Count;
        foreach (AddedToken token in tokens.Where(t => t.Content.Length > 0))
        {
            int id = _ids.TryGetValue(token.Content, out int known) ? known : vocabulary.IdOf(token.Content) ?? next++;
            _ids[token.Content] = id;
            _tokens[id] = token with { Id = id };
            if (token.IsSpecial)
            {
                _special.Add(token.Content);
            }

            if (token.IsNormalized && normalizer is not null)
            {
                NormalizedText form = NormalizedText.Of(CodePoints.Repair(token.Content), aligned: false);
                normalizer.Apply(form, 0);
                _forms[id] = form.Text;
            }
        }

        _raw = TokenFinder.Of(_tokens.Values.Where(t => !t.IsNormalized).Select(t => (t.Content, t)));
        _normalized = TokenFinder.Of(_tokens.Values.Where(t => t.IsNormalized).Select(t => (FormOf(t.Id)!, t)));
        Tokens = [.. _tokens.Values.OrderBy(t => t.Id)];
    }

    /// <summary>All added tokens by id.</summary>
    public IReadOnlyList<AddedToken> Tokens { get; }

    public int? IdOf(string token) => _ids.TryGetValue(token, out int id) ? id : null;

    /// <summary>The text that a token decodes to: its normalized form if it has one.</summary>
    public string? FormOf(int id) => _forms.TryGetValue(id, out string? form) ? form : _tokens.TryGetValue(id, out AddedToken? token) ? token.Content : null;

    public bool IsSpecial(string token) => _special.Contains(token);

    /// <summary>Cuts out added tokens and normalizes what is left: first those of the raw text, then those of the normalized one.</summary>
    public void Extract(PreTokenizedText text, Normalizer? normalizer)
    {
        if (_raw is not null)
        {
            text.Split(_raw.Cut);
        }

        if (normalizer is null && _normalized is null)
        {
            return;
        }

        text.Split((piece, into) =>
        {
            if (normalizer is not null)
            {
                piece = piece.Own();
                normalizer.Apply(piece.Source, piece.OriginalStart);
                piece = piece.Whole();
            }

            if (_normalized is null)
            {
                into.Add(piece);
            }
            else
            {
                _normalized.Cut(piece, into);
            }
        });
    }

    /// <summary>Finds the tokens of a set in texts: leftmost, of those the longest.</summary>
    private sealed class TokenFinder
    {
        private readonly PairTable _trie;
        private readonly List<AddedToken> _tokens = [];
        private readonly SearchValues<char> _firsts;

        private TokenFinder(List<(string Text, AddedToken Token)> tokens)
        {
            _trie = new PairTable(tokens.Sum(t => t.Text.Length));
            int nodes = 1;
            foreach ((string text, AddedToken token) in tokens)
            {
                int node = 0;
                for (int i = 0; i < text.Length; i++)
                {
                    if (!_trie.TryGet(node, text[i], out (int Node, int Token) next))
                    {
                        next = (nodes++, -1);
                    }

                    _trie.Set(node, text[i], next.Node, i == text.Length - 1 ? _tokens.Count : next.Token);
                    node = next.Node;
                }

                _tokens.Add(token);
            }

            _firsts = SearchValues.Create([.. tokens.Select(t => t.Text[0]).Distinct()]);
        }

        public static TokenFinder? Of(IEnumerable<(string Text, AddedToken Token)> tokens)
        {
            List<(string Text, AddedToken Token)> list = [.. tokens.Where(t => t.Text.Length > 0)];
            return list.Count == 0 ? null : new TokenFinder(list);
        }

        public void Cut(Piece piece, List<Piece> into)
        {
            ReadOnlySpan<char> text = piece.Span;
            int done = 0;
            int from = 0;
            while (Find(text, from, out int start, out int end, out AddedToken? token))
            {
                from = end;
                if (token.IsSingleWord && (TouchesWord(text, start, before: true) || TouchesWord(text, end, before: false)))
                {
                    continue;
                }

                if (token.StripsLeft)
                {
                    start = Math.Max(done, BlanksBefore(text, start));
                }

                if (token.StripsRight)
                {
                    end = BlanksAfter(text, end);
                }

                if (done < start)
                {
                    into.Add(piece.Slice(done, start));
                }

                into.Add(piece.Slice(start, end) with { AddedId = token.Id });
                done = end;
            }

            if (done < text.Length)
            {
                into.Add(done == 0 ? piece : piece.Slice(done, text.Length));
            }
        }

        private bool Find(ReadOnlySpan<char> text, int from, out int start, out int end,
            [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out AddedToken? token)
        {
            (end, token) = (-1, null);
            for (start = from; ; start++)
            {
                int step = text[start..].IndexOfAny(_firsts);
                if (step < 0)
                {
                    return false;
                }

                start += step;
                int node = 0;
                for (int at = start; at < text.Length && _trie.TryGet(node, text[at], out (int Node, int Token) next); at++)
                {
                    node = next.Node;
                    if (next.Token >= 0)
                    {
                        (end, token) = (at + 1, _tokens[next.Token]);
                    }
                }

                if (token is not null)
                {
                    return true;
                }
            }
        }

        private static bool TouchesWord(ReadOnlySpan<char> text, int at, bool before) => before
            ? at > 0 && CharacterProperties.IsWordOrJoiner(CodePoints.Previous(text, ref at))
            : at < text.Length && CharacterProperties.IsWordOrJoiner(CodePoints.Next(text, ref at));

        private static int BlanksBefore(ReadOnlySpan<char> text, int end)
        {
            for (int at = end; at > 0 && CharacterProperties.IsWhiteSpace(CodePoints.Previous(text, ref at));)
            {
                end = at;
            }

            return end;
        }

        private static int BlanksAfter(ReadOnlySpan<char> text, int start)
        {
            for (int at = start; at < text.Length && CharacterProperties.IsWhiteSpace(CodePoints.Next(text, ref at));)
            {
                start = at;
            }

            return start;
        }
    }
}
