using Graft.Runtime.Interop;

namespace Graft.Runtime;

public sealed unsafe partial class CudaDevice
{
    private const int Suffixes = 9; // none, and one per dtype
    private const int SharedLimit = 48 << 10; // what a kernel may have without being asked for more
    private const int MaxArguments = 32;

    private LoadedKernel[] _functions = [];

    /// <summary>Runs a kernel's version for a dtype.</summary>
    internal void Launch(Kernel kernel, DType dtype, LaunchShape shape, params ReadOnlySpan<KernelArgument> arguments)
        => Launch(kernel, (int)dtype + 1, shape, arguments);

    /// <summary>Runs a kernel that has one version.</summary>
    internal void Launch(Kernel kernel, LaunchShape shape, params ReadOnlySpan<KernelArgument> arguments) => Launch(kernel, 0, shape, arguments);

    /// <inheritdoc/>
    /// <exception cref="KernelCompileException">A kernel does not compile: names file and line.</exception>
    public override void Prepare() => Prepare(KernelSource.Families);

    /// <summary>Compiles and loads some kernel files in parallel; all others are compiled when they are first needed.</summary>
    /// <param name="families">File names without their ending, as docs/kernels.md lists them.</param>
    /// <exception cref="KernelCompileException">A kernel does not compile: names file and line.</exception>
    public void Prepare(IReadOnlyCollection<string> families)
    {
        ArgumentNullException.ThrowIfNull(families);
        Enter();
        _kernels.Load(families);
    }

    /// <summary>The kernel files that are loaded.</summary>
    internal IReadOnlyCollection<string> LoadedFamilies => _kernels.Families;

    /// <summary>Compiles a kernel file that is not one of Graft's own, to be launched by `new Kernel(family, name)`. It may include common.cuh.</summary>
    internal void AddKernels(string family, string text)
    {
        Enter();
        _kernels.Add(KernelSource.Of(family, text));
    }

    private void Launch(Kernel kernel, int suffix, LaunchShape shape, ReadOnlySpan<KernelArgument> arguments)
    {
        if (shape.Grid == 0 || shape.GridY == 0 || shape.GridZ == 0)
        {
            return;
        }

        if (shape.Grid > int.MaxValue || shape.GridY > 65535 || shape.GridZ > 65535)
        {
            throw new GraftException($"{kernel.Name}: a grid of {shape.Grid} x {shape.GridY} x {shape.GridZ} blocks is more than a card takes; use a smaller batch.");
        }

        Enter();
        ref LoadedKernel function = ref Function(kernel, suffix);
        if (shape.SharedBytes > SharedLimit && shape.SharedBytes > function.SharedBytes)
        {
            Ok(CudaDriver.cuFuncSetAttribute(function.Handle, CUfunction_attribute.MaxDynamicSharedSizeBytes, shape.SharedBytes));
            function.SharedBytes = shape.SharedBytes;
        }

        void** parameters = stackalloc void*[MaxArguments];
        fixed (KernelArgument* first = arguments)
        {
            for (int i = 0; i < arguments.Length; i++)
            {
                parameters[i] = first + i;
            }

            CUresult result = CudaDriver.cuLaunchKernel(
                function.Handle, (uint)shape.Grid, (uint)shape.GridY, (uint)shape.GridZ, (uint)shape.Block, 1, 1, (uint)shape.SharedBytes, _stream, parameters, null);
            if (result != CUresult.Success)
            {
                Ok(result, $"cuLaunchKernel({kernel.Name}, grid {shape.Grid} x {shape.GridY} x {shape.GridZ}, block {shape.Block}, shared {shape.SharedBytes})");
            }
        }

        Launches++;
        if (IsSynchronous && !IsCapturing)
        {
            Ok(CudaDriver.cuStreamSynchronize(_stream), $"{kernel.Name} (GRAFT_SYNC=1)");
        }
    }

    private ref LoadedKernel Function(Kernel kernel, int suffix)
    {
        int at = (kernel.Index * Suffixes) + suffix;
        if (at >= _functions.Length)
        {
            Array.Resize(ref _functions, Kernel.Count * Suffixes);
        }

        ref LoadedKernel function = ref _functions[at];
        if (function.Handle == 0)
        {
            RefuseInCapture($"load {kernel.Name}: run the step once before it is recorded");
            function.Handle = _kernels.Find(kernel.Family, suffix == 0 ? kernel.Name : $"{kernel.Name}_{((DType)(suffix - 1)).Name()}");
        }

        return ref function;
    }

    private struct LoadedKernel
    {
        public nint Handle;
        public int SharedBytes;
    }
}
