namespace Graft.Training.Data;

/// <summary>What the data layer needs of a tokenizer. Must be usable from several threads at once.</summary>
public interface ITextEncoder
{
    /// <summary>Identifies the tokenizer: equal fingerprints give equal tokens. Part of the key of cached data.</summary>
    string Fingerprint { get; }

    /// <summary>The special tokens by their text.</summary>
    IReadOnlyDictionary<string, int> SpecialTokens { get; }

    /// <summary>The token that starts a sequence, null if the model has none.</summary>
    int? BosToken { get; }

    /// <summary>The token that ends a sequence, null if the model has none.</summary>
    int? EosToken { get; }

    /// <summary>Appends the tokens of a text; the text of a special token in it is encoded as ordinary characters.</summary>
    void Encode(ReadOnlySpan<char> text, List<int> ids);
}
