namespace Graft.Models.Checkpoints;

/// <summary>Unpacks the 256-element "K" blocks, whose sub-blocks have quantised scales of their own. Source: ggml's reference code (dequantize_row_q4_K, ...).</summary>
internal static class GgmlSuperBlocks
{
    /// <summary>d, dmin F16; 12 bytes of eight 6-bit scales and minima; 128 bytes of 4-bit codes.</summary>
    public static void Q4K(ReadOnlySpan<byte> block, Span<float> to)
    {
        for (int pair = 0; pair < 4; pair++)
        {
            ReadOnlySpan<byte> codes = block.Slice(16 + (32 * pair), 32);
            (float d1, float m1) = SubScale(block, 2 * pair);
            (float d2, float m2) = SubScale(block, (2 * pair) + 1);
            Span<float> y = to.Slice(64 * pair, 64);
            for (int i = 0; i < 32; i++)
            {
                y[i] = (d1 * (codes[i] & 15)) - m1;
                y[i + 32] = (d2 * (codes[i] >> 4)) - m2;
            }
        }
    }

    /// <summary>As Q4_K with a fifth bit of each code in 32 bytes before the codes.</summary>
    public static void Q5K(ReadOnlySpan<byte> block, Span<float> to)
    {
        ReadOnlySpan<byte> high = block.Slice(16, 32);
        for (int pair = 0; pair < 4; pair++)
        {
            ReadOnlySpan<byte> codes = block.Slice(48 + (32 * pair), 32);
            (float d1, float m1) = SubScale(block, 2 * pair);
            (float d2, float m2) = SubScale(block, (2 * pair) + 1);
            Span<float> y = to.Slice(64 * pair, 64);
            for (int i = 0; i < 32; i++)
            {
                y[i] = (d1 * ((codes[i] & 15) + (((high[i] >> (2 * pair)) & 1) << 4))) - m1;
                y[i + 32] = (d2 * ((codes[i] >> 4) + (((high[i] >> ((2 * pair) + 1)) & 1) << 4))) - m2;
            }
        }
    }

    /// <summary>128 bytes of low 4 bits, 64 of high 2 bits, 16 signed scales, d F16.</summary>
    public static void Q6K(ReadOnlySpan<byte> block, Span<float> to)
    {
        float d = GgmlBlocks.Scale(block, 208);
        for (int half = 0; half < 2; half++)
        {
            ReadOnlySpan<byte> low = block.Slice(64 * half, 64);
            ReadOnlySpan<byte> high = block.Slice(128 + (32 * half), 32);
            ReadOnlySpan<byte> scales = block.Slice(192 + (8 * half), 8);
            Span<float> y = to.Slice(128 * half, 128);
            for (int i = 0; i < 128; i++)
            {
                int at = i % 32;
                int quarter = i / 32;
                int code = ((low[i % 64] >> (4 * (quarter / 2))) & 15) | (((high[at] >> (2 * quarter)) & 3) << 4);
                y[i] = d * (sbyte)scales[(2 * quarter) + (at / 16)] * (code - 32);
            }
        }
    }

    /// <summary>Scale and minimum of a sub-block: 6 bits each, the upper four sub-blocks' top two bits lie above the lower four's.</summary>
    private static (float Scale, float Minimum) SubScale(ReadOnlySpan<byte> block, int index)
    {
        ReadOnlySpan<byte> s = block.Slice(4, 12);
        (int scale, int minimum) = index < 4
            ? (s[index] & 63, s[index + 4] & 63)
            : ((s[index + 4] & 15) | ((s[index - 4] >> 6) << 4), (s[index + 4] >> 4) | ((s[index] >> 6) << 4));
        return (GgmlBlocks.Scale(block, 0) * scale, GgmlBlocks.Scale(block, 2) * minimum);
    }
}
