using System.Buffers;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Work on ranges of a flat block: optimizers, clipping, projections. What a range computes must depend on its elements only.</summary>
public interface IFlatWork
{
    /// <summary>Does elements <paramref name="start"/> to <paramref name="start"/> + <paramref name="count"/> - 1; called from several threads at once.</summary>
    void Invoke(int start, int count);
}

/// <summary>A number per range of a flat block, to be combined over all ranges.</summary>
public interface IFlatSum
{
    /// <summary>The part of elements <paramref name="start"/> to <paramref name="start"/> + <paramref name="count"/> - 1; called from several threads at once.</summary>
    double Invoke(int start, int count);
}

/// <summary>Runs work on flat blocks by the device's threads, in ranges of a fixed size, so that the bits are the same on any number of threads.</summary>
public static class FlatWork
{
    /// <summary>Elements of a range; the last may be shorter.</summary>
    public const int Grain = WorkerTeam.Grain;

    /// <summary>Does all ranges of <paramref name="elements"/> elements; nothing on a device that computes nothing.</summary>
    public static void Run<TWork>(Device device, int elements, TWork work)
        where TWork : struct, IFlatWork
    {
        if (device is CpuDevice cpu)
        {
            Ranges<TWork> ranges = new(work, elements);
            cpu.Team.Run(WorkerTeam.ChunksFor(elements), ref ranges);
        }
    }

    /// <summary>The parts of all ranges, added (or the largest of them taken) in the order of the ranges; 0 on a device that computes nothing.</summary>
    public static double Sum<TWork>(Device device, int elements, TWork work, bool largest = false)
        where TWork : struct, IFlatSum
    {
        if (device is not CpuDevice cpu)
        {
            return 0;
        }

        int chunks = WorkerTeam.ChunksFor(elements);
        double[] parts = ArrayPool<double>.Shared.Rent(Math.Max(1, chunks));
        try
        {
            Sums<TWork> sums = new(work, elements, parts);
            cpu.Team.Run(chunks, ref sums);
            double total = 0;
            for (int i = 0; i < chunks; i++)
            {
                total = largest ? Math.Max(total, parts[i]) : total + parts[i];
            }

            return total;
        }
        finally
        {
            ArrayPool<double>.Shared.Return(parts);
        }
    }

    private struct Ranges<TWork>(TWork work, int elements) : IChunkWork
        where TWork : struct, IFlatWork
    {
        private TWork _work = work;

        public void Invoke(int chunk, int worker)
        {
            int start = chunk * Grain;
            _work.Invoke(start, Math.Min(Grain, elements - start));
        }
    }

    private struct Sums<TWork>(TWork work, int elements, double[] parts) : IChunkWork
        where TWork : struct, IFlatSum
    {
        private TWork _work = work;

        public void Invoke(int chunk, int worker)
        {
            int start = chunk * Grain;
            parts[chunk] = _work.Invoke(start, Math.Min(Grain, elements - start));
        }
    }
}
