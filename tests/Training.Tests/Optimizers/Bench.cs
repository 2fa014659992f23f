using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Optimizers;

/// <summary>Parameters p0, p1, ... of given lengths in a set, with gradients by a function of the element.</summary>
internal sealed class Bench : IDisposable
{
    public Bench(int threads, int[] lengths, ParameterSetOptions? options = null, DType dtype = DType.F32)
    {
        Device = new CpuDevice(threads);
        Arena = new Arena(Device, "test");
        for (int p = 0; p < lengths.Length; p++)
        {
            float[] start = new float[lengths[p]];
            new Rng(1).Stream("p" + p).FillNormal(0, start);
            Tensor value = dtype == DType.BF16
                ? Arena.Create<BFloat16>(new Shape(lengths[p]), Array.ConvertAll(start, v => (BFloat16)v), MemoryCategory.Weights)
                : Arena.Create<float>(new Shape(lengths[p]), start, MemoryCategory.Weights);
            Parameters.Add(new Parameter("p" + p, value, trainable: true));
            Start.Add(start);
        }

        Set = new ParameterSet(Parameters, Arena, options);
    }

    public CpuDevice Device { get; }

    public Arena Arena { get; }

    public List<Parameter> Parameters { get; } = [];

    public List<float[]> Start { get; } = [];

    public ParameterSet Set { get; }

    public void Give(Func<int, float> gradient)
    {
        Set.ClearGradients();
        foreach (ParameterEntry entry in Set.Active)
        {
            Span<float> g = entry.Parameter.GradientTarget(out _).AsSpan<float>();
            for (int i = 0; i < g.Length; i++)
            {
                g[i] = gradient(i);
            }
        }
    }

    public float[] Values(int p) => Set.All[p].Values.ToArray<float>();

    public void Dispose()
    {
        Set.Dispose();
        Arena.Dispose();
        Device.Dispose();
    }
}
