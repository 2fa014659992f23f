using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>The constants of one AdamW step, worked out in F64 by the caller's step and learning rate.</summary>
/// <param name="Decay">1 - lr · wd.</param>
/// <param name="OneMinusBeta1">1 - β1.</param>
/// <param name="Beta2">β2.</param>
/// <param name="OneMinusBeta2">1 - β2.</param>
/// <param name="RootCorrection2">√(1 - β2^t).</param>
/// <param name="Epsilon">ε.</param>
/// <param name="StepSize">lr / (1 - β1^t).</param>
internal readonly record struct AdamWStep(
    float Decay, float OneMinusBeta1, float Beta2, float OneMinusBeta2, float RootCorrection2, float Epsilon, float StepSize)
{
    /// <summary>The constants of step <paramref name="step"/> (1 for the first).</summary>
    public static AdamWStep Of(double learningRate, double beta1, double beta2, double epsilon, double weightDecay, long step) => new(
        (float)(1 - (learningRate * weightDecay)),
        (float)(1 - beta1),
        (float)beta2,
        (float)(1 - beta2),
        (float)Math.Sqrt(1 - Math.Pow(beta2, step)),
        (float)epsilon,
        (float)(learningRate / (1 - Math.Pow(beta1, step))));
}

/// <summary>AdamW on one flat block in one pass, in PyTorch's order of arithmetic (torch/optim/adamw.py, single-tensor path): 4 reads and 3 writes per parameter.</summary>
internal static unsafe class AdamWKernel
{
    /// <summary>p ← p · decay; m ← m + (g - m)(1 - β1); v ← v β2 + (1 - β2) g²; p ← p - step · m / (√v / √(1 - β2^t) + ε).</summary>
    public static void Update(WorkerTeam team, Span<float> parameter, ReadOnlySpan<float> gradient, Span<float> m, Span<float> v, AdamWStep step)
    {
        Sizes.Check("adamw", parameter.Length, gradient.Length);
        Sizes.Check("adamw", parameter.Length, m.Length, parameter.Length, v.Length);
        fixed (float* pp = parameter, pg = gradient, pm = m, pv = v)
        {
            CpuKernel.Run(team, WorkerTeam.ChunksFor(parameter.Length), new Work(pp, pg, pm, pv, parameter.Length, step));
        }
    }

    private readonly struct Work(float* parameter, float* gradient, float* m, float* v, int n, AdamWStep step) : ILanesWork
    {
        private readonly float* _parameter = parameter;
        private readonly float* _gradient = gradient;
        private readonly float* _m = m;
        private readonly float* _v = v;
        private readonly int _n = n;
        private readonly AdamWStep _step = step;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int count = Elementwise.Chunk(chunk, _n, out int start);
            Loop<T>(_parameter + start, _gradient + start, _m + start, _v + start, count, _step);
        }

        [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
        private static void Loop<T>(float* parameter, float* gradient, float* m, float* v, int count, AdamWStep step)
            where T : unmanaged, IFloatLanes<T>
        {
            int i = 0;
            for (; i <= count - T.Count; i += T.Count)
            {
                One(parameter + i, gradient + i, m + i, v + i, step, default(T));
            }

            for (; i < count; i++)
            {
                One(parameter + i, gradient + i, m + i, v + i, step, default(LanesScalar));
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void One<T>(float* parameter, float* gradient, float* m, float* v, AdamWStep step, T _)
            where T : unmanaged, IFloatLanes<T>
        {
            T g = T.Load(gradient);
            T p = T.Load(parameter) * T.Of(step.Decay);
            T first = T.Load(m);
            first = T.Fma(T.Of(step.OneMinusBeta1), g - first, first);
            T second = T.Fma(T.Of(step.OneMinusBeta2) * g, g, T.Load(v) * T.Of(step.Beta2));
            T denominator = (T.Sqrt(second) / T.Of(step.RootCorrection2)) + T.Of(step.Epsilon);
            T.Store(T.Fma(T.Of(-step.StepSize), first / denominator, p), parameter);
            T.Store(first, m);
            T.Store(second, v);
        }
    }
}
