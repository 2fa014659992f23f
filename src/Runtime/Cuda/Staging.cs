using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>Two pinned buffers between managed memory and the card: while one is on its way, the host fills the other.</summary>
internal sealed unsafe class Staging : IDisposable
{
    private const int HalfBytes = 4 << 20; // 4 MiB: copies of this size reach the bus's speed, and two of them are little to pin

    private readonly nint _stream;
    private readonly nint[] _buffers = new nint[2];
    private readonly nint[] _events = new nint[2];
    private readonly bool[] _busy = new bool[2];
    private int _next;

    public Staging(nint stream)
    {
        _stream = stream;
        for (int i = 0; i < 2; i++)
        {
            nint buffer, sent;
            Check.Ok(CudaDriver.cuMemHostAlloc(&buffer, HalfBytes, 0));
            _buffers[i] = buffer;
            Check.Ok(CudaDriver.cuEventCreate(&sent, CUevent_flags.DisableTiming));
            _events[i] = sent;
        }
    }

    public void Upload(CudaDevice device, ReadOnlySpan<byte> from, nint to)
    {
        for (int done = 0; done < from.Length;)
        {
            int length = Math.Min(HalfBytes, from.Length - done);
            int half = Take(device);
            from.Slice(done, length).CopyTo(new Span<byte>((void*)_buffers[half], length));
            device.Ok(CudaDriver.cuMemcpyHtoDAsync_v2(to + done, _buffers[half], (nuint)length, _stream));
            device.Ok(CudaDriver.cuEventRecord(_events[half], _stream));
            _busy[half] = true;
            done += length;
        }
    }

    public void Download(CudaDevice device, nint from, Span<byte> to)
    {
        for (int done = 0; done < to.Length;)
        {
            int length = Math.Min(HalfBytes, to.Length - done);
            int half = Take(device);
            device.Ok(CudaDriver.cuMemcpyDtoHAsync_v2(_buffers[half], from + done, (nuint)length, _stream));
            device.Ok(CudaDriver.cuStreamSynchronize(_stream));
            new ReadOnlySpan<byte>((void*)_buffers[half], length).CopyTo(to[done..]);
            done += length;
        }
    }

    public void Dispose()
    {
        for (int i = 0; i < 2; i++)
        {
            if (_events[i] != 0)
            {
                _ = CudaDriver.cuEventDestroy_v2(_events[i]);
            }

            if (_buffers[i] != 0)
            {
                _ = CudaDriver.cuMemFreeHost(_buffers[i]);
            }
        }
    }

    private int Take(CudaDevice device)
    {
        int half = _next;
        _next ^= 1;
        if (_busy[half])
        {
            device.Ok(CudaDriver.cuEventSynchronize(_events[half]));
            _busy[half] = false;
        }

        return half;
    }
}
