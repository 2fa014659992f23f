using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>y = x · rstd · w with rstd = 1 / √(mean(x²) + ε), row by row (Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4).</summary>
internal static unsafe class RmsNormKernel
{
    /// <summary>x, y (rows, columns), w (columns), rstd (rows). y may be x.</summary>
    public static void Forward(
        WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> w, float epsilon, Span<float> y, Span<float> rstd)
    {
        Sizes.Check("rms_norm", (long)rows * columns, x.Length, (long)rows * columns, y.Length);
        Sizes.Check("rms_norm", columns, w.Length, rows, rstd.Length);
        fixed (float* px = x, pw = w, py = y, pr = rstd)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new ForwardWork(px, pw, py, pr, rows, columns, epsilon, Streams.Pay(x.Length, py, px)));
        }
    }

    /// <summary>dx = rstd (w dy - x̂ · mean(w dy x̂)), dw = Σ over rows of dy x̂, x̂ = x · rstd; an empty span for what is not wanted.</summary>
    /// <remarks>With dw, <paramref name="workspace"/> holds <see cref="Reductions.ColumnWorkspace"/> floats. dx may be dy.</remarks>
    public static void Backward(
        WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> w, ReadOnlySpan<float> rstd, ReadOnlySpan<float> dy,
        Span<float> dx, Span<float> dw, Span<float> workspace)
    {
        long count = (long)rows * columns;
        Sizes.Check("rms_norm backward", count, x.Length, count, dy.Length);
        Sizes.Check("rms_norm backward", columns, w.Length, rows, rstd.Length);
        Sizes.Check("rms_norm backward", dx.IsEmpty ? 0 : count, dx.Length, dw.IsEmpty ? 0 : columns, dw.Length);
        int parts = Reductions.Parts(rows, columns);
        if (!dw.IsEmpty)
        {
            Reductions.CheckWorkspace(rows, columns, workspace.Length);
        }

        fixed (float* px = x, pw = w, pr = rstd, pd = dy, pdx = dx, pdw = dw, ps = workspace)
        {
            BackwardWork work = new(px, pw, pr, pd, dx.IsEmpty ? null : pdx, dw.IsEmpty ? null : ps, rows, columns, dw.IsEmpty ? Sizes.RowChunks(rows, columns) : parts);
            CpuKernel.Run(team, work.Parts, work);
            if (!dw.IsEmpty)
            {
                Reductions.AddParts(team, ps, parts, columns, pdw, 1);
            }
        }
    }

    private readonly struct ForwardWork(float* x, float* w, float* y, float* rstd, int rows, int columns, float epsilon, bool stream) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _w = w;
        private readonly float* _y = y;
        private readonly float* _rstd = rstd;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly float _epsilon = epsilon;
        private readonly bool _stream = stream;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int first, int last) = Sizes.Rows(chunk, _rows, _columns);
            for (int row = first; row < last; row++)
            {
                float* x = _x + ((long)row * _columns);
                double mean = Loops.Sum<T, SquareOperator>(x, _columns, default) / _columns;
                float rstd = (float)(1 / Math.Sqrt(mean + _epsilon));
                _rstd[row] = rstd;
                Loops.Map<T, Apply>(x, _w, _y + ((long)row * _columns), _columns, new Apply(rstd), _stream);
            }
        }
    }

    private readonly struct BackwardWork(float* x, float* w, float* rstd, float* dy, float* dx, float* parts, int rows, int columns, int count) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _w = w;
        private readonly float* _rstd = rstd;
        private readonly float* _dy = dy;
        private readonly float* _dx = dx;
        private readonly float* _parts = parts;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly bool _stream = Streams.Pay((long)rows * columns, dx, dy);

        public int Parts { get; } = count;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            float* dw = _parts == null ? null : _parts + ((long)chunk * _columns);
            if (dw != null)
            {
                new Span<float>(dw, _columns).Clear();
            }

            (int first, int last) = Reductions.PartRows(chunk, Parts, _rows);
            for (int row = first; row < last; row++)
            {
                long at = (long)row * _columns;
                float rstd = _rstd[row];
                (_, double dot) = NormRow.Collect<T>(_x + at, _w, _dy + at, dw, null, _columns, 0, rstd);
                if (_dx != null)
                {
                    Loops.Map<T, Slope>(_x + at, _w, _dy + at, _dx + at, _columns, new Slope(rstd, (float)(dot / _columns * rstd)), _stream);
                }
            }
        }
    }

    private readonly struct Apply(float rstd) : IBinaryOperator
    {
        private readonly float _rstd = rstd;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T w)
            where T : unmanaged, ILanes<T>
            => x * T.Of(_rstd) * w;
    }

    /// <summary>rstd (w dy - x · c), c = rstd · mean(w dy x̂).</summary>
    private readonly struct Slope(float rstd, float c) : ITernaryOperator
    {
        private readonly float _rstd = rstd;
        private readonly float _c = c;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T w, T dy)
            where T : unmanaged, ILanes<T>
            => T.Of(_rstd) * T.Fma(-x, T.Of(_c), w * dy);
    }
}
