namespace Graft.Runtime.Cpu;

/// <summary>A handful of floating point numbers that arithmetic treats as one value: a SIMD register, a single float, or a single double.</summary>
/// <remarks>
/// Operators are written once against this interface. The JIT specialises them for each of the five implementations, and a struct around one register costs nothing
/// (checked in the disassembly: the loop of SiLU is the same instructions as hand-written Vector512 code).
/// Multiplications are fused only where <see cref="Fma"/> says so, hence every width computes the same bits per element.
/// </remarks>
internal interface ILanes<T>
    where T : unmanaged, ILanes<T>
{
    /// <summary>The constant in every lane, rounded to the lane's type.</summary>
    static abstract T Of(double value);

    /// <summary>The number in every lane.</summary>
    static abstract T Of(float value);

    static abstract T operator +(T left, T right);

    static abstract T operator -(T left, T right);

    static abstract T operator *(T left, T right);

    static abstract T operator /(T left, T right);

    static abstract T operator -(T value);

    /// <summary>a · b + c with one rounding.</summary>
    static abstract T Fma(T a, T b, T c);

    /// <summary>The smaller; NaN if either is.</summary>
    static abstract T Min(T left, T right);

    /// <summary>The larger; NaN if either is.</summary>
    static abstract T Max(T left, T right);

    static abstract T Abs(T value);

    static abstract T Sqrt(T value);

    /// <summary>The magnitude of the first with the sign of the second.</summary>
    static abstract T CopySign(T value, T sign);

    /// <summary>A mask for <see cref="Select"/>: all bits where left &lt; right, none elsewhere and for NaN.</summary>
    static abstract T Less(T left, T right);

    /// <summary>A mask for <see cref="Select"/>: all bits where equal.</summary>
    static abstract T Equal(T left, T right);

    /// <summary>Per lane: yes where the mask is set, else no.</summary>
    static abstract T Select(T mask, T yes, T no);

    static abstract T Exp(T value);

    static abstract T Exp2(T value);

    static abstract T Log(T value);

    static abstract T Log1p(T value);

    static abstract T Tanh(T value);

    static abstract T Sigmoid(T value);

    static abstract T Erf(T value);
}

/// <summary>Lanes of F32: loads, stores, horizontal sums and what the elementary functions need of the bits.</summary>
internal unsafe interface IFloatLanes<T> : ILanes<T>
    where T : unmanaged, IFloatLanes<T>
{
    /// <summary>Floats in one value: 16, 8, 4 or 1.</summary>
    static abstract int Count { get; }

    static abstract T Load(float* from);

    static abstract void Store(T value, float* to);

    /// <summary>A store past the caches, for what nobody reads soon; <paramref name="to"/> is aligned to the whole value.</summary>
    static abstract void Stream(T value, float* to);

    /// <summary>The smaller by one instruction: for NaN in <paramref name="value"/> it is NaN, <paramref name="bound"/> must not be NaN.</summary>
    static abstract T MinNative(T bound, T value);

    /// <summary>The larger by one instruction: for NaN in <paramref name="value"/> it is NaN, <paramref name="bound"/> must not be NaN.</summary>
    static abstract T MaxNative(T bound, T value);

    /// <summary>value · 2^exponent with one rounding; the exponent is a whole number from -252 to 254.</summary>
    static abstract T Scale(T value, T exponent);

    /// <summary>Splits a positive normal number: returns e and the mantissa in [√½, √2) with value = mantissa · 2^e.</summary>
    static abstract T Split(T value, out T mantissa);

    /// <summary>The sum of the lanes, always added in the same order (neighbouring halves).</summary>
    static abstract float Sum(T value);

    /// <summary>The largest lane; NaN if one is.</summary>
    static abstract float MaxOf(T value);
}
