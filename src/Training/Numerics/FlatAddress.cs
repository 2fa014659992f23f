using Graft.Runtime;

namespace Graft.Training.Numerics;

/// <summary>Where a tensor's elements begin: what a work struct may hold, unlike a span. Arena memory never moves while it is alive.</summary>
internal readonly unsafe struct FlatAddress<T>(T* address)
    where T : unmanaged
{
    public bool IsNull => address is null;

    /// <summary>The address of a tensor that is alive and on the host.</summary>
    public static FlatAddress<T> Of(Tensor tensor)
    {
        fixed (T* address = tensor.AsSpan<T>())
        {
            return new FlatAddress<T>(address);
        }
    }

    /// <summary>The address of an array that the collector never moves; keep the array reachable.</summary>
    public static FlatAddress<T> OfPinned(T[] pinned)
    {
        fixed (T* address = pinned)
        {
            return new FlatAddress<T>(address);
        }
    }

    /// <summary>The same as a number.</summary>
    public nint Value => (nint)address;

    public Span<T> Span(int start, int count) => new(address + start, count);
}
