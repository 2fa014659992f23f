using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>out = softmax(s·q·kᵀ + mask)·v per head; never a (T, S) matrix.</summary>
/// <remarks>
/// q (B, T, H, D) or (B, T, H·D); k and v (B, S, K, D) or (B, S, K·D); or one qkv (B, T, (H + 2K)·D), the queries of all heads first. Then, each if its flag is set,
/// ranges (B, T, 2) I32 and sinks (H). out has the shape of q; (B, T, H·D) for qkv. F32; F64 on the CPU, by plain loops; BF16 on CUDA, where sinks are F32 or
/// BF16. Query head h reads key head h / (H / K), and query t stands at position S - T + t. An empty interval of visible keys gives zeros and no gradient. Backward recomputes the probabilities from lse (B, H, T).
/// Method: Dao 2023, arXiv:2307.08691. Memory besides out: 4·B·H·T bytes saved and as many in backward.
/// </remarks>
/// <param name="Heads">H.</param>
/// <param name="KeyHeads">K, a divisor of H.</param>
/// <param name="Scale">s, usually 1 / √D.</param>
/// <param name="Causal">A query sees no key behind its own position.</param>
/// <param name="Window">A query at position i sees keys from i - Window + 1 on; 0 for all.</param>
/// <param name="SoftCap">Scores become cap·tanh(score / cap); 0 for none.</param>
/// <param name="Keys">S where k and v have room for more than is filled (a cache); 0 for all of them.</param>
/// <param name="Packed">Input 0 is qkv.</param>
/// <param name="Ranges">An input says per query which keys [start, end) it may see: documents, padding.</param>
/// <param name="Sinks">The last input is one learnt score per head that takes part in the softmax and carries no value.</param>
public readonly record struct ScaledDotProductAttention(
    int Heads, int KeyHeads, float Scale, bool Causal, int Window, float SoftCap, int Keys, bool Packed, bool Ranges, bool Sinks) : IOp<ScaledDotProductAttention>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("scaled_dot_product_attention", 1, "arXiv:2307.08691");

    private int InputRanges => Packed ? 1 : 3;

    private int InputSinks => InputRanges + (Ranges ? 1 : 0);

    /// <inheritdoc/>
    public static void Infer(in ScaledDotProductAttention op, ref InferCall c)
    {
        int inputs = op.InputSinks + (op.Sinks ? 1 : 0);
        c.Require(c.Count == inputs, $"{(op.Packed ? "qkv" : "q, k, v")}{(op.Ranges ? ", ranges" : "")}{(op.Sinks ? ", sinks" : "")} are needed");
        c.RequireActivation(0);
        DType type = c.Input(0).DType;
        c.Require(op.Heads > 0 && op.KeyHeads > 0 && op.Heads % op.KeyHeads == 0, $"{op.KeyHeads} key heads must divide {op.Heads} query heads");
        c.Require(op.Window >= 0 && op.SoftCap >= 0 && op.Keys >= 0, "window, soft cap and number of keys must not be negative");
        for (int i = 0; i < (op.Packed ? 1 : 3); i++)
        {
            c.RequireType(i, type);
            Shape x = c.Shape(i);
            int heads = op.Packed ? op.Heads + (2 * op.KeyHeads) : i == 0 ? op.Heads : op.KeyHeads;
            c.Require((x.Rank == 3 && x[2] % heads == 0) || (x.Rank == 4 && x[2] == heads), $"input {i} must be (B, T, {heads}·D) or (B, T, {heads}, D)");
        }

        Sizes s = new(op, c.Shape(0), c.Shape(op.Packed ? 0 : 1));
        if (!op.Packed)
        {
            c.Require(c.Shape(1).Count == c.Shape(2).Count && c.Shape(1)[0] == s.Batch && c.Shape(2)[0] == s.Batch && c.Shape(2)[1] == s.Room, "k and v must be of one size and have the batch of q");
            c.Require(c.Shape(1).Count == (long)s.Batch * s.Room * op.KeyHeads * s.Size, $"the heads of k and v must have {s.Size} elements as those of q");
        }

        c.Require(s.Size is > 0 and <= AttentionCall.MaxSize, $"heads of 1 to {AttentionCall.MaxSize} elements are needed; these have {s.Size}");
        c.Require(!op.Packed || op.Keys == 0, "a packed qkv has as many keys as queries: leave their number 0");
        c.Require(s.Keys <= s.Room, $"{op.Keys} keys were announced, there is room for {s.Room}");
        if (op.Ranges)
        {
            c.RequireType(op.InputRanges, DType.I32);
            c.Require(c.Shape(op.InputRanges) == new Shape(s.Batch, s.Queries, 2), $"ranges must be ({s.Batch}, {s.Queries}, 2)");
        }

        if (op.Sinks)
        {
            if (c.Plans == DeviceKind.Cuda)
            {
                c.RequireType(op.InputSinks, DType.F32, DType.BF16);
            }
            else
            {
                c.RequireType(op.InputSinks, type);
            }

            c.Require(c.Shape(op.InputSinks).Count == op.Heads, $"{op.Heads} sinks are needed");
        }

        c.Output(op.Packed ? new Shape(s.Batch, s.Queries, op.Heads * s.Size) : c.Shape(0), type);
        if (c.Needs.Any)
        {
            c.Save(new Shape(s.Batch, op.Heads, s.Queries), DType.F32);
        }

        if (c.Plans == DeviceKind.Cuda)
        {
            c.Workspace(AttentionCuda.WorkspaceBytes(Problem(op, s, type)));
        }
    }

    /// <inheritdoc/>
    public static Tensor Reference(in ScaledDotProductAttention op, Tape t, ReadOnlySpan<Tensor> x)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Apply(op, x);
    }

    /// <inheritdoc/>
    public static unsafe void Forward(in ScaledDotProductAttention op, CpuCall c)
    {
        Tensor key = c.Input(op.Packed ? 0 : 1);
        Tensor value = c.Input(op.Packed ? 0 : 2);
        Tensor? ranges = op.Ranges ? c.Input(op.InputRanges) : null;
        Tensor? sinks = op.Sinks ? c.Input(op.InputSinks) : null;
        AttentionCall call = Call(op, c.Input(0), key, value, ranges, sinks, c.Output, c.Needs.Any ? c.Saved() : null);
        if (c.Output.DType == DType.F64)
        {
            AttentionDouble.Forward(call);
        }
        else
        {
            AttentionForward.Run(c.Team, call);
        }
    }

    /// <inheritdoc/>
    public static void Forward(in ScaledDotProductAttention op, CudaCall c)
    {
        AttentionCuda.Inputs x = new(
            c.Input(0), c.Input(op.Packed ? 0 : 1), c.Input(op.Packed ? 0 : 2), op.Ranges ? c.Input(op.InputRanges) : null, op.Sinks ? c.Input(op.InputSinks) : null);
        AttentionProblem problem = Problem(op, new Sizes(op, x.Query.Shape, x.Key.Shape), x.Query.DType);
        AttentionCuda.Forward(c.Device, problem, x, c.Output, c.Needs.Any ? c.Saved() : null, c.Workspace);
    }

    /// <inheritdoc/>
    public static Saves Saves(in ScaledDotProductAttention op, Needs needs) => Runtime.Saves.Everything;

    /// <inheritdoc/>
    public static unsafe void Backward(in ScaledDotProductAttention op, BackwardCall c)
    {
        Sizes s = new(op, c.InputSpec(0).Shape, c.InputSpec(op.Packed ? 0 : 1).Shape);
        Tensor delta = c.Temporary(new Shape(s.Batch, op.Heads, s.Queries));
        bool accumulateKey = false, accumulateValue = false, accumulateQuery = false, accumulateSinks = false;
        Tensor? dq = c.Needs(0) ? c.Target(0, out accumulateQuery) : null;
        Tensor? dk = op.Packed ? dq : c.Needs(1) ? c.Target(1, out accumulateKey) : null;
        Tensor? dv = op.Packed ? dq : c.Needs(2) ? c.Target(2, out accumulateValue) : null;
        Tensor? ds = op.Sinks && c.Needs(op.InputSinks) ? c.Target(op.InputSinks, out accumulateSinks) : null;
        if (!c.OnCpu && !c.OnCuda)
        {
            return;
        }

        Tensor key = c.Input(op.Packed ? 0 : 1);
        Tensor value = c.Input(op.Packed ? 0 : 2);
        Tensor? ranges = op.Ranges ? c.Input(op.InputRanges) : null;
        Tensor? sinks = op.Sinks ? c.Input(op.InputSinks) : null;
        Tensor dy = c.OutputGradient;
        bool doubles = dy.DType == DType.F64;
        ClearUnused(op, s, dk, accumulateKey, doubles);
        ClearUnused(op, s, dv, accumulateValue, doubles);
        accumulateKey = op.Packed ? accumulateQuery : accumulateKey;
        accumulateValue = op.Packed ? accumulateQuery : accumulateValue;
        if (c.OnCuda)
        {
            AttentionGradientTensors targets = new(dy, c.Saved(), delta, dq, accumulateQuery, dk, accumulateKey, dv, accumulateValue, ds, accumulateSinks);
            AttentionCuda.Backward(c.Cuda, Problem(op, s, dy.DType), new AttentionCuda.Inputs(c.Input(0), key, value, ranges, sinks), c.Output, targets);
            return;
        }

        AttentionCall call = Call(op, c.Input(0), key, value, ranges, sinks, c.Output, c.Saved());
        if (doubles)
        {
            Clear(dq, accumulateQuery);
            Clear(ds, accumulateSinks);
        }

        AttentionGradients gradients = new()
        {
            OutputGradient = Cpu.Heads.Contiguous((float*)dy.RawPointer(), s.Queries, op.Heads, s.Size),
            Query = Place(op, s, dq, 0),
            Key = Place(op, s, dk, 1),
            Value = Place(op, s, dv, 2),
            Sinks = ds is null ? null : (float*)ds.RawPointer(),
            AccumulateQuery = accumulateQuery,
            AccumulateKey = accumulateKey,
            AccumulateValue = accumulateValue,
            AccumulateSinks = accumulateSinks,
            Delta = delta.Pointer<float>(),
        };
        if (doubles)
        {
            AttentionDouble.Backward(call, gradients);
        }
        else
        {
            AttentionBackward.Run(c.Team, call, gradients);
        }
    }

    /// <inheritdoc/>
    /// <remarks>Two products over the visible pairs of query and key in forward, five in backward. Ranges are not read: they can only make it less.</remarks>
    public static OpCost Cost(in ScaledDotProductAttention op, CostCall c)
    {
        Sizes s = new(op, c.Input(0).Shape, c.Input(op.Packed ? 0 : 1).Shape);
        long pairs = 0;
        for (int t = 0; t < s.Queries; t++)
        {
            int position = s.Keys - s.Queries + t;
            int end = op.Causal ? Math.Max(0, position + 1) : s.Keys;
            pairs += end - (op.Window > 0 ? Math.Clamp(position - op.Window + 1, 0, end) : 0);
        }

        return c.Once(2 * (c.IsBackward ? 5 : 2) * pairs * s.Batch * op.Heads * s.Size);
    }

    private static AttentionProblem Problem(in ScaledDotProductAttention op, in Sizes s, DType type) => new(op, s.Batch, s.Queries, s.Keys, s.Room, s.Size, type);

    // The kernels write the rows of the keys that are there; F64 only adds.
    private static void ClearUnused(in ScaledDotProductAttention op, in Sizes s, Tensor? gradient, bool accumulate, bool doubles)
    {
        if (!op.Packed && (doubles || s.Keys < s.Room))
        {
            Clear(gradient, accumulate);
        }
    }

    private static void Clear(Tensor? gradient, bool accumulate)
    {
        if (!accumulate)
        {
            gradient?.Clear();
        }
    }

    private static unsafe AttentionCall Call(
        in ScaledDotProductAttention op, Tensor query, Tensor key, Tensor value, Tensor? ranges, Tensor? sinks, Tensor output, Tensor? logSumExp)
    {
        Sizes s = new(op, query.Shape, key.Shape);
        return new AttentionCall
        {
            Batch = s.Batch,
            Queries = s.Queries,
            Keys = s.Keys,
            QueryHeads = op.Heads,
            KeyHeads = op.KeyHeads,
            Size = s.Size,
            Scale = op.Scale,
            Causal = op.Causal,
            Window = op.Window,
            SoftCap = op.SoftCap,
            Ranges = ranges is null ? null : ranges.Pointer<int>(),
            Sinks = sinks is null ? null : (float*)sinks.RawPointer(),
            Query = Place(op, s, query, 0),
            Key = Place(op, s, key, 1),
            Value = Place(op, s, value, 2),
            Output = Cpu.Heads.Contiguous((float*)output.RawPointer(), s.Queries, op.Heads, s.Size),
            LogSumExp = logSumExp is null ? null : logSumExp.Pointer<float>(),
        };
    }

    /// <summary>Where queries (0), keys (1) or values (2) lie: in a tensor of their own, or side by side in a packed one.</summary>
    private static unsafe Heads Place(in ScaledDotProductAttention op, in Sizes s, Tensor? x, int part)
    {
        if (x is null)
        {
            return default;
        }

        float* start = (float*)x.RawPointer();
        if (!op.Packed)
        {
            return part == 0 ? Cpu.Heads.Contiguous(start, s.Queries, op.Heads, s.Size) : Cpu.Heads.Contiguous(start, s.Room, op.KeyHeads, s.Size);
        }

        long row = (long)(op.Heads + (2 * op.KeyHeads)) * s.Size;
        long offset = part == 0 ? 0 : (long)(op.Heads + ((part - 1) * op.KeyHeads)) * s.Size;
        float* at = x.DType == DType.F64 ? (float*)((double*)start + offset) : start + offset;
        return new Heads(at, s.Queries * row, row, s.Size);
    }

    private readonly struct Sizes
    {
        public Sizes(in ScaledDotProductAttention op, Shape query, Shape key)
        {
            Batch = query[0];
            Queries = query[1];
            Room = key[1];
            Keys = op.Keys == 0 ? Room : op.Keys;
            int elements = query.Rank == 4 ? query[2] * query[3] : query[2];
            Size = elements / (op.Packed ? op.Heads + (2 * op.KeyHeads) : op.Heads);
        }

        public int Batch { get; }

        public int Queries { get; }

        public int Keys { get; }

        public int Room { get; }

        public int Size { get; }
    }
}

