using System.Text;
using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>What a card is.</summary>
/// <param name="Ordinal">Its number, from 0.</param>
/// <param name="Name">As its driver says.</param>
/// <param name="Major">Of the compute capability.</param>
/// <param name="Minor">Of the compute capability.</param>
/// <param name="Multiprocessors">How many run blocks side by side.</param>
/// <param name="SharedBytes">The most shared memory of a block.</param>
/// <param name="MemoryBytes">Of the card.</param>
/// <param name="DriverVersion">The CUDA version of the driver, 12040 for 12.4.</param>
public sealed record CudaCard(int Ordinal, string Name, int Major, int Minor, int Multiprocessors, int SharedBytes, long MemoryBytes, int DriverVersion)
{
    /// <summary>As NVRTC names it: `sm_90`.</summary>
    public string Architecture => $"sm_{Major}{Minor}";

    /// <summary>True for the emulated driver of the tests, which computes on the CPU: it is no GPU, and no figure of it says anything about one.</summary>
    public bool IsEmulator => Name.StartsWith("Graft CUDA emulator", StringComparison.Ordinal);
}

/// <summary>The primary context of a card, shared with whoever else uses it in this process; retained while this lives.</summary>
internal sealed unsafe class CudaContext : IDisposable
{
    private readonly int _device;
    private readonly int _ordinal;
    private readonly nint _context;
    private bool _disposed;

    private CudaContext(int ordinal, int device, nint context)
    {
        _ordinal = ordinal;
        _device = device;
        _context = context;
    }

    public static CudaContext Open(int ordinal)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(ordinal);
        CudaLibraries.Require();
        int count;
        Check.Ok(CudaDriver.cuDeviceGetCount(&count));
        if (ordinal >= count)
        {
            throw new CudaUnavailableException($"cuda:{ordinal} was asked for, but there {(count == 1 ? "is one card" : $"are {count} cards")}, numbered from 0. CUDA_VISIBLE_DEVICES may hide some.");
        }

        int device;
        Check.Ok(CudaDriver.cuDeviceGet(&device, ordinal));
        nint context;
        Check.Ok(CudaDriver.cuDevicePrimaryCtxRetain(&context, device));
        return new CudaContext(ordinal, device, context);
    }

    /// <summary>Makes it this thread's; what the driver answers is the caller's to judge, because releasing never throws.</summary>
    public CUresult MakeCurrent() => CudaDriver.cuCtxSetCurrent(_context);

    public CudaCard Describe() => Describe(_ordinal, _device);

    /// <summary>What a card is; needs no context, so that looking costs nothing on the card.</summary>
    public static CudaCard Describe(int ordinal, int device)
    {
        byte* name = stackalloc byte[256];
        Check.Ok(CudaDriver.cuDeviceGetName(name, 256, device));
        nuint bytes;
        Check.Ok(CudaDriver.cuDeviceTotalMem_v2(&bytes, device));
        int driver;
        Check.Ok(CudaDriver.cuDriverGetVersion(&driver));
        return new CudaCard(
            ordinal,
            Encoding.UTF8.GetString(System.Runtime.InteropServices.MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name)),
            Attribute(CUdevice_attribute.ComputeCapabilityMajor, device),
            Attribute(CUdevice_attribute.ComputeCapabilityMinor, device),
            Attribute(CUdevice_attribute.MultiprocessorCount, device),
            Attribute(CUdevice_attribute.MaxSharedMemoryPerBlockOptin, device),
            (long)bytes,
            driver);
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _ = CudaDriver.cuDevicePrimaryCtxRelease_v2(_device);
        }
    }

    private static int Attribute(CUdevice_attribute attribute, int device)
    {
        int value;
        Check.Ok(CudaDriver.cuDeviceGetAttribute(&value, attribute, device));
        return value;
    }
}
