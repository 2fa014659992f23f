using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Cpu;

/// <summary>Reads elements of a stored type as F32; a type argument, so that each kernel is compiled once per type.</summary>
internal unsafe interface IElementLoad
{
    /// <summary>Bytes of one element.</summary>
    static abstract int Size { get; }

    /// <summary>Element <paramref name="at"/>.</summary>
    static abstract float One(void* from, long at);

    /// <summary>Elements at..at+3.</summary>
    static abstract Vector128<float> Four(void* from, long at);

    /// <summary>Elements at..at+7.</summary>
    static abstract Vector256<float> Eight(void* from, long at);

    /// <summary>Elements at..at+15.</summary>
    static abstract Vector512<float> Sixteen(void* from, long at);
}

/// <summary>The same at the width of a kernel's lanes.</summary>
internal static unsafe class ElementLanes<TLoad>
    where TLoad : IElementLoad
{
    /// <summary>Elements from <paramref name="at"/> on, one in each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Load<T>(void* from, long at)
        where T : unmanaged, IFloatLanes<T>
    {
        // The conditions are constants of the JIT.
        return typeof(T) == typeof(Lanes512) ? Unsafe.BitCast<Lanes512, T>(new(TLoad.Sixteen(from, at)))
            : typeof(T) == typeof(Lanes256) ? Unsafe.BitCast<Lanes256, T>(new(TLoad.Eight(from, at)))
            : typeof(T) == typeof(Lanes128) ? Unsafe.BitCast<Lanes128, T>(new(TLoad.Four(from, at)))
            : T.Of(TLoad.One(from, at));
    }
}

/// <summary>F32 as it is.</summary>
internal readonly unsafe struct LoadSingle : IElementLoad
{
    public static int Size => sizeof(float);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float One(void* from, long at) => ((float*)from)[at];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Four(void* from, long at) => Vector128.Load((float*)from + at);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Eight(void* from, long at) => Vector256.Load((float*)from + at);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Sixteen(void* from, long at) => Vector512.Load((float*)from + at);
}

/// <summary>BF16, widened by a shift.</summary>
internal readonly unsafe struct LoadBFloat16 : IElementLoad
{
    public static int Size => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float One(void* from, long at) => BitConverter.UInt32BitsToSingle((uint)((ushort*)from)[at] << 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Four(void* from, long at)
    {
        Vector128<ushort> packed = Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>((ushort*)from + at)).AsUInt16();
        return (Vector128.WidenLower(packed) << 16).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Eight(void* from, long at)
    {
        Vector128<ushort> packed = Vector128.Load((ushort*)from + at);
        Vector256<uint> wide = Avx2.IsSupported
            ? Avx2.ConvertToVector256Int32(packed).AsUInt32()
            : Vector256.Create(Vector128.WidenLower(packed), Vector128.WidenUpper(packed));
        return (wide << 16).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Sixteen(void* from, long at)
    {
        return Avx512F.IsSupported
            ? (Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)from + at)) << 16).AsSingle()
            : Vector512.Create(Eight(from, at), Eight(from, at + 8));
    }
}
