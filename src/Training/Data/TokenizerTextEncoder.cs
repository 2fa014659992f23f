using System.Security.Cryptography;
using System.Text;
using Graft.Models.Tokenizers;

namespace Graft.Training.Data;

/// <summary>A <see cref="Tokenizer"/> as the data layer needs it: special tokens come from formats only, never from data.</summary>
public sealed class TokenizerTextEncoder : ITextEncoder
{
    private readonly Tokenizer _tokenizer;
    private readonly string[] _specials;
    private readonly HashSet<int> _forbidden;

    /// <summary>Wraps a tokenizer.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="fingerprint">Identifies it: the hash of the files it was read from.</param>
    public TokenizerTextEncoder(Tokenizer tokenizer, string fingerprint)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentException.ThrowIfNullOrEmpty(fingerprint);
        _tokenizer = tokenizer;
        Fingerprint = fingerprint;
        Dictionary<string, int> specials = [];
        foreach (AddedToken token in tokenizer.AddedTokens)
        {
            if (token.IsSpecial)
            {
                specials[token.Content] = token.Id;
            }
        }

        SpecialTokens = specials;
        _specials = [.. specials.Keys.Where(s => s.Length > 1)];

        // Unknown text gives the unknown token without anybody asking for it.
        _forbidden = [.. specials.Values.Where(id => id != tokenizer.UnknownId)];
    }

    /// <inheritdoc/>
    public string Fingerprint { get; }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, int> SpecialTokens { get; }

    /// <inheritdoc/>
    public int? BosToken => _tokenizer.BosId;

    /// <inheritdoc/>
    public int? EosToken => _tokenizer.EosId;

    /// <summary>Loads a tokenizer.json, or the one in a folder, with the tokenizer_config.json beside it; the fingerprint is the hash of both.</summary>
    /// <exception cref="Graft.Runtime.CheckpointException">A file is missing or broken.</exception>
    public static TokenizerTextEncoder Load(string path)
    {
        Tokenizer tokenizer = Tokenizer.Load(path);
        string json = Directory.Exists(path) ? Path.Combine(path, "tokenizer.json") : path;
        string config = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(json))!, "tokenizer_config.json");
        byte[] hashes = [.. SHA256.HashData(File.ReadAllBytes(json)), .. File.Exists(config) ? SHA256.HashData(File.ReadAllBytes(config)) : []];
        return new TokenizerTextEncoder(tokenizer, Convert.ToHexStringLower(SHA256.HashData(hashes)));
    }

    /// <inheritdoc/>
    public void Encode(ReadOnlySpan<char> text, List<int> ids)
    {
        ArgumentNullException.ThrowIfNull(ids);
        int start = ids.Count;
        if (!Mentions(text))
        {
            _tokenizer.EncodeIds(text, ids, addSpecialTokens: false);
            if (!HasForbidden(ids, start))
            {
                return;
            }
        }

        ids.RemoveRange(start, ids.Count - start);
        EncodeInParts(text, ids);
    }

    /// <summary>Cuts a text that would become a special token in the middle until it does not: the tokenizer itself always takes such texts as special.</summary>
    private void EncodeInParts(ReadOnlySpan<char> text, List<int> ids)
    {
        int start = ids.Count;
        int cut = FirstCut(text);
        if (cut == 0)
        {
            _tokenizer.EncodeIds(text, ids, addSpecialTokens: false);
            if (!HasForbidden(ids, start))
            {
                return;
            }

            // Found by its normalised form only: halve until the halves are harmless.
            ids.RemoveRange(start, ids.Count - start);
            cut = text.Length / 2;
        }

        cut += cut < text.Length && char.IsLowSurrogate(text[cut]) ? 1 : 0;
        if (cut == 0 || cut >= text.Length)
        {
            // A single character that is a special token by itself has no other tokens.
            _tokenizer.EncodeIds(text, ids, addSpecialTokens: false);
            return;
        }

        EncodeInParts(text[..cut], ids);
        EncodeInParts(text[cut..], ids);
    }

    /// <summary>The place after the first character of the first special token in a text; 0 if there is none.</summary>
    private int FirstCut(ReadOnlySpan<char> text)
    {
        int first = int.MaxValue;
        foreach (string special in _specials)
        {
            int at = text.IndexOf(special, StringComparison.Ordinal);
            first = at >= 0 && at < first ? at : first;
        }

        return first == int.MaxValue ? 0 : first + 1;
    }

    private bool Mentions(ReadOnlySpan<char> text) => FirstCut(text) > 0;

    private bool HasForbidden(List<int> ids, int start)
    {
        for (int i = start; i < ids.Count; i++)
        {
            if (_forbidden.Contains(ids[i]))
            {
                return true;
            }
        }

        return false;
    }
}
