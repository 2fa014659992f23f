namespace Graft.Runtime;

/// <summary>Inputs one after the other along an axis.</summary>
/// <remarks>Inputs of one dtype, equal in all axes but <paramref name="Axis"/>; y as they, with the sum of their lengths there.</remarks>
/// <param name="Axis">From 0; negative counts from the end.</param>
public readonly record struct Concat(int Axis) : IOp<Concat>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("concat", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Concat op, ref InferCall c)
    {
        Shape first = c.Shape(0);
        int axis = op.At(first);
        c.Require(axis >= 0 && axis < first.Rank, $"axis {op.Axis} must be one of the inputs'");
        int length = 0;
        for (int i = 0; i < c.Count; i++)
        {
            c.RequireType(i, c.Input(0).DType);
            Shape x = c.Shape(i);
            c.Require(x.Rank == first.Rank && x.With(axis, 0) == first.With(axis, 0), $"input {i} must equal the first in every axis but {op.Axis}");
            length = checked(length + x[axis]);
        }

        c.Output(first.With(axis, length), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Concat op, Tape t, ReadOnlySpan<Tensor> x)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Apply(op, x);
    }

    /// <inheritdoc/>
    public static unsafe void Forward(in Concat op, CpuCall c)
    {
        Tensor y = c.Output;
        int axis = op.At(y.Shape);
        (long outer, long inner) = Blocks.Around(y.Shape, axis);
        long bytes = inner * y.DType.Size();
        byte* to = y.RawPointer();
        for (int i = 0; i < c.Count; i++)
        {
            long run = c.Input(i).Shape[axis] * bytes;
            Blocks.Copy(c.Team, c.Input(i).RawPointer(), run, to, y.Shape[axis] * bytes, run, outer);
            to += run;
        }
    }

    /// <inheritdoc/>
    public static void Forward(in Concat op, CudaCall c)
    {
        int axis = op.At(c.Output.Shape);
        (long outer, long inner) = Blocks.Around(c.Output.Shape, axis);
        long start = 0, whole = c.Output.Shape[axis] * inner;
        for (int i = 0; i < c.Count; i++)
        {
            long run = c.Input(i).Shape[axis] * inner;
            MovementCuda.Runs(c.Device, c.Input(i), 0, run, c.Output, start, whole, run, outer, add: false);
            start += run;
        }
    }

    /// <inheritdoc/>
    public static Saves Saves(in Concat op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Backward(in Concat op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        int axis = op.At(dy.Shape);
        (long outer, long inner) = Blocks.Around(dy.Shape, axis);
        long start = 0, whole = dy.Shape[axis] * inner;
        for (int i = 0; i < c.Count; i++)
        {
            long run = c.InputSpec(i).Shape[axis] * inner;
            if (c.Needs(i))
            {
                GradientMemory dx = GradientMemory.Open(c, i, dy.DType);
                Blocks.Move(c, dy, start, whole, dx.Memory, 0, run, run, outer, dx.Adds);
                dx.Close(c);
            }

            start += run;
        }
    }

    private int At(Shape shape) => Axis < 0 ? Axis + shape.Rank : Axis;
}

/// <summary>Joining tensors on a tape.</summary>
public static class ConcatExtensions
{
    extension(Tape t)
    {
        /// <summary>Inputs one after the other along an axis; see <see cref="Runtime.Concat"/>.</summary>
        public Tensor Concat(int axis, params ReadOnlySpan<Tensor> inputs) => t.Apply(new Concat(axis), inputs);
    }
}
