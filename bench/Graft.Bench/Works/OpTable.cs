using System.Globalization;
using Graft.Bench.Peers;
using Graft.Runtime;
using Graft.Runtime.Cpu;
using TorchSharp;

namespace Graft.Bench.Works;

/// <summary>The ops that are measured: a new one is a new line and a method that makes its case.</summary>
internal static class OpTable
{
    private const int Vocabulary = 49152;
    private const int Width = 576;
    private const int FeedForward = 1536;
    private const int Heads = 9;
    private const int HeadSize = 64;

    /// <summary>Names and makers, in the order they run.</summary>
    public static IEnumerable<(string Name, Func<Arena, OpCase> Make)> Rows(CpuDevice device, bool quick)
    {
        WorkerTeam team = device.Team;
        int large = quick ? 4096 : 65536, logits = quick ? 32 : 1024;
        foreach (bool backward in new[] { false, true })
        {
            foreach ((int rows, int columns) in new[] { (4096, 1024), (logits, Vocabulary) })
            {
                yield return Case("softmax", backward, $"{rows} x {columns}", (a, n) => Softmax(a, n, team, rows, columns, backward));
            }

            foreach (int rows in new[] { 1024, large })
            {
                yield return Case("rms_norm", backward, $"{rows} x {Width}", (a, n) => RmsNorm(a, n, team, rows, backward));
            }

            foreach (int rows in new[] { 1024, large / 2 })
            {
                yield return Case("swi_glu", backward, $"{rows} x {FeedForward}", (a, n) => SwiGlu(a, n, team, rows, backward));
            }

            foreach (int rows in new[] { 1024, large })
            {
                yield return Case("rotary", backward, $"{rows} x {Heads} x {HeadSize}", (a, n) => Rotary(a, n, team, rows, backward));
            }

            foreach (int rows in new[] { 64, logits })
            {
                yield return Case("cross_entropy", backward, $"{rows} x {Vocabulary}", (a, n) => CrossEntropy(a, n, team, rows, backward));
            }

            foreach (int rows in backward ? new[] { 1024 } : [1024, large])
            {
                yield return Case("embedding", backward, $"{rows} of {Vocabulary} x {Width}", (a, n) => Embedding(a, n, team, rows, backward));
            }

            int tokens = quick ? 16 : 512;
            yield return Case("head", backward, $"{tokens} x {Width} x {Vocabulary}", (a, n) => Head(a, n, tokens, backward));
        }
    }

    private static (string Name, Func<Arena, OpCase> Make) Case(string op, bool backward, string size, Func<Arena, string, OpCase> make)
    {
        string name = $"{op} {(backward ? "backward" : "forward")} {size}";
        return (name, arena => make(arena, name));
    }

    private static OpCase Softmax(Arena arena, string name, WorkerTeam team, int rows, int columns, bool backward)
    {
        Shape shape = new(rows, columns);
        Tensor x = Drawn(arena, 0, shape), y = Empty(arena, shape);
        double n = shape.Count;
        void Forward() => SoftmaxKernels.Forward(team, rows, columns, x.AsReadOnlySpan<float>(), y.AsSpan<float>());
        if (!backward)
        {
            return new(name, 8 * n, 5 * n, Forward, y) { Theirs = TorchOp.Forward(t => torch.nn.functional.softmax(t[0], -1), out Action? end, x), End = end };
        }

        Forward();
        Tensor dy = Drawn(arena, 1, shape), dx = Empty(arena, shape);
        return new(name, 12 * n, 4 * n, () => SoftmaxKernels.Backward(team, rows, columns, y.AsReadOnlySpan<float>(), dy.AsReadOnlySpan<float>(), dx.AsSpan<float>()), dx)
        {
            Theirs = TorchOp.Backward(t => torch.nn.functional.softmax(t[0], -1), dy, 1, out Action? over, x),
            End = over,
        };
    }

