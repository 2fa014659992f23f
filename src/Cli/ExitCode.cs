using Graft.Models.Adapters;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Cli;

/// <summary>The exit codes, as docs/cli.md lists them.</summary>
internal static class ExitCode
{
    public const int Ok = 0;
    public const int BadInput = 1;
    public const int Usage = 2;
    public const int Failure = 3;
    public const int Cancelled = 130;

    /// <summary>1 for what the user gave, 3 for what went wrong while it ran.</summary>
    public static int Of(Exception e) => e switch
    {
        OperationCanceledException => Cancelled,
        UsageException => Usage,
        ConfigurationException or DatasetException or CheckpointException or NotMergeableException => BadInput,
        FileNotFoundException or DirectoryNotFoundException => BadInput,
        _ => Failure,
    };
}

/// <summary>Arguments that are well-formed one by one but make no command together.</summary>
internal sealed class UsageException(string message) : Exception(message);
