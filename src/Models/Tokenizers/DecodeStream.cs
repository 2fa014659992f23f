namespace Graft.Models.Tokenizers;

/// <summary>Decodes ids that arrive one by one, giving text out as soon as its characters are complete. The pieces together are the text of all ids,
/// but for an unfinished end.</summary>
public sealed class DecodeStream
{
    private const char Unfinished = '\uFFFD';

    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecialTokens;
    private readonly List<int> _ids = [];
    private string _prefix = string.Empty;
    private int _prefixCount;

    internal DecodeStream(Tokenizer tokenizer, bool skipSpecialTokens)
    {
        _tokenizer = tokenizer;
        _skipSpecialTokens = skipSpecialTokens;
    }

    /// <summary>Takes the next id. Returns the text that is now certain, or null while a character is not finished.</summary>
    public string? Add(int id)
    {
        // Some ids stay in sight, since what a token decodes to can depend on the one before it.
        if (_prefix.Length == 0 && _ids.Count > 0)
        {
            string before = Decode();
            if (!before.EndsWith(Unfinished))
            {
                _prefix = before;
                _prefixCount = _ids.Count;
            }
        }

        _ids.Add(id);
        string text = Decode();
        if (text.EndsWith(Unfinished) || System.Text.Encoding.UTF8.GetByteCount(text) <= System.Text.Encoding.UTF8.GetByteCount(_prefix))
        {
            return null;
        }

        // Bytes that are no UTF-8 can change what was given out; then what differs is given.
        int common = text.AsSpan().CommonPrefixLength(_prefix);
        string added = text[common..];
        int kept = _ids.Count - _prefixCount;
        _ids.RemoveRange(0, _prefixCount);
        _prefix = Decode();
        _prefixCount = kept;
        return added;
    }

    private string Decode() => _tokenizer.Decode(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_ids), _skipSpecialTokens);
}
