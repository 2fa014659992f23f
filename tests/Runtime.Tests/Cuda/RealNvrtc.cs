using System.Diagnostics;
using Graft.Runtime.Interop;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>NVIDIA's own compiler, beside whatever NVRTC the process uses: from the folder of GRAFT_NVRTC_PATH, else artifacts/nvrtc, where build/fetch-nvrtc.sh puts it.</summary>
internal static class RealNvrtc
{
    private static readonly Lazy<(NvrtcLibrary? Library, string? Problem)> s_found = new(Find);

    /// <summary>The compiler; a test is skipped with the reason where none can be had.</summary>
    public static NvrtcLibrary Require()
    {
        (NvrtcLibrary? library, string? problem) = s_found.Value;
        if (library is null)
        {
            Assert.Ignore(problem!);
        }

        return library!;
    }

    private static (NvrtcLibrary?, string?) Find()
    {
        if (!OperatingSystem.IsLinux())
        {
            return (null, "the tests take NVRTC from Linux packages");
        }

        string? folder = Environment.GetEnvironmentVariable("GRAFT_NVRTC_PATH");
        if (folder is null)
        {
            if (FixtureFolder.Repository is not { } root)
            {
                return (null, "no checkout here to fetch NVRTC into: set GRAFT_NVRTC_PATH to a folder that has it");
            }

            folder = Path.Combine(root, "artifacts", "nvrtc");
            if (Fetch(Path.Combine(root, "build", "fetch-nvrtc.sh"), folder) is { } problem)
            {
                return (null, problem);
            }
        }

        string path = LibrarySearch.Names(CudaLibrary.Nvrtc).Select(n => Path.Combine(folder, n)).FirstOrDefault(File.Exists)
            ?? throw new FileNotFoundException($"{folder} has no libnvrtc");
        return (NvrtcLibrary.Load(path), null);
    }

    /// <summary>Null where it is there afterwards; the reason where that is impossible on this machine. Any other end of the script is a failure.</summary>
    private static string? Fetch(string script, string folder)
    {
        using Process run = Process.Start(new ProcessStartInfo("bash", [script, folder]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        Task<string> output = run.StandardOutput.ReadToEndAsync();
        string errors = run.StandardError.ReadToEnd();
        run.WaitForExit();
        return run.ExitCode switch
        {
            0 => null,
            3 => errors.Trim(),
            int code => throw new InvalidOperationException($"{script}: exit code {code}: {output.Result}{errors}"),
        };
    }
}
