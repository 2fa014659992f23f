using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>What an instruction of a pattern does.</summary>
internal enum PatternOperation
{
    Accept,
    One,
    LoopGreedy,
    LoopLazy,
    LoopPossessive,
    Split,
    Jump,
    Save,
    BackReference,
    Assertion,
    Look,
    Atomic,
    Grapheme,
    LoopStart,
    LoopCheck,
}

/// <summary>One instruction. What A to D mean is told where <see cref="PatternProgram"/> writes them.</summary>
internal readonly record struct PatternInstruction(PatternOperation Operation, int A = 0, int B = 0, int C = 0, int D = 0, CharacterSet? Set = null,
    FirstSet First = default);

/// <summary>The ASCII characters a match may begin with; Open: it may also begin with nothing, so that the set says nothing.</summary>
internal readonly record struct FirstSet(ulong Low, ulong High, bool Open)
{
    public static readonly FirstSet Anything = new(ulong.MaxValue, ulong.MaxValue, true);

    public FirstSet Or(FirstSet other, bool open) => new(Low | other.Low, High | other.High, open);

    /// <summary>False only if a match can certainly not begin at this place of the text.</summary>
    public bool Allows(ReadOnlySpan<char> text, int at)
    {
        if (Open)
        {
            return true;
        }

        if (at >= text.Length)
        {
            return false;
        }

        int c = text[at];
        return c >= 128 || (((c < 64 ? Low : High) >> (c & 63)) & 1) != 0;
    }
}

/// <summary>A pattern as instructions for <see cref="PatternMatcher"/>.</summary>
internal sealed class PatternProgram
{
    private const int MostInstructions = 50_000;

    private readonly List<PatternInstruction> _code = [];
    private bool _references;

    private PatternProgram(PatternNode root, int captures)
    {
        _references = HasReference(root);
        Slots = _references ? 2 * (captures + 1) : 0;
        First = FirstOf(root);
        Emit(root);
        Add(new PatternInstruction(PatternOperation.Accept));
        Code = [.. _code];
    }

    public PatternInstruction[] Code { get; }

    /// <summary>How many positions a match has to remember.</summary>
    public int Slots { get; private set; }

    public FirstSet First { get; }

    /// <summary>Compiles a pattern. Throws <see cref="CheckpointException"/> with the place of the fault.</summary>
    public static PatternProgram Compile(string pattern)
    {
        (PatternNode root, int captures) = PatternParser.Parse(pattern);
        return new PatternProgram(root, captures);
    }

    private int Add(PatternInstruction instruction)
    {
        if (_code.Count >= MostInstructions)
        {
            throw new CheckpointException($"the pattern unfolds to more than {MostInstructions} steps: its repetitions are nested too deeply");
        }

        _code.Add(instruction);
        return _code.Count - 1;
    }

    private void Emit(PatternNode node)
    {
        switch (node)
        {
            case PatternNode.One one:
                Add(new PatternInstruction(PatternOperation.One, Set: one.Set));
                break;
            case PatternNode.Sequence sequence:
                foreach (PatternNode part in sequence.Parts)
                {
                    Emit(part);
                }

                break;
            case PatternNode.Choice choice:
                EmitChoice(choice);
                break;
            case PatternNode.Repeat repeat:
                EmitRepeat(repeat);
                break;
            case PatternNode.Capture capture:
                EmitCapture(capture);
                break;
            case PatternNode.Atomic atomic:
                EmitInner(new PatternInstruction(PatternOperation.Atomic), atomic.Body);
                break;
            case PatternNode.Look look:
                // B: 1 negative; C and D: how far a look behind goes back, -1 for one ahead.
                (int least, int most) = look.Behind ? look.Body.Width() : (-1, -1);
                EmitInner(new PatternInstruction(PatternOperation.Look, 0, look.Negative ? 1 : 0, least, most), look.Body);
                break;
            case PatternNode.BackReference reference:
                Add(new PatternInstruction(PatternOperation.BackReference, reference.Index, reference.IgnoreCase ? 1 : 0));
                break;
            case PatternNode.Assertion assertion:
                Add(new PatternInstruction(PatternOperation.Assertion, (int)assertion.Anchor));
                break;
            case PatternNode.Grapheme:
                Add(new PatternInstruction(PatternOperation.Grapheme));
                break;
        }
    }

    /// <summary>A sub-match that is decided on its own: A is where the code goes on.</summary>
    private void EmitInner(PatternInstruction head, PatternNode body)
    {
        int at = Add(head);
        Emit(body);
        Add(new PatternInstruction(PatternOperation.Accept));
        _code[at] = head with { A = _code.Count };
    }

