using System.Text;

namespace Graft.Training.Runs;

/// <summary>Paths of a run file.</summary>
internal static class RunPath
{
    /// <summary>Replaces ${NAME} and ${NAME:-other}; the error says what cannot be replaced.</summary>
    public static bool TryExpand(string path, Func<string, string?> environment, out string expanded, out string error)
    {
        StringBuilder result = new();
        (expanded, error) = (string.Empty, string.Empty);
        int at = 0;
        while (path.IndexOf("${", at, StringComparison.Ordinal) is var start and >= 0)
        {
            int end = path.IndexOf('}', start);
            if (end < 0)
            {
                error = "a variable (${) is not closed by }";
                return false;
            }

            string body = path[(start + 2)..end];
            int mark = body.IndexOf(":-", StringComparison.Ordinal);
            string name = mark < 0 ? body : body[..mark];
            if (name.Length == 0 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_'))
            {
                error = $"'{name}' is no name of an environment variable";
                return false;
            }

            string? value = environment(name);
            if (string.IsNullOrEmpty(value))
            {
                if (mark < 0)
                {
                    error = $"the environment variable {name} is not set; set it, or give another place with ${{{name}:-other}}";
                    return false;
                }

                value = body[(mark + 2)..];
            }

            result.Append(path, at, start - at).Append(value);
            at = end + 1;
        }

        expanded = result.Append(path, at, path.Length - at).ToString();
        return true;
    }
}
