using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>The greedy model of BERT: the longest known beginning, then the longest known continuation, and so on.</summary>
internal sealed class WordPieceModel(Vocabulary vocabulary, string unknown, string prefix, int longest) : TokenModel(vocabulary)
{
    public static WordPieceModel FromField(TokenizerField field) => new(
        Vocabulary.Read(field.Get("vocab")),
        field.Get("unk_token").Text(),
        field.Get("continuing_subword_prefix").Text(),
        field.Get("max_input_chars_per_word").Integer());

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
        int first = tokens.Count;
        if (CodePoints.Count(piece) > longest || !TryCut(piece, tokens))
        {
            tokens.RemoveRange(first, tokens.Count - first);
            int id = Vocabulary.IdOf(unknown)
                ?? throw new CheckpointException($"model.unk_token: '{unknown}' is needed for a word but is not in the vocabulary");
            tokens.Add(new ModelToken(id, 0, System.Text.Encoding.UTF8.GetByteCount(piece), unknown));
        }
    }

    private bool TryCut(ReadOnlySpan<char> piece, List<ModelToken> tokens)
    {
        char[] buffer = new char[prefix.Length + piece.Length];
        prefix.CopyTo(buffer);
        int at = 0;
        for (int start = 0; start < piece.Length;)
        {
            int end = piece.Length;
            int id = -1;
            while (start < end)
            {
                ReadOnlySpan<char> candidate = piece[start..end];
                if (start > 0)
                {
                    candidate.CopyTo(buffer.AsSpan(prefix.Length));
                    candidate = buffer.AsSpan(0, prefix.Length + candidate.Length);
                }

                if (Vocabulary.TryGetId(candidate, out id))
                {
                    break;
                }

                id = -1;
                CodePoints.Previous(piece, ref end);
            }

            if (id < 0)
            {
                return false;
            }

            int length = System.Text.Encoding.UTF8.GetByteCount(piece[start..end]);
            tokens.Add(new ModelToken(id, at, at + length));
            at += length;
            start = end;
        }

        return true;
    }
}

/// <summary>Whole words or the unknown token.</summary>
internal sealed class WordLevelModel(Vocabulary vocabulary, string unknown) : TokenModel(vocabulary)
{
    public static WordLevelModel FromField(TokenizerField field) => new(Vocabulary.Read(field.Get("vocab")), field.Get("unk_token").Text());

    public override void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<int> ids) => ids.Add(IdOf(piece, out _));

    public override void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<ModelToken> tokens)
    {
        int id = IdOf(piece, out bool known);
        tokens.Add(new ModelToken(id, 0, System.Text.Encoding.UTF8.GetByteCount(piece), known ? null : unknown));
    }

    private int IdOf(ReadOnlySpan<char> piece, out bool known)
    {
        known = Vocabulary.TryGetId(piece, out int id);
        return known ? id
            : Vocabulary.IdOf(unknown)
                ?? throw new CheckpointException($"model.unk_token: '{unknown}' is needed for a word but is not in the vocabulary");
    }
}
