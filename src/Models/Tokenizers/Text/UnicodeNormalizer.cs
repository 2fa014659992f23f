namespace Graft.Models.Tokenizers;

/// <summary>A code point with what became of the characters it replaces: 0 one for one, above 0 inserted, below 0 that many more are swallowed.</summary>
internal readonly record struct Change(int CodePoint, int Difference);

/// <summary>The four normalization forms of Unicode (UAX 15), with alignments. .NET's own do nothing under invariant globalization.</summary>
internal sealed class UnicodeNormalizer
{
    private const int HangulBase = 0xAC00;
    private const int HangulCount = 11172;
    private const int LeadBase = 0x1100;
    private const int VowelBase = 0x1161;
    private const int TailBase = 0x11A7;
    private const int LeadCount = 19;
    private const int VowelCount = 21;
    private const int TailCount = 28;

    // From this many marks in a row on, insertion would cost more than it saves.
    private const int LongRun = 32;

    private static readonly Lazy<UnicodeNormalizer> s_shared = new(() => new UnicodeNormalizer());

    private readonly Dictionary<int, byte> _classes = [];
    private readonly Dictionary<int, int[]> _canonical = [];
    private readonly Dictionary<int, int[]> _compatible = [];
    private readonly Dictionary<long, int> _compositions = [];

    private UnicodeNormalizer()
    {
        foreach (string[] field in PropertyTable.Lines("normalization.txt"))
        {
            int first = PropertyTable.Hex(field[1]);
            switch (field[0])
            {
                case "C":
                    int count = PropertyTable.Hex(field[2]);
                    byte value = byte.Parse(field[3], System.Globalization.CultureInfo.InvariantCulture);
                    for (int i = 0; i < count; i++)
                    {
                        _classes[first + i] = value;
                    }

                    break;
                case "D":
                    _canonical[first] = field.Skip(2).Select(PropertyTable.Hex).ToArray();
                    break;
                case "K":
                    _compatible[first] = field.Skip(2).Select(PropertyTable.Hex).ToArray();
                    break;
                default:
                    _compositions[Pair(first, PropertyTable.Hex(field[2]))] = PropertyTable.Hex(field[3]);
                    break;
            }
        }
    }

    public static UnicodeNormalizer Shared => s_shared.Value;

    /// <summary>The text's code points in the form asked for, with their alignments.</summary>
    public List<Change> Normalize(ReadOnlySpan<char> text, bool compatible, bool compose)
    {
        List<Change> decomposed = Decompose(text, compatible);
        return compose ? Compose(decomposed) : decomposed;
    }

    private static long Pair(int first, int second) => ((long)first << 32) | (uint)second;

    private int ClassOf(int codePoint) => codePoint < 0x300 ? 0 : _classes.GetValueOrDefault(codePoint);

    private List<Change> Decompose(ReadOnlySpan<char> text, bool compatible)
    {
        List<Change> result = new(text.Length);
        int pending = 0;
        for (int at = 0; at < text.Length;)
        {
            int c = CodePoints.Next(text, ref at);
            if (c < 0x80)
            {
                Push(c, 0);
            }
            else if (c is >= HangulBase and < HangulBase + HangulCount)
            {
                int index = c - HangulBase;
                Push(LeadBase + (index / (VowelCount * TailCount)), 0);
                Push(VowelBase + (index % (VowelCount * TailCount) / TailCount), 1);
                if (index % TailCount != 0)
                {
                    Push(TailBase + (index % TailCount), 1);
                }
            }
            else if ((compatible && _compatible.TryGetValue(c, out int[]? parts)) || _canonical.TryGetValue(c, out parts))
            {
                for (int i = 0; i < parts.Length; i++)
                {
                    Push(parts[i], i == 0 ? 0 : 1);
                }
            }
            else
            {
                Push(c, 0);
            }
        }

        Sort();
        return result;

        void Push(int c, int difference)
        {
            if (ClassOf(c) == 0)
            {
                Sort();
                result.Add(new Change(c, difference));
                pending = result.Count;
            }
            else
            {
                result.Add(new Change(c, difference));
            }
        }

        // Marks after a starter stand in the order of their classes, equal ones in the text's order.
        void Sort()
        {
            if (result.Count - pending > LongRun)
            {
                Change[] run = [.. result.Skip(pending).OrderBy(c => ClassOf(c.CodePoint))];
                for (int i = 0; i < run.Length; i++)
                {
                    result[pending + i] = run[i];
                }

                pending = result.Count;
                return;
            }

            for (int i = pending + 1; i < result.Count; i++)
            {
                Change moved = result[i];
                int at = i;
                for (; at > pending && ClassOf(result[at - 1].CodePoint) > ClassOf(moved.CodePoint); at--)
                {
                    result[at] = result[at - 1];
                }

                result[at] = moved;
            }

            pending = result.Count;
        }
    }

    private List<Change> Compose(List<Change> source)
    {
        List<Change> result = new(source.Count);
        int starter = -1;
        int lastClass = -1;
        foreach (Change next in source)
        {
            int mark = ClassOf(next.CodePoint);
            bool reachable = starter >= 0 && (lastClass < 0 || lastClass < mark);
            if (reachable && TryCompose(result[starter].CodePoint, next.CodePoint, out int composed))
            {
                result[starter] = new Change(composed, result[starter].Difference + next.Difference - 1);
                continue;
            }

            result.Add(next);
            if (mark == 0)
            {
                starter = result.Count - 1;
                lastClass = -1;
            }
            else if (starter >= 0)
            {
                lastClass = mark;
            }
        }

        return result;
    }

    private bool TryCompose(int first, int second, out int composed)
    {
        if (first is >= LeadBase and < LeadBase + LeadCount && second is >= VowelBase and < VowelBase + VowelCount)
        {
            composed = HangulBase + ((((first - LeadBase) * VowelCount) + (second - VowelBase)) * TailCount);
            return true;
        }

        if (first is >= HangulBase and < HangulBase + HangulCount && second is > TailBase and < TailBase + TailCount
            && (first - HangulBase) % TailCount == 0)
        {
            composed = first + (second - TailBase);
            return true;
        }

        return _compositions.TryGetValue(Pair(first, second), out composed);
    }
}
