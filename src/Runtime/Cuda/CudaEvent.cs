using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>A point in the work of a CUDA device: to wait for, and to measure by.</summary>
public sealed unsafe class CudaEvent : IDisposable
{
    private readonly CudaDevice _device;
    private nint _handle;

    /// <summary>An event that was not recorded yet.</summary>
    public CudaEvent(CudaDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        _device = device;
        device.Enter();
        nint handle;
        device.Ok(CudaDriver.cuEventCreate(&handle, CUevent_flags.Default));
        _handle = handle;
    }

    /// <summary>Marks the point behind all that the device was asked so far.</summary>
    public void Record()
    {
        ObjectDisposedException.ThrowIf(_handle == 0, this);
        _device.Enter();
        _device.Ok(CudaDriver.cuEventRecord(_handle, _device.Stream));
    }

    /// <summary>Waits until the device has reached the point.</summary>
    public void Wait()
    {
        ObjectDisposedException.ThrowIf(_handle == 0, this);
        _device.Enter();
        _device.Ok(CudaDriver.cuEventSynchronize(_handle));
    }

    /// <summary>Milliseconds of the device's own clock from another event to this one; both have been reached.</summary>
    public double MillisecondsSince(CudaEvent start)
    {
        ArgumentNullException.ThrowIfNull(start);
        ObjectDisposedException.ThrowIf(_handle == 0 || start._handle == 0, this);
        _device.Enter();
        float milliseconds;
        _device.Ok(CudaDriver.cuEventElapsedTime(&milliseconds, start._handle, _handle));
        return milliseconds;
    }

    /// <summary>Gives the event back.</summary>
    public void Dispose()
    {
        if (_handle != 0)
        {
            _ = CudaDriver.cuEventDestroy_v2(_handle);
            _handle = 0;
        }
    }
}
