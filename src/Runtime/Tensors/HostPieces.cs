using System.Buffers;
using System.Runtime.InteropServices;

namespace Graft.Runtime;

/// <summary>Writes a run of elements that lies in host memory.</summary>
/// <param name="values">The elements.</param>
/// <param name="start">The number of the first of them in the tensor.</param>
public delegate void HostWriter<T>(Span<T> values, long start)
    where T : unmanaged;

/// <summary>Reads a run of elements that lies in host memory.</summary>
/// <param name="values">The elements.</param>
/// <param name="start">The number of the first of them in the tensor.</param>
public delegate void HostReader<T>(ReadOnlySpan<T> values, long start)
    where T : unmanaged;

/// <summary>Elements of a tensor on any device, worked on by the host: in place where the host reaches them, else in pieces of 4 MiB that are copied.</summary>
/// <remarks>Pieces come in order, and none where there are no elements. Nothing happens on the meta device.</remarks>
public static class HostPieces
{
    private const int PieceBytes = 4 << 20;
    private const int LongestSpan = 1 << 30;

    // Weights are converted on every core, but the pieces share one bus.
    private static readonly Lock s_transfer = new();

    extension(Tensor tensor)
    {
        /// <summary>All elements, read only: where they are if the host reaches them, else a copy.</summary>
        /// <exception cref="GraftException">The tensor lies on meta.</exception>
        public ReadOnlySpan<T> OnHost<T>()
            where T : unmanaged
        {
            ArgumentNullException.ThrowIfNull(tensor);
            return tensor.Device.IsHost ? tensor.AsReadOnlySpan<T>() : tensor.ToArray<T>();
        }

        /// <summary>Lets the host write all elements; what they hold before is undefined.</summary>
        /// <exception cref="DTypeException">The elements are of another type.</exception>
        public void WriteOnHost<T>(HostWriter<T> write)
            where T : unmanaged
        {
            CheckType<T>(tensor);
            Run(tensor, tensor.Shape.Count, write, null);
        }

        /// <summary>Lets the host change all elements.</summary>
        /// <exception cref="DTypeException">The elements are of another type.</exception>
        public void ChangeOnHost<T>(HostWriter<T> change)
            where T : unmanaged
        {
            CheckType<T>(tensor);
            Run(tensor, tensor.Shape.Count, change, static (_, _) => { });
        }

        /// <summary>Lets the host read all elements.</summary>
        /// <exception cref="DTypeException">The elements are of another type.</exception>
        public void ReadOnHost<T>(HostReader<T> read)
            where T : unmanaged
        {
            CheckType<T>(tensor);
            Run(tensor, tensor.Shape.Count, null, read);
        }

        /// <summary>Lets the host write the bytes of all elements, whatever their type.</summary>
        public void WriteBytesOnHost(HostWriter<byte> write) => Run(tensor, tensor.Spec.Bytes, write, null);

        /// <summary>Lets the host read the bytes of all elements, whatever their type.</summary>
        public void ReadBytesOnHost(HostReader<byte> read) => Run(tensor, tensor.Spec.Bytes, null, read);
    }

    private static void CheckType<T>(Tensor tensor)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(tensor);
        if (DTypeExtensions.Of<T>() != tensor.DType)
        {
            throw new DTypeException($"{tensor} was taken for {typeof(T).Name}: its elements are {tensor.DType.Name()}.");
        }
    }

    private static unsafe void Run<T>(Tensor tensor, long count, HostWriter<T>? write, HostReader<T>? read)
        where T : unmanaged
    {
        if (tensor.Device.IsHost)
        {
            T* first = count == 0 ? null : (T*)tensor.RawPointer();
            for (long start = 0; start < count; start += LongestSpan)
            {
                Span<T> values = new(first + start, (int)Math.Min(LongestSpan, count - start));
                write?.Invoke(values, start);
                read?.Invoke(values, start);
            }
        }
        else if (tensor.Device.Computes && count > 0)
        {
            Copied(tensor, count, write, read);
        }
    }

    private static unsafe void Copied<T>(Tensor tensor, long count, HostWriter<T>? write, HostReader<T>? read)
        where T : unmanaged
    {
        int most = (int)Math.Min(PieceBytes / sizeof(T), count);
        T[] rented = ArrayPool<T>.Shared.Rent(most);
        try
        {
            for (long start = 0; start < count; start += most)
            {
                Span<T> values = rented.AsSpan(0, (int)Math.Min(most, count - start));
                nint address = tensor.DevicePointer() + (nint)(start * sizeof(T));
                if (read is not null)
                {
                    lock (s_transfer)
                    {
                        tensor.Device.Download(address, MemoryMarshal.AsBytes(values));
                    }

                    read(values, start);
                }

                if (write is not null)
                {
                    write(values, start);
                    lock (s_transfer)
                    {
                        tensor.Device.Upload(MemoryMarshal.AsBytes(values), address);
                    }
                }
            }
        }
        finally
        {
            ArrayPool<T>.Shared.Return(rented);
        }
    }
}
