namespace Graft.Runtime;

/// <summary>A range of one axis: y = x[..., Start : Start + Length, ...].</summary>
/// <remarks>
/// x of any dtype, rank at least 1; y as x with <paramref name="Length"/> on the axis. A range of the leading axis needs no copy: <see
/// cref="Tape.View"/>.
/// </remarks>
/// <param name="Axis">From 0; negative counts from the end.</param>
/// <param name="Start">First index taken.</param>
/// <param name="Length">How many.</param>
public readonly record struct Slice(int Axis, int Start, int Length) : IOp<Slice>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("slice", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Slice op, ref InferCall c)
    {
        Shape x = c.Shape(0);
        int axis = op.At(x);
        c.Require(axis >= 0 && axis < x.Rank, $"axis {op.Axis} must be one of the input's");
        bool within = op.Start >= 0 && op.Length >= 0 && op.Start <= x[axis] - op.Length;
        c.Require(within, $"{op.Length} from {op.Start} on must lie within the {x[axis]} of axis {op.Axis}");
        c.Output(x.With(axis, op.Length), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Slice op, Tape t, ReadOnlySpan<Tensor> x)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Apply(op, x);
    }

    /// <inheritdoc/>
    public static unsafe void Forward(in Slice op, CpuCall c)
    {
        Tensor x = c.Input(0);
        int axis = op.At(x.Shape);
        (long outer, long inner) = Blocks.Around(x.Shape, axis);
        long bytes = inner * x.DType.Size();
        byte* from = x.RawPointer() + (op.Start * bytes);
        Blocks.Copy(c.Team, from, x.Shape[axis] * bytes, c.Output.RawPointer(), op.Length * bytes, op.Length * bytes, outer);
    }

    /// <inheritdoc/>
    public static void Forward(in Slice op, CudaCall c)
    {
        Tensor x = c.Input(0);
        int axis = op.At(x.Shape);
        (long outer, long inner) = Blocks.Around(x.Shape, axis);
        long run = op.Length * inner;
        MovementCuda.Runs(c.Device, x, op.Start * inner, x.Shape[axis] * inner, c.Output, 0, run, run, outer, add: false);
    }

    /// <inheritdoc/>
    /// <remarks>The rest of x is not read.</remarks>
    public static OpCost Cost(in Slice op, CostCall c) => c.IsBackward ? c.Once() : new OpCost((2 * c.Output().Bytes));

    /// <inheritdoc/>
    public static Saves Saves(in Slice op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Backward(in Slice op, BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        GradientMemory dx = GradientMemory.Open(c, 0, dy.DType);
        if (!dx.Adds)
        {
            dx.Memory.Clear();
        }

        Shape shape = dx.Memory.Shape;
        int axis = op.At(shape);
        (long outer, long inner) = Blocks.Around(shape, axis);
        Blocks.Move(c, dy, 0, op.Length * inner, dx.Memory, op.Start * inner, shape[axis] * inner, op.Length * inner, outer, dx.Adds);
        dx.Close(c);
    }

    private int At(Shape shape) => Axis < 0 ? Axis + shape.Rank : Axis;
}

/// <summary>Parts of tensors on a tape.</summary>
public static class SliceExtensions
{
    extension(Tape t)
    {
        /// <summary>A range of an axis; of the leading axis without a copy. See <see cref="Runtime.Slice"/>.</summary>
        public Tensor Slice(Tensor x, int axis, int start, int length)
        {
            ArgumentNullException.ThrowIfNull(x);
            bool leading = axis == 0 || axis == -x.Shape.Rank;
            return leading && x.Shape.Rank > 0 && start >= 0 && length >= 0 && start <= x.Shape[0] - length
                ? t.View(x, x.Shape.With(0, length), start * (x.Shape.Count / Math.Max(1, x.Shape[0])))
                : t.Apply(new Slice(axis, start, length), x);
        }

        /// <summary>Consecutive ranges of an axis, of the given lengths, which must add up to the axis.</summary>
        public Tensor[] Split(Tensor x, int axis, params ReadOnlySpan<int> lengths)
        {
            ArgumentNullException.ThrowIfNull(x);
            int sum = 0;
            foreach (int length in lengths)
            {
                sum += length;
            }

            if (sum != x.Shape[axis])
            {
                throw new ShapeException($"split: lengths that add up to {sum} were given for axis {axis} of {x.Spec}, which has {x.Shape[axis]}.");
            }

            Tensor[] parts = new Tensor[lengths.Length];
            int start = 0;
            for (int i = 0; i < parts.Length; i++)
            {
                parts[i] = t.Slice(x, axis, start, lengths[i]);
                start += lengths[i];
            }

            return parts;
        }

        /// <summary>The same elements in another shape of as many elements; shares the memory.</summary>
        /// <exception cref="ShapeException">Another number of elements.</exception>
        public Tensor Reshape(Tensor x, Shape shape)
        {
            ArgumentNullException.ThrowIfNull(x);
            return shape.Count == x.Shape.Count
                ? t.View(x, shape)
                : throw new ShapeException($"reshape: {x.Spec} has {x.Shape.Count} elements, {shape} has {shape.Count}.");
        }
    }
}
