using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = (x - mean) / √(variance + ε) · w + b over the last axis.</summary>
/// <remarks>
/// x (..., C) F32 (BF16 on CUDA), w (C) and the optional b (C) F32, BF16 or F16 → y (..., C) as x. Saves mean and rstd (...) F32.
/// The variance is that of the population, in two passes.
/// Method: Ba, Kiros and Hinton 2016, arXiv:1607.06450.
/// </remarks>
/// <param name="Epsilon">Added to the variance.</param>
public readonly record struct LayerNorm(float Epsilon) : IOp<LayerNorm>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("layer_norm", 2, "arXiv:1607.06450", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in LayerNorm op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        Shape x = c.Shape(0);
        c.Require(x.Rank > 0, "the input must have an axis to normalise");
        c.Require(c.Count <= 3, "there are at most three inputs: x, weight, bias");
        for (int i = 1; i < c.Count; i++)
        {
            c.RequireType(i, DType.F32, DType.BF16, DType.F16);
            c.Require(c.Shape(i) == new Shape(x.Last), $"weight and bias must have the {x.Last} elements of the last axis");
            c.Workspace(HostConstants.WidenedBytes(c.Input(i), c.Plans));
        }

        c.Output(x, c.Input(0).DType);
        c.Save(x.WithoutLast(), DType.F32);
        c.Save(x.WithoutLast(), DType.F32);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in LayerNorm op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Tensor centred = t.Sub(x[0], t.Mean(x[0], -1, keepAxes: true));
        Tensor rstd = t.Rsqrt(t.AddScalar(t.Mean(t.Square(centred), -1, keepAxes: true), op.Epsilon));
        Tensor y = t.Mul(t.Mul(centred, rstd), t.Cast(x[1], x[0].DType));
        return x.Length < 3 ? y : t.Add(y, t.Cast(x[2], x[0].DType));
    }

    /// <inheritdoc/>
    public static Saves Saves(in LayerNorm op, Needs needs)
    {
        bool statistics = needs[0] || needs[1];
        return Runtime.Saves.Nothing.Input(0, statistics).Input(1, statistics).Extra(0, statistics).Extra(1, statistics);
    }

    /// <inheritdoc/>
    public static void Forward(in LayerNorm op, CpuCall c)
    {
        Tensor x = c.Input(0);
        ReadOnlySpan<float> w = HostConstants.Widened(c.Input(1), c.Workspace());
        ReadOnlySpan<float> b = c.Count < 3 ? [] : HostConstants.Widened(c.Input(2), c.Workspace()[(int)HostConstants.WidenedBytes(c.Input(1).Spec, DeviceKind.Cpu)..]);
        int rows = checked((int)x.Shape.Rows);
        LayerNormKernel.Forward(
            c.Team, rows, x.Shape.Last, x.AsReadOnlySpan<float>(), w, b, op.Epsilon, c.Output.AsSpan<float>(), c.Saved(0).AsSpan<float>(), c.Saved(1).AsSpan<float>());
    }

    /// <inheritdoc/>
    public static void Forward(in LayerNorm op, CudaCall c) => NormCuda.LayerForward(c, op.Epsilon);

    /// <inheritdoc/>
    public static void Backward(in LayerNorm op, BackwardCall c)
    {
        Shape shape = c.InputSpec(0).Shape;
        int rows = checked((int)shape.Rows), columns = shape.Last;
        GradientMemory dx = GradientMemory.Open(c, 0), dw = GradientMemory.OpenWeight(c, 1), db = GradientMemory.OpenWeight(c, 2);
        long sums = dw.Tensor is null && db.Tensor is null ? 0
            : c.Plans == DeviceKind.Cuda ? NormCuda.LayerFloats(c.InputSpec(0), dw.Tensor is not null, db.Tensor is not null)
            : 2 * Reductions.ColumnWorkspace(rows, columns);
        Tensor wide = c.Temporary(new Shape(checked((int)HostConstants.WidenedBytes(c.InputSpec(1), c.Plans))), DType.U8);
        Tensor parts = c.Temporary(new Shape(checked((int)sums)));
        if (c.OnCpu)
        {
            Span<float> toX = Span(dx), toW = Span(dw), toB = Span(db);
            ReadOnlySpan<float> dy = c.OutputGradient.AsReadOnlySpan<float>();
            if (dx.Tensor is null && dw.Tensor is null)
            {
                Reductions.SumColumns(c.Team, rows, columns, dy, toB, parts.AsSpan<float>());
            }
            else
            {
                ReadOnlySpan<float> w = HostConstants.Widened(c.Input(1), wide.AsSpan<byte>());
                LayerNormKernel.Backward(
                    c.Team, rows, columns, c.Input(0).AsReadOnlySpan<float>(), w, c.Saved(0).AsReadOnlySpan<float>(), c.Saved(1).AsReadOnlySpan<float>(), dy, toX, toW, toB,
                    parts.AsSpan<float>());
            }
        }
        else if (c.OnCuda)
        {
            NormCuda.LayerBackward(c, dx, dw, db, parts);
        }

        dx.Close(c);
        dw.Close(c);
        db.Close(c);
    }

    private static Span<float> Span(GradientMemory gradient) => gradient.Tensor is null ? [] : gradient.Tensor.AsSpan<float>();
}

/// <summary><see cref="Runtime.LayerNorm"/> on a tape.</summary>
public static class LayerNormExtensions
{
    extension(Tape t)
    {
        /// <summary>x (..., C) normalised to mean 0 and variance 1, times w (C), plus b (C) where given.</summary>
        public Tensor LayerNorm(Tensor x, Tensor w, Tensor? b, float epsilon) => b is null ? t.Apply(new LayerNorm(epsilon), x, w) : t.Apply(new LayerNorm(epsilon), x, w, b);
    }
}
