using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Graft.Runtime;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Training.Numerics;

/// <summary>Between F32 masters and 16-bit values. Narrowing rounds to nearest, ties to even.</summary>
internal static class LowPrecision
{
    /// <summary>Widens a 16-bit tensor into an F32 one of the same number of elements; nothing on the meta device.</summary>
    public static void Widen(Tensor low, Tensor wide)
    {
        if (!low.Device.IsHost)
        {
            wide.CastFrom(low);
            return;
        }

        Span<float> to = wide.AsSpan<float>();
        if (low.DType == DType.F16)
        {
            TensorPrimitives.ConvertToSingle(low.AsReadOnlySpan<Half>(), to);
            return;
        }

        ReadOnlySpan<BFloat16> from = low.AsReadOnlySpan<BFloat16>();
        for (int i = 0; i < to.Length; i++)
        {
            to[i] = (float)from[i];
        }
    }

    /// <summary>Rounds an F32 tensor into a 16-bit one; nothing on the meta device.</summary>
    public static void Narrow(Tensor wide, Tensor low)
    {
        if (!low.Device.IsHost)
        {
            low.CastFrom(wide);
        }
        else if (low.DType == DType.BF16)
        {
            Narrow(wide.AsReadOnlySpan<float>(), low.AsSpan<BFloat16>());
        }
        else
        {
            TensorPrimitives.ConvertToHalf(wide.AsReadOnlySpan<float>(), low.AsSpan<Half>());
        }
    }

    /// <summary>Rounds F32 values to BF16.</summary>
    public static void Narrow(ReadOnlySpan<float> from, Span<BFloat16> to)
    {
        Span<ushort> bits = MemoryMarshal.Cast<BFloat16, ushort>(to);
        int width = Vector<uint>.Count;
        int i = 0;
        for (; i <= from.Length - (2 * width); i += 2 * width)
        {
            Vector<float> low = new(from[i..]);
            Vector<float> high = new(from[(i + width)..]);
            if (!Vector.EqualsAll(low, low) || !Vector.EqualsAll(high, high))
            {
                break; // a NaN: the scalar way knows what to do
            }

            Vector.Narrow(Rounded(low), Rounded(high)).CopyTo(bits[i..]);
        }

        for (; i < from.Length; i++)
        {
            to[i] = (BFloat16)from[i];
        }
    }

    private static Vector<uint> Rounded(Vector<float> x)
    {
        Vector<uint> u = Vector.AsVectorUInt32(x);
        return (u + new Vector<uint>(0x7FFF) + ((u >>> 16) & Vector<uint>.One)) >>> 16;
    }
}
