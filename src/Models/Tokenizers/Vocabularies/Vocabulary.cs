using System.Text.Json;

namespace Graft.Models.Tokenizers;

/// <summary>Tokens and their ids, both ways.</summary>
internal sealed class Vocabulary
{
    // Ids beyond this would cost memory out of proportion to the file.
    private const int MostIds = 1 << 24;

    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _spans;
    private readonly string?[] _tokens;

    private Vocabulary(Dictionary<string, int> ids, string?[] tokens)
    {
        _ids = ids;
        _tokens = tokens;
        _spans = ids.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>Number of tokens.</summary>
    public int Count => _ids.Count;

    /// <summary>The largest id and one.</summary>
    public int Size => _tokens.Length;

    public bool TryGetId(ReadOnlySpan<char> token, out int id) => _spans.TryGetValue(token, out id);

    public int? IdOf(string token) => _ids.TryGetValue(token, out int id) ? id : null;

    public string? TokenOf(int id) => (uint)id < (uint)_tokens.Length ? _tokens[id] : null;

    /// <summary>Reads `{"token": id, ..}`. Two tokens of one id are refused, for decoding would be a guess.</summary>
    public static Vocabulary Read(TokenizerField field)
    {
        Dictionary<string, int> ids = new(StringComparer.Ordinal);
        int largest = -1;
        foreach ((string token, JsonElement value) in field.Entries())
        {
            if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int id) || id < 0 || id >= MostIds)
            {
                throw field.Error($"the id of '{token}' is {value.GetRawText()}: a number from 0 to {MostIds - 1} is needed");
            }

            ids[token] = id;
            largest = Math.Max(largest, id);
        }

        // Holes are allowed, but a few tokens must not ask for memory of millions.
        if (largest > 1_000_000 && largest / 16 > ids.Count)
        {
            throw field.Error($"the largest id is {largest} but there are only {ids.Count} tokens");
        }

        return Build(ids, largest + 1, field);
    }

    /// <summary>A vocabulary whose ids are the places in a list; of equal tokens the last has the name.</summary>
    public static Vocabulary Of(IReadOnlyList<string> tokens)
    {
        Dictionary<string, int> ids = new(tokens.Count, StringComparer.Ordinal);
        for (int id = 0; id < tokens.Count; id++)
        {
            ids[tokens[id]] = id;
        }

        return new Vocabulary(ids, [.. tokens]);
    }

    private static Vocabulary Build(Dictionary<string, int> ids, int size, TokenizerField field)
    {
        string?[] tokens = new string?[size];
        foreach ((string token, int id) in ids)
        {
            if (tokens[id] is { } other)
            {
                throw field.Error($"'{other}' and '{token}' have the same id {id}: decoding it would be a guess; give one of them another id");
            }

            tokens[id] = token;
        }

        return new Vocabulary(ids, tokens);
    }
}