    private static OpCase RmsNorm(Arena arena, string name, WorkerTeam team, int rows, bool backward)
    {
        const float Epsilon = 1e-5f;
        Shape shape = new(rows, Width);
        Tensor x = Drawn(arena, 0, shape), w = Drawn(arena, 1, new Shape(Width)), y = Empty(arena, shape), rstd = Empty(arena, new Shape(rows));
        double n = shape.Count;
        static torch.Tensor Theirs(torch.Tensor[] t) => t[0] * (t[0].square().mean([-1], keepdim: true) + Epsilon).rsqrt() * t[1];
        void Forward() => RmsNormKernel.Forward(team, rows, Width, x.AsReadOnlySpan<float>(), w.AsReadOnlySpan<float>(), Epsilon, y.AsSpan<float>(), rstd.AsSpan<float>());
        if (!backward)
        {
            return new(name, 8 * n, 4 * n, Forward, y) { Theirs = TorchOp.Forward(Theirs, out Action? end, x, w), End = end };
        }

        Forward();
        Tensor dy = Drawn(arena, 2, shape), dx = Empty(arena, shape), dw = Empty(arena, new Shape(Width));
        Tensor parts = Empty(arena, new Shape((int)Reductions.ColumnWorkspace(rows, Width)));
        void Backward() => RmsNormKernel.Backward(
            team, rows, Width, x.AsReadOnlySpan<float>(), w.AsReadOnlySpan<float>(), rstd.AsReadOnlySpan<float>(), dy.AsReadOnlySpan<float>(), dx.AsSpan<float>(),
            dw.AsSpan<float>(), parts.AsSpan<float>());
        return new(name, 12 * n, 10 * n, Backward, dx) { Theirs = TorchOp.Backward(Theirs, dy, 2, out Action? over, x, w), End = over };
    }

    private static OpCase SwiGlu(Arena arena, string name, WorkerTeam team, int rows, bool backward)
    {
        Shape shape = new(rows, FeedForward);
        Tensor gate = Drawn(arena, 0, shape), up = Drawn(arena, 1, shape), y = Empty(arena, shape);
        double n = shape.Count;
        static torch.Tensor Theirs(torch.Tensor[] t) => torch.nn.functional.silu(t[0]) * t[1];
        if (!backward)
        {
            void Forward() => Elementwise.Run<SwiGluOperator>(team, gate.AsReadOnlySpan<float>(), up.AsReadOnlySpan<float>(), y.AsSpan<float>());
            return new(name, 12 * n, 5 * n, Forward, y) { Theirs = TorchOp.Forward(Theirs, out Action? end, gate, up), End = end };
        }

        Tensor dy = Drawn(arena, 2, shape), dup = Empty(arena, shape);
        void Backward() => SwiGluKernel.Backward(
            team, gate.AsReadOnlySpan<float>(), up.AsReadOnlySpan<float>(), dy.AsReadOnlySpan<float>(), y.AsSpan<float>(), dup.AsSpan<float>());
        return new(name, 20 * n, 12 * n, Backward, y) { Theirs = TorchOp.Backward(Theirs, dy, 2, out Action? over, gate, up), End = over };
    }

    private static OpCase Rotary(Arena arena, string name, WorkerTeam team, int tokens, bool backward)
    {
        const int Positions = 256, Half = HeadSize / 2;
        Shape shape = new(tokens / Positions, Positions, Heads, HeadSize);
        Tensor x = Drawn(arena, 0, shape), y = Empty(arena, shape), cos = Drawn(arena, 1, new Shape(Positions, Half)), sin = Drawn(arena, 2, new Shape(Positions, Half));
        int[] positions = [.. Enumerable.Range(0, Positions)];
        double n = shape.Count;

        static torch.Tensor Theirs(torch.Tensor[] t)
        {
            torch.Tensor a = t[0].narrow(3, 0, Half), b = t[0].narrow(3, Half, Half), c = t[1].unsqueeze(1), s = t[2].unsqueeze(1);
            return torch.cat([(a * c) - (b * s), (b * c) + (a * s)], 3);
        }

        void Ours() => RotaryKernel.Run(
            team, tokens, Heads, HeadSize, HeadSize, x.AsReadOnlySpan<float>(), Heads * HeadSize, cos.AsReadOnlySpan<float>(), sin.AsReadOnlySpan<float>(), positions,
            backward, y.AsSpan<float>(), Heads * HeadSize);
        Func<torch.Tensor>? theirs = backward ? TorchOp.Backward(Theirs, x, 1, out Action? end, x, cos, sin) : TorchOp.Forward(Theirs, out end, x, cos, sin);
        return new(name, 8 * n, 3 * n, Ours, y) { Theirs = theirs, End = end };
    }

    private static OpCase CrossEntropy(Arena arena, string name, WorkerTeam team, int rows, bool backward)
    {
        Shape shape = new(rows, Vocabulary);
        Tensor x = Drawn(arena, 0, shape), loss = Empty(arena, new Shape(rows)), lse = Empty(arena, new Shape(rows));
        int[] labels = Ids(rows);
        CrossEntropyOptions options = new(0, -100);
        double n = shape.Count;
        Func<torch.Tensor[], torch.Tensor> theirs = TorchOp.WithIds(labels, (t, ids) => torch.nn.functional.cross_entropy(t[0], ids, reduction: torch.nn.Reduction.None));
        void Forward() => CrossEntropyKernel.Forward(team, rows, Vocabulary, x.AsReadOnlySpan<float>(), labels, [], options, loss.AsSpan<float>(), lse.AsSpan<float>());
        if (!backward)
        {
            return new(name, 4 * n, 3 * n, Forward, loss) { Theirs = TorchOp.Forward(theirs, out Action? end, x), End = end };
        }

        Forward();
        Tensor dloss = Drawn(arena, 1, new Shape(rows)), dx = Empty(arena, shape);
        void Backward() => CrossEntropyKernel.Backward(
            team, rows, Vocabulary, x.AsReadOnlySpan<float>(), labels, [], options, lse.AsReadOnlySpan<float>(), dloss.AsReadOnlySpan<float>(), dx.AsSpan<float>());
        return new(name, 8 * n, 3 * n, Backward, dx) { Theirs = TorchOp.Backward(theirs, dloss, 1, out Action? over, x), End = over };
    }

