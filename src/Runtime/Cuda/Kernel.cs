namespace Graft.Runtime;

/// <summary>An entry point of a kernel file: `new("rms_norm", "rms_norm_forward")` is that function of rms_norm.cu. The loader adds the dtype's name where one is given.</summary>
/// <param name="family">The file, without its ending.</param>
/// <param name="name">The function, without the suffix of its dtype.</param>
internal sealed class Kernel(string family, string name)
{
    private static int s_count;

    public string Family { get; } = family;

    public string Name { get; } = name;

    /// <summary>A small number of its own, so that a device finds the loaded function by an index.</summary>
    public int Index { get; } = Interlocked.Increment(ref s_count) - 1;

    /// <summary>How many kernels there are.</summary>
    public static int Count => Volatile.Read(ref s_count);
}

/// <summary>How many blocks of how many threads, and the dynamic shared memory of each.</summary>
/// <param name="Grid">Blocks along x.</param>
/// <param name="Block">Threads of a block; a multiple of 32.</param>
internal readonly record struct LaunchShape(long Grid, int Block)
{
    /// <summary>Blocks along y, at most 65,535.</summary>
    public int GridY { get; init; } = 1;

    /// <summary>Blocks along z, at most 65,535.</summary>
    public int GridZ { get; init; } = 1;

    /// <summary>Bytes of dynamic shared memory; beyond 48 KiB the device raises the kernel's limit first.</summary>
    public int SharedBytes { get; init; }

    /// <summary>Enough blocks for one thread per element.</summary>
    public static LaunchShape Over(long elements, int block = 256) => new((elements + block - 1) / block, block);
}

/// <summary>A value on its way to a kernel: 8 bytes, of which the kernel reads as many as its parameter has.</summary>
internal readonly unsafe struct KernelArgument
{
    private readonly ulong _bits;

    private KernelArgument(ulong bits) => _bits = bits;

    public ulong Bits => _bits;

    public static KernelArgument Null => default;

    /// <summary>The device address of the first element; 0 for null.</summary>
    public static implicit operator KernelArgument(Tensor? tensor) => tensor is null ? default : new((ulong)tensor.DevicePointer());

    public static implicit operator KernelArgument(nint value) => new((ulong)value);

    public static implicit operator KernelArgument(int value) => new((uint)value);

    public static implicit operator KernelArgument(uint value) => new(value);

    public static implicit operator KernelArgument(long value) => new((ulong)value);

    public static implicit operator KernelArgument(ulong value) => new(value);

    public static implicit operator KernelArgument(float value) => new(BitConverter.SingleToUInt32Bits(value));

    /// <summary>1 or 0, for a parameter of type int.</summary>
    public static implicit operator KernelArgument(bool value) => new(value ? 1u : 0);

    /// <summary>A dtype's code, as in common.cuh, for a parameter of type int.</summary>
    public static implicit operator KernelArgument(DType value) => new((uint)value);
}
