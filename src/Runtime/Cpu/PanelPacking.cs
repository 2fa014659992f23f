using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Cpu;

/// <summary>Copies a block of a matrix into a panel: k-major, <c>width</c> elements per k, zeros where the panel is wider than the matrix.</summary>
internal static unsafe class PanelPacking
{
    private const int RowsAtATime = 8;
    private const int RowsAhead = 8;

    /// <summary>Packs <paramref name="length"/> x <paramref name="count"/> elements into panels side by side: row panels of the microkernel, or column panels.</summary>
    /// <param name="type">How the source is stored: the one place where it selects code.</param>
    /// <param name="panels">Room for depth · count, rounded up to whole panels.</param>
    /// <param name="source">The matrix.</param>
    /// <param name="offset">Its first element to pack.</param>
    /// <param name="ld">Elements from one stored row to the next.</param>
    /// <param name="across">Stored rows lie across the panels: the summed dimension runs along them.</param>
    /// <param name="k">Where in the panels' depth the elements go.</param>
    /// <param name="length">How many positions of the summed dimension.</param>
    /// <param name="depth">Depth of the panels.</param>
    /// <param name="count">Rows or columns to pack.</param>
    /// <param name="byRows">Row panels.</param>
    /// <param name="scale">Factor of each element.</param>
    public static void Pack(
        OperandType type, float* panels, void* source, long offset, long ld, bool across, int k, int length, int depth, int count, bool byRows, float scale)
    {
        switch (type)
        {
            case OperandType.BF16:
                Pack<LoadBFloat16>(panels, source, offset, ld, across, k, length, depth, count, byRows, scale);
                break;
            case OperandType.Q40:
                Pack<LoadBlocks<LoadQ40>>(panels, source, offset, ld, across, k, length, depth, count, byRows, scale);
                break;
            case OperandType.Q41:
                Pack<LoadBlocks<LoadQ41>>(panels, source, offset, ld, across, k, length, depth, count, byRows, scale);
                break;
            case OperandType.Q80:
                Pack<LoadBlocks<LoadQ80>>(panels, source, offset, ld, across, k, length, depth, count, byRows, scale);
                break;
            default:
                Pack<LoadSingle>(panels, source, offset, ld, across, k, length, depth, count, byRows, scale);
                break;
        }
    }

    private static void Pack<TLoad>(
        float* panels, void* source, long offset, long ld, bool across, int k, int length, int depth, int count, bool byRows, float scale)
        where TLoad : IElementLoad
    {
        // A few rows of the source at a time through all panels where they run along them: a panel takes 48 bytes of a row, and with rows 4 KiB apart
        // the rest of the cache line would be gone before the next panel asks for it.
        int step = across ? length : RowsAtATime;
        for (int done = 0; done < length; done += step)
        {
            int rows = Math.Min(step, length - done);
            float* panel = panels;
            for (int at = 0; at < count;)
            {
                int width = byRows ? Microkernel.PanelRows(count - at) : Microkernel.Columns;
                int filled = Math.Min(width, count - at);
                float* to = panel + ((k + done) * width);
                if (across)
                {
                    Transpose<TLoad>(to, width, filled, source, offset + (at * ld), ld, rows, scale);
                }
                else
                {
                    Copy<TLoad>(to, width, filled, source, offset + (done * ld) + at, ld, rows, scale);
                }

                panel += (long)width * depth;
                at += width;
            }
        }
    }

    /// <summary>dst[k·width + w] = scale · source[k·ld + w] for w below <paramref name="count"/>, 0 above: rows of the source lie along the panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy<TLoad>(float* dst, int width, int count, void* source, long offset, long ld, int k, float scale)
        where TLoad : IElementLoad
    {
        // The rows lie far apart, often in pages of their own, where no prefetcher of the processor follows.
        Vector512<float> scale16 = Vector512.Create(scale);
        Vector256<float> scale8 = Vector256.Create(scale);
        Vector128<float> scale4 = Vector128.Create(scale);
        for (int i = 0; i < k; i++, dst += width, offset += ld)
        {
            int w = 0;
            byte* later = (byte*)source + ((offset + (RowsAhead * ld)) * TLoad.Size);
            for (int line = 0; Sse.IsSupported && line < count * TLoad.Size; line += 64)
            {
                Sse.Prefetch0(later + line);
            }

            for (; Vector512.IsHardwareAccelerated && w + 16 <= count; w += 16)
            {
                (TLoad.Sixteen(source, offset + w) * scale16).Store(dst + w);
            }

            for (; w + 8 <= count; w += 8)
            {
                (TLoad.Eight(source, offset + w) * scale8).Store(dst + w);
            }

            if (w + 4 <= count)
            {
                (TLoad.Four(source, offset + w) * scale4).Store(dst + w);
                w += 4;
            }

            for (; w < count; w++)
            {
                dst[w] = TLoad.One(source, offset + w) * scale;
            }

            for (; w < width; w++)
            {
                dst[w] = 0;
            }
        }
    }

