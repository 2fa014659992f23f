namespace Graft.Runtime;

/// <summary>A CUDA card: device memory and kernels compiled by NVRTC.</summary>
public sealed class CudaDevice : Device
{
    /// <summary>The card with the given number.</summary>
    /// <param name="ordinal">From 0.</param>
    public CudaDevice(int ordinal = 0)
        : base(DeviceKind.Cuda, $"cuda:{ordinal}")
    {
        Ordinal = ordinal;
    }

    /// <summary>The card's number, from 0.</summary>
    public int Ordinal { get; }

    /// <summary>An int on the device that kernels write when an index is out of bounds; read at the next synchronisation.</summary>
    internal nint ErrorFlag { get; }

    internal void Launch(Kernel kernel, DType dtype, LaunchShape shape, params ReadOnlySpan<KernelArgument> arguments) => throw new NotSupportedException(Name);

    internal void Launch(Kernel kernel, LaunchShape shape, params ReadOnlySpan<KernelArgument> arguments) => throw new NotSupportedException(Name);

    internal override nint AllocateSlab(long bytes) => throw new NotSupportedException();

    internal override void FreeSlab(nint address, long bytes) => throw new NotSupportedException();

    internal override void Upload(ReadOnlySpan<byte> from, nint to) => throw new NotSupportedException();

    internal override void Download(nint from, Span<byte> to) => throw new NotSupportedException();

    internal override void Copy(nint from, nint to, long bytes) => throw new NotSupportedException();

    internal override void Fill(nint at, byte value, long bytes) => throw new NotSupportedException();

    internal override void AddInto(Tensor target, Tensor source) => throw new NotSupportedException();

    internal override void CastInto(Tensor target, Tensor source) => throw new NotSupportedException();

    internal override void FillWith(Tensor target, float value) => throw new NotSupportedException();
}
