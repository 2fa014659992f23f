using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Bench.Kernels.Plain;

/// <summary>The kernels whose plain version is kept: a new one is a class V1 and a line here.</summary>
internal static class PlainTable
{
    /// <summary>All rows; with <paramref name="quick"/> at sizes that no vector and no block divides.</summary>
    public static IReadOnlyList<PlainRow> Rows(bool quick) => quick
        ? [Gemm(67, 1031, 131), Gemv(131, 67), Softmax(37, 259), AdamW(40003), Attention(93, 3, 16, backward: false), Attention(93, 3, 16, backward: true)]
        : [Gemm(1024, 1024, 1024), Gemv(1536, 576), Gemv(49152, 576), Softmax(4096, 1024), AdamW(1 << 24), Attention(1024, 8, 64, backward: false), Attention(1024, 8, 64, backward: true)];

    private static PlainRow Gemm(int m, int n, int k) => new($"gemm {m} x {n} x {k}", arena =>
    {
        Tensor a = Drawn(arena, 0, new Shape(m, k)), b = Drawn(arena, 1, new Shape(k, n));
        return new(t => [t.MatMul(a, b)], t => Into(t, new Shape(m, n), c => GemmV1.Run(a, b, c)));
    });

    private static PlainRow Gemv(int n, int k) => new($"gemv {n} x {k}", arena =>
    {
        Tensor x = Drawn(arena, 0, new Shape(1, k)), w = Drawn(arena, 1, new Shape(n, k));
        return new(t => [t.Linear(x, w)], t => Into(t, new Shape(1, n), y => GemvV1.Run(w, x, y)));
    });

    private static PlainRow Softmax(int rows, int columns) => new($"softmax {rows} x {columns}", arena =>
    {
        Tensor x = Drawn(arena, 0, new Shape(rows, columns));
        return new(t => [t.Softmax(x)], t => Into(t, x.Shape, y => SoftmaxV1.Run(x, y)));
    });

    private static PlainRow AdamW(int count) => new($"adamw of {count}", arena =>
    {
        const float LearningRate = 1e-3f;
        Shape shape = new(count);
        Parameter parameter = new("p", Drawn(arena, 0, shape), trainable: true);
        ParameterSet set = new([parameter], arena, new ParameterSetOptions { Layout = ValueLayout.InPlace });
        Optimizer optimizer = new(set, new AdamW(), LearningRate);
        Tensor p = Drawn(arena, 0, shape), g = Drawn(arena, 1, shape);
        Tensor m = arena.Zeros(shape, DType.F32, MemoryCategory.Optimizer), v = arena.Zeros(shape, DType.F32, MemoryCategory.Optimizer);
        parameter.GradientTarget(out _).CopyFrom(g);
        int step = 0;
        return new(Today, Plain) { End = set.Dispose };

        Tensor[] Today(Tape tape)
        {
            optimizer.Update();
            return [parameter.Value];
        }

        Tensor[] Plain(Tape tape)
        {
            AdamWV1.Run(p, g, m, v, LearningRate, ++step);
            return [p];
        }
    });

    private static PlainRow Attention(int tokens, int heads, int size, bool backward) => new(
        $"attention {(backward ? "forward and backward" : "forward")}, T={tokens}, {heads} heads of {size}", arena =>
    {
        Tensor[] x = [.. Enumerable.Range(0, 4).Select(i => Drawn(arena, i, new Shape(1, tokens, heads, size)))]; // q, k, v and the output's gradient
        Tensor mask = AttentionV1.Mask(arena, tokens);
        return new(
            t => Results(t, watched => t.ScaledDotProductAttention(watched[0], watched[1], watched[2], heads, heads, new AttentionOptions())),
            t => Results(t, watched => AttentionV1.Run(t, watched[0], watched[1], watched[2], mask)));

        Tensor[] Results(Tape t, Func<Tensor[], Tensor> run)
        {
            if (!backward)
            {
                return [run(x)];
            }

            Tensor[] watched = [.. x[..3].Select(t.Watch)];
            Tensor y = run(watched);
            t.Backward(y, x[3]);
            return [y, .. watched.Select(i => t.GradientOf(i)!)];
        }
    });

    private static Tensor[] Into(Tape t, Shape shape, Action<Tensor> run)
    {
        Tensor result = t.Arena.Allocate(shape, DType.F32, MemoryCategory.Activations);
        run(result);
        return [result];
    }

    private static Tensor Drawn(Arena arena, int index, Shape shape)
    {
        Tensor tensor = arena.Allocate(shape, DType.F32, MemoryCategory.Weights);
        new Rng(5).At(index).Stream("plain").FillNormal(0, tensor.AsSpan<float>());
        return tensor;
    }
}
