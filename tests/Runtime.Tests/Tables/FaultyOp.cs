using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Tables;

/// <summary>What is wrong with a <see cref="FaultyOp"/>.</summary>
internal enum Fault
{
    None,
    Forward,
    Gradient,
    OneGradientElement,
    IgnoresAccumulate,
    WritesUpstream,
    UsesUnneeded,
    ReadsBeyond,
    DependsOnThreads,
    DependsOnAddress,
    Leaks,
    MetaShape,
    MetaMemory,
}

/// <summary>y = x² z by plain loops, with one fault: shows that each check of the table can fail.</summary>
internal readonly record struct FaultyOp(Fault Fault) : IOp<FaultyOp>
{
    private static int s_calls;

    public static OpInfo Info { get; } = new("faulty", 2);

    public static void Infer(in FaultyOp op, ref InferCall c)
    {
        // Every second call differs: the real run's, then the planned one's.
        bool odd = (++s_calls & 1) == 0;
        c.Output(op.Fault == Fault.MetaShape && odd ? new Shape((int)c.Shape(0).Count, 1) : c.Shape(0), c.Input(0).DType);
        c.Workspace(op.Fault == Fault.MetaMemory ? 4096 * s_calls : 64);
    }

    public static Tensor Reference(in FaultyOp op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(default(FaultyOp), x);

    public static Saves Saves(in FaultyOp op, Needs needs) => Runtime.Saves.Everything;

    public static void Forward(in FaultyOp op, CpuCall c)
    {
        Tensor x = c.Input(0), z = c.Input(1), y = c.Output;
        for (int i = 0; i < y.Shape.Count; i++)
        {
            double v = Get(x, i) * Get(x, i) * Get(z, i);
            Set(y, i, op.Fault == Fault.Forward && i == 3 ? v + 1e-3 : v, add: false);
        }

        if (op.Fault == Fault.DependsOnThreads)
        {
            Set(y, 0, 1e-7 * c.Device.Threads, add: true);
        }

        if (op.Fault == Fault.DependsOnAddress)
        {
            unsafe
            {
                Set(y, 0, (long)x.RawPointer() % 64 * 1e-6, add: true);
            }
        }

        if (op.Fault == Fault.ReadsBeyond)
        {
            unsafe
            {
                float beyond = x.Pointer<float>()[x.Shape.Count];
                Set(y, 0, float.IsNaN(beyond) ? beyond : 0, add: true);
            }
        }
    }

    public static void Backward(in FaultyOp op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        Tensor x = c.Input(0), z = c.Input(1);
        if (op.Fault == Fault.Leaks)
        {
            dy.Storage.Retain();
        }

        for (int input = 0; input < 2; input++)
        {
            if (!c.Needs(input) && op.Fault != Fault.UsesUnneeded)
            {
                continue;
            }

            Tensor dx = c.Target(input, out bool accumulate);
            for (int i = 0; i < dx.Shape.Count && c.OnCpu; i++)
            {
                double slope = input == 0 ? 2 * Get(x, i) * Get(z, i) : Get(x, i) * Get(x, i);
                double wrong = op.Fault == Fault.Gradient ? 1.01 : op.Fault == Fault.OneGradientElement && i == 2 ? 1.001 : 1;
                Set(dx, i, wrong * slope * Get(dy, i), accumulate && op.Fault != Fault.IgnoresAccumulate);
            }
        }

        if (op.Fault == Fault.WritesUpstream && c.OnCpu)
        {
            Set(dy, 0, 1, add: true);
        }
    }

    private static double Get(Tensor x, int i) => x.DType == DType.F64 ? x.AsSpan<double>()[i] : x.AsSpan<float>()[i];

    private static void Set(Tensor x, int i, double value, bool add)
    {
        if (x.DType == DType.F64)
        {
            x.AsSpan<double>()[i] = add ? x.AsSpan<double>()[i] + value : value;
        }
        else
        {
            x.AsSpan<float>()[i] = (float)(add ? x.AsSpan<float>()[i] + value : value);
        }
    }
}
