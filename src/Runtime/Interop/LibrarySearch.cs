using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

/// <summary>Looks for a CUDA library: in the folders of GRAFT_CUDA_PATH, by the system's search, in the usual folders of a toolkit. Newest version first.</summary>
/// <remarks>A folder of GRAFT_CUDA_PATH that has the library decides: nothing else is tried then, so that a version asked for is never silently replaced by another.</remarks>
internal static class LibrarySearch
{
    public const string PathVariable = "GRAFT_CUDA_PATH";

    public static LibraryState Find(CudaLibrary library) => Find(library, Environment.GetEnvironmentVariable(PathVariable));

    /// <summary>The same with given folders (separated as in PATH) in place of the environment's.</summary>
    public static LibraryState Find(CudaLibrary library, string? folders)
    {
        List<string> tried = [];
        foreach (string folder in (folders ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            foreach (string name in Names(library))
            {
                string path = Path.Combine(folder, name);
                tried.Add(path);
                if (File.Exists(path))
                {
                    nint handle = LoadFile(library, path, out string? problem);
                    return new(library, handle, handle != 0 ? path : null, tried, problem);
                }
            }
        }

        foreach (string name in Names(library))
        {
            tried.Add(name);
            if (NativeLibrary.TryLoad(name, out nint handle))
            {
                return new(library, handle, LoadedFile(name) ?? name, tried);
            }
        }

        string? lastProblem = null;
        foreach (string path in UsualFolders().SelectMany(folder => Names(library).Select(name => Path.Combine(folder, name))))
        {
            tried.Add(path);
            if (File.Exists(path))
            {
                nint handle = LoadFile(library, path, out string? problem);
                if (handle != 0)
                {
                    return new(library, handle, path, tried);
                }

                lastProblem = problem;
            }
        }

        return new(library, 0, null, tried, lastProblem);
    }

    /// <summary>Loads one file, and first what it opens itself by a bare name, which the system would not find beside it.</summary>
    public static nint LoadFile(CudaLibrary library, string path, out string? problem)
    {
        problem = null;
        if (library == CudaLibrary.Nvrtc)
        {
            string pattern = OperatingSystem.IsWindows() ? "nvrtc-builtins64_*.dll" : "libnvrtc-builtins.so.*";
            foreach (string builtins in Directory.EnumerateFiles(Path.GetDirectoryName(Path.GetFullPath(path))!, pattern))
            {
                _ = NativeLibrary.TryLoad(builtins, out _); // stays loaded: NVRTC opens it by its name when it first compiles
            }
        }

        try
        {
            return NativeLibrary.Load(path);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            problem = $"{path} cannot be loaded: {e.Message.ReplaceLineEndings(" ").Trim()}";
            return 0;
        }
    }

    public static string[] Names(CudaLibrary library) => (library, OperatingSystem.IsWindows()) switch
    {
        (CudaLibrary.Driver, false) => ["libcuda.so.1"],
        (CudaLibrary.Driver, true) => ["nvcuda.dll"],
        (CudaLibrary.Nvrtc, false) => ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"],
        (CudaLibrary.Nvrtc, true) => ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"],
        (CudaLibrary.CuBlasLt, false) => ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"],
        (CudaLibrary.CuBlasLt, true) => ["cublasLt64_13.dll", "cublasLt64_12.dll", "cublasLt64_11.dll"],
        (CudaLibrary.Nccl, false) => ["libnccl.so.2"],
        _ => ["nccl.dll"],
    };

    /// <summary>Where toolkits put libraries without telling the system's search.</summary>
    private static IEnumerable<string> UsualFolders()
    {
        bool windows = OperatingSystem.IsWindows();
        foreach (string variable in (string[])["CUDA_PATH", "CUDA_HOME"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } root)
            {
                foreach (string below in windows ? (string[])["bin/x64", "bin"] : ["lib64", "targets/x86_64-linux/lib"])
                {
                    yield return Path.Combine(root, below);
                }
            }
        }

        if (!windows)
        {
            yield return "/usr/local/cuda/lib64";
            yield return "/usr/local/cuda/targets/x86_64-linux/lib";
            yield return "/usr/lib/x86_64-linux-gnu";
        }
    }

    /// <summary>The file behind a name that the system's search found; null where the system does not tell.</summary>
    private static string? LoadedFile(string name)
    {
        const string Maps = "/proc/self/maps";
        if (!File.Exists(Maps))
        {
            return null;
        }

        // The file on disk has more of the version than the name: libcuda.so.1 is libcuda.so.580.65.06.
        string stem = name[..(name.IndexOf(".so", StringComparison.Ordinal) + 3)];
        string? line = File.ReadLines(Maps).FirstOrDefault(l => l.Contains('/', StringComparison.Ordinal) && Path.GetFileName(l).StartsWith(stem, StringComparison.Ordinal));
        return line?[line.IndexOf('/', StringComparison.Ordinal)..];
    }
}
