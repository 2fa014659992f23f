using System.Text;
using System.Text.Json;

namespace Graft.Cli.Tests;

/// <summary>A run of the tool inside the test's process, with what it wrote.</summary>
internal sealed record ToolRun(int Code, string Output, string Error)
{
    /// <summary>Every line of the output as JSON; fails where one is not.</summary>
    public IReadOnlyList<JsonElement> Lines =>
        [.. Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonDocument.Parse(l).RootElement)];

    public JsonElement Last => Lines[^1];

    public static Task<ToolRun> Of(params string[] args) => Watch(args, null, CancellationToken.None);

    /// <param name="args">The command line.</param>
    /// <param name="onLine">Called with each line of output as it is written.</param>
    /// <param name="cancellation">As Ctrl+C would cancel it.</param>
    public static async Task<ToolRun> Watch(string[] args, Action<string>? onLine, CancellationToken cancellation)
    {
        using Watched output = new(onLine);
        using StringWriter error = new();
        int code = await Tool.RunAsync(args, new ToolConsole(new StringReader("typed\n"), output, error, false), cancellation).ConfigureAwait(false);
        return new ToolRun(code, output.ToString(), error.ToString());
    }

    private sealed class Watched(Action<string>? onLine) : StringWriter
    {
        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(string? value)
        {
            base.Write(value);
            if (value is not null)
            {
                onLine?.Invoke(value);
            }
        }
    }
}

/// <summary>The shipped model and data, and small settings for them.</summary>
internal static class Sample
{
    public static string Root { get; } = FixtureFolder.Repository ?? throw new InvalidOperationException("the tests run outside of a checkout");

    public static string Model => Path.Combine(Root, "samples", "models", "graft-tiny");

    public static string Data => Path.Combine(Root, "samples", "e2e-nlg", "valid.jsonl");

    public static string RunFile => Path.Combine(Root, "samples", "e2e-nlg", "run.yaml");

    /// <summary>`--set`s that make a run of seconds out of the sample's run file.</summary>
    public static string[] Small(string folder, params string[] more)
    {
        string[] values =
        [
            "training.steps=3", "training.batch_size=2", "training.sequence_length=96", "training.log_every=1",
            "training.eval_every=0", "training.early_stopping.patience=0",
            "schedule.warmup_steps=1", "data.eval_samples=8", "generation.prompts=2", "generation.max_new_tokens=4",
            $"output.path={folder}", $"data.cache={Path.Combine(folder, "cache")}", .. more,
        ];
        return [.. values.SelectMany(v => new[] { "--set", v })];
    }
}

/// <summary>A folder that is gone after the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("graft-cli-").FullName;

    public string File(string name, string text)
    {
        string path = System.IO.Path.Combine(Path, name);
        System.IO.File.WriteAllText(path, text);
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
