using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>A quantised matrix as F32: scale · code + minimum, both products and sums rounded as ggml does.</summary>
/// <remarks>codes U8 (rows, bytes of a row) → (rows, columns) F32, on the CPU. No gradient: what is quantised is frozen.</remarks>
/// <param name="Type">The blocks.</param>
public readonly record struct Dequantize(BlockType Type) : INonDifferentiableOp<Dequantize>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("dequantize", 1);

    /// <inheritdoc/>
    public static void Infer(in Dequantize op, ref InferCall c)
    {
        c.Require(op.Type != BlockType.None, "a type of blocks is needed");
        c.RequireBlocks(0, op.Type);
        c.Output(new Shape(c.Shape(0)[0], op.Type.Columns(c.Shape(0)[1])), DType.F32);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Dequantize op, Tape t, ReadOnlySpan<Tensor> x) => t.Evaluate(op, x)[0];

    /// <inheritdoc/>
    public static unsafe void Forward(in Dequantize op, CpuCall c)
    {
        Work work = new(op.Type, c.Input(0).RawPointer(), c.Output.Pointer<float>(), c.Output.Shape.Count);
        c.Team.Run(WorkerTeam.ChunksFor(c.Output.Shape.Count), ref work);
    }

    private readonly unsafe struct Work(BlockType type, void* codes, float* values, long count) : IChunkWork
    {
        public void Invoke(int chunk, int worker)
        {
            long from = (long)chunk * WorkerTeam.Grain;
            BlockRows.Unpack(type, codes, from, (int)Math.Min(WorkerTeam.Grain, count - from), values + from);
        }
    }
}

/// <summary>Unpacking on a tape.</summary>
public static class DequantizeExtensions
{
    extension(Tape t)
    {
        /// <summary>A quantised matrix as F32; see <see cref="Runtime.Dequantize"/>.</summary>
        public Tensor Dequantize(Tensor codes, BlockType type) => t.Evaluate(new Dequantize(type), codes)[0];
    }
}
