using System.Numerics;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y[r, k] = x[r, index[r, k]]: elements of the last axis by index, row by row.</summary>
/// <remarks>x (..., N) F32 or F64 (F32 or BF16 on CUDA); index (..., K) I32 in [0, N), leading axes as x; y (..., K).</remarks>
public readonly record struct Gather : IOp<Gather>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("gather", 2, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Gather op, ref InferCall c)
    {
        c.RequireActivation(0);
        ElementMoves.InferIndex(ref c);
        c.Output(c.Shape(1), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Gather op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static void Forward(in Gather op, CpuCall c)
    {
        RowMoves.Check(Info.Name, c.Input(1), c.Input(0).Shape.Last);
        ElementMoves.Gather(c.Team, c.Input(0), c.Input(1), c.Output);
    }

    /// <inheritdoc/>
    public static void Forward(in Gather op, CudaCall c) => IndexingCuda.Gather(c.Device, c.Input(0), c.Input(1), c.Output);

    /// <inheritdoc/>
    /// <remarks>Elements that no index names are not read.</remarks>
    public static OpCost Cost(in Gather op, CostCall c) => c.IsBackward ? c.Once() : new OpCost((2 * c.Output().Bytes) + c.Input(1).Bytes);

    /// <inheritdoc/>
    public static Saves Saves(in Gather op, Needs needs) => Runtime.Saves.Nothing.Input(1);

    /// <inheritdoc/>
    public static void Backward(in Gather op, BackwardCall c)
    {
        GradientMemory dx = GradientMemory.Open(c, 0, c.OutputGradient.DType);
        if (!dx.Adds)
        {
            dx.Memory.Clear();
        }

        if (c.OnCpu)
        {
            ElementMoves.ScatterAdd(c.Team, c.OutputGradient, c.Input(1), dx.Memory);
        }
        else if (c.OnCuda)
        {
            IndexingCuda.ScatterAdd(c.Cuda, c.OutputGradient, c.Input(1), dx.Memory);
        }

        dx.Close(c);
    }
}

/// <summary>y = x, and y[r, index[r, k]] += source[r, k]: elements of the last axis added by index, row by row.</summary>
/// <remarks>x (..., N) F32 or F64 (F32 or BF16 on CUDA); index (..., K) I32 in [0, N); source (..., K); y as x. Sums keep the order of k.</remarks>
public readonly record struct ScatterAdd : IOp<ScatterAdd>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("scatter_add", 3);

    /// <inheritdoc/>
    public static void Infer(in ScatterAdd op, ref InferCall c)
    {
        c.RequireActivation(0);
        c.RequireType(2, c.Input(0).DType);
        ElementMoves.InferIndex(ref c);
        c.Require(c.Shape(2) == c.Shape(1), "the source must have the shape of the index");
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in ScatterAdd op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static void Forward(in ScatterAdd op, CpuCall c)
    {
        RowMoves.Check(Info.Name, c.Input(1), c.Input(0).Shape.Last);
        c.Output.CopyFrom(c.Input(0));
        ElementMoves.ScatterAdd(c.Team, c.Input(2), c.Input(1), c.Output);
    }

    /// <inheritdoc/>
    public static void Forward(in ScatterAdd op, CudaCall c)
    {
        c.Output.CopyFrom(c.Input(0));
        IndexingCuda.ScatterAdd(c.Device, c.Input(2), c.Input(1), c.Output);
    }

    /// <inheritdoc/>
    public static Saves Saves(in ScatterAdd op, Needs needs) => Runtime.Saves.Nothing.Input(1, needs[2]);

    /// <inheritdoc/>
    public static void Backward(in ScatterAdd op, BackwardCall c)
    {
        if (c.Needs(0))
        {
            c.Accumulate(0, c.OutputGradient);
        }

        if (c.Needs(2))
        {
            c.Accumulate(2, c.Tape.Apply(default(Gather), c.OutputGradient, c.Input(1)));
        }
    }
}

/// <summary>Elements by index on a tape.</summary>
public static class GatherExtensions
{
    extension(Tape t)
    {
        /// <summary>Elements of the last axis by index; see <see cref="Runtime.Gather"/>.</summary>
        public Tensor Gather(Tensor x, Tensor index) => t.Apply(default(Gather), x, index);

        /// <summary>Elements of the last axis added by index; see <see cref="Runtime.ScatterAdd"/>.</summary>
        public Tensor ScatterAdd(Tensor x, Tensor index, Tensor source) => t.Apply(default(ScatterAdd), x, index, source);
    }
}

/// <summary>Elements picked and added by index within rows; a row belongs to one chunk.</summary>
internal static unsafe class ElementMoves
{
    public static void InferIndex(ref InferCall c)
    {
        c.RequireType(1, DType.I32);
        Shape x = c.Shape(0);
        bool fits = x.Rank >= 1 && c.Shape(1).Rank == x.Rank && x.With(-1, 0) == c.Shape(1).With(-1, 0);
        c.Require(fits, "the index must equal the first input in all axes but the last");
    }

    public static void Gather(WorkerTeam team, Tensor x, Tensor index, Tensor y)
    {
        if (x.DType == DType.F64)
        {
            Run(team, new Work<double> { Wide = x.Pointer<double>(), Narrow = y.Pointer<double>() }, x, index);
        }
        else
        {
            Run(team, new Work<float> { Wide = x.Pointer<float>(), Narrow = y.Pointer<float>() }, x, index);
        }
    }

    public static void ScatterAdd(WorkerTeam team, Tensor source, Tensor index, Tensor target)
    {
        if (target.DType == DType.F64)
        {
            Run(team, new Work<double> { Wide = target.Pointer<double>(), Narrow = source.Pointer<double>(), Adds = true }, target, index);
        }
        else
        {
            Run(team, new Work<float> { Wide = target.Pointer<float>(), Narrow = source.Pointer<float>(), Adds = true }, target, index);
        }
    }

    private static void Run<T>(WorkerTeam team, Work<T> work, Tensor wide, Tensor index)
        where T : unmanaged, IAdditionOperators<T, T, T>
    {
        work.Index = index.Pointer<int>();
        work.WideLength = wide.Shape.Last;
        work.NarrowLength = index.Shape.Last;
        work.Rows = index.Shape.Count == 0 ? 0 : index.Shape.Rows;
        work.Grain = Math.Max(1, WorkerTeam.Grain / Math.Max(1, work.NarrowLength));
        team.Run(WorkerTeam.ChunksFor(work.Rows, work.Grain), ref work);
    }

    private struct Work<T> : IChunkWork
        where T : unmanaged, IAdditionOperators<T, T, T>
    {
        public T* Wide;
        public T* Narrow;
        public int* Index;
        public int WideLength;
        public int NarrowLength;
        public long Rows;
        public long Grain;
        public bool Adds;

        public readonly void Invoke(int chunk, int worker)
        {
            long end = Math.Min(Rows, (chunk + 1) * Grain);
            for (long row = chunk * Grain; row < end; row++)
            {
                T* wide = Wide + (row * WideLength);
                T* narrow = Narrow + (row * NarrowLength);
                int* index = Index + (row * NarrowLength);
                for (int k = 0; k < NarrowLength; k++)
                {
                    if (Adds)
                    {
                        wide[index[k]] += narrow[k];
                    }
                    else
                    {
                        narrow[k] = wide[index[k]];
                    }
                }
            }
        }
    }
}
