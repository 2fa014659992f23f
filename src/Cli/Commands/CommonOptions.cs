using System.CommandLine;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>Options that several commands share; each call makes new ones, since an option belongs to one command.</summary>
internal static class CommonOptions
{
    public static Argument<string> RunFile() => new("run") { Description = "The run file, YAML (see docs/run-file.md)." };

    public static Argument<string> Target() => new("model") { Description = "A model folder, a GGUF file, or a run file (.yaml)." };

    public static Option<string[]> Set() => new("--set")
    {
        Description = "Replaces a value of the run file: a.b=c. May be given several times.",
        HelpName = "key=value",
    };

    public static Option<bool> Json() => new("--json") { Description = "One JSON object per line instead of text." };

    public static Option<string[]> Adapters() => new("--adapter")
    {
        Description = "An adapter folder in PEFT's format. Several act together, in this order.",
        HelpName = "folder",
    };

    public static Option<string> DType()
    {
        Option<string> option = new("--dtype") { Description = "How weights are held: auto, f32, bf16, or quantized (as a .gguf file has them).", DefaultValueFactory = _ => "auto" };
        return option.AcceptOnlyFromAmong("auto", "f32", "bf16", "quantized");
    }

    public static Option<string?> Tokenizer() => new("--tokenizer") { Description = "A folder or tokenizer.json to use instead of the model's own." };

    public static Option<int> Threads() => new("--threads") { Description = "Threads to compute with; 0 for every core.", DefaultValueFactory = _ => 0 };

    public static Option<string?> Device(string otherwise = "the run file's training.device")
    {
        return new("--device") { Description = $"Where to compute: {DeviceName.Allowed}; {otherwise} if not given." };
    }

    /// <summary>The overrides of a run file, with the device among them.</summary>
    public static string[] Overrides(string[]? set, string? device) => [.. set ?? [], .. device is null ? (string[])[] : [$"training.device={device}"]];

    public static bool IsRunFile(string target)
    {
        return Path.GetExtension(target).ToUpperInvariant() is ".YAML" or ".YML";
    }

    /// <summary>The run file, or one made of a model alone and the data at hand.</summary>
    public static RunFile Load(string target, string? data, string[] overrides)
    {
        if (IsRunFile(target))
        {
            return Training.Runs.RunFile.Load(target, overrides);
        }

        string model = Path.GetFullPath(target);
        string samples = Path.GetFullPath(data ?? throw new UsageException("--data is missing: a model alone says nothing to measure on."));
        string[] values = [$"model.path={model}", $"data.train={samples}", $"data.eval={samples}", .. overrides];
        return Training.Runs.RunFile.Parse("", Path.Combine(Environment.CurrentDirectory, "command line"), values);
    }
}
