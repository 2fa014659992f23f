namespace Graft.Runtime.Cpu;

/// <summary>A second, short term of a product, alpha·A·Bᵀ with A (M, K) and B (N, K) row-major: the branch of a linear layer.</summary>
internal readonly unsafe struct GemmTerm
{
    /// <summary>The summed dimension; 0 where there is no second term.</summary>
    public int K { get; init; }

    /// <summary>A (M, K).</summary>
    public void* A { get; init; }

    /// <summary>How A is stored.</summary>
    public OperandType TypeA { get; init; }

    /// <summary>Elements from one row of A to the next.</summary>
    public long LeadingA { get; init; }

    /// <summary>B (N, K).</summary>
    public void* B { get; init; }

    /// <summary>How B is stored.</summary>
    public OperandType TypeB { get; init; }

    /// <summary>Elements from one row of B to the next.</summary>
    public long LeadingB { get; init; }

    /// <summary>Factor of the term.</summary>
    public float Alpha { get; init; }
}
