using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>The last committed results of a machine kind.</summary>
/// <param name="Name">Of the file.</param>
/// <param name="File">Its contents.</param>
internal sealed record Baseline(string Name, JsonObject File)
{
    private const string Folder = "bench/results/";
    private const int Date = 11; // yyyy-MM-dd-

    /// <summary>What the last commit has for a kind; null where there is nothing, or no repository.</summary>
    /// <param name="root">The repository.</param>
    /// <param name="machine">The file's name after the date, without its ending.</param>
    public static Baseline? Committed(string root, string machine)
    {
        if (Git(root, "ls-tree", "--name-only", "HEAD", Folder) is not { } list
            || Newest(list.Split('\n', StringSplitOptions.RemoveEmptyEntries), machine) is not { } path
            || Git(root, "show", $"HEAD:{path}") is not { } text)
        {
            return null;
        }

        try
        {
            return new Baseline(Path.GetFileName(path), JsonNode.Parse(text)!.AsObject());
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            Console.Error.WriteLine($"{path} as committed cannot be read: {e.Message}");
            return null;
        }
    }

    /// <summary>The newest of some result files that is of a machine kind.</summary>
    public static string? Newest(IEnumerable<string> paths, string machine)
    {
        return paths.Where(p => Path.GetFileName(p) is { Length: > Date } name && name[Date..] == $"{machine}.json").Max(StringComparer.Ordinal);
    }

    private static string? Git(string root, params string[] arguments)
    {
        ProcessStartInfo start = new("git") { WorkingDirectory = root, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        try
        {
            using Process git = Process.Start(start)!;
            Task<string> errors = git.StandardError.ReadToEndAsync();
            string output = git.StandardOutput.ReadToEnd();
            git.WaitForExit();
            _ = errors.Result;
            return git.ExitCode == 0 ? output : null;
        }
        catch (Win32Exception)
        {
            return null; // no git here
        }
    }
}
