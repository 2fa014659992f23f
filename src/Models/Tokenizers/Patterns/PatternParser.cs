using System.Globalization;
using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>Reads a regular expression in the dialect of tokenizer files (Oniguruma's Ruby syntax over Unicode). What it does not know it refuses by
/// name.</summary>
internal sealed partial class PatternParser
{
    private const int MostLength = 100_000;
    private const int MostDepth = 200;
    private const int MostRepeat = 1000;

    private readonly string _pattern;
    private readonly Dictionary<string, int> _names = new(StringComparer.Ordinal);
    private int _at;
    private int _depth;
    private bool _ignoreCase;
    private bool _dotAll;
    private bool _extended;

    private PatternParser(string pattern)
    {
        _pattern = pattern;
    }

    /// <summary>Number of captures, the whole match not counted.</summary>
    public int Captures { get; private set; }

    /// <summary>Parses a pattern. Throws <see cref="CheckpointException"/> that says where it fails.</summary>
    public static (PatternNode Root, int Captures) Parse(string pattern)
    {
        if (pattern.Length > MostLength)
        {
            throw new CheckpointException($"the pattern has {pattern.Length} characters, at most {MostLength} are read");
        }

        PatternParser parser = new(pattern);
        PatternNode root = parser.Alternatives();
        if (parser._at < pattern.Length)
        {
            throw parser.Error("')' without '('");
        }

        return (root, parser.Captures);
    }

    private CheckpointException Error(string what) => new($"pattern {Shown()}: {what} at character {_at}");

    private string Shown() => _pattern.Length <= 80 ? $"'{_pattern}'" : $"'{_pattern[..77]}...'";

    private bool More => _at < _pattern.Length;

    private bool Take(string text)
    {
        if (string.CompareOrdinal(_pattern, _at, text, 0, text.Length) == 0)
        {
            _at += text.Length;
            return true;
        }

        return false;
    }

    private char Read() => More ? _pattern[_at++] : throw Error("the pattern ends too early");

    private PatternNode Alternatives()
    {
        if (++_depth > MostDepth)
        {
            throw Error($"groups are nested deeper than {MostDepth}");
        }

        // Switches set inside a group end with it.
        (bool ignoreCase, bool dotAll, bool extended) = (_ignoreCase, _dotAll, _extended);
        List<PatternNode> options = [Concatenation()];
        while (Take("|"))
        {
            options.Add(Concatenation());
        }

        (_ignoreCase, _dotAll, _extended) = (ignoreCase, dotAll, extended);
        _depth--;
        return options.Count == 1 ? options[0] : new PatternNode.Choice(options);
    }

    private PatternNode Concatenation()
    {
        List<PatternNode> parts = [];
        while (More && _pattern[_at] is not ('|' or ')'))
        {
            if (_extended && SkipExtended())
            {
                continue;
            }

            if (SwitchRest() is { } rest)
            {
                parts.Add(rest);
                continue;
            }

            PatternNode? atom = Atom();
            if (atom is not null)
            {
                parts.Add(Repetitions(atom));
            }
        }

        return parts.Count switch { 0 => new PatternNode.Empty(), 1 => parts[0], _ => new PatternNode.Sequence(parts) };
    }

    private bool SkipExtended()
    {
        if (char.IsWhiteSpace(_pattern[_at]))
        {
            _at++;
            return true;
        }

        if (_pattern[_at] != '#')
        {
            return false;
        }

        while (More && _pattern[_at] != '\n')
        {
            _at++;
        }

        return true;
    }

    /// <summary>`(?i)`: the switch holds for all that follows in the group, alternatives included, as Ruby has it.</summary>
    private PatternNode? SwitchRest()
    {
        int start = _at;
        if (Take("(?") && More && _pattern[_at] is 'i' or 'm' or 'x' or '-')
        {
            (bool ignoreCase, bool dotAll, bool extended) = (_ignoreCase, _dotAll, _extended);
            ReadSwitches();
            if (Take(")"))
            {
                PatternNode rest = Alternatives();
                (_ignoreCase, _dotAll, _extended) = (ignoreCase, dotAll, extended);
                return rest;
            }

            (_ignoreCase, _dotAll, _extended) = (ignoreCase, dotAll, extended);
        }

        _at = start;
        return null;
    }

    private void ReadSwitches()
    {
        bool on = true;
        while (More)
        {
            switch (_pattern[_at])
            {
                case '-':
                    on = false;
                    break;
                case 'i':
                    _ignoreCase = on;
                    break;
                case 'm':
                    _dotAll = on;
                    break;
                case 'x':
                    _extended = on;
                    break;
                default:
                    return;
            }

            _at++;
        }
    }

    private PatternNode Repetitions(PatternNode atom)
    {
        while (More)
        {
            int start = _at;
            char c = _pattern[_at];
            int least;
            int most;
            if (c is '*' or '+' or '?')
            {
                _at++;
                (least, most) = c switch { '*' => (0, -1), '+' => (1, -1), _ => (0, 1) };
                RepeatMode mode = Take("?") ? RepeatMode.Lazy : Take("+") ? RepeatMode.Possessive : RepeatMode.Greedy;
                atom = new PatternNode.Repeat(atom, least, most, mode);
            }
            else if (c == '{' && Interval(out least, out most))
            {
                // {n,m}+ is no possessive form in this dialect but a repetition of the repetition; {n}? is "perhaps".
                bool exact = least == most && _pattern[start.._at].Contains(',', StringComparison.Ordinal) is false;
                RepeatMode mode = !exact && Take("?") ? RepeatMode.Lazy : RepeatMode.Greedy;
                atom = new PatternNode.Repeat(atom, least, most, mode);
            }
            else
            {
                _at = start;
                break;
            }
        }

        return atom;
    }

    private bool Interval(out int least, out int most)
    {
        (least, most) = (0, -1);
        int end = _pattern.IndexOf('}', _at);
        string inside = end < 0 ? string.Empty : _pattern[(_at + 1)..end];
        string[] parts = inside.Split(',');
        if (inside.Length == 0 || parts.Length > 2 || inside == "," || parts.Any(p => p.Any(d => !char.IsAsciiDigit(d))))
        {
            return false;
        }

        least = parts[0].Length == 0 ? 0 : Number(parts[0]);
        most = parts.Length == 1 ? least : parts[1].Length == 0 ? -1 : Number(parts[1]);
        if (most >= 0 && most < least)
        {
            throw Error($"the interval {{{inside}}} runs backwards");
        }

        _at = end + 1;
        return true;

        int Number(string digits) =>
            int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value <= MostRepeat
                ? value
                : throw Error($"a repetition of {digits} is above {MostRepeat}");
    }
}
