using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = silu(gate) · up, silu(x) = x · sigmoid(x).</summary>
/// <remarks>gate and up F32 (or BF16 on CUDA) of one shape; y the same. Method: Shazeer 2020, arXiv:2002.05202.</remarks>
public readonly record struct SwiGlu : IOp<SwiGlu>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("swi_glu", 2, "arXiv:2002.05202", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in SwiGlu op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.RequireType(1, c.Input(0).DType);
        c.Require(c.Shape(0) == c.Shape(1), "gate and up must have the same shape");
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in SwiGlu op, Tape t, ReadOnlySpan<Tensor> x) => t.Mul(t.Mul(x[0], t.Sigmoid(x[0])), x[1]);

    /// <inheritdoc/>
    public static Saves Saves(in SwiGlu op, Needs needs) => Runtime.Saves.Nothing.Input(0).Input(1, needs[0]);

    /// <inheritdoc/>
    public static void Forward(in SwiGlu op, CpuCall c)
        => Elementwise.Run<SwiGluOperator>(c.Team, c.Input(0).AsReadOnlySpan<float>(), c.Input(1).AsReadOnlySpan<float>(), c.Output.AsSpan<float>());

    /// <inheritdoc/>
    public static void Forward(in SwiGlu op, CudaCall c) => GateCuda.SwiGlu(c);

    /// <inheritdoc/>
    public static void Backward(in SwiGlu op, BackwardCall c)
    {
        bool adds = c.Plans == DeviceKind.Cuda;
        GradientMemory? dgate = c.Needs(0) ? GradientMemory.Open(c, 0, c.OutputGradient.DType, adds) : null;
        GradientMemory? dup = c.Needs(1) ? GradientMemory.Open(c, 1, c.OutputGradient.DType, adds) : null;
        if (c.OnCpu)
        {
            ReadOnlySpan<float> gate = c.Input(0).AsReadOnlySpan<float>(), dy = c.OutputGradient.AsReadOnlySpan<float>();
            Span<float> toUp = dup is { } u ? u.Memory.AsSpan<float>() : [];
            if (dgate is { } g)
            {
                SwiGluKernel.Backward(c.Team, gate, c.Input(1).AsReadOnlySpan<float>(), dy, g.Memory.AsSpan<float>(), toUp);
            }
            else
            {
                Elementwise.Run<SwiGluBackwardUpOperator>(c.Team, gate, dy, toUp);
            }
        }
        else if (c.OnCuda)
        {
            GateCuda.SwiGluBackward(c, dgate, dup);
        }

        dgate?.Close(c);
        dup?.Close(c);
    }
}

/// <summary><see cref="Runtime.SwiGlu"/> on a tape.</summary>
public static class SwiGluExtensions
{
    extension(Tape t)
    {
        /// <summary>silu(gate) · up.</summary>
        public Tensor SwiGlu(Tensor gate, Tensor up) => t.Apply(default(SwiGlu), gate, up);
    }
}
