using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>The same numbers in another floating point type: rounded to nearest, ties to even.</summary>
/// <remarks>F32, BF16, F16 and, on the CPU, F64 both ways. The gradient passes unrounded, in F32 (F64 for an F64 input); on CUDA in the input's type.</remarks>
/// <param name="To">The type of the result.</param>
public readonly record struct Cast(DType To) : IOp<Cast>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("cast", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Cast op, ref InferCall c)
    {
        if (!c.Input(0).DType.IsFloat() || !op.To.IsFloat())
        {
            throw new DTypeException($"cast: from {c.Input(0)} to {op.To.Name()} is not a conversion between floating point types.");
        }

        if (c.Plans == DeviceKind.Cuda && (c.Input(0).DType == DType.F64 || op.To == DType.F64))
        {
            throw new DTypeException($"cast: from {c.Input(0)} to {op.To.Name()}: f64 is for the CPU device only.");
        }

        c.Output(c.Shape(0), op.To);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Cast op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Cast op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Cast op, CpuCall c)
    {
        Tensor x = c.Input(0), y = c.Output;
        switch (x.DType, y.DType)
        {
            case (DType.BF16, DType.F32):
                Conversions.Convert(c.Team, x.AsReadOnlySpan<BFloat16>(), y.AsSpan<float>());
                break;
            case (DType.F32, DType.BF16):
                Conversions.Convert(c.Team, x.AsReadOnlySpan<float>(), y.AsSpan<BFloat16>());
                break;
            case (DType.F16, DType.F32):
                Conversions.Convert(c.Team, x.AsReadOnlySpan<Half>(), y.AsSpan<float>());
                break;
            case (DType.F32, DType.F16):
                Conversions.Convert(c.Team, x.AsReadOnlySpan<float>(), y.AsSpan<Half>());
                break;
            default:
                if (x.DType == y.DType)
                {
                    y.CopyFrom(x);
                    break;
                }

                for (int i = 0; i < x.Shape.Count; i++)
                {
                    Write(y, i, Read(x, i));
                }

                break;
        }
    }

    /// <inheritdoc/>
    public static void Forward(in Cast op, CudaCall c) => ElementwiseCuda.CastInto(c.Device, c.Output, c.Input(0));

    /// <inheritdoc/>
    public static void Backward(in Cast op, BackwardCall c)
    {
        if (c.Plans == DeviceKind.Cuda)
        {
            c.Accumulate(0, c.OutputGradient); // which converts to the gradient's type
            return;
        }

        DType type = c.InputSpec(0).DType == DType.F64 ? DType.F64 : DType.F32;
        Tensor dy = c.OutputGradient;
        c.Accumulate(0, dy.DType == type ? dy : c.Tape.Cast(dy, type));
    }

    // Conversions with F64 serve oracles, and those between the 16-bit types hardly anybody. From F64 to 16 bits they round once only.
    private static double Read(Tensor x, int i) => x.DType switch
    {
        DType.F64 => x.AsReadOnlySpan<double>()[i],
        DType.F32 => x.AsReadOnlySpan<float>()[i],
        DType.BF16 => (float)x.AsReadOnlySpan<BFloat16>()[i],
        _ => (double)x.AsReadOnlySpan<Half>()[i],
    };

    private static void Write(Tensor y, int i, double value)
    {
        switch (y.DType)
        {
            case DType.F64:
                y.AsSpan<double>()[i] = value;
                break;
            case DType.F32:
                y.AsSpan<float>()[i] = (float)value;
                break;
            case DType.BF16:
                y.AsSpan<BFloat16>()[i] = (BFloat16)RoundedToOdd(value);
                break;
            default:
                y.AsSpan<Half>()[i] = (Half)value;
                break;
        }
    }

    /// <summary>F32 whose last bit remembers an inexact conversion, so that rounding it again is as good as rounding once.</summary>
    private static float RoundedToOdd(double value)
    {
        float near = (float)value;
        if (near == value || !float.IsFinite(near))
        {
            return near;
        }

        float below = Math.Abs((double)near) > Math.Abs(value) ? BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(near) - 1) : near;
        return BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(below) | 1);
    }
}

/// <summary><see cref="Runtime.Cast"/> on a tape.</summary>
public static class CastExtensions
{
    extension(Tape t)
    {
        /// <summary>The same numbers in another floating point type; the tensor itself if it has that type.</summary>
        public Tensor Cast(Tensor x, DType to)
        {
            ArgumentNullException.ThrowIfNull(x);
            return x.DType == to ? x : t.Apply(new Cast(to), x);
        }
    }
}
