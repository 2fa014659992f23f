using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x / √(mean(x²) + ε) · w over the last axis.</summary>
/// <remarks>
/// x (..., C) F32 (BF16 on CUDA), w (C) F32, BF16 or F16 → y (..., C) as x. Saves rstd (...) F32.
/// Method: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.
/// </remarks>
/// <param name="Epsilon">Added to the mean square.</param>
public readonly record struct RmsNorm(float Epsilon) : IOp<RmsNorm>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("rms_norm", 2, "arXiv:1910.07467", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in RmsNorm op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.RequireType(1, DType.F32, DType.BF16, DType.F16);
        Shape x = c.Shape(0);
        c.Require(x.Rank > 0, "the input must have an axis to normalise");
        c.Require(c.Shape(1) == new Shape(x.Last), $"the weight must have the {x.Last} elements of the last axis");
        c.Output(x, c.Input(0).DType);
        c.Save(x.WithoutLast(), DType.F32);
        c.Workspace(HostConstants.WidenedBytes(c.Input(1), c.Plans));
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
    public static void Forward(in RmsNorm op, CudaCall c) => NormCuda.RmsForward(c, op.Epsilon);

    /// <inheritdoc/>
    public static void Backward(in RmsNorm op, BackwardCall c)
    {
        Shape shape = c.InputSpec(0).Shape;
        int rows = checked((int)shape.Rows), columns = shape.Last;
        GradientMemory x = GradientMemory.Open(c, 0), w = GradientMemory.OpenWeight(c, 1);
        long sums = w.Tensor is null ? 0 : c.Plans == DeviceKind.Cuda ? NormCuda.PartFloats(c.InputSpec(0)) : Reductions.ColumnWorkspace(rows, columns);
        Tensor wide = c.Temporary(new Shape(checked((int)HostConstants.WidenedBytes(c.InputSpec(1), c.Plans))), DType.U8);
        Tensor parts = c.Temporary(new Shape(checked((int)sums)));
        if (c.OnCpu)
        {
            Span<float> dx = x.Tensor is null ? [] : x.Tensor.AsSpan<float>(), dw = w.Tensor is null ? [] : w.Tensor.AsSpan<float>();
            RmsNormKernel.Backward(
                c.Team, rows, columns, c.Input(0).AsReadOnlySpan<float>(), HostConstants.Widened(c.Input(1), wide.AsSpan<byte>()),
                c.Saved().AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx, dw, parts.AsSpan<float>());
        }
        else if (c.OnCuda)
        {
            NormCuda.RmsBackward(c, x, w, parts);
        }

        x.Close(c);
        w.Close(c);
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
