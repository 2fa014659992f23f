using System.Globalization;

namespace Graft.Models.Tokenizers;

/// <content>Groups, escapes and single characters.</content>
internal sealed partial class PatternParser
{
    private PatternNode? Atom()
    {
        char c = Read();
        switch (c)
        {
            case '(':
                return Group();
            case '[':
                // Classes inside classes know nothing of case, the whole does.
                CharacterSet set = Class();
                set.IgnoreCase = _ignoreCase;
                return new PatternNode.One(set.Freeze());
            case '.':
                bool dotAll = _dotAll;
                return new PatternNode.One(CharacterSet.Of(x => dotAll || x != '\n').Freeze());
            case '^':
                return new PatternNode.Assertion(PatternAnchor.LineStart);
            case '$':
                return new PatternNode.Assertion(PatternAnchor.LineEnd);
            case '\\':
                return Escape();
            case '*' or '+' or '?':
                throw Error($"'{c}' repeats nothing");
            default:
                _at--;
                return Literal(CodePoints.Next(_pattern, ref _at));
        }
    }

    private PatternNode.One Literal(int codePoint)
    {
        CharacterSet set = new();
        set.Add(codePoint, codePoint);
        foreach (int variant in _ignoreCase ? CaseVariants.Of(codePoint) : [])
        {
            set.Add(variant, variant);
        }

        return new PatternNode.One(set.Freeze());
    }

    private PatternNode? Group()
    {
        if (!Take("?"))
        {
            int index = ++Captures;
            return new PatternNode.Capture(Body(), index);
        }

        if (Take("#"))
        {
            while (Read() != ')')
            {
            }

            return null;
        }

        if (Take(":"))
        {
            return Body();
        }

        if (Take(">"))
        {
            return new PatternNode.Atomic(Body());
        }

        if (Take("=") || Take("!"))
        {
            bool negative = _pattern[_at - 1] == '!';
            return new PatternNode.Look(Body(), Behind: false, negative);
        }

        if (Take("<=") || Take("<!"))
        {
            bool negative = _pattern[_at - 1] == '!';
            PatternNode body = Body();
            if (body.Width().Most is < 0 or > MostRepeat)
            {
                throw Error("a look-behind must have a bounded length");
            }

            return new PatternNode.Look(body, Behind: true, negative);
        }

        if (Take("<") || Take("'"))
        {
            string name = Name(_pattern[_at - 1] == '<' ? '>' : '\'');
            int index = ++Captures;
            if (!_names.TryAdd(name, index))
            {
                throw Error($"two groups have the name '{name}'");
            }

            return new PatternNode.Capture(Body(), index);
        }

        if (More && _pattern[_at] is 'i' or 'm' or 'x' or '-')
        {
            (bool ignoreCase, bool dotAll, bool extended) = (_ignoreCase, _dotAll, _extended);
            ReadSwitches();
            if (Take(":"))
            {
                PatternNode body = Body();
                (_ignoreCase, _dotAll, _extended) = (ignoreCase, dotAll, extended);
                return body;
            }
        }

        throw Error("a group of this kind is not supported");
    }

    private PatternNode Body()
    {
        PatternNode body = Alternatives();
        return Take(")") ? body : throw Error("')' is missing");
    }

    private string Name(char end)
    {
        int stop = _pattern.IndexOf(end, _at);
        if (stop <= _at)
        {
            throw Error($"'{end}' is missing after a name");
        }

        string name = _pattern[_at..stop];
        _at = stop + 1;
        return name;
    }

