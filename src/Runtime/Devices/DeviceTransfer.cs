using System.Buffers;

namespace Graft.Runtime;

/// <summary>Copies of elements within a device and between two.</summary>
internal static class DeviceTransfer
{
    private const int PieceBytes = 16 << 20;

    public static unsafe void Copy(Tensor from, Tensor to)
    {
        long bytes = to.Spec.Bytes;
        if (from.Device == to.Device)
        {
            to.Device.Copy(from.DevicePointer(), to.DevicePointer(), bytes);
            return;
        }

        // One side is the host's, or both are cards: those meet in host memory.
        byte[]? rented = from.Device.IsHost || to.Device.IsHost ? null : ArrayPool<byte>.Shared.Rent((int)Math.Min(bytes, PieceBytes));
        for (long done = 0; done < bytes; done += PieceBytes)
        {
            int length = (int)Math.Min(PieceBytes, bytes - done);
            nint source = from.DevicePointer() + (nint)done;
            nint target = to.DevicePointer() + (nint)done;
            if (from.Device.IsHost)
            {
                to.Device.Upload(new ReadOnlySpan<byte>((void*)source, length), target);
            }
            else if (to.Device.IsHost)
            {
                from.Device.Download(source, new Span<byte>((void*)target, length));
            }
            else
            {
                from.Device.Download(source, rented.AsSpan(0, length));
                to.Device.Upload(rented.AsSpan(0, length), target);
            }
        }

        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }
}
