using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Conversions between F32, BF16 and F16: widening is exact, narrowing rounds to nearest, ties to even; NaN stays NaN.</summary>
internal static unsafe class Conversions
{
    public static void Convert(WorkerTeam team, ReadOnlySpan<BFloat16> x, Span<float> result)
    {
        Sizes.Check("bf16 to f32", x.Length, result.Length);
        fixed (BFloat16* px = x)
        fixed (float* pr = result)
        {
            Work work = new(Kind.FromBFloat16, px, pr, x.Length);
            team.Run(WorkerTeam.ChunksFor(x.Length), ref work);
        }
    }

    public static void Convert(WorkerTeam team, ReadOnlySpan<float> x, Span<BFloat16> result)
    {
        Sizes.Check("f32 to bf16", x.Length, result.Length);
        fixed (float* px = x)
        fixed (BFloat16* pr = result)
        {
            Work work = new(Kind.ToBFloat16, px, pr, x.Length);
            team.Run(WorkerTeam.ChunksFor(x.Length), ref work);
        }
    }

    public static void Convert(WorkerTeam team, ReadOnlySpan<Half> x, Span<float> result)
    {
        Sizes.Check("f16 to f32", x.Length, result.Length);
        fixed (Half* px = x)
        fixed (float* pr = result)
        {
            Work work = new(Kind.FromHalf, px, pr, x.Length);
            team.Run(WorkerTeam.ChunksFor(x.Length), ref work);
        }
    }

    public static void Convert(WorkerTeam team, ReadOnlySpan<float> x, Span<Half> result)
    {
        Sizes.Check("f32 to f16", x.Length, result.Length);
        fixed (float* px = x)
        fixed (Half* pr = result)
        {
            Work work = new(Kind.ToHalf, px, pr, x.Length);
            team.Run(WorkerTeam.ChunksFor(x.Length), ref work);
        }
    }

    /// <summary>On the calling thread, for packing loops.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Widen(ReadOnlySpan<BFloat16> x, Span<float> result)
    {
        ref ushort from = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<BFloat16, ushort>(x));
        ref float to = ref MemoryMarshal.GetReference(result);
        int i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            for (; i <= x.Length - 16; i += 16)
            {
                (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.LoadUnsafe(ref from, (nuint)i));
                (low << 16).AsSingle().StoreUnsafe(ref to, (nuint)i);
                (high << 16).AsSingle().StoreUnsafe(ref to, (nuint)i + 8);
            }
        }

        for (; i < x.Length; i++)
        {
            result[i] = (float)x[i];
        }
    }

    /// <summary>On the calling thread.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Narrow(ReadOnlySpan<float> x, Span<BFloat16> result)
    {
        ref float from = ref MemoryMarshal.GetReference(x);
        ref ushort to = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<BFloat16, ushort>(result));
        int i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            for (; i <= x.Length - 16; i += 16)
            {
                Vector256<uint> low = Rounded(Vector256.LoadUnsafe(ref from, (nuint)i));
                Vector256<uint> high = Rounded(Vector256.LoadUnsafe(ref from, (nuint)i + 8));
                Vector256.Narrow(low, high).StoreUnsafe(ref to, (nuint)i);
            }
        }

        for (; i < x.Length; i++)
        {
            result[i] = (BFloat16)x[i];
        }
    }

    /// <summary>The upper half after rounding; a NaN is made quiet instead, so that rounding cannot turn it into a number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Rounded(Vector256<float> x)
    {
        Vector256<uint> bits = x.AsUInt32();
        Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + ((bits >> 16) & Vector256<uint>.One)) >> 16;
        Vector256<uint> quiet = (bits >> 16) | Vector256.Create(0x40u);
        return Vector256.ConditionalSelect(Vector256.Equals(x, x).AsUInt32(), rounded, quiet);
    }

    private enum Kind
    {
        FromBFloat16,
        ToBFloat16,
        FromHalf,
        ToHalf,
    }

    private readonly struct Work(Kind kind, void* x, void* result, int n) : IChunkWork
    {
        private readonly Kind _kind = kind;
        private readonly void* _x = x;
        private readonly void* _result = result;
        private readonly int _n = n;

        public void Invoke(int chunk, int worker)
        {
            int count = Elementwise.Chunk(chunk, _n, out int start);
            switch (_kind)
            {
                case Kind.FromBFloat16:
                    Widen(new ReadOnlySpan<BFloat16>((BFloat16*)_x + start, count), new Span<float>((float*)_result + start, count));
                    break;
                case Kind.ToBFloat16:
                    Narrow(new ReadOnlySpan<float>((float*)_x + start, count), new Span<BFloat16>((BFloat16*)_result + start, count));
                    break;
                case Kind.FromHalf:
                    TensorPrimitives.ConvertToSingle(new ReadOnlySpan<Half>((Half*)_x + start, count), new Span<float>((float*)_result + start, count));
                    break;
                default:
                    TensorPrimitives.ConvertToHalf(new ReadOnlySpan<float>((float*)_x + start, count), new Span<Half>((Half*)_result + start, count));
                    break;
            }
        }
    }
}
