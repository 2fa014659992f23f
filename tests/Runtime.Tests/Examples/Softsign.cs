using Graft.Runtime.Tests.Tables;

namespace Graft.Runtime.Tests.Examples;

/// <summary>y = x / (1 + |x|).</summary>
/// <remarks>x F32 of any shape; y the same. Method: Turian et al. 2009.</remarks>
public readonly record struct Softsign : IOp<Softsign>
{
    public static OpInfo Info { get; } = new("softsign", 1, "Turian et al. 2009");

    public static void Infer(in Softsign op, ref InferCall c)
    {
        c.RequireType(0, DType.F32, DType.F64);
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    public static Tensor Reference(in Softsign op, Tape t, ReadOnlySpan<Tensor> x) => t.Div(x[0], t.AddScalar(t.Abs(x[0]), 1));

    public static void Forward(in Softsign op, CpuCall c)
    {
        ReadOnlySpan<float> x = c.Input(0).AsReadOnlySpan<float>();
        Span<float> y = c.Output.AsSpan<float>();
        for (int i = 0; i < y.Length; i++)
        {
            y[i] = x[i] / (1 + MathF.Abs(x[i]));
        }
    }

    public static Saves Saves(in Softsign op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    public static void Backward(in Softsign op, BackwardCall c)
    {
        Tape t = c.Tape; // records nothing; what it allocates ends with this call
        Tensor root = t.AddScalar(t.Abs(c.Input(0)), 1);
        c.Accumulate(0, t.Div(c.OutputGradient, t.Square(root))); // dy / (1 + |x|)²
    }
}

/// <summary>The example passes the checks of every op.</summary>
public sealed class SoftsignTests
{
    private static readonly Row s_row = Row.Of(new Softsign(), shapes: ["1", "7", "5x33"]);

    [Test]
    public void The_example_agrees_with_its_reference_and_with_differences()
    {
        OpTests tests = new();
        tests.Forward_agrees_with_the_reference_in_doubles(s_row);
        tests.Backward_agrees_with_differences_of_the_reference_in_doubles(s_row);
    }
}
