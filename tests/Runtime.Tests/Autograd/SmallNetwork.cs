namespace Graft.Runtime.Tests.Autograd;

/// <summary>
/// A one-block language model of primitive ops with a tied head: enough to exercise shared tensors, views, batches of products and indices together.
/// </summary>
internal sealed class SmallNetwork : IDisposable
{
    public const int Heads = 2;

    private readonly Arena _weights;

    public SmallNetwork(Device device, int vocabulary, int width, DType type = DType.F32)
    {
        _weights = new Arena(device, "weights", 1 << 16);
        Vocabulary = vocabulary;
        Width = width;
        Table = Make("table", type, new Shape(vocabulary, width));
        Qkv = Make("qkv", type, new Shape(3 * width, width));
        Out = Make("out", type, new Shape(width, width));
        GateUp = Make("gate_up", type, new Shape(4 * width, width));
        Down = Make("down", type, new Shape(width, 2 * width));
        Bias = Make("bias", type, new Shape(width));
    }

    public int Vocabulary { get; }

    public int Width { get; }

    public Parameter Table { get; }

    public Parameter Qkv { get; }

    public Parameter Out { get; }

    public Parameter GateUp { get; }

    public Parameter Down { get; }

    public Parameter Bias { get; }

    public Parameter[] Parameters => [Table, Qkv, Out, GateUp, Down, Bias];

    public void Dispose() => _weights.Dispose();

    /// <summary>The sum of the negative log-likelihoods of the ids that follow; ids (B, T + 1).</summary>
    public Tensor Loss(Tape t, int[] ids, int batch, bool checkpoint = false)
    {
        int tokens = (ids.Length / batch) - 1;
        int[] input = new int[batch * tokens];
        int[] target = new int[batch * tokens];
        for (int i = 0; i < input.Length; i++)
        {
            input[i] = ids[(i / tokens * (tokens + 1)) + (i % tokens)];
            target[i] = ids[(i / tokens * (tokens + 1)) + (i % tokens) + 1];
        }

        Tensor x = t.Embedding(Table.Value, t.Arena.Create<int>(new Shape(batch, tokens), input, MemoryCategory.Activations)); // (B, T, C)
        x = checkpoint ? t.Checkpoint("block", (tape, h) => Block(tape, h[0]), x) : Block(t, x);
        Tensor logits = t.MatMul(x, Table.Value, transposeB: true); // (B, T, V)
        Tensor picked = t.Gather(logits, t.Arena.Create<int>(new Shape(batch, tokens, 1), target, MemoryCategory.Activations));
        return t.Sum(t.Sub(t.Log(t.Sum(t.Exp(logits), -1, keepAxes: true)), picked));
    }

    private Tensor Block(Tape t, Tensor x)
    {
        (int b, int n, int d) = (x.Shape[0], x.Shape[1], Width / Heads);
        Tensor[] parts = t.Split(t.Linear(x, Qkv.Value), -1, Width, Width, Width);
        Tensor q = Heading(t, parts[0], b, n, d), k = Heading(t, parts[1], b, n, d), v = Heading(t, parts[2], b, n, d); // (B, H, T, D)
        Tensor scores = t.Exp(t.MaskedFill(t.Scale(t.MatMul(q, k, transposeB: true), 1 / Math.Sqrt(d)), Future(t, n), float.NegativeInfinity));
        Tensor weights = t.Div(scores, t.Sum(scores, -1, keepAxes: true));
        Tensor mixed = t.Reshape(t.Permute(t.MatMul(weights, v), 0, 2, 1, 3), x.Shape);
        x = t.Add(x, t.Linear(mixed, Out.Value, Bias.Value));
        Tensor[] gateUp = t.Split(t.Linear(x, GateUp.Value), -1, 2 * Width, 2 * Width);
        return t.Add(x, t.Linear(t.Mul(t.Silu(gateUp[0]), gateUp[1]), Down.Value));
    }

    private static Tensor Heading(Tape t, Tensor x, int b, int n, int d) => t.Permute(t.Reshape(x, new Shape(b, n, Heads, d)), 0, 2, 1, 3);

    private static Tensor Future(Tape t, int n)
    {
        bool[] mask = new bool[n * n];
        for (int i = 0; i < mask.Length; i++)
        {
            mask[i] = i % n > i / n;
        }

        return t.Arena.Create<bool>(new Shape(n, n), mask, MemoryCategory.Activations);
    }

    private Parameter Make(string name, DType type, Shape shape)
    {
        float[] values = new float[shape.Count];
        new Rng(11).Stream(name).FillNormal(0, values, 0, 1 / MathF.Sqrt(Width));
        Tensor value = type == DType.F64
            ? _weights.Create<double>(shape, Array.ConvertAll(values, v => (double)v), MemoryCategory.Weights)
            : _weights.Create<float>(shape, values, MemoryCategory.Weights);
        return new Parameter(name, value, trainable: true);
    }
}
