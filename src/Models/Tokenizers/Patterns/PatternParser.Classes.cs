namespace Graft.Models.Tokenizers;

/// <content>Character classes in brackets.</content>
internal sealed partial class PatternParser
{
    /// <summary>The class after '[': ranges, escapes, POSIX names, classes within classes, '&amp;&amp;'.</summary>
    private CharacterSet Class()
    {
        if (++_depth > MostDepth)
        {
            throw Error($"classes are nested deeper than {MostDepth}");
        }

        bool negated = Take("^");
        CharacterSet set = new();
        CharacterSet? earlier = null;
        bool first = true;
        while (true)
        {
            if (!More)
            {
                throw Error("']' is missing");
            }

            if (_pattern[_at] == ']' && !(first && _pattern.IndexOf(']', _at + 1) >= 0))
            {
                _at++;
                break;
            }

            first = false;
            if (Take("&&"))
            {
                set.And = earlier;
                earlier = set;
                set = new CharacterSet();
                continue;
            }

            if (Posix() is { } posix)
            {
                set.Add(posix);
                continue;
            }

            if (Take("["))
            {
                set.Add(Class());
                continue;
            }

            ReadItem(set);
        }

        _depth--;
        set.And = earlier;
        set.Negated = negated;
        return set;
    }

    private void ReadItem(CharacterSet set)
    {
        if (Take("\\"))
        {
            char c = Read();
            if (ClassEscape(c) is { } escaped)
            {
                set.Add(escaped);
                return;
            }

            Range(set, c == 'b' ? 8 : CharacterEscape(c));
            return;
        }

        Range(set, CodePoints.Next(_pattern, ref _at));
    }

    private void Range(CharacterSet set, int first)
    {
        int last = first;
        if (_at + 1 < _pattern.Length && _pattern[_at] == '-' && _pattern[_at + 1] is not (']' or '['))
        {
            int hyphen = _at++;
            if (Take("\\"))
            {
                char c = Read();
                if ("dDwWsShHpP".Contains(c, StringComparison.Ordinal))
                {
                    // [a-\w]: the hyphen is itself.
                    _at = hyphen;
                    set.Add(first, first);
                    set.Add('-', '-');
                    _at++;
                    return;
                }

                last = c == 'b' ? 8 : CharacterEscape(c);
            }
            else
            {
                last = CodePoints.Next(_pattern, ref _at);
            }

            if (last < first)
            {
                throw Error("a range in a class runs backwards");
            }
        }

        set.Add(first, last);
    }

    private CharacterSet? Posix()
    {
        if (string.CompareOrdinal(_pattern, _at, "[:", 0, 2) != 0)
        {
            return null;
        }

        int end = _pattern.IndexOf(":]", _at + 2, StringComparison.Ordinal);
        if (end < 0)
        {
            return null;
        }

        string name = _pattern[(_at + 2)..end];
        bool negated = name.StartsWith('^');
        CharacterSet? set = PatternProperties.Posix(negated ? name[1..] : name, negated);
        if (set is not null)
        {
            _at = end + 2;
        }

        return set;
    }
}
