namespace Graft.Tests;

/// <summary>Where recorded cases are read from: the folder named by GRAFT_FIXTURES, else tests/Fixtures.</summary>
public static class FixtureFolder
{
    // First, because static properties are set in the order of the text and the others need it.
    /// <summary>The root of the checkout, null where tests run from a bundle.</summary>
    public static string? Repository { get; } = Above(AppContext.BaseDirectory);

    /// <summary>The folder that holds `architectures/`, `adapters/`, `tokenizers/`, ...</summary>
    public static string Root { get; } = Find("GRAFT_FIXTURES", Path.Combine("tests", "Fixtures"));

    /// <summary>The folder of models too large for the repository, or null with <see cref="ModelsReason"/>.</summary>
    public static string? Models { get; } = Exists(Environment.GetEnvironmentVariable("GRAFT_MODELS")) ?? Exists(Beside(Path.Combine("..", "shared", "fixtures", "models")));

    /// <summary>Why a test of a large model is skipped.</summary>
    public const string ModelsReason = "the model file is not on this machine: set GRAFT_MODELS to the folder that holds it";

    /// <summary>Every case folder (one with a case.json) below <paramref name="area"/>, sorted; the names are found, never known.</summary>
    public static IEnumerable<string> Cases(string area)
    {
        string folder = Path.Combine(Root, area);
        if (!Directory.Exists(folder))
        {
            return [];
        }

        return Directory.EnumerateDirectories(folder)
            .Where(f => File.Exists(Path.Combine(f, "case.json")))
            .Select(f => Path.GetFileName(f)!)
            .Order(StringComparer.Ordinal);
    }

    /// <summary>The path of a file or folder below the root.</summary>
    public static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string Find(string variable, string below)
    {
        return Exists(Environment.GetEnvironmentVariable(variable)) ?? Exists(Path.Combine(AppContext.BaseDirectory, "Fixtures")) ?? Beside(below) ?? below;
    }

    private static string? Beside(string below) => Repository is { } root ? Path.GetFullPath(Path.Combine(root, below)) : null;

    private static string? Exists(string? folder) => folder is not null && Directory.Exists(folder) ? Path.GetFullPath(folder) : null;

    private static string? Above(string folder)
    {
        for (DirectoryInfo? at = new(folder); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "Runtime.sln")))
            {
                return at.FullName;
            }
        }

        return null;
    }
}
