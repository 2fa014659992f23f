using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Chunks of a kernel that is written once for every width.</summary>
internal interface ILanesWork
{
    /// <summary>Does one chunk with lanes of type <typeparamref name="T"/>.</summary>
    void Invoke<T>(int chunk, int worker)
        where T : unmanaged, IFloatLanes<T>;
}

/// <summary>Runs kernels at the widest vectors that this processor has.</summary>
internal static class CpuKernel
{
    /// <summary>Floats per vector of the kernels: 16, 8, 4, or 1 without vectors.</summary>
    public static int Width => Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : Vector128.IsHardwareAccelerated ? 4 : 1;

    /// <summary>Runs all chunks; results leave through the pointers in <paramref name="work"/>.</summary>
    public static void Run<TWork>(WorkerTeam team, int chunks, TWork work)
        where TWork : struct, ILanesWork
    {
        Widest<TWork> widest = new(work);
        team.Run(chunks, ref widest);
    }

    private readonly struct Widest<TWork>(TWork work) : IChunkWork
        where TWork : struct, ILanesWork
    {
        private readonly TWork _work = work;

        // The conditions are constants of the JIT: one branch remains.
        public void Invoke(int chunk, int worker)
        {
            if (Vector512.IsHardwareAccelerated)
            {
                _work.Invoke<Lanes512>(chunk, worker);
            }
            else if (Vector256.IsHardwareAccelerated)
            {
                _work.Invoke<Lanes256>(chunk, worker);
            }
            else if (Vector128.IsHardwareAccelerated)
            {
                _work.Invoke<Lanes128>(chunk, worker);
            }
            else
            {
                _work.Invoke<LanesScalar>(chunk, worker);
            }
        }
    }
}
