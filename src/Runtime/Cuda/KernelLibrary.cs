using System.Text;
using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>The kernel files that a device has loaded: each compiled for its architecture (or taken from the cache on disk) when first asked for.</summary>
internal sealed unsafe class KernelLibrary(string architecture) : IDisposable
{
    private readonly Dictionary<string, nint> _modules = [];

    /// <summary>The files that are loaded.</summary>
    public IReadOnlyCollection<string> Families => _modules.Keys;

    /// <summary>Loads files; what is not in the cache is compiled in parallel.</summary>
    public void Load(IReadOnlyCollection<string> families)
    {
        string[] missing = [.. families.Where(f => !_modules.ContainsKey(f))];
        foreach ((string family, byte[] image) in KernelCompiler.CompileAll(missing, architecture))
        {
            Add(family, image);
        }
    }

    /// <summary>Loads a file that is not one of Graft's own: kernels of a test, a benchmark or a user.</summary>
    public void Add(KernelSource source) => Add(source.Family, KernelCompiler.Default.Compile(source, architecture));

    /// <summary>The function of a name in a file.</summary>
    /// <exception cref="GraftException">The file has none of this name: the op does not exist in this dtype.</exception>
    public nint Find(string family, string name)
    {
        if (!_modules.TryGetValue(family, out nint module))
        {
            Load([family]);
            module = _modules[family];
        }

        Span<byte> text = stackalloc byte[128];
        text[Encoding.UTF8.GetBytes(name, text)] = 0;
        fixed (byte* at = text)
        {
            nint function;
            CUresult result = CudaDriver.cuModuleGetFunction(&function, module, at);
            if (result == CUresult.NotFound)
            {
                throw new GraftException($"{family}.cu has no kernel {name}: the op is not made for this dtype on CUDA.");
            }

            Check.Ok(result, $"cuModuleGetFunction({name})");
            return function;
        }
    }

    private void Add(string family, byte[] bytes)
    {
        fixed (byte* image = bytes)
        {
            nint module;
            Check.Ok(CudaDriver.cuModuleLoadData(&module, image), $"cuModuleLoadData({family}.cu, {architecture})");
            _modules.Add(family, module);
        }
    }

    public void Dispose()
    {
        foreach (nint module in _modules.Values)
        {
            _ = CudaDriver.cuModuleUnload(module);
        }

        _modules.Clear();
    }
}
