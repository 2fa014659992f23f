using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>One float: the path of processors without vectors, and the same bits as one lane of the others.</summary>
internal readonly unsafe struct LanesScalar(float value) : IFloatLanes<LanesScalar>
{
    public readonly float Value = value;

    public static int Count => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LanesScalar Of(double value) => new((float)value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LanesScalar Of(float value) => new(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LanesScalar Load(float* from) => new(*from);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(LanesScalar value, float* to) => *to = value.Value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Stream(LanesScalar value, float* to) => *to = value.Value;

    public static LanesScalar operator +(LanesScalar left, LanesScalar right) => new(left.Value + right.Value);

    public static LanesScalar operator -(LanesScalar left, LanesScalar right) => new(left.Value - right.Value);

    public static LanesScalar operator *(LanesScalar left, LanesScalar right) => new(left.Value * right.Value);

    public static LanesScalar operator /(LanesScalar left, LanesScalar right) => new(left.Value / right.Value);

    public static LanesScalar operator -(LanesScalar value) => new(-value.Value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LanesScalar Fma(LanesScalar a, LanesScalar b, LanesScalar c) => new(MathF.FusedMultiplyAdd(a.Value, b.Value, c.Value));

    public static LanesScalar Min(LanesScalar left, LanesScalar right) => new(MathF.Min(left.Value, right.Value));

    public static LanesScalar Max(LanesScalar left, LanesScalar right) => new(MathF.Max(left.Value, right.Value));

    public static LanesScalar MinNative(LanesScalar bound, LanesScalar value) => new(bound.Value < value.Value ? bound.Value : value.Value);

    public static LanesScalar MaxNative(LanesScalar bound, LanesScalar value) => new(bound.Value > value.Value ? bound.Value : value.Value);

    public static LanesScalar Abs(LanesScalar value) => new(MathF.Abs(value.Value));

    public static LanesScalar Sqrt(LanesScalar value) => new(MathF.Sqrt(value.Value));

    public static LanesScalar CopySign(LanesScalar value, LanesScalar sign) => new(MathF.CopySign(value.Value, sign.Value));

    public static LanesScalar Less(LanesScalar left, LanesScalar right) => Mask(left.Value < right.Value);

    public static LanesScalar Equal(LanesScalar left, LanesScalar right) => Mask(left.Value == right.Value);

    public static LanesScalar Select(LanesScalar mask, LanesScalar yes, LanesScalar no) => BitConverter.SingleToInt32Bits(mask.Value) != 0 ? yes : no;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LanesScalar Scale(LanesScalar value, LanesScalar exponent)
    {
        int whole = (int)exponent.Value;
        if (float.IsNaN(exponent.Value))
        {
            return exponent;
        }

        int half = whole >> 1; // two factors, since 2^-149 and 2^128 are not normal numbers
        return new(value.Value * BitConverter.Int32BitsToSingle((half + 127) << 23) * BitConverter.Int32BitsToSingle((whole - half + 127) << 23));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LanesScalar Split(LanesScalar value, out LanesScalar mantissa)
    {
        int bits = BitConverter.SingleToInt32Bits(value.Value);
        int exponent = (bits - VectorMath.SqrtHalfBits) >> 23;
        mantissa = new(BitConverter.Int32BitsToSingle(bits - (exponent << 23)));
        return new(exponent);
    }

    public static float Sum(LanesScalar value) => value.Value;

    public static float MaxOf(LanesScalar value) => value.Value;

    public static LanesScalar Exp(LanesScalar value) => VectorMath.Exp(value);

    public static LanesScalar Exp2(LanesScalar value) => VectorMath.Exp2(value);

    public static LanesScalar Log(LanesScalar value) => VectorMath.Log(value);

    public static LanesScalar Log1p(LanesScalar value) => VectorMath.Log1p(value);

    public static LanesScalar Tanh(LanesScalar value) => VectorMath.Tanh(value);

    public static LanesScalar Sigmoid(LanesScalar value) => VectorMath.Sigmoid(value);

    public static LanesScalar Erf(LanesScalar value) => VectorMath.Erf(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static LanesScalar Mask(bool set) => new(BitConverter.Int32BitsToSingle(set ? -1 : 0));
}
