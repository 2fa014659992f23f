namespace Graft.Cli;

/// <summary>Where the tool reads and writes: the process's own streams, or a test's.</summary>
internal sealed record ToolConsole(TextReader In, TextWriter Out, TextWriter Error, bool IsInteractive)
{
    public static ToolConsole OfProcess() => new(Console.In, Console.Out, Console.Error, !Console.IsOutputRedirected);
}
