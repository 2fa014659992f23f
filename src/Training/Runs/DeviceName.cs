using System.Globalization;
using Graft.Runtime;

namespace Graft.Training.Runs;

/// <summary>Devices by the names that run files and the tool take: `cpu`, `cuda` (the first card) or `cuda:N`.</summary>
public static class DeviceName
{
    /// <summary>What may be given, in words.</summary>
    public const string Allowed = "cpu, cuda, or cuda:N for the card with number N";

    /// <summary>Makes the device.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="threads">Threads of a CPU device; 0 for every core.</param>
    /// <exception cref="ConfigurationException">No such name.</exception>
    /// <exception cref="CudaUnavailableException">No card, no driver or no compiler for it: says what is missing.</exception>
    public static Device Create(string name, int threads = 0)
    {
        return KindOf(name, out int ordinal) == DeviceKind.Cuda ? new CudaDevice(ordinal) : new CpuDevice(threads);
    }

    /// <summary>Which kind a name means; makes nothing.</summary>
    /// <exception cref="ConfigurationException">No such name.</exception>
    public static DeviceKind KindOf(string name) => KindOf(name, out _);

    internal static bool IsKnown(string name) => Parse(name, out _) is not null;

    private static DeviceKind KindOf(string name, out int ordinal)
    {
        return Parse(name, out ordinal) ?? throw new ConfigurationException($"device '{name}': allowed are {Allowed}.");
    }

    private static DeviceKind? Parse(string name, out int ordinal)
    {
        ArgumentNullException.ThrowIfNull(name);
        ordinal = 0;
        if (name == "cpu")
        {
            return DeviceKind.Cpu;
        }

        bool numbered = name.StartsWith("cuda:", StringComparison.Ordinal);
        return name == "cuda" || (numbered && int.TryParse(name.AsSpan("cuda:".Length), NumberStyles.None, CultureInfo.InvariantCulture, out ordinal))
            ? DeviceKind.Cuda
            : null;
    }
}
