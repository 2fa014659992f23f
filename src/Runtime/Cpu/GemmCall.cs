namespace Graft.Runtime.Cpu;

/// <summary>One matrix product C = alpha·op(A)·op(B) + second term + beta·C + bias; all matrices row-major, leading dimensions and strides in elements.</summary>
/// <remarks>
/// op(A) is (M, K), op(B) is (K, N), C is (M, N), bias is (N) and is added to every row. With beta 0, C is written and never read. The batch repeats
/// the product at A + i·StrideA, B + i·StrideB, C + i·StrideC with the same bias. No alignment is assumed. C must not overlap A, B or bias.
/// </remarks>
internal readonly unsafe struct GemmCall
{
    /// <summary>A product with alpha 1, beta 0 and a batch of one.</summary>
    public GemmCall()
    {
        Alpha = 1;
        Batch = 1;
    }

    /// <summary>Rows of C.</summary>
    public required int M { get; init; }

    /// <summary>Columns of C.</summary>
    public required int N { get; init; }

    /// <summary>The summed dimension; 0 leaves beta·C + bias.</summary>
    public required int K { get; init; }

    /// <summary>A: (M, K), or (K, M) with <see cref="TransposeA"/>.</summary>
    public required void* A { get; init; }

    /// <summary>How A is stored.</summary>
    public OperandType TypeA { get; init; }

    /// <summary>Elements from one stored row of A to the next.</summary>
    public required long LeadingA { get; init; }

    /// <summary>A is stored as (K, M).</summary>
    public bool TransposeA { get; init; }

    /// <summary>B: (K, N), or (N, K) with <see cref="TransposeB"/>.</summary>
    public required void* B { get; init; }

    /// <summary>Elements from one stored row of B to the next.</summary>
    public required long LeadingB { get; init; }

    /// <summary>B is stored as (N, K), as the weight of a linear layer is.</summary>
    public bool TransposeB { get; init; }

    /// <summary>How B is stored; what is narrower than F32 is widened, which is exact, while it is read.</summary>
    public OperandType TypeB { get; init; }

    /// <summary>C, F32 (M, N).</summary>
    public required float* C { get; init; }

    /// <summary>Elements from one row of C to the next.</summary>
    public required long LeadingC { get; init; }

    /// <summary>Added to every row, F32 (N); null for none.</summary>
    public float* Bias { get; init; }

    /// <summary>Factor of the product.</summary>
    public float Alpha { get; init; }

    /// <summary>Factor of the old C.</summary>
    public float Beta { get; init; }

    /// <summary>How many products.</summary>
    public int Batch { get; init; }

    /// <summary>Elements from one A of the batch to the next; 0 shares it.</summary>
    public long StrideA { get; init; }

    /// <summary>Elements from one B of the batch to the next; 0 shares it.</summary>
    public long StrideB { get; init; }

    /// <summary>Elements from one C of the batch to the next.</summary>
    public long StrideC { get; init; }

    /// <summary>A second term, added to the product; K 0 for none. Not with a batch.</summary>
    public GemmTerm Second { get; init; }

    /// <summary>The second term as a product of its own that adds to C.</summary>
    public GemmCall SecondAlone() => this with
    {
        K = Second.K,
        A = Second.A,
        TypeA = Second.TypeA,
        LeadingA = Second.LeadingA,
        TransposeA = false,
        B = Second.B,
        TypeB = Second.TypeB,
        LeadingB = Second.LeadingB,
        TransposeB = true,
        Alpha = Second.Alpha,
        Bias = null,
        Beta = 1,
        Second = default,
    };

    /// <summary>Throws on negative sizes and on leading dimensions that are shorter than a row.</summary>
    public void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(M);
        ArgumentOutOfRangeException.ThrowIfNegative(N);
        ArgumentOutOfRangeException.ThrowIfNegative(K);
        ArgumentOutOfRangeException.ThrowIfNegative(Batch);
        ArgumentOutOfRangeException.ThrowIfLessThan(LeadingA, TransposeA ? M : K);
        ArgumentOutOfRangeException.ThrowIfLessThan(LeadingB, TransposeB ? K : N);
        ArgumentOutOfRangeException.ThrowIfLessThan(LeadingC, N);
        ArgumentOutOfRangeException.ThrowIfNegative(Second.K);
        ArgumentOutOfRangeException.ThrowIfLessThan(Second.LeadingA, Second.K);
        ArgumentOutOfRangeException.ThrowIfLessThan(Second.LeadingB, Second.K);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Second.K > 0 ? Batch : 0, 1);
    }
}
