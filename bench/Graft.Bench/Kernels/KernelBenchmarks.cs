using System.Diagnostics.CodeAnalysis;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Graft.Runtime;

namespace Graft.Bench.Kernels;

/// <summary>Single kernels at the sizes of the whole steps: time and managed bytes of one recorded op, or of its forward and backward.</summary>
[MemoryDiagnoser]
[SuppressMessage("Design", "CA1001", Justification = "BenchmarkDotNet calls Cleanup, not Dispose.")]
public class KernelBenchmarks
{
    private CpuDevice? _device;
    private Arena? _weights;
    private Arena? _step;
    private KernelRow? _row;
    private Tensor[] _inputs = [];

    /// <summary>A row of the table.</summary>
    [ParamsSource(nameof(Names))]
    public string Kernel { get; set; } = "";

    /// <summary>All rows.</summary>
    public static IEnumerable<string> Names => KernelTable.Rows.Select(r => r.Name);

    /// <summary>Draws the inputs.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _row = KernelTable.Rows.First(r => r.Name == Kernel);
        _device = new CpuDevice();
        _weights = new Arena(_device, "weights");
        _step = new Arena(_device, "step");
        _inputs = [.. _row.Inputs.Select((shape, i) => Input(_weights, i, shape))];
    }

    /// <summary>Gives the memory back.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _step?.Dispose();
        _weights?.Dispose();
        _device?.Dispose();
    }

    /// <summary>The op alone.</summary>
    [Benchmark]
    public void Forward()
    {
        using Scope scope = _step!.Enter("forward");
        _ = _row!.Run(Tape.None(_step), _inputs);
    }

    /// <summary>The op recorded, and its backward to every input.</summary>
    [Benchmark]
    public void ForwardAndBackward()
    {
        using Scope scope = _step!.Enter("both");
        using Tape tape = new(_step);
        Tensor[] watched = [.. _inputs.Select(i => i.DType == DType.F32 ? tape.Watch(i) : i)];
        Tensor y = _row!.Run(tape, watched);
        Tensor dy = _step.Allocate(y.Shape, DType.F32, MemoryCategory.Activations);
        dy.AsSpan<float>().Fill(0.5f);
        tape.Backward(y, dy);
    }

    internal static int Run(string[] args)
    {
        bool quick = args.Contains("--quick");
        // In this process: its own builds would copy the peer's half gigabyte each time.
        Job job = (quick ? Job.Dry : Job.ShortRun).WithToolchain(InProcessEmitToolchain.Instance);
        IConfig config = DefaultConfig.Instance.AddJob(job).WithOptions(ConfigOptions.DisableOptimizationsValidator);
        return BenchmarkRunner.Run<KernelBenchmarks>(config).HasCriticalValidationErrors ? 1 : 0;
    }

    private static Tensor Input(Arena arena, int index, Shape shape)
    {
        Tensor tensor = arena.Allocate(shape, DType.F32, MemoryCategory.Weights);
        new Rng(2).At(index).Stream("input").FillNormal(0, tensor.AsSpan<float>());
        return tensor;
    }
}
