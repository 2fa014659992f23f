using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x / √(mean(x²) + ε) · w over the last axis.</summary>
/// <remarks>x (..., C) F32, w (C) F32, BF16 or F16 → y (..., C). Saves rstd (...). Method: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.</remarks>
/// <param name="Epsilon">Added to the mean square.</param>
public readonly record struct RmsNorm(float Epsilon) : IOp<RmsNorm>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("rms_norm", 2, "arXiv:1910.07467", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in RmsNorm op, ref InferCall c)
    {
        c.RequireType(0, DType.F32);
        c.RequireType(1, DType.F32, DType.BF16, DType.F16);
        Shape x = c.Shape(0);
        c.Require(x.Rank > 0, "the input must have an axis to normalise");
        c.Require(c.Shape(1) == new Shape(x.Last), $"the weight must have the {x.Last} elements of the last axis");
        c.Output(x, DType.F32);
        c.Save(x.WithoutLast(), DType.F32);
        c.Workspace(HostConstants.WidenedBytes(c.Input(1)));
    }

    /// <inheritdoc/>
    public static Tensor Reference(in RmsNorm op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Tensor rstd = t.Rsqrt(t.AddScalar(t.Mean(t.Square(x[0]), -1, keepAxes: true), op.Epsilon));
        return t.Mul(t.Mul(x[0], rstd), t.Cast(x[1], x[0].DType));
    }

    /// <inheritdoc/>
    public static Saves Saves(in RmsNorm op, Needs needs) => Runtime.Saves.Nothing.Input(0).Input(1).Extra();

    /// <inheritdoc/>
    public static void Forward(in RmsNorm op, CpuCall c)
    {
        Tensor x = c.Input(0);
        ReadOnlySpan<float> w = HostConstants.Widened(c.Input(1), c.Workspace());
        int rows = checked((int)x.Shape.Rows);
        RmsNormKernel.Forward(c.Team, rows, x.Shape.Last, x.AsReadOnlySpan<float>(), w, op.Epsilon, c.Output.AsSpan<float>(), c.Saved().AsSpan<float>());
    }

    /// <inheritdoc/>
    public static void Backward(in RmsNorm op, BackwardCall c)
    {
        Shape shape = c.InputSpec(0).Shape;
        int rows = checked((int)shape.Rows), columns = shape.Last;
        bool addX = false, addW = false;
        Tensor? dx = c.Needs(0) ? GradientTarget.Open(c, 0, out addX) : null;
        Tensor? dw = c.Needs(1) ? GradientTarget.Open(c, 1, out addW) : null;
        Tensor wide = c.Temporary(new Shape(checked((int)HostConstants.WidenedBytes(c.InputSpec(1)))), DType.U8);
        Tensor parts = c.Temporary(new Shape(dw is null ? 0 : checked((int)Reductions.ColumnWorkspace(rows, columns))));
        if (c.OnCpu)
        {
            ReadOnlySpan<float> w = HostConstants.Widened(c.Input(1), wide.AsSpan<byte>());
            RmsNormKernel.Backward(
                c.Team, rows, columns, c.Input(0).AsReadOnlySpan<float>(), w, c.Saved().AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(),
                dx is null ? [] : dx.AsSpan<float>(), dw is null ? [] : dw.AsSpan<float>(), parts.AsSpan<float>());
        }

        if (dx is not null)
        {
            GradientTarget.Close(c, 0, dx, addX);
        }

        if (dw is not null)
        {
            GradientTarget.Close(c, 1, dw, addW);
        }
    }
}

/// <summary><see cref="Runtime.RmsNorm"/> on a tape.</summary>
public static class RmsNormExtensions
{
    extension(Tape t)
    {
        /// <summary>x (..., C) over the root of its mean square, times w (C).</summary>
        public Tensor RmsNorm(Tensor x, Tensor w, float epsilon) => t.Apply(new RmsNorm(epsilon), x, w);
    }
}
