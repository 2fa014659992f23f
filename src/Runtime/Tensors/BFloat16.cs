using System.Globalization;
using System.Runtime.CompilerServices;

namespace Graft.Runtime;

/// <summary>The upper half of an IEEE single: 8 bits of exponent, 7 of fraction. Same layout as the type of that name in later .NET versions.</summary>
/// <remarks>Rounds to nearest, ties to even; every NaN becomes a quiet NaN that keeps its sign.</remarks>
public readonly struct BFloat16(ushort bits) : IEquatable<BFloat16>
{
    /// <summary>The bit pattern.</summary>
    public ushort Bits { get; } = bits;

    /// <summary>Widens without rounding.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static explicit operator float(BFloat16 value) => BitConverter.UInt32BitsToSingle((uint)value.Bits << 16);

    /// <summary>Rounds to nearest, ties to even.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static explicit operator BFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if ((bits & 0x7FFF_FFFF) > 0x7F80_0000)
        {
            return new BFloat16((ushort)((bits >> 16) | 0x0040)); // quiet, so that truncation cannot make it infinite
        }

        return new BFloat16((ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16));
    }

    /// <summary>Same as the conversion operator.</summary>
    public float ToSingle() => (float)this;

    /// <summary>Same as the conversion operator.</summary>
    public static BFloat16 FromSingle(float value) => (BFloat16)value;

    /// <summary>Compares bits, so NaN equals itself and -0 differs from 0.</summary>
    public bool Equals(BFloat16 other) => Bits == other.Bits;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is BFloat16 other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Bits;

    /// <summary>Compares bits.</summary>
    public static bool operator ==(BFloat16 left, BFloat16 right) => left.Equals(right);

    /// <summary>Compares bits.</summary>
    public static bool operator !=(BFloat16 left, BFloat16 right) => !left.Equals(right);

    /// <inheritdoc/>
    public override string ToString() => ((float)this).ToString(CultureInfo.InvariantCulture);
}
