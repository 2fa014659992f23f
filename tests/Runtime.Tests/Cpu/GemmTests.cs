using Graft.Runtime.Cpu;
using Graft.Runtime.Tests.Tables;

namespace Graft.Runtime.Tests.Cpu;

[TestFixture]
internal sealed unsafe class GemmTests
{
    private static readonly int[] s_sizes = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 127];

    /// <summary>Sizes around the vector width in every role, tall, flat and deep products, more than one tile and more than one block of K.</summary>
    private static IEnumerable<(int M, int N, int K)> Sizes()
    {
        foreach (int size in s_sizes)
        {
            yield return (size, 40, 24);
            yield return (40, size, 24);
            yield return (24, 40, size);
            yield return (size, size, size);
        }

        yield return (300, 8, 500);
        yield return (8, 300, 800);
        yield return (1, 1000, 777);
        yield return (1, 37, 8201);
        yield return (4, 521, 1031);
        yield return (6, 33, 390);
        yield return (150, 400, 390);
        yield return (289, 41, 9);
        yield return (13, 1100, 4);
        yield return (500, 1, 64);

        // Rows packed for all: several blocks of the sum, edges in every role, short sides.
        yield return (205, 333, 801);
        yield return (1237, 61, 211);
        yield return (17, 1500, 611);
    }

    /// <summary>More than one stage along the rows, the sum and both of a product whose rows are packed for all; many groups of columns, and exchanged roles.</summary>
    private static IEnumerable<(int M, int N, int K)> LargeSizes()
    {
        yield return (6001, 131, 400);
        yield return (6001, 159, 400);
        yield return (6001, 95, 1100);
        yield return (1001, 95, 5000);
        yield return (130, 6003, 777);
        yield return (2801, 2803, 390);
    }

    [Test]
    public void Product_of_many_stages_agrees_with_f64([ValueSource(nameof(LargeSizes))] (int M, int N, int K) size, [Values(false, true)] bool transposed)
    {
        using WorkerTeam team = new(3);
        Case c = new(size.M, size.N, size.K, transposed, !transposed, false, seed: 11) { Every = 37 };
        c.Check(team, alpha: 1, beta: 0, bias: false);
        c.Check(team, alpha: 2, beta: -0.5f, bias: true);
    }

    [Test]
    public void Second_term_is_added([Values(1, 7, 40, 205)] int m, [Values(5, 333)] int n, [Values(0, 24, 801)] int k, [Values(1, 16, 200)] int rank)
    {
        using WorkerTeam team = new(2);
        Case c = new(m, n, k, false, true, false, seed: 3, rank);
        c.Check(team, alpha: 1, beta: 0, bias: false);
        c.Check(team, alpha: -1, beta: 0.5f, bias: true);
    }

    [Test]
    public void Second_term_of_zeros_changes_no_bit([Values(1, 40, 205)] int m, [Values(24, 576, 801)] int k)
    {
        using WorkerTeam team = new(2);
        float[] alone = new Case(m, 333, k, false, true, false, seed: 3).Compute(team, 1, 0, false);
        float[] both = new Case(m, 333, k, false, true, false, seed: 3, rank: 16, zeros: true).Compute(team, 1, 0, false);
        Assert.That(both.AsSpan().SequenceEqual(alone));
    }

    [Test]
    public void Same_bits_from_inside_a_chunk_where_panels_cannot_be_shared()
    {
        Case c = new(205, 333, 801, false, true, false, seed: 5);
        using WorkerTeam team = new(2);
        float[] expected = c.Compute(team, 1, 0, true);
        Inside work = new(team, c);
        team.Run(2, ref work);
        Assert.That(work.Results, Has.All.EqualTo(expected));
    }

    private readonly struct Inside(WorkerTeam team, Case c) : IChunkWork
    {
        public float[][] Results { get; } = new float[2][];

        public void Invoke(int chunk, int worker) => Results[chunk] = c.Compute(team, 1, 0, true);
    }

    [Test]
    public void Product_agrees_with_f64([ValueSource(nameof(Sizes))] (int M, int N, int K) size, [Values] bool transposeA, [Values] bool transposeB, [Values] bool bfloat16)
    {
        using WorkerTeam team = new(2);
        Case c = new(size.M, size.N, size.K, transposeA, transposeB, bfloat16, seed: (size.M * 7919) + (size.N * 31) + size.K);
        c.Check(team, alpha: 1, beta: 0, bias: false);
        c.Check(team, alpha: -0.75f, beta: 0, bias: true);
        c.Check(team, alpha: 1, beta: 1, bias: false);
        c.Check(team, alpha: 2, beta: -0.5f, bias: true);
    }

    [Test]
    public void Product_with_a_quantised_matrix_agrees_with_f64(
        [Values(BlockType.Q40, BlockType.Q41, BlockType.Q80)] BlockType blocks, [Values(1, 3, 8, 40)] int m, [Values(5, 37, 500)] int n, [Values(32, 96, 608)] int k, [Values] bool transposeB)
    {
        // B is (n, k) as a weight is, or (k', n') in the product of a gradient with it.
        (int rows, int columns) = (n, k);
        (int width, int depth) = transposeB ? (rows, columns) : (columns, rows);
        byte[] codes = Array.ConvertAll(Given.Blocks(blocks).Elements(new Rng(3), [blocks.Stored(rows, columns)], 0), b => (byte)b);
        float[] a = Case.Random(m * depth, 1);
        using NativeBlock na = NativeBlock.Of(a), nb = new(codes.Length, 1), nc = new(m * width * 4L);
        codes.CopyTo(new Span<byte>(nb.Start, codes.Length));
        using WorkerTeam team = new(2);
        Gemm.Run(team, new GemmCall
        {
            M = m,
            N = width,
            K = depth,
            A = na.Floats,
            LeadingA = depth,
            B = nb.Start,
            LeadingB = columns,
            TransposeB = transposeB,
            TypeB = OperandTypes.Of(DType.U8, blocks),
            C = nc.Floats,
            LeadingC = width,
        });
        float[] result = nc.ToArray();
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < width; j++)
            {
                double sum = 0, size = 0;
                for (int l = 0; l < depth; l++)
                {
                    double term = a[(i * depth) + l] * Element(blocks, codes, transposeB ? (j * columns) + l : (l * columns) + j);
                    sum += term;
                    size += Math.Abs(term);
                }

                Assert.That(result[(i * width) + j], Is.EqualTo(sum).Within(1e-7 + (6e-7 * size)), $"row {i}, column {j}");
            }
        }
    }

    /// <summary>An element by the definition of its type.</summary>
    private static double Element(BlockType type, byte[] codes, int at)
    {
        ReadOnlySpan<byte> block = codes.AsSpan(at / 32 * type.BlockBytes(), type.BlockBytes());
        double d = (double)System.Buffers.Binary.BinaryPrimitives.ReadHalfLittleEndian(block);
        int i = at % 32;
        int Nibble(ReadOnlySpan<byte> packed) => i < 16 ? packed[i] & 15 : packed[i - 16] >> 4;
        return type switch
        {
            BlockType.Q40 => d * (Nibble(block[2..]) - 8),
            BlockType.Q41 => (d * Nibble(block[4..])) + (double)System.Buffers.Binary.BinaryPrimitives.ReadHalfLittleEndian(block[2..]),
            _ => d * (sbyte)block[2 + i],
        };
    }

    [Test]
    public void Alpha_zero_does_not_read_the_factors()
    {
        using WorkerTeam team = new(1);
        float c = 3;
        Gemm.Run(team, new GemmCall { M = 1, N = 1, K = 5, A = null, LeadingA = 5, B = null, LeadingB = 1, C = &c, LeadingC = 1, Alpha = 0, Beta = 2 });
        Assert.That(c, Is.EqualTo(6));
    }

    [Test]
    public void Same_bits_on_any_number_of_threads([Values(1, 5, 8, 70, 200, 2000)] int m, [Values(8, 96, 700)] int n, [Values(33, 900, 8201)] int k, [Values(0, 16)] int rank)
    {
        Case c = new(m, n, k, false, true, false, seed: 5, rank);
        float[]? first = null;
        foreach (int threads in (int[])[1, 2, 3, 7])
        {
            using WorkerTeam team = new(threads);
            float[] result = c.Compute(team, 1, 0, true);
            first ??= result;
            Assert.That(result.AsSpan().SequenceEqual(first), $"{threads} threads differ from one");
        }
    }

    [Test]
    public void Batch_repeats_the_product_at_its_strides([Values(1, 5, 33)] int m, [Values(3, 70)] int n)
    {
        const int Batch = 3, K = 19;
        using WorkerTeam team = new(2);
        float[] a = Case.Random(Batch * m * K, 1), b = Case.Random(Batch * K * n, 2);
        using NativeBlock na = NativeBlock.Of(a), nb = NativeBlock.Of(b), nc = new(Batch * m * n * 4);
        Gemm.Run(team, new GemmCall
        {
            M = m,
            N = n,
            K = K,
            A = na.Floats,
            LeadingA = K,
            B = nb.Floats,
            LeadingB = n,
            C = nc.Floats,
            LeadingC = n,
            Batch = Batch,
            StrideA = m * K,
            StrideB = K * n,
            StrideC = m * n,
        });
        float[] all = nc.ToArray();
        for (int i = 0; i < Batch; i++)
        {
            for (int row = 0; row < m; row++)
            {
                for (int column = 0; column < n; column++)
                {
                    double sum = 0;
                    for (int k = 0; k < K; k++)
                    {
                        sum += (double)a[(((i * m) + row) * K) + k] * b[(((i * K) + k) * n) + column];
                    }

                    Assert.That(all[(((i * m) + row) * n) + column], Is.EqualTo(sum).Within(1e-5));
                }
            }
        }
    }

    [Test]
    public void A_call_allocates_nothing_and_a_short_leading_dimension_is_refused()
    {
        using WorkerTeam team = new(2);
        using NativeBlock a = NativeBlock.Of(Case.Random(100 * 100, 1)), c = new(100 * 100 * 4);
        GemmCall call = new() { M = 100, N = 100, K = 100, A = a.Floats, LeadingA = 100, B = a.Floats, LeadingB = 100, C = c.Floats, LeadingC = 100 };
        Gemm.Run(team, call);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            Gemm.Run(team, call);
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1000));
        GemmCall wrong = new() { M = 2, N = 2, K = 2, A = a.Floats, LeadingA = 1, B = a.Floats, LeadingB = 2, C = c.Floats, LeadingC = 2 };
        Assert.That(() => Gemm.Run(team, wrong), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    /// <summary>One product with padded leading dimensions; the gaps of C must stay as they are.</summary>
    private sealed class Case
    {
        private const int Gap = 3;
        private readonly int _m, _n, _k, _lda, _ldb, _ldc;
        private readonly bool _transposeA, _transposeB, _bfloat16;
        private readonly float[] _a, _b, _c, _bias, _u, _up;
        private readonly int _rank;
        private const float SecondAlpha = 0.75f;

        public Case(int m, int n, int k, bool transposeA, bool transposeB, bool bfloat16, int seed, int rank = 0, bool zeros = false)
        {
            _rank = rank;
            _u = Random(m * rank, seed + 4);
            _up = zeros ? new float[n * rank] : Random(n * rank, seed + 5);
            (_m, _n, _k, _transposeA, _transposeB, _bfloat16) = (m, n, k, transposeA, transposeB, bfloat16);
            _lda = (transposeA ? m : k) + Gap;
            _ldb = (transposeB ? k : n) + Gap;
            _ldc = n + Gap;
            _a = Random(Stored(transposeA ? k : m, _lda), seed);
            _b = Random(Stored(transposeB ? n : k, _ldb), seed + 1);
            _c = Random(m * _ldc, seed + 2);
            _bias = Random(n, seed + 3);
            if (bfloat16)
            {
                for (int i = 0; i < _b.Length; i++)
                {
                    _b[i] = (float)(BFloat16)_b[i];
                }
            }
        }

        /// <summary>Checks so many rows apart; all where 1.</summary>
        public int Every { get; init; } = 1;

        public static float[] Random(int count, int seed)
        {
            System.Random random = new(seed);
            float[] values = new float[count];
            for (int i = 0; i < count; i++)
            {
                values[i] = (random.NextSingle() * 2) - 1;
            }

            return values;
        }

        // The last row ends with its last element: reading beyond is reading beyond the allocation.
        private static int Stored(int rows, int ld) => rows == 0 ? 0 : (rows * ld) - Gap;

        public float[] Compute(WorkerTeam team, float alpha, float beta, bool bias)
        {
            using NativeBlock a = NativeBlock.Of(_a), b = _bfloat16 ? NativeBlock.OfBFloat16(_b) : NativeBlock.Of(_b), add = NativeBlock.Of(_bias);
            float[] old = (float[])_c.Clone();
            if (beta == 0)
            {
                for (int i = 0; i < old.Length; i++)
                {
                    old[i] = i % _ldc < _n ? float.NaN : old[i];
                }
            }

            using NativeBlock c = NativeBlock.Of(old), u = NativeBlock.Of(_u), up = NativeBlock.Of(_up);
            Gemm.Run(team, new GemmCall
            {
                M = _m,
                N = _n,
                K = _k,
                A = a.Floats,
                LeadingA = _lda,
                TransposeA = _transposeA,
                B = b.Start,
                LeadingB = _ldb,
                TransposeB = _transposeB,
                TypeB = _bfloat16 ? OperandType.BF16 : OperandType.F32,
                C = c.Floats,
                LeadingC = _ldc,
                Alpha = alpha,
                Beta = beta,
                Bias = bias ? add.Floats : null,
                Second = new() { K = _rank, A = u.Floats, LeadingA = _rank, B = up.Floats, LeadingB = _rank, Alpha = SecondAlpha },
            });
            return c.ToArray();
        }

        public void Check(WorkerTeam team, float alpha, float beta, bool bias)
        {
            float[] result = Compute(team, alpha, beta, bias);
            double worst = 0;
            string text = "";
            for (int i = 0; i < _m; i += Every)
            {
                for (int j = 0; j < _ldc; j++)
                {
                    if (j >= _n)
                    {
                        Assert.That(result[(i * _ldc) + j], Is.EqualTo(_c[(i * _ldc) + j]), $"gap after row {i} was written");
                        continue;
                    }

                    double sum = 0, size = 0;
                    for (int k = 0; k < _k; k++)
                    {
                        double term = (double)_a[_transposeA ? (k * _lda) + i : (i * _lda) + k] * _b[_transposeB ? (j * _ldb) + k : (k * _ldb) + j];
                        sum += term;
                        size += Math.Abs(term);
                    }

                    for (int k = 0; k < _rank; k++)
                    {
                        double term = SecondAlpha / (double)alpha * _u[(i * _rank) + k] * _up[(j * _rank) + k];
                        sum += term;
                        size += Math.Abs(term);
                    }

                    double expected = (alpha * sum) + (bias ? _bias[j] : 0) + (beta == 0 ? 0 : beta * (double)_c[(i * _ldc) + j]);

                    // Standard bound of a sum of k products, with the growth of a blocked summation: 1e-7 · sqrt(k) · Σ|terms| is generous for it.
                    double tolerance = 4e-7 + (3e-7 * Math.Sqrt(_k + _rank + 1) * Math.Abs(alpha) * size / Math.Max(1, Math.Sqrt(_k + _rank)));
                    double error = Math.Abs(result[(i * _ldc) + j] - expected) / tolerance;
                    if (!(error <= worst))
                    {
                        worst = error;
                        text = $"[{i},{j}]: {result[(i * _ldc) + j]:R} for {expected:R}, {error:F2} times the tolerance";
                    }
                }
            }

            Assert.That(worst, Is.LessThanOrEqualTo(1), text);
        }
    }
}
