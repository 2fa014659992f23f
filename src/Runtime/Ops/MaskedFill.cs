using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = Value where the mask is true, else x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA); the mask Bool of x's shape, or of its last axes, repeated over the leading ones. No gradient passes where the mask is true.</remarks>
/// <param name="Value">What is filled in.</param>
public readonly record struct MaskedFill(float Value) : IOp<MaskedFill>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("masked_fill", 2, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in MaskedFill op, ref InferCall c)
    {
        c.RequireActivation(0);
        c.RequireType(1, DType.Bool);
        Shape x = c.Shape(0);
        Shape mask = c.Shape(1);
        c.Require(mask.Rank <= x.Rank, "the mask may not have more axes than the first input");
        for (int i = 1; i <= mask.Rank; i++)
        {
            c.Require(mask[-i] == x[-i], "the mask must have the first input's last axes");
        }

        c.Output(x, c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in MaskedFill op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static void Forward(in MaskedFill op, CpuCall c) => Choice.Run(c.Team, c.Input(1), null, c.Input(0), c.Output, op.Value, add: false);

    /// <inheritdoc/>
    public static void Forward(in MaskedFill op, CudaCall c) => ElementwiseCuda.Choose(c.Device, c.Input(1), null, c.Input(0), op.Value, c.Output, add: false);

    /// <inheritdoc/>
    public static Saves Saves(in MaskedFill op, Needs needs) => Runtime.Saves.Nothing.Input(1);

    /// <inheritdoc/>
    public static void Backward(in MaskedFill op, BackwardCall c) => Choice.Backward(c, 0, mask: 1, whenTrue: null, whenFalse: c.OutputGradient);
}

/// <summary>y = a where the condition is true, else b.</summary>
/// <remarks>The condition Bool, a and b F32 or F64 (F32 or BF16 on CUDA), all of one shape.</remarks>
public readonly record struct Where : IOp<Where>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("where", 3, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Where op, ref InferCall c)
    {
        c.RequireType(0, DType.Bool);
        c.RequireActivation(1);
        c.RequireType(2, c.Input(1).DType);
        c.Require(c.Shape(0) == c.Shape(1) && c.Shape(1) == c.Shape(2), "condition and both choices need the same shape");
        c.Output(c.Shape(1), c.Input(1).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Where op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static void Forward(in Where op, CpuCall c) => Choice.Run(c.Team, c.Input(0), c.Input(1), c.Input(2), c.Output, 0, add: false);

    /// <inheritdoc/>
    public static void Forward(in Where op, CudaCall c) => ElementwiseCuda.Choose(c.Device, c.Input(0), c.Input(1), c.Input(2), 0, c.Output, add: false);

    /// <inheritdoc/>
    public static Saves Saves(in Where op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Backward(in Where op, BackwardCall c)
    {
        for (int i = 1; i <= 2; i++)
        {
            if (c.Needs(i))
            {
                Choice.Backward(c, i, mask: 0, whenTrue: i == 1 ? c.OutputGradient : null, whenFalse: i == 1 ? null : c.OutputGradient);
            }
        }
    }
}

/// <summary>Choices by mask on a tape.</summary>
public static class MaskedFillExtensions
{
    extension(Tape t)
    {
        /// <summary>A value where the mask is true; see <see cref="Runtime.MaskedFill"/>.</summary>
        public Tensor MaskedFill(Tensor x, Tensor mask, float value) => t.Apply(new MaskedFill(value), x, mask);

        /// <summary>One of two tensors, element by element; see <see cref="Runtime.Where"/>.</summary>
        public Tensor Where(Tensor condition, Tensor whenTrue, Tensor whenFalse) => t.Apply(default(Where), condition, whenTrue, whenFalse);
    }
}

/// <summary>Elements chosen by a mask that repeats over leading axes; a choice that is null is a constant.</summary>
internal static unsafe class Choice
{
    /// <summary>The gradient of an input: the output's where the mask has chosen it, else zero.</summary>
    public static void Backward(BackwardCall c, int input, int mask, Tensor? whenTrue, Tensor? whenFalse)
    {
        GradientMemory dx = GradientMemory.Open(c, input, c.OutputGradient.DType);
        if (c.OnCpu)
        {
            Run(c.Team, c.Input(mask), whenTrue, whenFalse, dx.Memory, 0, dx.Adds);
        }
        else if (c.OnCuda)
        {
            ElementwiseCuda.Choose(c.Cuda, c.Input(mask), whenTrue, whenFalse, 0, dx.Memory, dx.Adds);
        }

        dx.Close(c);
    }

    public static void Run(WorkerTeam team, Tensor mask, Tensor? whenTrue, Tensor? whenFalse, Tensor y, float constant, bool add)
    {
        long count = y.Shape.Count;
        if (y.DType == DType.F64)
        {
            Work<double> work = new() { Constant = constant, Y = y.Pointer<double>(), True = Pointer<double>(whenTrue), False = Pointer<double>(whenFalse) };
            Fill(ref work, mask, count, add);
            team.Run(WorkerTeam.ChunksFor(count), ref work);
        }
        else
        {
            Work<float> work = new() { Constant = constant, Y = y.Pointer<float>(), True = Pointer<float>(whenTrue), False = Pointer<float>(whenFalse) };
            Fill(ref work, mask, count, add);
            team.Run(WorkerTeam.ChunksFor(count), ref work);
        }
    }

    private static T* Pointer<T>(Tensor? x)
        where T : unmanaged
        => x is null ? null : x.Pointer<T>();

    private static void Fill<T>(ref Work<T> work, Tensor mask, long count, bool add)
        where T : unmanaged, System.Numerics.INumber<T>
    {
        work.Mask = mask.Pointer<bool>();
        work.Period = mask.Shape.Count;
        work.Count = count;
        work.Add = add;
    }

    private struct Work<T> : IChunkWork
        where T : unmanaged, System.Numerics.INumber<T>
    {
        public bool* Mask;
        public T* True;
        public T* False;
        public T* Y;
        public T Constant;
        public long Period;
        public long Count;
        public bool Add;

        public readonly void Invoke(int chunk, int worker)
        {
            long end = Math.Min(Count, (chunk + 1L) * WorkerTeam.Grain);
            long start = (long)chunk * WorkerTeam.Grain;
            long at = start % Period;
            for (long i = start; i < end; i++)
            {
                T* from = Mask[at] ? True : False;
                T value = from == null ? Constant : from[i];
                Y[i] = Add ? Y[i] + value : value;
                at = at + 1 == Period ? 0 : at + 1;
            }
        }
    }
}