    private void EmitCapture(PatternNode.Capture capture)
    {
        if (!_references)
        {
            Emit(capture.Body);
            return;
        }

        Add(new PatternInstruction(PatternOperation.Save, 2 * capture.Index));
        Emit(capture.Body);
        Add(new PatternInstruction(PatternOperation.Save, (2 * capture.Index) + 1));
    }

    /// <summary>Split: A is tried first and B after it; First filters A.</summary>
    private void EmitChoice(PatternNode.Choice choice)
    {
        List<int> ends = [];
        for (int i = 0; i < choice.Options.Count; i++)
        {
            if (i == choice.Options.Count - 1)
            {
                Emit(choice.Options[i]);
                break;
            }

            int split = Add(default);
            Emit(choice.Options[i]);
            ends.Add(Add(default));
            _code[split] = new PatternInstruction(PatternOperation.Split, split + 1, _code.Count, First: FirstOf(choice.Options[i]));
        }

        foreach (int end in ends)
        {
            _code[end] = new PatternInstruction(PatternOperation.Jump, _code.Count);
        }
    }

    private void EmitRepeat(PatternNode.Repeat repeat)
    {
        if (repeat.Body is PatternNode.One one)
        {
            // A: least, B: most.
            PatternOperation operation = repeat.Mode switch
            {
                RepeatMode.Greedy => PatternOperation.LoopGreedy,
                RepeatMode.Lazy => PatternOperation.LoopLazy,
                _ => PatternOperation.LoopPossessive,
            };
            Add(new PatternInstruction(operation, repeat.Least, repeat.Most, Set: one.Set));
            return;
        }

        if (repeat.Mode == RepeatMode.Possessive)
        {
            EmitInner(new PatternInstruction(PatternOperation.Atomic), repeat with { Mode = RepeatMode.Greedy });
            return;
        }

        for (int i = 0; i < repeat.Least; i++)
        {
            Emit(repeat.Body);
        }

        FirstSet first = repeat.Mode == RepeatMode.Greedy ? FirstOf(repeat.Body) : FirstSet.Anything;
        if (repeat.Most < 0)
        {
            int slot = Slots++;
            int split = Add(default);
            Add(new PatternInstruction(PatternOperation.LoopStart, slot));
            Emit(repeat.Body);

            // A round that consumed nothing leaves the loop, or it would never end.
            Add(new PatternInstruction(PatternOperation.LoopCheck, slot, split));
            _code[split] = SplitOf(repeat.Mode, split + 1, _code.Count, first);
            return;
        }

        List<int> splits = [];
        for (int i = repeat.Least; i < repeat.Most; i++)
        {
            splits.Add(Add(default));
            Emit(repeat.Body);
        }

        foreach (int split in splits)
        {
            _code[split] = SplitOf(repeat.Mode, split + 1, _code.Count, first);
        }
    }

    private static PatternInstruction SplitOf(RepeatMode mode, int body, int rest, FirstSet first) => mode == RepeatMode.Greedy
        ? new PatternInstruction(PatternOperation.Split, body, rest, First: first)
        : new PatternInstruction(PatternOperation.Split, rest, body, First: FirstSet.Anything);

    private static bool HasReference(PatternNode node) => node switch
    {
        PatternNode.BackReference => true,
        PatternNode.Sequence sequence => sequence.Parts.Any(HasReference),
        PatternNode.Choice choice => choice.Options.Any(HasReference),
        PatternNode.Repeat repeat => HasReference(repeat.Body),
        PatternNode.Capture capture => HasReference(capture.Body),
        PatternNode.Atomic atomic => HasReference(atomic.Body),
        PatternNode.Look look => HasReference(look.Body),
        _ => false,
    };

    private static FirstSet FirstOf(PatternNode node)
    {
        switch (node)
        {
            case PatternNode.One one:
                (ulong low, ulong high) = one.Set.AsciiBits;
                return new FirstSet(low, high, false);
            case PatternNode.Sequence sequence:
                FirstSet all = new(0, 0, true);
                foreach (PatternNode part in sequence.Parts)
                {
                    FirstSet next = FirstOf(part);
                    all = all.Or(next, next.Open);
                    if (!next.Open)
                    {
                        return all;
                    }
                }

                return all;
            case PatternNode.Choice choice:
                return choice.Options.Select(FirstOf).Aggregate((a, b) => a.Or(b, a.Open || b.Open));
            case PatternNode.Repeat repeat:
                FirstSet body = FirstOf(repeat.Body);
                return body with { Open = body.Open || repeat.Least == 0 };
            case PatternNode.Capture capture:
                return FirstOf(capture.Body);
            case PatternNode.Atomic atomic:
                return FirstOf(atomic.Body);
            case PatternNode.Grapheme:
                return FirstSet.Anything with { Open = false };
            default:
                return new FirstSet(0, 0, true);
        }
    }
}
