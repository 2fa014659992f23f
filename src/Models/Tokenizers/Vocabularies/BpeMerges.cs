using System.Text.Json;

namespace Graft.Models.Tokenizers;

/// <summary>Reads the merges of byte-pair encoding: strings "a b" or pairs ["a", "b"], best first.</summary>
internal static class BpeMerges
{
    public static PairTable Read(TokenizerField field, Vocabulary vocabulary, string prefix)
    {
        List<TokenizerField> items = field.Items();
        PairTable table = new(items.Count);
        int rank = 0;
        foreach (TokenizerField item in items)
        {
            (string left, string right) = (string.Empty, string.Empty);
            if (item.Kind == JsonValueKind.Array)
            {
                List<TokenizerField> pair = item.Items();
                (left, right) = pair.Count == 2 ? (pair[0].Text(), pair[1].Text()) : throw item.Error($"merge {rank} has {pair.Count} parts, not 2");
            }
            else
            {
                string text = item.Text();
                if (text.StartsWith("#version", StringComparison.Ordinal))
                {
                    continue;
                }

                string[] parts = text.Split(' ');
                (left, right) = parts.Length == 2 ? (parts[0], parts[1]) : throw item.Error($"merge {rank}, '{text}', is not two tokens with a blank between");
            }

            Add(table, vocabulary, left, right, prefix, rank, item.Error);
            rank++;
        }

        return table;
    }

    /// <summary>Adds one merge; all three tokens must be in the vocabulary.</summary>
    public static void Add(PairTable table, Vocabulary vocabulary, string left, string right, string prefix, int rank, Func<string, Exception> error)
    {
        int a = IdOf(left);
        int b = IdOf(right);
        if (right.Length < prefix.Length)
        {
            throw error($"merge {rank}: '{right}' is shorter than the prefix '{prefix}'");
        }

        table.Set(a, b, rank, IdOf(left + right[prefix.Length..]));

        int IdOf(string token) => vocabulary.IdOf(token)
            ?? throw error($"merge {rank}, '{left}' and '{right}', needs the token '{token}', which is not in the vocabulary");
    }
}
