namespace Graft.Models.Tokenizers;

/// <summary>A set of code points: ranges, categories, predicates and other sets together, perhaps negated, perhaps cut with another set.</summary>
internal sealed class CharacterSet
{
    private const int Ascii = 128;
    private const int FewRanges = 8;

    private readonly List<(int First, int Last)> _ranges = [];
    private readonly List<Func<int, bool>> _predicates = [];
    private readonly List<CharacterSet> _sets = [];
    private uint _categories;
    private ulong _low;
    private ulong _high;
    private uint[]? _plane;
    private bool _ranged;

    /// <summary>True: the set is what the parts do not hold.</summary>
    public bool Negated { get; set; }

    /// <summary>True: a code point counts too if another of its case is in the set.</summary>
    public bool IgnoreCase { get; set; }

    /// <summary>The set to cut with, null for none.</summary>
    public CharacterSet? And { get; set; }

    /// <summary>The members below 128 of a frozen set, one bit each.</summary>
    public (ulong Low, ulong High) AsciiBits => (_low, _high);

    public static CharacterSet Of(Func<int, bool> predicate, bool negated = false)
    {
        CharacterSet set = new() { Negated = negated };
        set._predicates.Add(predicate);
        return set;
    }

    public static CharacterSet OfCategories(uint mask, bool negated = false) => new() { _categories = mask, Negated = negated };

    public void Add(int first, int last) => _ranges.Add((first, last));

    public void Add(CharacterSet set)
    {
        if (set is { Negated: false, IgnoreCase: false, And: null })
        {
            _ranges.AddRange(set._ranges);
            _predicates.AddRange(set._predicates);
            _sets.AddRange(set._sets);
            _categories |= set._categories;
        }
        else
        {
            _sets.Add(set);
        }
    }

    /// <summary>Computes the bits of ASCII; call once, after the last change.</summary>
    public CharacterSet Freeze()
    {
        foreach (CharacterSet set in _sets)
        {
            set.Freeze();
        }

        And?.Freeze();

        // A few ranges are quicker to look through than to lay out.
        _ranged = _predicates.Count == 0 && _sets.Count == 0 && _categories == 0 && And is null && !IgnoreCase && _ranges.Count <= FewRanges;
        _low = _high = 0;
        for (int c = 0; c < Ascii; c++)
        {
            if (Evaluate(c))
            {
                if (c < 64)
                {
                    _low |= 1UL << c;
                }
                else
                {
                    _high |= 1UL << (c - 64);
                }
            }
        }

        return this;
    }

    /// <summary>Membership of a frozen set.</summary>
    public bool Contains(int c)
    {
        if (c < Ascii)
        {
            return (((c < 64 ? _low : _high) >> (c & 63)) & 1) != 0;
        }

        if (c < 0x10000 && !_ranged)
        {
            // Built when text beyond ASCII comes for the first time; two threads may build it twice, to the same bits.
            uint[] plane = _plane ?? BuildPlane();
            return ((plane[c >> 5] >> (c & 31)) & 1) != 0;
        }

        return Evaluate(c);
    }

    private uint[] BuildPlane()
    {
        uint[] plane = new uint[0x10000 / 32];
        for (int c = Ascii; c < 0x10000; c++)
        {
            if (Evaluate(c))
            {
                plane[c >> 5] |= 1u << (c & 31);
            }
        }

        return _plane = plane;
    }

    // Case comes after union and cut, negation last: [^a] without regard to case is neither a nor A.
    private bool Evaluate(int c)
    {
        bool inside = Cut(c);
        if (!inside && IgnoreCase)
        {
            inside = CaseVariants.Of(c).Exists(Cut);
        }

        return inside != Negated;
    }

    private bool Cut(int c) => Parts(c) && (And is null || And.Evaluate(c));

    private bool Parts(int c)
    {
        foreach ((int first, int last) in _ranges)
        {
            if (c >= first && c <= last)
            {
                return true;
            }
        }

        if ((_categories & CharacterProperties.CategoryBit(c)) != 0)
        {
            return true;
        }

        foreach (Func<int, bool> predicate in _predicates)
        {
            if (predicate(c))
            {
                return true;
            }
        }

        foreach (CharacterSet set in _sets)
        {
            if (set.Evaluate(c))
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>The letters that differ from a letter by case alone.</summary>
internal static class CaseVariants
{
    private static readonly Lazy<Dictionary<int, List<int>>> s_classes = new(Build);

    /// <summary>All code points that fold to the same as <paramref name="c"/>, itself among them if there are several; else none.</summary>
    public static List<int> Of(int c) => s_classes.Value.TryGetValue(CharacterProperties.Fold(c), out List<int>? found) ? found : [];

    private static Dictionary<int, List<int>> Build()
    {
        Dictionary<int, List<int>> classes = [];
        for (int c = 0; c <= 0x1FFFF; c++)
        {
            int fold = CharacterProperties.Fold(c);
            if (fold != c)
            {
                if (!classes.TryGetValue(fold, out List<int>? members))
                {
                    classes[fold] = members = [fold];
                }

                members.Add(c);
            }
        }

        return classes;
    }
}
