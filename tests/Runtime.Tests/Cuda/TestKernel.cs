using System.Runtime.CompilerServices;
using Graft.Runtime.Interop;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Kernels of a test's own text, compiled as those of src/Kernels/cu are and run on a device's stream.</summary>
internal sealed unsafe class TestKernel : IDisposable
{
    private readonly CudaDevice _device;
    private readonly nint _module;

    public TestKernel(CudaDevice device, string name, string text)
    {
        _device = device;
        byte[] image = KernelCompiler.Default.Compile(KernelSource.Of(name, text), device.Card.Architecture);
        device.Enter();
        fixed (byte* bytes = image)
        {
            nint module;
            device.Ok(CudaDriver.cuModuleLoadData(&module, bytes));
            _module = module;
        }
    }

    /// <summary>Runs one block of a kernel whose parameters are all addresses.</summary>
    public void Launch(ReadOnlySpan<byte> name, int threads, params ReadOnlySpan<Tensor> tensors)
    {
        _device.Enter();
        nint function;
        fixed (byte* text = name)
        {
            _device.Ok(CudaDriver.cuModuleGetFunction(&function, _module, text));
        }

        nint* addresses = stackalloc nint[tensors.Length];
        void** parameters = stackalloc void*[tensors.Length];
        for (int i = 0; i < tensors.Length; i++)
        {
            addresses[i] = tensors[i].DevicePointer();
            parameters[i] = Unsafe.AsPointer(ref addresses[i]);
        }

        _device.Ok(CudaDriver.cuLaunchKernel(function, 1, 1, 1, (uint)threads, 1, 1, 0, _device.Stream, parameters, null));
    }

    public void Dispose() => _ = CudaDriver.cuModuleUnload(_module);
}
