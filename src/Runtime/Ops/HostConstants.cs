using System.Runtime.InteropServices;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Small constants that ops and references make on the host.</summary>
internal static class HostConstants
{
    /// <summary>A constant of the tape's arena, F32 or F64; on a device without elements only its shape counts.</summary>
    public static Tensor Create(Tape t, Shape shape, DType dtype, ReadOnlySpan<double> values)
    {
        Tensor constant = t.Arena.Allocate(shape, dtype, MemoryCategory.Activations);
        if (t.Device.Kind == DeviceKind.Meta)
        {
            return constant;
        }

        if (dtype == DType.F64)
        {
            values.CopyTo(constant.AsSpan<double>());
            return constant;
        }

        Span<float> to = constant.AsSpan<float>();
        for (int i = 0; i < to.Length; i++)
        {
            to[i] = (float)values[i];
        }

        return constant;
    }

    /// <summary>A vector of weights as F32: itself, or widened into <paramref name="buffer"/>, which holds as many floats.</summary>
    public static ReadOnlySpan<float> Widened(Tensor weight, Span<byte> buffer)
    {
        if (weight.DType == DType.F32)
        {
            return weight.AsReadOnlySpan<float>();
        }

        Span<float> wide = MemoryMarshal.Cast<byte, float>(buffer)[..(int)weight.Shape.Count];
        if (weight.DType == DType.BF16)
        {
            Conversions.Widen(weight.AsReadOnlySpan<BFloat16>(), wide);
        }
        else
        {
            System.Numerics.Tensors.TensorPrimitives.ConvertToSingle(weight.AsReadOnlySpan<Half>(), wide);
        }

        return wide;
    }

    /// <summary>Bytes that <see cref="Widened"/> needs, a multiple of 64; none on CUDA, where kernels read weights as they are.</summary>
    public static long WidenedBytes(TensorSpec weight, DeviceKind plans)
        => weight.DType == DType.F32 || plans == DeviceKind.Cuda ? 0 : (weight.Shape.Count * 4 + 63) / 64 * 64;
}
