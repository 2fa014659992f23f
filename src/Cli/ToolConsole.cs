using Graft.Runtime;
using Graft.Training.Runs;

namespace Graft.Cli;

/// <summary>Where the tool reads and writes: the process's own streams, or a test's.</summary>
internal sealed record ToolConsole(TextReader In, TextWriter Out, TextWriter Error, bool IsInteractive)
{
    public static ToolConsole OfProcess() => new(Console.In, Console.Out, Console.Error, !Console.IsOutputRedirected);

    /// <summary>Makes a device, and says so where it is the emulated card: no figure of that is one of a GPU.</summary>
    public Device Open(string name, int threads = 0)
    {
        Device device = DeviceName.Create(name, threads);
        if (device is CudaDevice { Card.IsEmulator: true })
        {
            Error.WriteLine($"{device.Name}: it computes on the CPU, and its times say nothing about a card");
        }

        return device;
    }
}