    /// <summary>dst[k·width + w] = scale · source[w·ld + k] for w below <paramref name="count"/>, 0 above: rows of the source lie across the panel.</summary>
    public static void Transpose<TLoad>(float* dst, int width, int count, void* source, long offset, long ld, int k, float scale)
        where TLoad : IElementLoad
    {
        TransposeInto<TLoad>(dst, width, count, source, offset, ld, k, scale);
        for (int w = count; w < width; w++)
        {
            for (int i = 0; i < k; i++)
            {
                dst[((long)i * width) + w] = 0;
            }
        }
    }

    /// <summary>dst[k·width + w] = scale · source[w·ld + k] for w below <paramref name="count"/>; nothing else is written.</summary>
    public static void TransposeInto<TLoad>(float* dst, long width, int count, void* source, long offset, long ld, int k, float scale)
        where TLoad : IElementLoad
    {
        int w = 0;
        for (; w + 8 <= count; w += 8)
        {
            Transpose8<TLoad>(dst + w, width, source, offset + (w * ld), ld, k, scale);
        }

        if (w + 4 <= count)
        {
            Transpose4<TLoad>(dst + w, width, source, offset + (w * ld), ld, k, scale);
            w += 4;
        }

        if (w + 2 <= count)
        {
            Transpose2<TLoad>(dst + w, width, source, offset + (w * ld), ld, k, scale);
            w += 2;
        }

        Rest<TLoad>(dst + w, width, count - w, source, offset + (w * ld), ld, k, scale);
    }

    /// <summary>The same, one element after the other.</summary>
    private static void Rest<TLoad>(float* dst, long width, int count, void* source, long offset, long ld, int k, float scale)
        where TLoad : IElementLoad
    {
        for (int i = 0; i < k; i++, offset++, dst += width)
        {
            for (int w = 0; w < count; w++)
            {
                dst[w] = TLoad.One(source, offset + (w * ld)) * scale;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose8<TLoad>(float* dst, long width, void* source, long offset, long ld, int k, float scale)
        where TLoad : IElementLoad
    {
        Vector256<float> scale8 = Vector256.Create(scale);
        int i = 0;
        for (; i + 8 <= k; i += 8, offset += 8, dst += 8 * width)
        {
            Vector256<float> r0 = TLoad.Eight(source, offset) * scale8;
            Vector256<float> r1 = TLoad.Eight(source, offset + ld) * scale8;
            Vector256<float> r2 = TLoad.Eight(source, offset + (2 * ld)) * scale8;
            Vector256<float> r3 = TLoad.Eight(source, offset + (3 * ld)) * scale8;
            Vector256<float> r4 = TLoad.Eight(source, offset + (4 * ld)) * scale8;
            Vector256<float> r5 = TLoad.Eight(source, offset + (5 * ld)) * scale8;
            Vector256<float> r6 = TLoad.Eight(source, offset + (6 * ld)) * scale8;
            Vector256<float> r7 = TLoad.Eight(source, offset + (7 * ld)) * scale8;
            Lanes.Transpose(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7);
            r0.Store(dst);
            r1.Store(dst + width);
            r2.Store(dst + (2 * width));
            r3.Store(dst + (3 * width));
            r4.Store(dst + (4 * width));
            r5.Store(dst + (5 * width));
            r6.Store(dst + (6 * width));
            r7.Store(dst + (7 * width));
        }

        Rest<TLoad>(dst, width, 8, source, offset, ld, k - i, scale);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose4<TLoad>(float* dst, long width, void* source, long offset, long ld, int k, float scale)
        where TLoad : IElementLoad
    {
        Vector128<float> scale4 = Vector128.Create(scale);
        int i = 0;
        for (; i + 4 <= k; i += 4, offset += 4, dst += 4 * width)
        {
            Vector128<float> r0 = TLoad.Four(source, offset) * scale4;
            Vector128<float> r1 = TLoad.Four(source, offset + ld) * scale4;
            Vector128<float> r2 = TLoad.Four(source, offset + (2 * ld)) * scale4;
            Vector128<float> r3 = TLoad.Four(source, offset + (3 * ld)) * scale4;
            Lanes.Transpose(ref r0, ref r1, ref r2, ref r3);
            r0.Store(dst);
            r1.Store(dst + width);
            r2.Store(dst + (2 * width));
            r3.Store(dst + (3 * width));
        }

        Rest<TLoad>(dst, width, 4, source, offset, ld, k - i, scale);
    }

    // The last two of the six rows of a 256-bit panel.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose2<TLoad>(float* dst, long width, void* source, long offset, long ld, int k, float scale)
        where TLoad : IElementLoad
    {
        Vector128<float> scale4 = Vector128.Create(scale);
        int i = 0;
        for (; i + 4 <= k; i += 4, offset += 4, dst += 4 * width)
        {
            Vector128<float> r0 = TLoad.Four(source, offset) * scale4;
            Vector128<float> r1 = TLoad.Four(source, offset + ld) * scale4;
            Lanes.Transpose(ref r0, ref r1);
            Lanes.StoreHalves(r0, dst, dst + width);
            Lanes.StoreHalves(r1, dst + (2 * width), dst + (3 * width));
        }

        Rest<TLoad>(dst, width, 2, source, offset, ld, k - i, scale);
    }
}
