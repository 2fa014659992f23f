using System.Runtime.InteropServices;
using Graft.Runtime;

namespace Graft.Bench.Peers;

/// <summary>A second peer for matrix products: the OpenBLAS library whose path is in <c>GRAFT_OPENBLAS</c>; without it there is none.</summary>
/// <remarks>Its kernels are chosen by <c>OPENBLAS_CORETYPE</c> when it is loaded; its threads are as many as there are processors.</remarks>
internal static unsafe class OpenBlas
{
    private const int RowMajor = 101;
    private const int AsStored = 111;

    /// <summary>Name and version, with the kernels in use.</summary>
    public static string Version { get; private set; } = "";

    // After the version, which it sets.
    private static readonly delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> s_multiply = Find();

    /// <summary>True where it can be measured.</summary>
    public static bool IsAvailable => s_multiply != null;

    /// <summary>C = A·B, row-major, beta 0.</summary>
    public static void Multiply(int m, int n, int k, Tensor a, Tensor b, Tensor c)
        => s_multiply(RowMajor, AsStored, AsStored, m, n, k, 1, a.Pointer<float>(), k, b.Pointer<float>(), n, 0, c.Pointer<float>(), n);

    private static delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> Find()
    {
        string? path = Environment.GetEnvironmentVariable("GRAFT_OPENBLAS");
        if (string.IsNullOrEmpty(path))
        {
            return null;
        }

        // What it stands on lies beside it where the project's script brought it: loaded first, it is found by name.
        foreach (string name in new[] { "libquadmath.so.0", "libgfortran.so.5" })
        {
            _ = NativeLibrary.TryLoad(Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, name), out _);
        }

        nint library = NativeLibrary.Load(path);
        delegate* unmanaged<byte*> config = (delegate* unmanaged<byte*>)NativeLibrary.GetExport(library, "openblas_get_config");
        string[] words = (Marshal.PtrToStringUTF8((nint)config()) ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        delegate* unmanaged<byte*> core = (delegate* unmanaged<byte*>)NativeLibrary.GetExport(library, "openblas_get_corename");
        Version = $"{string.Join(' ', words.Take(2))} {Marshal.PtrToStringUTF8((nint)core())}";
        return (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)NativeLibrary.GetExport(library, "cblas_sgemm");
    }
}