/// <summary>Which keys a query sees; the defaults are those of a causal language model.</summary>
public sealed record AttentionOptions
{
    /// <summary>A query sees no key behind its own position.</summary>
    public bool Causal { get; init; } = true;

    /// <summary>Factor of the scores; null for 1 / √D.</summary>
    public float? Scale { get; init; }

    /// <summary>A query at position i sees keys from i - Window + 1 on; 0 for all.</summary>
    public int Window { get; init; }

    /// <summary>Scores become cap·tanh(score / cap); 0 for none.</summary>
    public float SoftCap { get; init; }

    /// <summary>How many leading keys are filled, where k and v are a cache with room for more; 0 for all.</summary>
    public int Keys { get; init; }

    /// <summary>(B, T, 2) I32: query t sees keys in [start, end) only.</summary>
    public Tensor? Ranges { get; init; }

    /// <summary>(H): a learnt score per head that takes part in the softmax.</summary>
    public Tensor? Sinks { get; init; }
}

/// <summary>Attention on a tape.</summary>
public static class ScaledDotProductAttentionExtensions
{
    extension(Tape t)
    {
        /// <summary>Attention of q (B, T, H, D) or (B, T, H·D) on k, v (B, S, K, D) or (B, S, K·D); the shape of q. See <see cref="Runtime.ScaledDotProductAttention"/>.</summary>
        public Tensor ScaledDotProductAttention(Tensor q, Tensor k, Tensor v, int heads, int keyHeads, AttentionOptions options)
        {
            return Apply(t, [q, k, v], false, heads, keyHeads, q.Shape.Last / (q.Shape.Rank == 4 ? 1 : Math.Max(1, heads)), options);
        }

        /// <summary>Attention of one packed qkv (B, T, (H + 2K)·D); (B, T, H·D).</summary>
        public Tensor PackedAttention(Tensor qkv, int heads, int keyHeads, AttentionOptions options)
        {
            return Apply(t, [qkv], true, heads, keyHeads, qkv.Shape.Last / Math.Max(1, heads + (2 * keyHeads)), options);
        }
    }

    private static Tensor Apply(Tape t, Tensor[] inputs, bool packed, int heads, int keyHeads, int size, AttentionOptions o)
    {
        ArgumentNullException.ThrowIfNull(o);
        Tensor[] x = [.. inputs, .. o.Ranges is null ? [] : new[] { o.Ranges }, .. o.Sinks is null ? [] : new[] { o.Sinks }];
        float scale = o.Scale ?? (1 / MathF.Sqrt(Math.Max(1, size)));
        return t.Apply(new ScaledDotProductAttention(heads, keyHeads, scale, o.Causal, o.Window, o.SoftCap, o.Keys, packed, o.Ranges is not null, o.Sinks is not null), x);
    }
}
