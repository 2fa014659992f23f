using System.Runtime.InteropServices;
using Graft.Cli;

using CancellationTokenSource stop = new();
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
return await Tool.RunAsync(args, ToolConsole.OfProcess(), stop.Token).ConfigureAwait(false);

void Stop(PosixSignalContext signal)
{
    // The first one lets the work end in order and save; the second ends the process at once.
    signal.Cancel = !stop.IsCancellationRequested;
    stop.Cancel();
}
