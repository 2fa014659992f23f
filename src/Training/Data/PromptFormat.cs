using System.Text;
using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>A text with the places {prompt} and {completion}: how a pair becomes one sequence. "{{" and "}}" stand for single braces.</summary>
public sealed class PromptFormat
{
    /// <summary>Prompt and completion as they are.</summary>
    public const string Plain = "{prompt}{completion}";

    private const string PromptPlace = "prompt";
    private const string CompletionPlace = "completion";

    private PromptFormat(string text, IReadOnlyList<Part> parts)
    {
        Text = text;
        Parts = parts;
    }

    internal enum PartKind
    {
        Literal,
        Prompt,
        Completion,
    }

    /// <summary>The format as given.</summary>
    public string Text { get; }

    internal IReadOnlyList<Part> Parts { get; }

    /// <summary>Reads a format.</summary>
    /// <exception cref="ConfigurationException">A place is unknown, missing, repeated or out of order, or a brace is alone.</exception>
    public static PromptFormat Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        List<Part> parts = [];
        StringBuilder literal = new();
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c is not ('{' or '}'))
            {
                literal.Append(c);
            }
            else if (i + 1 < text.Length && text[i + 1] == c)
            {
                literal.Append(c);
                i++;
            }
            else
            {
                int end = c == '{' ? text.IndexOf('}', i) : -1;
                if (end < 0)
                {
                    throw Invalid(text, $"the brace at character {i + 1} has no partner; write {c}{c} for a single one");
                }

                string place = text[(i + 1)..end];
                Flush(parts, literal);
                parts.Add(new Part(KindOf(text, place), string.Empty));
                i = end;
            }
        }

        Flush(parts, literal);
        int prompts = parts.Count(p => p.Kind == PartKind.Prompt);
        int completions = parts.Count(p => p.Kind == PartKind.Completion);
        if (completions != 1 || prompts > 1)
        {
            throw Invalid(text, $"{{completion}} must occur once and {{prompt}} at most once; they occur {completions} and {prompts} times");
        }

        if (parts.FindIndex(p => p.Kind == PartKind.Prompt) > parts.FindIndex(p => p.Kind == PartKind.Completion))
        {
            throw Invalid(text, "{prompt} must come before {completion}");
        }

        return new PromptFormat(text, parts);
    }

    private static PartKind KindOf(string text, string place) => place switch
    {
        PromptPlace => PartKind.Prompt,
        CompletionPlace => PartKind.Completion,
        _ => throw Invalid(text, $"there is no place {{{place}}}; known are {{prompt}} and {{completion}}"),
    };

    private static void Flush(List<Part> parts, StringBuilder literal)
    {
        if (literal.Length > 0)
        {
            parts.Add(new Part(PartKind.Literal, literal.ToString()));
            literal.Clear();
        }
    }

    private static ConfigurationException Invalid(string text, string what)
    {
        return new ConfigurationException($"prompt format \"{text.Replace("\n", "\\n", StringComparison.Ordinal)}\": {what}.");
    }

    internal readonly record struct Part(PartKind Kind, string Text);
}
