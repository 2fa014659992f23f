using Graft.Runtime;

namespace Graft.Runtime.Tests.Autograd;

/// <summary>z = x ⊙ y by a plain loop: enough to exercise the tape without the op library.</summary>
internal readonly record struct TestMul : IOp<TestMul>
{
    public static OpInfo Info => new("test_mul", 2);

    public static void Infer(in TestMul op, ref InferCall c)
    {
        c.RequireType(0, DType.F32);
        c.Require(c.Shape(0) == c.Shape(1), "both inputs need the same shape");
        c.Output(c.Shape(0), DType.F32);
        c.Save(new Shape(3), DType.F32); // never named by Saves: must go back at once
        c.Workspace(100);
    }

    public static Tensor Reference(in TestMul op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    public static Saves Saves(in TestMul op, Needs needs) => Runtime.Saves.Nothing.Input(1, needs[0]).Input(0, needs[1]);

    public static void Forward(in TestMul op, CpuCall c) => Multiply(c.Input(0), c.Input(1), c.Output);

    public static void Backward(in TestMul op, BackwardCall c)
    {
        for (int i = 0; i < 2; i++)
        {
            if (c.Needs(i))
            {
                c.Accumulate(i, c.Tape.Apply(op, c.OutputGradient, c.Input(1 - i)));
            }
        }
    }

    private static void Multiply(Tensor x, Tensor y, Tensor z)
    {
        for (int i = 0; i < z.Shape.Count; i++)
        {
            z.AsSpan<float>()[i] = x.AsSpan<float>()[i] * y.AsSpan<float>()[i];
        }
    }
}

/// <summary>Sum of x and y; hands the gradient to both without a copy.</summary>
internal readonly record struct TestAdd : IOp<TestAdd>
{
    public static OpInfo Info => new("test_add", 2);

    public static void Infer(in TestAdd op, ref InferCall c) => c.Output(c.Shape(0), DType.F32);

    public static Tensor Reference(in TestAdd op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    public static Saves Saves(in TestAdd op, Needs needs) => Runtime.Saves.Nothing;

    public static void Forward(in TestAdd op, CpuCall c)
    {
        for (int i = 0; i < c.Output.Shape.Count; i++)
        {
            c.Output.AsSpan<float>()[i] = c.Input(0).AsSpan<float>()[i] + c.Input(1).AsSpan<float>()[i];
        }
    }

    public static void Backward(in TestAdd op, BackwardCall c)
    {
        for (int i = 0; i < 2; i++)
        {
            if (c.Needs(i))
            {
                c.Accumulate(i, c.OutputGradient);
            }
        }
    }
}

/// <summary>Sum of all elements; writes its gradient through the target.</summary>
internal readonly record struct TestSum : IOp<TestSum>
{
    public static OpInfo Info => new("test_sum", 1);

    public static void Infer(in TestSum op, ref InferCall c) => c.Output(new Shape(), DType.F32);

    public static Tensor Reference(in TestSum op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    public static Saves Saves(in TestSum op, Needs needs) => Runtime.Saves.Nothing;

    public static void Forward(in TestSum op, CpuCall c)
    {
        float sum = 0;
        foreach (float value in c.Input(0).AsSpan<float>())
        {
            sum += value;
        }

        c.Output.AsSpan<float>()[0] = sum;
    }

    public static void Backward(in TestSum op, BackwardCall c)
    {
        Tensor dx = c.Target(0, out bool accumulate);
        if (c.OnCpu)
        {
            float dy = c.OutputGradient.AsSpan<float>()[0];
            foreach (ref float value in dx.AsSpan<float>())
            {
                value = accumulate ? value + dy : dy;
            }
        }
    }
}

/// <summary>x with a gradient that is three times the truth, to tell a composite's own backward from the derivative.</summary>
internal readonly record struct TestTriple : ICompositeOp<TestTriple>
{
    public static OpInfo Info => new("test_triple", 1);

    public static Tensor Forward(in TestTriple op, CompositeCall c) => c.Input(0);

    public static Saves Saves(in TestTriple op, Needs needs) => Runtime.Saves.Nothing;

    public static void Backward(in TestTriple op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        c.Accumulate(0, c.Tape.Apply(default(TestAdd), dy, c.Tape.Apply(default(TestAdd), dy, dy)));
    }
}

internal readonly record struct TestArgMax : INonDifferentiableOp<TestArgMax>
{
    public static OpInfo Info => new("test_argmax", 1);

    public static void Infer(in TestArgMax op, ref InferCall c) => c.Output(new Shape(), DType.I32);

    public static Tensor Reference(in TestArgMax op, Tape t, ReadOnlySpan<Tensor> x) => t.Evaluate(op, x)[0];

    public static void Forward(in TestArgMax op, CpuCall c) => c.Output.AsSpan<int>()[0] = c.Input(0).AsSpan<float>().IndexOf(c.Input(0).AsSpan<float>().ToArray().Max());
}
