using System.Text;
using Graft.Models.Tokenizers;

namespace Graft.Models.Generation;

/// <summary>Text of tokens as they come, up to the first stop sequence. What may be the start of one is held back until it is decided.</summary>
internal sealed class StopText(Tokenizer tokenizer, IReadOnlyList<string> stops)
{
    private readonly DecodeStream _stream = new(tokenizer, skipSpecialTokens: true);
    private readonly StringBuilder _whole = new();
    private string _held = "";

    /// <summary>True once a stop sequence came.</summary>
    public bool Stopped { get; private set; }

    /// <summary>All text given out.</summary>
    public string Whole => _whole.ToString();

    /// <summary>One more token; the text that became certain.</summary>
    public string Add(int id) => Stopped ? "" : Take(_stream.Add(id) ?? "");

    /// <summary>No more tokens: what was held back, and characters that never became complete.</summary>
    public string Finish()
    {
        if (Stopped)
        {
            return "";
        }

        string rest = _held;
        _held = "";
        _ = _whole.Append(rest);
        return rest;
    }

    private string Take(string piece)
    {
        string text = _held + piece;
        int end = -1;
        foreach (string stop in stops)
        {
            int at = stop.Length == 0 ? -1 : text.IndexOf(stop, StringComparison.Ordinal);
            end = at >= 0 && (end < 0 || at < end) ? at : end;
        }

        if (end >= 0)
        {
            Stopped = true;
            _held = "";
            text = text[..end];
        }
        else
        {
            int held = stops.Max(s => (int?)Overlap(text, s)) ?? 0;
            _held = text[(text.Length - held)..];
            text = text[..(text.Length - held)];
        }

        _ = _whole.Append(text);
        return text;
    }

    /// <summary>The longest end of the text that begins the stop sequence.</summary>
    private static int Overlap(string text, string stop)
    {
        for (int length = Math.Min(text.Length, stop.Length - 1); length > 0; length--)
        {
            if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
            {
                return length;
            }
        }

        return 0;
    }
}