    private static OpCase Embedding(Arena arena, string name, WorkerTeam team, int rows, bool backward)
    {
        Tensor table = Drawn(arena, 0, new Shape(Vocabulary, Width)), ids = arena.Create<int>(new Shape(rows), Ids(rows), MemoryCategory.Activations);
        Func<torch.Tensor[], torch.Tensor> theirs = TorchOp.WithIds(Ids(rows), (t, i) => t[0].index_select(0, i));
        Shape shape = new(rows, Width);
        double n = shape.Count;
        if (!backward)
        {
            Tensor y = Empty(arena, shape);
            return new(name, 8 * n, 0, () => RowMoves.Gather(team, table, ids, y), y) { Theirs = TorchOp.Forward(theirs, out Action? end, table), End = end };
        }

        Tensor dy = Drawn(arena, 1, shape), dw = Empty(arena, table.Shape);
        void Backward()
        {
            dw.Clear();
            RowMoves.ScatterAdd(team, dy, ids, dw);
        }

        return new(name, (4.0 * table.Shape.Count) + (4 * n), n, Backward, dw) { Theirs = TorchOp.Backward(theirs, dy, 1, out Action? over, table), End = over };
    }

    /// <summary>The model's head: log-probabilities without logits in memory on our side; backward is forward and backward together, to the hidden rows.</summary>
    private static OpCase Head(Arena arena, string name, int tokens, bool backward)
    {
        Tensor hidden = Drawn(arena, 0, new Shape(tokens, Width)), table = Drawn(arena, 1, new Shape(Vocabulary, Width), 0.05f), result = Empty(arena, backward ? hidden.Shape : new Shape(tokens));
        int[] labels = Ids(tokens);
        Tensor targets = arena.Create<int>(new Shape(tokens), labels, MemoryCategory.Activations);
        Arena step = new(arena.Device, "step");
        void Ours()
        {
            using Scope scope = step.Enter("head");
            using Tape tape = backward ? new(step) : Tape.None(step);
            Tensor from = backward ? tape.Watch(hidden) : hidden;
            Tensor y = tape.SelectedLogProb(from, table, targets);
            if (!backward)
            {
                result.CopyFrom(tape.Neg(y));
                return;
            }

            Tensor dy = step.Allocate(y.Shape, DType.F32, MemoryCategory.Activations);
            dy.Fill(-1);
            tape.Backward(y, dy);
            result.CopyFrom(tape.GradientOf(from)!);
        }

        Func<torch.Tensor[], torch.Tensor> theirs = TorchOp.WithIds(
            labels, (t, ids) => torch.nn.functional.cross_entropy(torch.nn.functional.linear(t[0], t[1]), ids, reduction: torch.nn.Reduction.None));
        Func<torch.Tensor>? peer = backward ? TorchOp.Both(theirs, out Action? end, hidden, table) : TorchOp.Forward(theirs, out end, hidden, table);
        double product = 2.0 * tokens * Width * Vocabulary;
        return new(name, 4.0 * Vocabulary * Width, (backward ? 2 : 1) * product, Ours, result)
        {
            IsMemoryBound = false,
            Theirs = peer,
            End = () =>
            {
                end?.Invoke();
                step.Dispose();
            },
        };
    }

    private static Tensor Empty(Arena arena, Shape shape)
    {
        Tensor tensor = arena.Allocate(shape, DType.F32, MemoryCategory.Activations);
        tensor.Clear(); // pages that were never written are all the same one
        return tensor;
    }

    private static Tensor Drawn(Arena arena, int index, Shape shape, float deviation = 1)
    {
        Tensor tensor = arena.Allocate(shape, DType.F32, MemoryCategory.Activations);
        new Rng(11).At(index).Stream("op").FillNormal(0, tensor.AsSpan<float>(), 0, deviation);
        return tensor;
    }

    private static int[] Ids(int count)
    {
        Random random = new(5);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(Vocabulary))];
    }
}
