using System.Diagnostics;
using System.Runtime.InteropServices;
using Graft.Runtime;

namespace Graft.Tests;

/// <summary>
/// The CUDA device of the tests: the emulated driver of tests/CudaEmulator, built when first asked for, so that CUDA code runs on any machine with g++;
/// with GRAFT_TEST_GPU=1 the machine's card instead.
/// </summary>
public static class CudaTestDevice
{
    private static readonly Lazy<string?> s_problem = new(Prepare);

    /// <summary>True where tests run on a real card.</summary>
    public static bool IsGpu { get; } = Environment.GetEnvironmentVariable("GRAFT_TEST_GPU") == "1";

    /// <summary>The folder of the emulated driver.</summary>
    public static string EmulatorFolder => Path.Combine(FixtureFolder.Repository ?? AppContext.BaseDirectory, "artifacts", "emulator");

    /// <summary>Makes the device, or ignores the test with the reason.</summary>
    public static CudaDevice Open(int ordinal = 0, bool guardBlocks = false)
    {
        Require();
        return new CudaDevice(ordinal, guardBlocks);
    }

    /// <summary>Ignores the test where there is neither a card nor a compiler for the emulator.</summary>
    public static void Require()
    {
        if (s_problem.Value is { } problem)
        {
            Assert.Ignore(problem);
        }
    }

    // Runs before the first CUDA call of the process: the driver's library is looked for once.
    private static string? Prepare()
    {
        if (IsGpu)
        {
            return null;
        }

        if (FixtureFolder.Repository is not { } root)
        {
            return "no checkout here to build the emulated CUDA driver from, and GRAFT_TEST_GPU=1 is not set";
        }

        ProcessStartInfo start = new("bash", [Path.Combine(root, "tests", "CudaEmulator", "build.sh"), EmulatorFolder])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process build = Process.Start(start)!;
        Task<string> output = build.StandardOutput.ReadToEndAsync();
        string errors = build.StandardError.ReadToEnd();
        build.WaitForExit();
        if (build.ExitCode == 3)
        {
            return $"the emulated CUDA driver needs g++: {errors.Trim()}";
        }

        Assert.That(build.ExitCode, Is.Zero, $"tests/CudaEmulator/build.sh: {output.Result}{errors}");
        Set("GRAFT_CUDA_PATH", EmulatorFolder);
        // Checked images have hooks that plain ones lack: they are kept apart.
        string mode = Environment.GetEnvironmentVariable("GRAFT_EMU_CHECKED") == "1" ? "-checked" : "";
        Set("GRAFT_CACHE", Path.Combine(EmulatorFolder, "kernels" + mode));
        Set("GRAFT_EMU_DEVICES", "2");
        Set("GRAFT_EMU_CACHE", Path.Combine(EmulatorFolder, "objects"));
        return null;
    }

    // .NET keeps an environment of its own; the emulator, which is C++, reads the process's.
    private static unsafe void Set(string name, string value)
    {
        Environment.SetEnvironmentVariable(name, value);
        nint setenv = NativeLibrary.GetExport(NativeLibrary.Load("libc.so.6"), "setenv");
        nint n = Marshal.StringToCoTaskMemUTF8(name), v = Marshal.StringToCoTaskMemUTF8(value);
        _ = ((delegate* unmanaged<nint, nint, int, int>)setenv)(n, v, 1);
        Marshal.FreeCoTaskMem(n);
        Marshal.FreeCoTaskMem(v);
    }
}
