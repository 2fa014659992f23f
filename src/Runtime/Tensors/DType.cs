namespace Graft.Runtime;

/// <summary>The element types of tensors.</summary>
public enum DType : byte
{
    /// <summary>32-bit IEEE float: the type of all arithmetic.</summary>
    F32,

    /// <summary>16-bit brain float: storage of weights.</summary>
    BF16,

    /// <summary>16-bit IEEE float: storage of weights.</summary>
    F16,

    /// <summary>64-bit IEEE float: the oracle of the tests only.</summary>
    F64,

    /// <summary>64-bit integer.</summary>
    I64,

    /// <summary>32-bit integer: token ids, indices, document boundaries.</summary>
    I32,

    /// <summary>Byte: packed codes.</summary>
    U8,

    /// <summary>Byte holding 0 or 1.</summary>
    Bool,
}

/// <summary>Sizes and names of <see cref="DType"/> values.</summary>
public static class DTypeExtensions
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this DType type) => type switch
    {
        DType.F64 or DType.I64 => 8,
        DType.F32 or DType.I32 => 4,
        DType.BF16 or DType.F16 => 2,
        _ => 1,
    };

    /// <summary>True for F32, BF16, F16 and F64.</summary>
    public static bool IsFloat(this DType type) => type <= DType.F64;

    /// <summary>The lower-case name used in messages and kernels: `f32`, `bf16`, ...</summary>
    public static string Name(this DType type) => type switch
    {
        DType.F32 => "f32",
        DType.BF16 => "bf16",
        DType.F16 => "f16",
        DType.F64 => "f64",
        DType.I64 => "i64",
        DType.I32 => "i32",
        DType.U8 => "u8",
        _ => "bool",
    };

    /// <summary>The dtype whose elements a span of <typeparamref name="T"/> can view.</summary>
    /// <exception cref="DTypeException">No tensor holds such elements.</exception>
    public static DType Of<T>()
        where T : unmanaged
    {
        return typeof(T) == typeof(float) ? DType.F32
            : typeof(T) == typeof(BFloat16) ? DType.BF16
            : typeof(T) == typeof(Half) ? DType.F16
            : typeof(T) == typeof(double) ? DType.F64
            : typeof(T) == typeof(long) ? DType.I64
            : typeof(T) == typeof(int) ? DType.I32
            : typeof(T) == typeof(byte) ? DType.U8
            : typeof(T) == typeof(bool) ? DType.Bool
            : throw new DTypeException($"No tensor holds elements of type {typeof(T).Name}: use float, BFloat16, Half, double, long, int, byte or bool.");
    }
}
