using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Rotary position embedding in the half-split layout: pairs (j, j + R/2) of the first R numbers of each head are rotated by the angle of their position.</summary>
/// <remarks>Su et al. 2021, arXiv:2104.09864; the layout of Llama's checkpoints: y = x · cos + (-second half, first half) · sin. The backward is the rotation by the negative angle.</remarks>
internal static unsafe class RotaryKernel
{
    /// <summary>
    /// Rotates x (tokens, heads, headSize) into y; y may be x. Tokens lie <paramref name="xStride"/> and <paramref name="yStride"/> floats apart, their heads are contiguous.
    /// cos and sin (positions, rotated / 2); positions, one per token or fewer that repeat, select their rows and must have been checked.
    /// </summary>
    public static void Run(
        WorkerTeam team, int tokens, int heads, int headSize, int rotated, ReadOnlySpan<float> x, int xStride, ReadOnlySpan<float> cos, ReadOnlySpan<float> sin,
        ReadOnlySpan<int> positions, bool inverse, Span<float> y, int yStride)
    {
        if (tokens == 0 || heads == 0)
        {
            return;
        }

        long width = (long)heads * headSize;
        if (x.Length < ((long)(tokens - 1) * xStride) + width || y.Length < ((long)(tokens - 1) * yStride) + width || rotated > headSize || rotated % 2 != 0)
        {
            throw new ArgumentException($"rotary: {tokens} tokens of {heads} heads of {headSize} ({rotated} rotated) do not fit {x.Length} and {y.Length} elements.");
        }

        Sizes.Check("rotary", cos.Length, sin.Length);
        if (positions.IsEmpty || tokens % positions.Length != 0)
        {
            throw new ArgumentException($"rotary: {positions.Length} positions do not repeat evenly over {tokens} tokens.");
        }

        fixed (float* px = x, pc = cos, ps = sin, py = y)
        fixed (int* pp = positions)
        {
            Work work = new(px, xStride, pc, ps, pp, positions.Length, py, yStride, tokens, heads, headSize, rotated / 2, inverse ? -1 : 1, Streams.Pay(tokens * width, py, px));
            CpuKernel.Run(team, Sizes.RowChunks(tokens, (int)width), work);
        }
    }

    private readonly struct Work(
        float* x, long xStride, float* cos, float* sin, int* positions, int period, float* y, long yStride, int tokens, int heads, int headSize, int half, float sign, bool stream) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly long _xStride = xStride;
        private readonly float* _cos = cos;
        private readonly float* _sin = sin;
        private readonly int* _positions = positions;
        private readonly int _period = period;
        private readonly float* _y = y;
        private readonly long _yStride = yStride;
        private readonly int _tokens = tokens;
        private readonly int _heads = heads;
        private readonly int _headSize = headSize;
        private readonly int _half = half;
        private readonly float _sign = sign;
        private readonly bool _stream = stream;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int first, int last) = Sizes.Rows(chunk, _tokens, _heads * _headSize);
            for (int token = first; token < last; token++)
            {
                long row = (long)_positions[token % _period] * _half;
                for (int head = 0; head < _heads; head++)
                {
                    float* x = _x + (token * _xStride) + (head * _headSize);
                    float* y = _y + (token * _yStride) + (head * _headSize);
                    Rotate<T>(x, y, _cos + row, _sin + row, _half, _sign, _stream);
                    int rest = _headSize - (2 * _half);
                    if (rest > 0 && x != y)
                    {
                        new ReadOnlySpan<float>(x + (2 * _half), rest).CopyTo(new Span<float>(y + (2 * _half), rest));
                    }
                }
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
        private static void Rotate<T>(float* x, float* y, float* cos, float* sin, int half, float sign, bool stream)
            where T : unmanaged, IFloatLanes<T>
        {
            T direction = T.Of(sign);
            stream &= Streams.Fit<T>(y) && Streams.Fit<T>(y + half);
            int i = 0;
            for (; i <= half - T.Count; i += T.Count)
            {
                T a = T.Load(x + i), b = T.Load(x + half + i), c = T.Load(cos + i), s = T.Load(sin + i) * direction;
                Streams.Store((a * c) - (b * s), y + i, stream);
                Streams.Store((b * c) + (a * s), y + half + i, stream);
            }

            for (; i < half; i++)
            {
                float a = x[i], b = x[half + i], c = cos[i], s = sin[i] * sign;
                y[i] = (a * c) - (b * s);
                y[half + i] = (b * c) + (a * s);
            }
        }
    }
}
