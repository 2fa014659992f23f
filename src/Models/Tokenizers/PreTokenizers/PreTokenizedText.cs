namespace Graft.Models.Tokenizers;

/// <summary>A part of a text on its way to the model: a range of a normalized text, where it lies in the original, and its token if it is an added
/// one.</summary>
internal readonly record struct Piece(NormalizedText Source, int Start, int Length, int OriginalStart, int OriginalEnd, int AddedId = -1)
{
    public ReadOnlySpan<char> Span => Source.Text.AsSpan(Start, Length);

    public bool IsAdded => AddedId >= 0;

    /// <summary>A part of the piece, from and to in its own units.</summary>
    public Piece Slice(int start, int end)
    {
        int first = Start + start;
        int last = Start + end;
        return end == start
            ? new Piece(Source, first, 0, OriginalStart + start, OriginalStart + start)
            : new Piece(Source, first, end - start, Source.StartAt(first), Source.EndAt(last - 1));
    }

    /// <summary>The piece as a text of its own that may be changed.</summary>
    public Piece Own() => this with { Source = Source.Slice(Start, Length), Start = 0 };

    /// <summary>The piece with the present length of a text of its own.</summary>
    public Piece Whole() => this with { Start = 0, Length = Source.Text.Length };
}

/// <summary>A text cut into pieces, the list that pre-tokenizers work on.</summary>
internal sealed class PreTokenizedText
{
    private readonly List<TextPart> _parts = [];
    private readonly List<TextPart> _merged = [];
    private List<Piece> _pieces = [];
    private List<Piece> _next = [];

    /// <summary>The pieces as they stand.</summary>
    public List<Piece> Pieces => _pieces;

    /// <summary>True: the model is to take bytes of the pieces for characters of <see cref="ByteAlphabet"/>, which saves mapping them.</summary>
    public bool BytesPending { get; set; }

    /// <summary>True: a last byte-level step may leave its mapping to the model.</summary>
    public bool MayLeaveBytes { get; init; }

    /// <summary>Starts with one piece.</summary>
    public void Reset(NormalizedText text, int originalLength)
    {
        _pieces.Clear();
        _pieces.Add(new Piece(text, 0, text.Text.Length, 0, originalLength));
    }

    /// <summary>Puts pieces in the place of every piece that is no added token; empty ones go.</summary>
    public void Split(Action<Piece, List<Piece>> split)
    {
        _next.Clear();
        foreach (Piece piece in _pieces)
        {
            if (piece.IsAdded)
            {
                _next.Add(piece);
                continue;
            }

            int first = _next.Count;
            split(piece, _next);
            RemoveEmpty(first);
        }

        (_pieces, _next) = (_next, _pieces);
    }

    /// <summary>Cuts every piece by a pattern.</summary>
    public void Split(SplitPattern pattern, bool invert, SplitBehavior behavior)
    {
        Split((piece, into) =>
        {
            _parts.Clear();
            pattern.FindParts(piece.Span, _parts);
            Cut(piece, invert, behavior, into);
        });
    }

    /// <summary>Cuts every piece by code points: each that the predicate holds is a match of its own.</summary>
    public void Split(Func<int, bool> predicate, SplitBehavior behavior)
    {
        Split((piece, into) =>
        {
            SplitPiece(piece, predicate, behavior, into);
        });
    }

    /// <summary>Cuts one piece by code points.</summary>
    public void SplitPiece(Piece piece, Func<int, bool> predicate, SplitBehavior behavior, List<Piece> into)
    {
        _parts.Clear();
        ReadOnlySpan<char> text = piece.Span;
        int previous = 0;
        for (int at = 0; at < text.Length;)
        {
            int start = at;
            if (predicate(CodePoints.Next(text, ref at)))
            {
                if (previous < start)
                {
                    _parts.Add(new TextPart(previous, start, false));
                }

                _parts.Add(new TextPart(start, at, true));
                previous = at;
            }
        }

        if (previous < text.Length || text.IsEmpty)
        {
            _parts.Add(new TextPart(previous, text.Length, false));
        }

        Cut(piece, invert: false, behavior, into);
    }

    /// <summary>Cuts a piece by a pattern.</summary>
    public void SplitPiece(Piece piece, SplitPattern pattern, List<Piece> into)
    {
        _parts.Clear();
        pattern.FindParts(piece.Span, _parts);
        Cut(piece, invert: false, SplitBehavior.Isolated, into);
    }

    private void Cut(Piece piece, bool invert, SplitBehavior behavior, List<Piece> into)
    {
        List<TextPart> parts = _parts;
        if (behavior is not (SplitBehavior.Isolated or SplitBehavior.Removed))
        {
            _merged.Clear();
            behavior.Merge(_parts, invert, _merged);
            parts = _merged;
        }

        foreach (TextPart part in parts)
        {
            if (behavior != SplitBehavior.Removed || part.IsMatch == invert)
            {
                into.Add(piece.Slice(part.Start, part.End));
            }
        }
    }

    private void RemoveEmpty(int first)
    {
        int kept = first;
        for (int i = first; i < _next.Count; i++)
        {
            if (_next[i].Length > 0)
            {
                _next[kept++] = _next[i];
            }
        }

        _next.RemoveRange(kept, _next.Count - kept);
    }
}

/// <summary>What becomes of the matches of a split.</summary>
internal enum SplitBehavior
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// <summary>Reading and carrying out of <see cref="SplitBehavior"/>.</summary>
internal static class SplitBehaviors
{
    public static SplitBehavior Read(TokenizerField field) => field.Text() switch
    {
        "Removed" => SplitBehavior.Removed,
        "Isolated" => SplitBehavior.Isolated,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        string other => throw field.Error($"the behavior '{other}' is not known"),
    };

    /// <summary>Joins parts as the three merging behaviours have it.</summary>
    public static void Merge(this SplitBehavior behavior, List<TextPart> parts, bool invert, List<TextPart> merged)
    {
        bool backwards = behavior == SplitBehavior.MergedWithNext;
        bool previous = false;
        for (int i = 0; i < parts.Count; i++)
        {
            TextPart part = parts[backwards ? parts.Count - 1 - i : i];
            bool match = part.IsMatch != invert;
            bool join = behavior == SplitBehavior.Contiguous ? match == previous : match && !previous;
            if (join && merged.Count > 0)
            {
                merged[^1] = backwards ? merged[^1] with { Start = part.Start } : merged[^1] with { End = part.End };
            }
            else
            {
                merged.Add(part);
            }

            previous = match;
        }

        if (backwards)
        {
            merged.Reverse();
        }
    }
}
