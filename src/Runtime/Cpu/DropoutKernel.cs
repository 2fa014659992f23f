using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Dropout whose mask is a function of (stream, element): nothing is stored, the backward draws the same numbers again.</summary>
internal static unsafe class DropoutKernel
{
    private const int Batch = 1024;

    /// <summary>result[i] = u ≥ p ? x[i] / (1 - p) : 0 with u the uniform number of element <paramref name="firstElement"/> + i; forward and backward alike. The result may be x.</summary>
    public static void Run(WorkerTeam team, ReadOnlySpan<float> x, float p, in Rng rng, long firstElement, Span<float> result)
    {
        Sizes.Check("dropout", x.Length, result.Length);
        fixed (float* px = x, pr = result)
        {
            CpuKernel.Run(team, WorkerTeam.ChunksFor(x.Length), new Work(px, pr, x.Length, p, rng, firstElement));
        }
    }

    private readonly struct Work(float* x, float* result, int n, float p, Rng rng, long firstElement) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _result = result;
        private readonly int _n = n;
        private readonly float _p = p;
        private readonly Rng _rng = rng;
        private readonly long _firstElement = firstElement;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            float* uniform = stackalloc float[Batch];
            Mask mask = new(_p, (float)(1 / (1 - (double)_p)));
            int count = Elementwise.Chunk(chunk, _n, out int start);
            for (int i = 0; i < count; i += Batch)
            {
                int length = Math.Min(Batch, count - i);
                _rng.FillUniform(_firstElement + start + i, new Span<float>(uniform, length));
                Loops.Map<T, Mask>(_x + start + i, uniform, _result + start + i, length, mask);
            }
        }
    }

    private readonly struct Mask(float p, float scale) : IBinaryOperator
    {
        private readonly float _p = p;
        private readonly float _scale = scale;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T u)
            where T : unmanaged, ILanes<T>
            => T.Select(T.Less(u, T.Of(_p)), T.Of(0f), x * T.Of(_scale));
    }
}
