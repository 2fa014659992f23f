using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Both gradients of silu(gate) · up in one pass: three reads, two writes, one sigmoid.</summary>
internal static unsafe class SwiGluKernel
{
    /// <summary>dgate = dy · up · silu'(gate), dup = dy · silu(gate); an empty <paramref name="dup"/> is not wanted. Results must not overlap the inputs.</summary>
    public static void Backward(WorkerTeam team, ReadOnlySpan<float> gate, ReadOnlySpan<float> up, ReadOnlySpan<float> dy, Span<float> dgate, Span<float> dup)
    {
        if (dup.IsEmpty)
        {
            Elementwise.Run<SwiGluBackwardGateOperator>(team, gate, up, dy, dgate);
            return;
        }

        Sizes.Check("swiglu backward", gate.Length, up.Length, gate.Length, dy.Length);
        Sizes.Check("swiglu backward", gate.Length, dgate.Length, gate.Length, dup.Length);
        fixed (float* pg = gate, pu = up, pd = dy, pdg = dgate, pdu = dup)
        {
            CpuKernel.Run(team, WorkerTeam.ChunksFor(gate.Length), new Work(pg, pu, pd, pdg, pdu, gate.Length));
        }
    }

    private readonly struct Work(float* gate, float* up, float* dy, float* dgate, float* dup, int n) : ILanesWork
    {
        private readonly float* _gate = gate;
        private readonly float* _up = up;
        private readonly float* _dy = dy;
        private readonly float* _dgate = dgate;
        private readonly float* _dup = dup;
        private readonly int _n = n;
        private readonly bool _stream = Streams.Pay(n);

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int count = Elementwise.Chunk(chunk, _n, out int start);
            Loop<T>(_gate + start, _up + start, _dy + start, _dgate + start, _dup + start, count, _stream);
        }

        [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
        private static void Loop<T>(float* gate, float* up, float* dy, float* dgate, float* dup, int count, bool stream)
            where T : unmanaged, IFloatLanes<T>
        {
            stream &= Streams.Fit<T>(dgate) && Streams.Fit<T>(dup);
            int i = 0;
            for (; i <= count - T.Count; i += T.Count)
            {
                One<T>(gate + i, up + i, dy + i, dgate + i, dup + i, stream);
            }

            for (; i < count; i++)
            {
                One<LanesScalar>(gate + i, up + i, dy + i, dgate + i, dup + i, false);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void One<T>(float* gate, float* up, float* dy, float* dgate, float* dup, bool stream)
            where T : unmanaged, IFloatLanes<T>
        {
            T g = T.Load(gate), d = T.Load(dy), s = T.Sigmoid(g);
            Streams.Store(d * T.Load(up) * Silu.Slope(g, s), dgate, stream);
            Streams.Store(d * (g * s), dup, stream);
        }
    }
}
