using System.Globalization;
using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>The options of byte-pair encoding, with the names of tokenizer files.</summary>
internal sealed record BpeOptions(string? UnknownToken, string Prefix, string Suffix, bool FuseUnknown, bool ByteFallback, bool IgnoreMerges);

/// <summary>Byte-pair encoding: characters are merged, best-ranked pair first, leftmost of equals (Sennrich et al. 2016, arXiv:1508.07909).</summary>
internal sealed class BpeModel : TokenModel
{
    private const int Bytes = 256;
    private const int Direct = 0x400;

    private readonly BpeOptions _options;
    private readonly PairTable _merges;
    private readonly WordCache _words = new();
    private readonly WordCache _byteWords = new();
    private readonly int[] _direct = new int[Direct];
    private readonly int[] _ofByte = new int[Bytes];
    private readonly int[] _fallback = new int[Bytes];
    private readonly bool _plain;
    private readonly int _unknown;

    public BpeModel(Vocabulary vocabulary, PairTable merges, BpeOptions options)
        : base(vocabulary)
    {
        _merges = merges;
        _options = options;
        _plain = options.Prefix.Length == 0 && options.Suffix.Length == 0;
        _unknown = options.UnknownToken is null ? -1 : vocabulary.IdOf(options.UnknownToken) ?? -1;
        for (int c = 0; c < Direct; c++)
        {
            _direct[c] = vocabulary.TryGetId([(char)c], out int id) ? id : -1;
        }

        for (int b = 0; b < Bytes; b++)
        {
            _ofByte[b] = _direct[ByteAlphabet.ToCharacter((byte)b)];
            _fallback[b] = vocabulary.IdOf(ByteToken((byte)b)) ?? -1;
        }
    }

    public override bool TakesBytes => true;

    /// <summary>The token of a byte that has no character: &lt;0x0A&gt;.</summary>
    public static string ByteToken(byte value) => string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>");

    public static BpeModel FromField(TokenizerField field)
    {
        Vocabulary vocabulary = Vocabulary.Read(field.Get("vocab"));
        TokenizerField dropout = field.Find("dropout");
        if (!dropout.IsNull && dropout.Number() != 0)
        {
            throw dropout.Error("dropout is not supported: set it to null");
        }

        BpeOptions options = new(
            field.Find("unk_token").OptionalText(),
            field.Find("continuing_subword_prefix").OptionalText() ?? string.Empty,
            field.Find("end_of_word_suffix").OptionalText() ?? string.Empty,
            field.Find("fuse_unk").Boolean(false),
            field.Find("byte_fallback").Boolean(false),
            field.Find("ignore_merges").Boolean(false));
        return new BpeModel(vocabulary, BpeMerges.Read(field.Get("merges"), vocabulary, options.Prefix), options);
    }

    public override void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<int> ids)
    {
        if (!piece.IsEmpty)
        {
            ids.AddRange(Word(piece, bytes).Ids);
        }
    }

    public override void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<ModelToken> tokens)
    {
        if (piece.IsEmpty)
        {
            return;
        }

        WordCache.Entry word = Word(piece, bytes);
        int at = 0;
        for (int i = 0; i < word.Ids.Length; i++)
        {
            tokens.Add(new ModelToken(word.Ids[i], at, at + word.Lengths[i]));
            at += word.Lengths[i];
        }
    }

    private WordCache.Entry Word(ReadOnlySpan<char> piece, bool bytes)
    {
        WordCache cache = bytes ? _byteWords : _words;
        int hash = WordCache.HashOf(piece);
        if (cache.Find(piece, hash) is { } known)
        {
            return known;
        }

        if (_options.IgnoreMerges && Vocabulary.TryGetId(bytes ? ByteAlphabet.Map(piece) : piece, out int whole))
        {
            return cache.Add(piece, hash, [whole], [System.Text.Encoding.UTF8.GetByteCount(piece)]);
        }

        BpeWord word = new(piece.Length + 8);
        if (bytes && _plain)
        {
            AddBytes(piece, word);
        }
        else
        {
            // Affixes look at characters, so the mapping is done in full; a mapped character still counts one byte.
            AddCharacters(bytes ? ByteAlphabet.Map(piece) : piece, bytes, word);
        }

        word.Merge(_merges);
        (int[] ids, int[] lengths) = word.ToArrays();
        return cache.Add(piece, hash, ids, lengths);
    }

    private void AddBytes(ReadOnlySpan<char> piece, BpeWord word)
    {
        int unknownLength = 0;
        byte[] utf8 = System.Buffers.ArrayPool<byte>.Shared.Rent(System.Text.Encoding.UTF8.GetMaxByteCount(piece.Length));
        int count = System.Text.Encoding.UTF8.GetBytes(piece, utf8);
        for (int i = 0; i < count; i++)
        {
            int id = _ofByte[utf8[i]];
            if (id >= 0)
            {
                Flush(word, ref unknownLength);
                word.Add(id, 1);
            }
            else if (!TryFallback([ByteAlphabet.ToCharacter(utf8[i])], word))
            {
                Unknown(word, 1, ref unknownLength);
            }
        }

        System.Buffers.ArrayPool<byte>.Shared.Return(utf8);
        Flush(word, ref unknownLength);
    }

    private void AddCharacters(ReadOnlySpan<char> piece, bool bytes, BpeWord word)
    {
        int unknownLength = 0;
        for (int at = 0; at < piece.Length;)
        {
            int start = at;
            int c = CodePoints.Next(piece, ref at);
            int length = bytes ? 1 : CodePoints.Utf8Length(c);
            ReadOnlySpan<char> symbol = piece[start..at];
            if (!_plain)
            {
                symbol = string.Concat(start > 0 ? _options.Prefix : string.Empty, symbol, at == piece.Length ? _options.Suffix : string.Empty);
            }

            int id = _plain && c < Direct ? _direct[c] : Vocabulary.TryGetId(symbol, out int found) ? found : -1;
            if (id >= 0)
            {
                Flush(word, ref unknownLength);
                word.Add(id, length);
            }
            else if (!TryFallback(symbol, word))
            {
                Unknown(word, length, ref unknownLength);
            }
        }

        Flush(word, ref unknownLength);
    }

    private bool TryFallback(ReadOnlySpan<char> symbol, BpeWord word)
    {
        if (!_options.ByteFallback)
        {
            return false;
        }

        byte[] utf8 = System.Text.Encoding.UTF8.GetBytes(symbol.ToArray());
        if (Array.Exists(utf8, b => _fallback[b] < 0))
        {
            return false;
        }

        foreach (byte b in utf8)
        {
            word.Add(_fallback[b], 1);
        }

        return true;
    }

    /// <summary>An unknown character waits, for the next may be fused with it. Without an unknown token it is dropped, as in the reference.</summary>
    private void Unknown(BpeWord word, int length, ref int waiting)
    {
        if (_options.UnknownToken is null)
        {
            return;
        }

        if (!_options.FuseUnknown)
        {
            Flush(word, ref waiting);
        }

        if (_unknown < 0)
        {
            throw new CheckpointException($"model.unk_token: '{_options.UnknownToken}' is needed for a character but is not in the vocabulary");
        }

        waiting += length;
    }

    private void Flush(BpeWord word, ref int waiting)
    {
        if (waiting > 0)
        {
            word.Add(_unknown, waiting);
            waiting = 0;
        }
    }
}