    private PatternNode Escape()
    {
        char c = Read();
        switch (c)
        {
            case 'A':
                return new PatternNode.Assertion(PatternAnchor.TextStart);
            case 'z':
                return new PatternNode.Assertion(PatternAnchor.TextEnd);
            case 'Z':
                return new PatternNode.Assertion(PatternAnchor.TextEndOrLastBreak);
            case 'b':
                return new PatternNode.Assertion(PatternAnchor.WordBoundary);
            case 'B':
                return new PatternNode.Assertion(PatternAnchor.NoWordBoundary);
            case 'w' or 'W':
                return new PatternNode.One(CharacterSet.Of(CharacterProperties.IsPatternWord, c == 'W').Freeze());
            case 'X':
                return new PatternNode.Grapheme();
            case 'R':
                return new PatternNode.Atomic(new PatternNode.Choice(
                [
                    new PatternNode.Sequence([Literal('\r'), Literal('\n')]),
                    new PatternNode.One(CharacterSet.Of(x => x is (>= 10 and <= 13) or 0x85 or 0x2028 or 0x2029).Freeze()),
                ]));
            case 'k':
                char open = Read();
                string name = open is '<' or '\'' ? Name(open == '<' ? '>' : '\'') : throw Error("\\k without a name");
                return _names.TryGetValue(name, out int named)
                    ? new PatternNode.BackReference(named, _ignoreCase)
                    : int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out named) && named >= 1 && named <= Captures
                        ? new PatternNode.BackReference(named, _ignoreCase)
                        : throw Error($"no group '{name}' stands before its reference");
            case >= '1' and <= '9':
                int index = c - '0';
                return index <= Captures
                    ? new PatternNode.BackReference(index, _ignoreCase)
                    : throw Error($"there is no group {index} before its reference");
            case 'G' or 'K' or 'O' or 'N' or 'y' or 'Y' or 'g':
                throw Error($"\\{c} is not supported");
        }

        if (ClassEscape(c) is { } set)
        {
            return new PatternNode.One(set.Freeze());
        }

        return Literal(CharacterEscape(c));
    }

    /// <summary>\d, \w (inside brackets), \s, \h, \p{..} and their opposites; null for other letters.</summary>
    private CharacterSet? ClassEscape(char c) => c switch
    {
        'd' or 'D' => CharacterSet.OfCategories(CharacterProperties.Mask(UnicodeCategory.DecimalDigitNumber), c == 'D'),
        'w' or 'W' => CharacterSet.Of(CharacterProperties.IsWord, c == 'W'),
        's' or 'S' => CharacterSet.Of(CharacterProperties.IsWhiteSpace, c == 'S'),
        'h' or 'H' => CharacterSet.Of(x => x < 128 && char.IsAsciiHexDigit((char)x), c == 'H'),
        'p' or 'P' => Property(c == 'P'),
        _ => null,
    };

    private CharacterSet Property(bool negated)
    {
        if (!Take("{"))
        {
            throw Error("\\p needs a name in braces");
        }

        bool inverse = Take("^");
        string name = Name('}');
        return PatternProperties.Find(name, negated != inverse) ?? throw Error($"the property '{name}' is not known");
    }

    /// <summary>The code point that an escape stands for, the letter after the backslash being read.</summary>
    private int CharacterEscape(char c)
    {
        switch (c)
        {
            case 't':
                return '\t';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 'f':
                return '\f';
            case 'v':
                return '\v';
            case 'a':
                return 7;
            case 'e':
                return 27;
            case 'x':
                return More && _pattern[_at] == '{' ? Braced() : Digits(16, 1, 2);
            case 'u':
                return Digits(16, 4, 4);
            case '0':
                return Digits(8, 0, 2);
            default:
                if (char.IsAsciiLetterOrDigit(c))
                {
                    throw Error($"\\{c} is not supported");
                }

                _at--;
                return CodePoints.Next(_pattern, ref _at);
        }
    }

    private int Braced()
    {
        _at++;
        string digits = Name('}');
        return int.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value) && value is >= 0 and <= 0x10FFFF
            ? value
            : throw Error($"'{digits}' is no code point");
    }

    private int Digits(int radix, int least, int most)
    {
        int value = 0;
        int count = 0;
        while (count < most && More && char.IsAsciiHexDigit(_pattern[_at]) && Convert.ToInt32(_pattern[_at].ToString(), 16) < radix)
        {
            value = (value * radix) + Convert.ToInt32(_pattern[_at++].ToString(), 16);
            count++;
        }

        return count >= least ? value : throw Error("an escape has too few digits");
    }
}
