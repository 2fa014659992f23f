namespace Graft.Runtime.Cpu;

/// <summary>F32 elements of (batch, token, head, size) with the last axis contiguous; the strides let a packed QKV be read in place.</summary>
internal readonly unsafe struct Heads(float* data, long batch, long token, long head)
{
    /// <summary>The first element; null where there is none.</summary>
    public readonly float* Data = data;

    /// <summary>Elements from one token to the next.</summary>
    public readonly long Token = token;

    private readonly long _batch = batch;
    private readonly long _head = head;

    /// <summary>(tokens, heads, size) per batch item, contiguous.</summary>
    public static Heads Contiguous(float* data, int tokens, int heads, int size) => new(data, (long)tokens * heads * size, (long)heads * size, size);

    /// <summary>The address of a token's row.</summary>
    public float* At(int batch, long token, int head) => Data + (batch * _batch) + (token * Token) + (head * _head);

    /// <summary>The same where the elements are F64.</summary>
    public double* DoublesAt(int batch, long token, int head) => (double*)Data + (batch * _batch) + (token * Token) + (head * _head);
}

/// <summary>One attention: softmax(scale·q·kᵀ + mask)·v per head.</summary>
/// <remarks>
/// q (B, T, H, D), k and v (B, S, K, D), out (B, T, H, D). Query head h reads key head h / (H / K). Query t stands at position S - T + t.
/// Visible keys of a query are one interval: causal cuts it behind the position, a window before it, and Ranges at both ends.
/// </remarks>
internal readonly unsafe struct AttentionCall
{
    /// <summary>Largest D.</summary>
    public const int MaxSize = 1024;

    public required int Batch { get; init; }

    /// <summary>T.</summary>
    public required int Queries { get; init; }

    /// <summary>S.</summary>
    public required int Keys { get; init; }

    /// <summary>H.</summary>
    public required int QueryHeads { get; init; }

    /// <summary>K, a divisor of H.</summary>
    public required int KeyHeads { get; init; }

    /// <summary>D.</summary>
    public required int Size { get; init; }

    public required float Scale { get; init; }

    /// <summary>A query sees no key behind its own position.</summary>
    public bool Causal { get; init; }

    /// <summary>A query at position i sees keys from i - Window + 1 on; 0 for all.</summary>
    public int Window { get; init; }

    /// <summary>Scores become cap·tanh(score / cap); 0 for none.</summary>
    public float SoftCap { get; init; }

    /// <summary>(B, T, 2): query t sees keys in [start, end); null for all. An empty interval gives zeros.</summary>
    public int* Ranges { get; init; }

    /// <summary>(H): one more score per head that takes part in the softmax and carries no value; null for none.</summary>
    public float* Sinks { get; init; }

    public required Heads Query { get; init; }

    public required Heads Key { get; init; }

    public required Heads Value { get; init; }

    public required Heads Output { get; init; }

    /// <summary>(B, H, T): the logarithm of each row's sum of exponentials; -∞ where nothing is visible. Null in inference.</summary>
    public required float* LogSumExp { get; init; }

    /// <summary>Query heads per key head.</summary>
    public int Group => QueryHeads / KeyHeads;

    /// <summary>Factor of q·k as the block kernels want it: scores are powers of two, but a soft cap needs them as they are.</summary>
    public float ScoreScale => SoftCap == 0 ? (float)(Scale * VectorMath.Log2E) : Scale;

    /// <summary>The keys that a query sees, [first, end); empty as [0, 0).</summary>
    public (int First, int End) Visible(int batch, int query)
    {
        int position = Keys - Queries + query;
        int first = Window > 0 ? Math.Max(0, position - Window + 1) : 0;
        int end = Causal ? Math.Min(Keys, position + 1) : Keys;
        if (Ranges != null)
        {
            int* range = Ranges + ((((long)batch * Queries) + query) * 2);
            first = Math.Max(first, range[0]);
            end = Math.Min(end, range[1]);
        }

        return first < end ? (first, end) : (0, 0);
    }

    /// <summary>Throws on sizes that the kernels do not take.</summary>
    public void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(Batch);
        ArgumentOutOfRangeException.ThrowIfNegative(Queries);
        ArgumentOutOfRangeException.ThrowIfNegative(Keys);
        ArgumentOutOfRangeException.ThrowIfNegative(Window);
        ArgumentOutOfRangeException.ThrowIfLessThan(KeyHeads, 1);
        ArgumentOutOfRangeException.ThrowIfNotEqual(QueryHeads % KeyHeads, 0);
        ArgumentOutOfRangeException.ThrowIfLessThan(Size, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Size, MaxSize);
    }
}

/// <summary>What the backward of an attention reads and writes besides the forward's tensors.</summary>
internal readonly unsafe struct AttentionGradients
{
    /// <summary>(B, T, H, D).</summary>
    public required Heads OutputGradient { get; init; }

    /// <summary>(B, T, H, D); no data where it is not needed. So for the keys and values.</summary>
    public Heads Query { get; init; }

    /// <summary>(B, S, K, D).</summary>
    public Heads Key { get; init; }

    /// <summary>(B, S, K, D).</summary>
    public Heads Value { get; init; }

    /// <summary>Add to what is in the query's gradient instead of overwriting it.</summary>
    public bool AccumulateQuery { get; init; }

    public bool AccumulateKey { get; init; }

    public bool AccumulateValue { get; init; }

    /// <summary>(H); null where it is not needed.</summary>
    public float* Sinks { get; init; }

    public bool AccumulateSinks { get; init; }

    /// <summary>Workspace, F32 (B, H, T).</summary>
    public required float* Delta { get; init; }
}
