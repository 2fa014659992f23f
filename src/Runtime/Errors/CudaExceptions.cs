using System.Globalization;

namespace Graft.Runtime;

/// <summary>A call of the CUDA driver, cuBLASLt, NCCL or NVRTC failed. The text has the call, the number, its name and meaning, and the device.</summary>
/// <remarks>Calls are asynchronous: a fault of a kernel shows at a later call. With GRAFT_SYNC=1 the launch itself reports it.</remarks>
public sealed class CudaException : GraftException
{
    internal CudaException(string library, int code, string name, string meaning, string call, string? device)
        : base(string.Create(CultureInfo.InvariantCulture, $"{call}: {code} {name}, {meaning}{(device is null ? "" : $", device {device}")}"))
    {
        Library = library;
        Code = code;
        Name = name;
        Call = call;
        Device = device;
    }

    /// <summary>A later use of a device that failed before: the first error's facts under another text.</summary>
    internal CudaException(CudaException first, string message)
        : base(message, first)
    {
        Library = first.Library;
        Code = first.Code;
        Name = first.Name;
        Call = first.Call;
        Device = first.Device;
    }

    /// <summary>"CUDA", "cuBLASLt", "NCCL" or "NVRTC".</summary>
    public string Library { get; }

    /// <summary>The library's number for the error.</summary>
    public int Code { get; }

    /// <summary>The library's name for the number.</summary>
    public string Name { get; }

    /// <summary>The text of the call that reported it.</summary>
    public string Call { get; }

    /// <summary>The device's name, where one was involved.</summary>
    public string? Device { get; }

    /// <summary>True where the error poisons the device for the rest of the process: all later calls fail in the same way.</summary>
    public bool IsSticky => Library == "CUDA" && Code is 4 or 214 or 220 or 700 or 702 or 709 or 710 or (>= 714 and <= 719) or 999;
}

/// <summary>CUDA cannot be used here: no driver or an old one, no card, or a library is missing. The text says what was tried and what to install.</summary>
public sealed class CudaUnavailableException(string message) : GraftException(message);

/// <summary>A kernel file does not compile.</summary>
public sealed class KernelCompileException : GraftException
{
    internal KernelCompileException(string family, string architecture, string? file, int line, string log)
        : base($"{(file is null ? $"{family}.cu" : string.Create(CultureInfo.InvariantCulture, $"{file}({line})"))}: kernel family {family} does not compile for {architecture}:\n{log}")
    {
        Family = family;
        Architecture = architecture;
        File = file;
        Line = line;
        Log = log;
    }

    /// <summary>The kernel file without its ending.</summary>
    public string Family { get; }

    /// <summary>What it was compiled for, `sm_90`.</summary>
    public string Architecture { get; }

    /// <summary>The file of the first error; null where the log names none.</summary>
    public string? File { get; }

    /// <summary>The line of the first error, from 1; 0 where the log names none.</summary>
    public int Line { get; }

    /// <summary>All that the compiler said.</summary>
    public string Log { get; }
}
