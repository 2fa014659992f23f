using Graft.Runtime.Tests.Support;
using Graft.Tests;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>The same function on the CUDA device and on the CPU: results and gradients of all float inputs.</summary>
internal sealed class CudaAgainstCpu : IDisposable
{
    private readonly CpuDevice _cpu = new(1);

    public CudaDevice Cuda { get; } = CudaTestDevice.Open(guardBlocks: true);

    public void Dispose()
    {
        _cpu.Dispose();
        Cuda.Dispose();
    }

    /// <summary>Compares; with <paramref name="half"/> F32 inputs are BF16 on CUDA, rounded to it on the CPU. With an offset, inputs are views that begin so many elements into their tensors.</summary>
    public void Compare(string what, Func<Tape, Tensor[], Tensor> run, Values[] inputs, double forward, double backward, bool half = false, int offset = 0)
    {
        double[][] expected = Run(_cpu, run, inputs, half, offset), actual = Run(Cuda, run, inputs, half, offset);
        for (int i = 0; i < expected.Length; i++)
        {
            double tolerance = i == 0 ? forward : backward;
            double scale = Math.Max(1, expected[i].Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max());
            Worst.Within(actual[i], expected[i], tolerance * scale, 0, $"{what}{(half ? " bf16" : "")} offset {offset}: {(i == 0 ? "result" : $"gradient {i - 1}")}");
        }
    }

    private static double[][] Run(Device device, Func<Tape, Tensor[], Tensor> run, Values[] inputs, bool half, int offset)
    {
        using Arena given = new(device, "given"), step = new(device, "step");
        using Scope scope = step.Enter("run");
        using Tape tape = new(step);
        Tensor[] watched = new Tensor[inputs.Length], x = new Tensor[inputs.Length];
        for (int i = 0; i < x.Length; i++)
        {
            x[i] = inputs[i].On(given, half, offset);
            watched[i] = inputs[i].IsFloat ? tape.Watch(x[i]) : x[i];
            x[i] = tape.View(watched[i], inputs[i].Shape, offset);
        }

        Tensor y = run(tape, x);
        Tensor dy = Values.Normal(y.Shape, 99).On(step, half && y.DType != DType.F32, 0, round: half);
        tape.Backward(y, dy);
        double[][] results = [Values.Read(y), .. watched.Where((_, i) => inputs[i].IsFloat).Select(w => tape.GradientOf(w) is { } g ? Values.Read(g) : [])];
        tape.Clear();
        return results;
    }
}

/// <summary>Elements of a test's input: floats, or I32.</summary>
internal sealed record Values(Shape Shape, float[]? Floats, int[]? Integers = null)
{
    public bool IsFloat => Floats is not null;

    public static Values Normal(Shape shape, ulong seed)
    {
        float[] x = new float[shape.Count];
        new Rng(seed).FillNormal(0, x);
        return new Values(shape, x);
    }

    public static Values Below(Shape shape, int bound, ulong seed)
    {
        Rng rng = new(seed);
        return new Values(shape, null, [.. Enumerable.Range(0, (int)shape.Count).Select(i => rng.Below(i, bound))]);
    }

    public static double[] Read(Tensor x) => x.DType switch
    {
        DType.F32 => Array.ConvertAll(x.ToArray<float>(), v => (double)v),
        DType.BF16 => Array.ConvertAll(x.ToArray<BFloat16>(), v => (double)(float)v),
        DType.F16 => Array.ConvertAll(x.ToArray<Half>(), v => (double)v),
        _ => throw new ArgumentException(x.ToString()),
    };

    /// <summary>The tensor, with NaN (or zeros) before and behind it where it has an offset.</summary>
    public Tensor On(Arena arena, bool half, int offset, bool? round = null)
    {
        Shape shape = offset == 0 ? Shape : new Shape((int)Shape.Count + (2 * offset));
        if (Integers is not null)
        {
            Tensor ids = arena.Allocate(shape, DType.I32, MemoryCategory.Activations);
            ids.CopyFrom<int>([.. new int[offset], .. Integers, .. new int[offset]]);
            return ids;
        }

        float[] around = [.. Enumerable.Repeat(float.NaN, offset)];
        float[] values = [.. around, .. Floats!, .. around];
        BFloat16[] rounded = Array.ConvertAll(values, v => (BFloat16)v);
        bool store = half && arena.Device.Plans == DeviceKind.Cuda;
        Tensor x = arena.Allocate(shape, store ? DType.BF16 : DType.F32, MemoryCategory.Activations);
        if (store)
        {
            x.CopyFrom<BFloat16>(rounded);
        }
        else
        {
            x.CopyFrom<float>(round ?? half ? Array.ConvertAll(rounded, v => (float)v) : values);
        }

        return x;
    }
}
