using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>x + y.</summary>
internal readonly struct AddOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => x + y;
}

/// <summary>x - y.</summary>
internal readonly struct SubtractOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => x - y;
}

/// <summary>x · y.</summary>
internal readonly struct MultiplyOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => x * y;
}

/// <summary>x / y.</summary>
internal readonly struct DivideOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => x / y;
}

/// <summary>The larger; NaN if either is.</summary>
internal readonly struct MaximumOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => T.Max(x, y);
}

/// <summary>The smaller; NaN if either is.</summary>
internal readonly struct MinimumOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => T.Min(x, y);
}

/// <summary>silu(gate) · up.</summary>
internal readonly struct SwiGluOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T gate, T up)
        where T : unmanaged, ILanes<T>
        => gate * T.Sigmoid(gate) * up;
}

/// <summary>Gradient of the gate: dy · up · silu'(gate).</summary>
internal readonly struct SwiGluBackwardGateOperator : ITernaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T gate, T up, T dy)
        where T : unmanaged, ILanes<T>
        => dy * up * Silu.Slope(gate, T.Sigmoid(gate));
}

/// <summary>Gradient of the up branch: dy · silu(gate).</summary>
internal readonly struct SwiGluBackwardUpOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T gate, T dy)
        where T : unmanaged, ILanes<T>
        => dy * (gate * T.Sigmoid(gate));
}

/// <summary>x + factor · y.</summary>
internal readonly struct AddScaledOperator(double factor) : IBinaryOperator
{
    private readonly double _factor = factor;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => T.Fma(T.Of(_factor), y, x);
}
