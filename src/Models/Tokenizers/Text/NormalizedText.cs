using System.Text;

namespace Graft.Models.Tokenizers;

/// <summary>A text after changes, with the range of the original's code points that each UTF-16 unit came from.</summary>
/// <remarks>No alignments means: unit i came from code point i (or nobody asked for alignments).</remarks>
internal sealed class NormalizedText
{
    private int[]? _starts;
    private int[]? _ends;

    private NormalizedText(string text, bool aligned)
    {
        Text = text;
        IsAligned = aligned;
    }

    public string Text { get; private set; }

    /// <summary>False: nobody will ask for offsets, so changes need not keep them.</summary>
    public bool IsAligned { get; }

    /// <summary>Wraps an original text without lone surrogates.</summary>
    public static NormalizedText Of(string text, bool aligned)
    {
        NormalizedText result = new(text, aligned);
        if (aligned && text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0)
        {
            result._starts = new int[text.Length];
            result._ends = new int[text.Length];
            int codePoint = 0;
            for (int at = 0; at < text.Length; codePoint++)
            {
                int start = at;
                CodePoints.Next(text, ref at);
                result._starts.AsSpan(start, at - start).Fill(codePoint);
                result._ends.AsSpan(start, at - start).Fill(codePoint + 1);
            }
        }

        return result;
    }

    /// <summary>First code point of the original under the unit.</summary>
    public int StartAt(int unit) => _starts is null ? unit : _starts[unit];

    /// <summary>The code point behind the unit's.</summary>
    public int EndAt(int unit) => _ends is null ? unit + 1 : _ends[unit];

    /// <summary>A copy of a part, as something of its own to change.</summary>
    public NormalizedText Slice(int start, int length)
    {
        if (start == 0 && length == Text.Length)
        {
            NormalizedText copy = new(Text, IsAligned) { _starts = _starts, _ends = _ends };
            return copy;
        }

        NormalizedText slice = new(Text.Substring(start, length), IsAligned);
        if (IsAligned)
        {
            slice._starts = new int[length];
            slice._ends = new int[length];
            for (int i = 0; i < length; i++)
            {
                slice._starts[i] = StartAt(start + i);
                slice._ends[i] = EndAt(start + i);
            }
        }

        return slice;
    }

    /// <summary>Puts another text in the place of this one. The changes say code point by code point what became of it.</summary>
    /// <param name="changes">The new code points.</param>
    /// <param name="skipped">Code points dropped at the beginning.</param>
    /// <param name="origin">Where in the original this piece begins: what is inserted in front is aligned to it.</param>
    public void Apply(List<Change> changes, int skipped, int origin)
    {
        StringBuilder text = new(changes.Count);
        if (!IsAligned)
        {
            foreach (Change change in changes)
            {
                CodePoints.Append(text, change.CodePoint);
            }

            Text = text.ToString();
            return;
        }

        AlignmentList aligned = new(changes.Count);
        int at = 0;
        Skip(skipped);
        foreach (Change change in changes)
        {
            int start = origin;
            int end = origin;
            if (change.Difference > 0)
            {
                if (at > 0)
                {
                    (start, end) = (StartAt(at - 1), EndAt(at - 1));
                }
            }
            else if (at < Text.Length)
            {
                (start, end) = (StartAt(at), EndAt(at));
                Skip(1 - change.Difference);
            }

            CodePoints.Append(text, change.CodePoint);
            aligned.Add(start, end, change.CodePoint >= 0x10000 ? 2 : 1);
        }

        Text = text.ToString();
        (_starts, _ends) = aligned.ToArrays();

        void Skip(int count)
        {
            for (; count > 0 && at < Text.Length; count--)
            {
                CodePoints.Next(Text, ref at);
            }
        }
    }

    /// <summary>Inserts in front, aligned to the first code point.</summary>
    public void Prepend(string text)
    {
        if (Text.Length == 0 || text.Length == 0)
        {
            return;
        }

        if (IsAligned)
        {
            AlignmentList aligned = new(Text.Length + text.Length);
            aligned.Add(StartAt(0), EndAt(0), text.Length);
            for (int i = 0; i < Text.Length; i++)
            {
                aligned.Add(StartAt(i), EndAt(i), 1);
            }

            (_starts, _ends) = aligned.ToArrays();
        }

        Text = text + Text;
    }

    /// <summary>Replaces every match; what comes in is aligned to the last code point that goes.</summary>
    public void Replace(SplitPattern pattern, string content, int origin)
    {
        List<TextPart> parts = [];
        pattern.FindParts(Text, parts);
        if (!parts.Exists(p => p.IsMatch))
        {
            return;
        }

        StringBuilder text = new(Text.Length);
        AlignmentList? aligned = IsAligned ? new AlignmentList(Text.Length) : null;
        foreach (TextPart part in parts)
        {
            if (part.IsMatch)
            {
                text.Append(content);
                if (aligned is not null)
                {
                    (int start, int end) = part.End < 1 ? (origin, origin) : (StartAt(part.End - 1), EndAt(part.End - 1));
                    aligned.Add(start, end, content.Length);
                }

                continue;
            }

            text.Append(Text, part.Start, part.End - part.Start);
            for (int i = part.Start; aligned is not null && i < part.End; i++)
            {
                aligned.Add(StartAt(i), EndAt(i), 1);
            }
        }

        Text = text.ToString();
        if (aligned is not null)
        {
            (_starts, _ends) = aligned.ToArrays();
        }
    }

    private sealed class AlignmentList(int capacity)
    {
        private readonly List<int> _first = new(capacity);
        private readonly List<int> _last = new(capacity);

        public void Add(int start, int end, int count)
        {
            for (int i = 0; i < count; i++)
            {
                _first.Add(start);
                _last.Add(end);
            }
        }

        public (int[] Starts, int[] Ends) ToArrays() => ([.. _first], [.. _last]);
    }
}
