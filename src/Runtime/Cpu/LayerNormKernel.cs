using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>y = (x - mean) · rstd · w + b with rstd = 1 / √(variance + ε), row by row (Ba et al. 2016, arXiv:1607.06450). Variance in two passes.</summary>
internal static unsafe class LayerNormKernel
{
    /// <summary>x, y (rows, columns), w and b (columns; b may be empty), mean and rstd (rows). y may be x.</summary>
    public static void Forward(
        WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> w, ReadOnlySpan<float> b, float epsilon,
        Span<float> y, Span<float> mean, Span<float> rstd)
    {
        Sizes.Check("layer_norm", (long)rows * columns, x.Length, (long)rows * columns, y.Length);
        Sizes.Check("layer_norm", columns, w.Length, b.IsEmpty ? 0 : columns, b.Length);
        Sizes.Check("layer_norm", rows, mean.Length, rows, rstd.Length);
        fixed (float* px = x, pw = w, pb = b, py = y, pm = mean, pr = rstd)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new ForwardWork(px, pw, b.IsEmpty ? null : pb, py, pm, pr, rows, columns, epsilon, Streams.Pay(x.Length, py, px)));
        }
    }

    /// <summary>dx = rstd (w dy - mean(w dy) - x̂ · mean(w dy x̂)), dw = Σ over rows of dy x̂, db = Σ over rows of dy; an empty span for what is not wanted.</summary>
    /// <remarks>With dw or db, <paramref name="workspace"/> holds twice <see cref="Reductions.ColumnWorkspace"/> floats. dx may be dy.</remarks>
    public static void Backward(
        WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> w, ReadOnlySpan<float> mean, ReadOnlySpan<float> rstd,
        ReadOnlySpan<float> dy, Span<float> dx, Span<float> dw, Span<float> db, Span<float> workspace)
    {
        long count = (long)rows * columns;
        Sizes.Check("layer_norm backward", count, x.Length, count, dy.Length);
        Sizes.Check("layer_norm backward", rows, mean.Length, rows, rstd.Length);
        Sizes.Check("layer_norm backward", dx.IsEmpty ? 0 : count, dx.Length, columns, w.Length);
        Sizes.Check("layer_norm backward", dw.IsEmpty ? 0 : columns, dw.Length, db.IsEmpty ? 0 : columns, db.Length);
        bool sums = !dw.IsEmpty || !db.IsEmpty;
        int parts = Reductions.Parts(rows, columns);
        if (sums)
        {
            Reductions.CheckWorkspace(rows, columns, workspace.Length / 2);
        }

        fixed (float* px = x, pw = w, pm = mean, pr = rstd, pd = dy, pdx = dx, pdw = dw, pdb = db, ps = workspace)
        {
            float* second = ps + ((long)parts * columns);
            BackwardWork work = new(
                px, pw, pm, pr, pd, dx.IsEmpty ? null : pdx, dw.IsEmpty ? null : ps, db.IsEmpty ? null : second, rows, columns, sums ? parts : Sizes.RowChunks(rows, columns));
            CpuKernel.Run(team, work.Parts, work);
            if (!dw.IsEmpty)
            {
                Reductions.AddParts(team, ps, parts, columns, pdw, 1);
            }

            if (!db.IsEmpty)
            {
                Reductions.AddParts(team, second, parts, columns, pdb, 1);
            }
        }
    }

    private readonly struct ForwardWork(
        float* x, float* w, float* b, float* y, float* mean, float* rstd, int rows, int columns, float epsilon, bool stream) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _w = w;
        private readonly float* _b = b;
        private readonly float* _y = y;
        private readonly float* _mean = mean;
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
                float* y = _y + ((long)row * _columns);
                float mean = (float)(Loops.Sum<T, IdentityOperator>(x, _columns, default) / _columns);
                double variance = Loops.Sum<T, SquaredDistance>(x, _columns, new SquaredDistance(mean)) / _columns;
                float rstd = (float)(1 / Math.Sqrt(variance + _epsilon));
                _mean[row] = mean;
                _rstd[row] = rstd;
                if (_b == null)
                {
                    Loops.Map<T, Apply>(x, _w, y, _columns, new Apply(mean, rstd), _stream);
                }
                else
                {
                    Loops.Map<T, Apply>(x, _w, _b, y, _columns, new Apply(mean, rstd), _stream);
                }
            }
        }
    }

    private readonly struct BackwardWork(
        float* x, float* w, float* mean, float* rstd, float* dy, float* dx, float* dw, float* db, int rows, int columns, int count) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _w = w;
        private readonly float* _mean = mean;
        private readonly float* _rstd = rstd;
        private readonly float* _dy = dy;
        private readonly float* _dx = dx;
        private readonly float* _dw = dw;
        private readonly float* _db = db;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly bool _stream = Streams.Pay((long)rows * columns, dx, dy);

        public int Parts { get; } = count;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            float* dw = Cleared(_dw, chunk);
            float* db = Cleared(_db, chunk);
            (int first, int last) = Reductions.PartRows(chunk, Parts, _rows);
            for (int row = first; row < last; row++)
            {
                long at = (long)row * _columns;
                (double sum, double dot) = NormRow.Collect<T>(_x + at, _w, _dy + at, dw, db, _columns, _mean[row], _rstd[row]);
                if (_dx != null)
                {
                    Slope slope = new(new Normalized(_mean[row], _rstd[row]), _rstd[row], (float)(sum / _columns), (float)(dot / _columns));
                    Loops.Map<T, Slope>(_x + at, _w, _dy + at, _dx + at, _columns, slope, _stream);
                }
            }
        }

        private float* Cleared(float* parts, int chunk)
        {
            if (parts == null)
            {
                return null;
            }

            float* part = parts + ((long)chunk * _columns);
            new Span<float>(part, _columns).Clear();
            return part;
        }
    }

    private readonly struct SquaredDistance(float mean) : IUnaryOperator
    {
        private readonly float _mean = mean;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
        {
            T distance = x - T.Of(_mean);
            return distance * distance;
        }
    }

    /// <summary>x̂ = (x - mean) · rstd.</summary>
    private readonly struct Normalized(float mean, float rstd) : IUnaryOperator
    {
        private readonly float _mean = mean;
        private readonly float _rstd = rstd;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => (x - T.Of(_mean)) * T.Of(_rstd);
    }

    private readonly struct Apply(float mean, float rstd) : IBinaryOperator, ITernaryOperator
    {
        private readonly Normalized _normalized = new(mean, rstd);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T w)
            where T : unmanaged, ILanes<T>
            => _normalized.Invoke(x) * w;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T w, T b)
            where T : unmanaged, ILanes<T>
            => T.Fma(_normalized.Invoke(x), w, b);
    }

    private readonly struct Slope(Normalized normalized, float rstd, float mean, float dot) : ITernaryOperator
    {
        private readonly Normalized _normalized = normalized;
        private readonly float _rstd = rstd;
        private readonly float _mean = mean;
        private readonly float _dot = dot;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T w, T dy)
            where T : unmanaged, ILanes<T>
            => T.Of(_rstd) * (T.Fma(-_normalized.Invoke(x), T.Of(_dot), w * dy) - T.Of(_mean));
    }
}
