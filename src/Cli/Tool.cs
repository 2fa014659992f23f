using System.CommandLine;
using System.CommandLine.Parsing;
using Graft.Cli.Commands;
using Graft.Cli.Output;
using Graft.Runtime;

namespace Graft.Cli;

/// <summary>The tool `graft`: one file per command below Commands. It parses, renders and maps errors to exit codes; the libraries do the work.</summary>
internal static class Tool
{
    public static RootCommand Create(ToolConsole console)
    {
        RootCommand root = new("Fine-tunes language models on the CPU or a CUDA card: train, eval, generate, merge, plan.");
        root.Subcommands.Add(TrainCommand.Create(console));
        root.Subcommands.Add(EvalCommand.Create(console));
        root.Subcommands.Add(GenerateCommand.Create(console));
        root.Subcommands.Add(MergeCommand.Create(console));
        root.Subcommands.Add(PlanCommand.Create(console));
        root.Subcommands.Add(MethodsCommand.Create(console));
        root.Subcommands.Add(DoctorCommand.Create(console));
        return root;
    }

    /// <summary>Runs the tool; every error becomes one message on the error stream and an exit code.</summary>
    public static async Task<int> RunAsync(string[] args, ToolConsole console, CancellationToken cancellation)
    {
        ParseResult parsed = Create(console).Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (ParseError error in parsed.Errors)
            {
                await console.Error.WriteLineAsync($"graft: {error.Message}").ConfigureAwait(false);
            }

            await console.Error.WriteLineAsync("Try --help.").ConfigureAwait(false);
            return ExitCode.Usage;
        }

        try
        {
            // Signals are the program's: System.CommandLine would end the process two seconds after the first.
            InvocationConfiguration configuration = new()
            {
                Output = console.Out,
                Error = console.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            };
            return await parsed.InvokeAsync(configuration, cancellation).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            int code = ExitCode.Of(e);
            string message = Message(e);
            await console.Error.WriteLineAsync(message).ConfigureAwait(false);
            if (parsed.CommandResult.GetResult("--json") is OptionResult { Implicit: false })
            {
                JsonLines.Write(console.Out, "failed", json =>
                {
                    json.WriteString("message", message);
                    json.WriteNumber("exit_code", code);
                });
            }

            return code;
        }
    }

    private static string Message(Exception e) => e switch
    {
        OperationCanceledException => "graft: cancelled.",
        GraftException or UsageException or IOException or UnauthorizedAccessException => $"graft: {e.Message}",
        _ => $"graft: an error that is ours ({e.GetType().Name}): {e.Message} Please report it with the command and the run file.",
    };
}
