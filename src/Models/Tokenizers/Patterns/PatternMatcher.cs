using System.Buffers;
using System.Globalization;
using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>Runs a pattern over a text, backtracking with a stack of its own and a bound on its work, so that no pattern hangs or overflows.</summary>
internal ref struct PatternMatcher : IDisposable
{
    // A frame is four integers: kind, instruction or slot, position, bound.
    private const int Resume = 0;
    private const int GiveBack = 1;
    private const int TakeMore = 2;
    private const int Restore = 3;
    private const int FrameSize = 4;
    private const int MostStack = 1 << 24;
    private const long BaseBudget = 50_000_000;
    private const long BudgetPerCharacter = 500;

    private readonly PatternInstruction[] _code;
    private readonly PatternProgram _program;
    private readonly ReadOnlySpan<char> _text;
    private readonly int[] _slots;
    private int[] _stack;
    private int _top;
    private long _budget;

    public PatternMatcher(PatternProgram program, ReadOnlySpan<char> text)
    {
        _program = program;
        _code = program.Code;
        _text = text;
        _slots = program.Slots == 0 ? [] : new int[program.Slots];
        _stack = ArrayPool<int>.Shared.Rent(256);
        _budget = BaseBudget + (BudgetPerCharacter * text.Length);
    }

    public void Dispose() => ArrayPool<int>.Shared.Return(_stack);

    /// <summary>The leftmost match at or after <paramref name="from"/>.</summary>
    public bool Find(int from, out int start, out int end)
    {
        for (start = from; start <= _text.Length;)
        {
            if (_program.First.Allows(_text, start))
            {
                _top = 0;
                _slots.AsSpan().Fill(-1);
                end = Run(0, start);
                if (end >= 0)
                {
                    return true;
                }
            }

            if (start == _text.Length)
            {
                break;
            }

            CodePoints.Next(_text, ref start);
            _budget--;
        }

        (start, end) = (-1, -1);
        return false;
    }

    /// <summary>The end of the first match of the code at the place, -1 for none; with <paramref name="mustEnd"/>, of the first that ends there.</summary>
    private int Run(int code, int at, int mustEnd = -1)
    {
        int floor = _top;
        while (true)
        {
            if (--_budget < 0)
            {
                throw new GraftException(
                    "a pattern of the tokenizer needs too many steps on this text: it backtracks without bound; use another pattern or a shorter text");
            }

            ref readonly PatternInstruction step = ref _code[code];
            bool matched = true;
            switch (step.Operation)
            {
                case PatternOperation.Accept:
                    if (mustEnd < 0 || at == mustEnd)
                    {
                        _top = floor;
                        return at;
                    }

                    matched = false;
                    break;
                case PatternOperation.One:
                    matched = at < _text.Length && step.Set!.Contains(CodePoints.Next(_text, ref at));
                    code++;
                    break;
                case PatternOperation.LoopGreedy:
                case PatternOperation.LoopPossessive:
                    matched = Loop(step, code, ref at);
                    code++;
                    break;
                case PatternOperation.LoopLazy:
                    matched = Exactly(step.Set!, step.A, ref at);
                    code++;
                    if (matched && step.A != step.B)
                    {
                        Push(TakeMore, code - 1, at, step.A);
                    }

                    break;
                case PatternOperation.Split:
                    if (step.First.Allows(_text, at))
                    {
                        Push(Resume, step.B, at, 0);
                        code = step.A;
                    }
                    else
                    {
                        code = step.B;
                    }

                    break;
                case PatternOperation.Jump:
                    code = step.A;
                    break;
                case PatternOperation.Save:
                case PatternOperation.LoopStart:
                    Push(Restore, step.A, _slots[step.A], 0);
                    _slots[step.A] = at;
                    code++;
                    break;
                case PatternOperation.LoopCheck:
                    code = _slots[step.A] == at ? code + 1 : step.B;
                    break;
                case PatternOperation.BackReference:
                    matched = Same(step, ref at);
                    code++;
                    break;
                case PatternOperation.Assertion:
                    matched = Holds((PatternAnchor)step.A, at);
                    code++;
                    break;
                case PatternOperation.Look:
                    matched = Looks(step, code, at) != (step.B == 1);
                    code = step.A;
                    break;
                case PatternOperation.Atomic:
                    int end = Run(code + 1, at);
                    matched = end >= 0;
                    at = end;
                    code = step.A;
                    break;
                default:
                    matched = at < _text.Length;
                    at += matched ? StringInfo.GetNextTextElementLength(_text[at..]) : 0;
                    code++;
                    break;
            }

            if (!matched && !Backtrack(floor, out code, out at))
            {
                return -1;
            }
        }
    }

    private bool Backtrack(int floor, out int code, out int at)
    {
        while (_top > floor)
        {
            _top -= FrameSize;
            int kind = _stack[_top];
            code = _stack[_top + 1];
            at = _stack[_top + 2];
            int bound = _stack[_top + 3];
            switch (kind)
            {
                case Resume:
                    return true;
                case GiveBack:
                    CodePoints.Previous(_text, ref at);
                    if (at > bound)
                    {
                        Push(GiveBack, code, at, bound);
                    }

                    return true;
                case TakeMore:
                    PatternInstruction step = _code[code];
                    if (at < _text.Length && step.Set!.Contains(CodePoints.Next(_text, ref at)))
                    {
                        if (step.B < 0 || bound + 1 < step.B)
                        {
                            Push(TakeMore, code, at, bound + 1);
                        }

                        code++;
                        return true;
                    }

                    break;
                default:
                    _slots[code] = at;
                    break;
            }
        }

        (code, at) = (0, 0);
        return false;
    }

    private bool Loop(in PatternInstruction step, int code, ref int at)
    {
        CharacterSet set = step.Set!;
        if (!Exactly(set, step.A, ref at))
        {
            return false;
        }

        int least = at;
        int left = step.B < 0 ? int.MaxValue : step.B - step.A;
        while (left-- > 0 && at < _text.Length)
        {
            int next = at;
            if (!set.Contains(CodePoints.Next(_text, ref next)))
            {
                break;
            }

            at = next;
        }

        _budget -= at - least;
        if (at > least && step.Operation == PatternOperation.LoopGreedy)
        {
            Push(GiveBack, code + 1, at, least);
        }

        return true;
    }

    private readonly bool Exactly(CharacterSet set, int count, ref int at)
    {
        for (int i = 0; i < count; i++)
        {
            if (at >= _text.Length || !set.Contains(CodePoints.Next(_text, ref at)))
            {
                return false;
            }
        }

        return true;
    }

    private bool Looks(in PatternInstruction step, int code, int at)
    {
        if (step.C < 0)
        {
            return Run(code + 1, at) >= 0;
        }

        // A look behind tries every length it may have, shortest first; its body must end here.
        int start = at;
        for (int width = 0; width <= step.D; width++)
        {
            if (width > 0)
            {
                if (start == 0)
                {
                    return false;
                }

                CodePoints.Previous(_text, ref start);
            }

            if (width >= step.C && Run(code + 1, start, at) >= 0)
            {
                return true;
            }
        }

        return false;
    }

    private readonly bool Same(in PatternInstruction step, ref int at)
    {
        int start = _slots[2 * step.A];
        int end = _slots[(2 * step.A) + 1];
        if (start < 0 || end < start)
        {
            return false;
        }

        while (start < end)
        {
            if (at >= _text.Length)
            {
                return false;
            }

            int a = CodePoints.Next(_text, ref start);
            int b = CodePoints.Next(_text, ref at);
            if (a != b && (step.B == 0 || CharacterProperties.Fold(a) != CharacterProperties.Fold(b)))
            {
                return false;
            }
        }

        return true;
    }

    private readonly bool Holds(PatternAnchor anchor, int at) => anchor switch
    {
        PatternAnchor.LineStart => at == 0 || (_text[at - 1] == '\n' && at < _text.Length),
        PatternAnchor.LineEnd => at == _text.Length || _text[at] == '\n',
        PatternAnchor.TextStart => at == 0,
        PatternAnchor.TextEnd => at == _text.Length,
        PatternAnchor.TextEndOrLastBreak => at == _text.Length || (at == _text.Length - 1 && _text[at] == '\n'),
        PatternAnchor.WordBoundary => AtBoundary(at),
        _ => !AtBoundary(at),
    };

    private readonly bool AtBoundary(int at)
    {
        int before = at;
        int after = at;
        bool left = at > 0 && CharacterProperties.IsPatternWord(CodePoints.Previous(_text, ref before));
        bool right = at < _text.Length && CharacterProperties.IsPatternWord(CodePoints.Next(_text, ref after));
        return left != right;
    }

    private void Push(int kind, int code, int at, int bound)
    {
        if (_top + FrameSize > _stack.Length)
        {
            if (_stack.Length >= MostStack)
            {
                throw new GraftException("a pattern of the tokenizer needs too much memory on this text: use another pattern or a shorter text");
            }

            int[] larger = ArrayPool<int>.Shared.Rent(2 * _stack.Length);
            _stack.AsSpan(0, _top).CopyTo(larger);
            ArrayPool<int>.Shared.Return(_stack);
            _stack = larger;
        }

        Span<int> frame = _stack.AsSpan(_top, FrameSize);
        frame[0] = kind;
        frame[1] = code;
        frame[2] = at;
        frame[3] = bound;
        _top += FrameSize;
    }
}
