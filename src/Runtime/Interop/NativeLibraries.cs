using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace Graft.Runtime.Interop;

/// <summary>The CUDA libraries of this process: each looked for once, when it is first needed or asked about.</summary>
internal static class NativeLibraries
{
    private static readonly Lock s_lock = new();
    private static readonly LibraryState?[] s_states = new LibraryState?[Enum.GetValues<CudaLibrary>().Length];

    /// <summary>What became of looking for a library; looks for it the first time.</summary>
    public static LibraryState State(CudaLibrary library)
    {
        lock (s_lock)
        {
            return s_states[(int)library] ??= LibrarySearch.Find(library);
        }
    }

    /// <summary>All of them, for `graft doctor`.</summary>
    public static IReadOnlyList<LibraryState> Report() => [.. Enum.GetValues<CudaLibrary>().Select(State)];

    // One resolver serves the assembly, and a second registration throws: so it stands before any code of the assembly runs, whoever comes first.
    // Nothing is looked for here.
#pragma warning disable CA2255 // a module initializer in a library: no other place is sure to be before the first call of a binding
    [ModuleInitializer]
    internal static void Register() => NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, Resolve);
#pragma warning restore CA2255

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        CudaLibrary? library = name switch
        {
            CudaDriver.Library => CudaLibrary.Driver,
            CuBlasLt.Library => CudaLibrary.CuBlasLt,
            Nccl.Library => CudaLibrary.Nccl,
            _ => null,
        };
        if (library is null)
        {
            return 0; // another library: the system's search
        }

        LibraryState state = State(library.Value);
        return state.IsLoaded ? state.Handle : throw CudaLibraries.Missing(state);
    }
}
