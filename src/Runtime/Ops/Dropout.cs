using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Zero with probability P, else x / (1 - P). The mask is a function of (stream, element): backward draws it again, nothing is stored.</summary>
/// <remarks>x F32 (or BF16 on CUDA) of any shape. Element i is kept where the uniform number of element First + i of the stream is at least P. Srivastava et al. 2014, JMLR 15.</remarks>
/// <param name="P">The probability of zero, from 0 to below 1.</param>
/// <param name="Rng">The stream; give every use one of its own, and the step by <see cref="Runtime.Rng.At"/>.</param>
/// <param name="First">The stream's element for x's first, for parts of a larger tensor.</param>
public readonly record struct Dropout(float P, Rng Rng, long First) : IOp<Dropout>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("dropout", 1, "JMLR 15, 1929 (2014)", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Dropout op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.Require(op.P is >= 0 and < 1, $"the probability must be at least 0 and below 1, not {op.P}");
        c.Require(op.First >= 0, $"the first element must be 0 or more, not {op.First}");
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Dropout op, Tape t, ReadOnlySpan<Tensor> x)
    {
        double[] mask = new double[t.Device.Kind == DeviceKind.Meta ? 0 : x[0].Shape.Count];
        for (int i = 0; i < mask.Length; i++)
        {
            mask[i] = op.Rng.Uniform(op.First + i) < op.P ? 0 : 1 / (1 - (double)op.P);
        }

        return t.Mul(x[0], HostConstants.Create(t, x[0].Shape, x[0].DType, mask));
    }

    /// <inheritdoc/>
    public static Saves Saves(in Dropout op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Dropout op, CpuCall c)
        => DropoutKernel.Run(c.Team, c.Input(0).AsReadOnlySpan<float>(), op.P, op.Rng, op.First, c.Output.AsSpan<float>());

    /// <inheritdoc/>
    public static void Forward(in Dropout op, CudaCall c)
    {
        c.Device.RefuseInCapture("apply dropout, whose random numbers every replay would repeat");
        ElementwiseCuda.Dropout(c.Device, op, c.Input(0), c.Output, add: false);
    }

    /// <inheritdoc/>
    public static void Backward(in Dropout op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        GradientMemory dx = GradientMemory.Open(c, 0, dy.DType, adds: c.Plans == DeviceKind.Cuda);
        if (c.OnCpu)
        {
            DropoutKernel.Run(c.Team, dy.AsReadOnlySpan<float>(), op.P, op.Rng, op.First, dx.Memory.AsSpan<float>());
        }
        else if (c.OnCuda)
        {
            ElementwiseCuda.Dropout(c.Cuda, op, dy, dx.Memory, dx.Adds);
        }

        dx.Close(c);
    }
}

/// <summary><see cref="Runtime.Dropout"/> on a tape.</summary>
public static class DropoutExtensions
{
    extension(Tape t)
    {
        /// <summary>Zero with probability <paramref name="p"/>, else x / (1 - p); x itself for p = 0.</summary>
        public Tensor Dropout(Tensor x, float p, in Rng rng, long first = 0) => p == 0 ? x : t.Apply(new Dropout(p, rng, first), x);
    }
}
