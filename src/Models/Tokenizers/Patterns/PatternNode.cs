namespace Graft.Models.Tokenizers;

/// <summary>The syntax tree of a pattern.</summary>
internal abstract record PatternNode
{
    public sealed record Empty : PatternNode;

    /// <summary>One code point out of a set.</summary>
    public sealed record One(CharacterSet Set) : PatternNode;

    public sealed record Sequence(IReadOnlyList<PatternNode> Parts) : PatternNode;

    public sealed record Choice(IReadOnlyList<PatternNode> Options) : PatternNode;

    /// <summary><paramref name="Most"/> below 0: without end.</summary>
    public sealed record Repeat(PatternNode Body, int Least, int Most, RepeatMode Mode) : PatternNode;

    public sealed record Capture(PatternNode Body, int Index) : PatternNode;

    public sealed record Atomic(PatternNode Body) : PatternNode;

    public sealed record Look(PatternNode Body, bool Behind, bool Negative) : PatternNode;

    public sealed record BackReference(int Index, bool IgnoreCase) : PatternNode;

    public sealed record Assertion(PatternAnchor Anchor) : PatternNode;

    /// <summary>An extended grapheme cluster.</summary>
    public sealed record Grapheme : PatternNode;

    /// <summary>The least and most code points it can match; most is below 0 if there is no bound.</summary>
    public (int Least, int Most) Width()
    {
        switch (this)
        {
            case One:
                return (1, 1);
            case Sequence sequence:
                return sequence.Parts.Aggregate((0, 0), (sum, p) => Add(sum, p.Width()));
            case Choice choice:
                return choice.Options.Select(o => o.Width()).Aggregate((a, b) => (Math.Min(a.Least, b.Least), a.Most < 0 || b.Most < 0 ? -1
                    : Math.Max(a.Most, b.Most)));
            case Repeat repeat:
                (int least, int most) = repeat.Body.Width();
                return (Product(least, repeat.Least), most == 0 ? 0 : most < 0 || repeat.Most < 0 ? -1 : Product(most, repeat.Most));
            case Capture capture:
                return capture.Body.Width();
            case Atomic atomic:
                return atomic.Body.Width();
            case Grapheme:
                return (1, -1);
            case BackReference:
                return (0, -1);
            default:
                return (0, 0);
        }
    }

    private static (int Least, int Most) Add((int Least, int Most) a, (int Least, int Most) b) =>
        ((int)Math.Min((long)a.Least + b.Least, int.MaxValue), a.Most < 0 || b.Most < 0 ? -1 : (int)Math.Min((long)a.Most + b.Most, int.MaxValue));

    private static int Product(int a, int b) => (int)Math.Min((long)a * b, int.MaxValue);
}

/// <summary>How a repetition tries its counts.</summary>
internal enum RepeatMode
{
    Greedy,
    Lazy,
    Possessive,
}

/// <summary>Places that match without width.</summary>
internal enum PatternAnchor
{
    LineStart,
    LineEnd,
    TextStart,
    TextEnd,
    TextEndOrLastBreak,
    WordBoundary,
    NoWordBoundary,
}
