using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Matrix products of the CUDA device against sums in doubles.</summary>
[Category("CudaEmulator")]
public class ProductsCudaTests
{
    private static readonly (DType A, DType B, DType C)[] s_types =
    [
        (DType.F32, DType.F32, DType.F32),
        (DType.BF16, DType.BF16, DType.BF16),
        (DType.BF16, DType.BF16, DType.F32),
        (DType.F32, DType.BF16, DType.F32),
        (DType.BF16, DType.F32, DType.F32),
        (DType.BF16, DType.F32, DType.BF16),
        (DType.F32, DType.F32, DType.BF16),
    ];

    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open() => _device = CudaTestDevice.Open(guardBlocks: true);

    [OneTimeTearDown]
    public void Close() => _device?.Dispose();

    [Test]
    public void Agree_with_doubles_for_all_types_and_transposes(
        [Values] bool transposeA, [Values] bool transposeB, [Values("1x1x1", "1x64x33", "7x5x31", "33x127x32", "130x65x257")] string sizes)
    {
        int[] n = [.. sizes.Split('x').Select(int.Parse)];
        foreach ((DType a, DType b, DType c) in s_types)
        {
            Check(new Case(n[0], n[1], n[2], a, b, c) { TransposeA = transposeA, TransposeB = transposeB });
        }
    }

    [Test]
    public void Take_a_factor_the_old_result_and_a_bias([Values] bool accumulate, [Values(DType.F32, DType.BF16)] DType bias)
    {
        foreach ((DType a, DType b, DType c) in s_types)
        {
            Check(new Case(9, 21, 17, a, b, c) { Accumulate = accumulate, Alpha = -1.5f, Bias = bias, TransposeB = true });
        }
    }

    [Test]
    public void Repeat_over_a_batch_with_a_shared_operand([Values] bool sharedA, [Values] bool sharedB, [Values] bool transposeA)
    {
        foreach ((DType a, DType b, DType c) in s_types)
        {
            Check(new Case(5, 12, 9, a, b, c) { Batch = 3, SharedA = sharedA, SharedB = sharedB, TransposeA = transposeA });
        }
    }

    [Test]
    public void Over_nothing_leave_the_old_result_and_the_bias([Values] bool accumulate, [Values] bool bias)
    {
        foreach ((DType a, DType b, DType c) in s_types)
        {
            Check(new Case(5, 12, 0, a, b, c) { Accumulate = accumulate, Bias = bias ? DType.F32 : null, Batch = 2 });
        }

        Check(new Case(0, 12, 3, DType.F32, DType.F32, DType.F32));
        Check(new Case(5, 0, 3, DType.F32, DType.F32, DType.F32));
    }

    [Test]
    public void Take_views_at_an_odd_element()
    {
        foreach ((DType a, DType b, DType c) in s_types)
        {
            Check(new Case(9, 8, 16, a, b, c) { Offset = 3, Bias = DType.F32 });
        }
    }

    [Test]
    public void A_bias_that_the_library_cannot_add_goes_before_the_product([Values] bool accumulate)
    {
        using CudaDevice device = CudaTestDevice.Open(guardBlocks: true);
        device.Blas.FusesBias = false;
        Check(new Case(9, 21, 17, DType.F32, DType.F32, DType.F32) { Bias = DType.F32, Accumulate = accumulate }, device);
        Check(new Case(9, 21, 17, DType.BF16, DType.BF16, DType.BF16) { Bias = DType.BF16, Accumulate = accumulate, Batch = 2 }, device);
    }

    [Test]
    public void Timed_algorithms_give_the_same_product_and_spare_a_result_that_is_added_to()
    {
        using CudaDevice device = CudaTestDevice.Open(guardBlocks: true);
        device.Blas.Tune = true;
        Check(new Case(33, 40, 65, DType.F32, DType.F32, DType.F32) { Accumulate = true }, device);
        Check(new Case(33, 40, 65, DType.F32, DType.F32, DType.F32), device);
        Check(new Case(33, 40, 65, DType.F32, DType.F32, DType.F32) { Accumulate = true }, device);
        Assert.That(device.Blas.Plans, Is.EqualTo(1));
    }

    [Test]
    public void One_plan_serves_all_products_of_a_kind()
    {
        using CudaDevice device = CudaTestDevice.Open();
        using Arena arena = new(device, "plans");
        foreach (int extra in (int[])[0, 64, 1024])
        {
            _ = arena.Allocate(new Shape(extra), DType.F32, MemoryCategory.Activations); // other addresses, as well aligned
            Tensor a = Ones(arena, new Shape(4, 6)), b = Ones(arena, new Shape(6, 5)), c = Ones(arena, new Shape(4, 5));
            ProductsCuda.Run(device, new Matrix(a, 4, 6), new Matrix(b, 6, 5), new Matrix(c, 4, 5), accumulate: extra > 0, alpha: extra + 1);
            Assert.That(c.ToArray<float>(), Is.All.EqualTo((6 * (extra + 1)) + (extra > 0 ? 1 : 0)));
        }

        Assert.That(device.Blas.Plans, Is.EqualTo(1));
        static Tensor Ones(Arena arena, Shape shape) => arena.Create<float>(shape, Enumerable.Repeat(1f, (int)shape.Count).ToArray(), MemoryCategory.Activations);
    }

    [TestCase(0, 5)]
    [TestCase(1, 1)]
    [TestCase(7, 131)]
    [TestCase(600, 128)]
    [TestCase(1025, 6)]
    public void Sums_of_columns_agree_with_doubles(int rows, int columns)
    {
        using Arena arena = new(_device, "sums");
        foreach (DType type in (DType[])[DType.F32, DType.BF16])
        {
            double[] x = Draw(rows * columns, 1, type), old = Draw(columns, 2, DType.F32);
            foreach (bool accumulate in (bool[])[false, true])
            {
                double[] expected = [.. Enumerable.Range(0, columns).Select(j => (accumulate ? old[j] : 0) + Enumerable.Range(0, rows).Sum(i => x[(i * columns) + j]))];
                Tensor sums = Create(arena, new Shape(columns), DType.F32, old);
                Shape matrix = new(rows, columns);
                Tensor scratch = arena.Allocate(new Shape((int)ReduceCuda.Workspace(ReduceCuda.RowsOf(matrix, columns))), DType.F32, MemoryCategory.Workspace);
                ReduceCuda.SumRows(_device, Create(arena, matrix, type, x), sums, scratch, accumulate);
                Worst.Within(Read(sums), expected, 2e-6 * Math.Sqrt(rows + 1), 1e-6, $"{rows} rows of {columns} {type}");
            }
        }
    }

    private void Check(Case c) => Check(c, _device);

    private static void Check(Case c, CudaDevice device)
    {
        using Arena arena = new(device, "products");
        int batchA = c.SharedA ? 1 : c.Batch, batchB = c.SharedB ? 1 : c.Batch;
        double[] a = Draw(batchA * c.M * c.K, 1, c.TypeA), b = Draw(batchB * c.K * c.N, 2, c.TypeB), old = Draw(c.Batch * c.M * c.N, 3, c.TypeC);
        double[]? bias = c.Bias is { } type ? Draw(c.N, 4, type) : null;
        Tensor x = Create(arena, new Shape(a.Length), c.TypeA, a, c.Offset), y = Create(arena, new Shape(b.Length), c.TypeB, b, c.Offset);
        Tensor z = Create(arena, new Shape(old.Length), c.TypeC, old, c.Offset);
        Tensor? added = bias is null ? null : Create(arena, new Shape(c.N), c.Bias!.Value, bias, c.Offset);
        long bytes = ProductsCuda.CastBytes(x.Spec, y.Spec, z.Spec, added?.Spec);
        Tensor? scratch = bytes == 0 ? null : arena.Allocate(new Shape((int)bytes), DType.U8, MemoryCategory.Workspace);
        Matrix left = c.TransposeA ? new(x, c.K, c.M, true, c.SharedA ? 0 : c.M * c.K) : new(x, c.M, c.K, false, c.SharedA ? 0 : c.M * c.K);
        Matrix right = c.TransposeB ? new(y, c.N, c.K, true, c.SharedB ? 0 : c.N * c.K) : new(y, c.K, c.N, false, c.SharedB ? 0 : c.N * c.K);
        ProductsCuda.Run(device, left, right, new(z, c.M, c.N, stride: c.M * c.N), scratch, c.Accumulate, c.Alpha, added, c.Batch);

        // Operands that are rounded to BF16 for the product are rounded here too.
        bool half = c.TypeA != c.TypeB && c.TypeC == DType.BF16;
        double[] expected = new double[old.Length];
        for (int item = 0; item < c.Batch; item++)
        {
            for (int i = 0; i < c.M; i++)
            {
                for (int j = 0; j < c.N; j++)
                {
                    double sum = 0;
                    for (int k = 0; k < c.K; k++)
                    {
                        double p = a[(c.SharedA ? 0 : item * c.M * c.K) + (c.TransposeA ? (k * c.M) + i : (i * c.K) + k)];
                        double q = b[(c.SharedB ? 0 : item * c.K * c.N) + (c.TransposeB ? (j * c.K) + k : (k * c.N) + j)];
                        sum += half ? (double)(float)(BFloat16)(float)p * (float)(BFloat16)(float)q : p * q;
                    }

                    int at = (((item * c.M) + i) * c.N) + j;
                    expected[at] = (c.Alpha * sum) + (c.Accumulate ? old[at] : 0) + (bias?[j] ?? 0);
                }
            }
        }

        // An F32 sum of K terms around 1 grows to √K and is rounded K times.
        double tolerance = c.TypeC == DType.BF16 ? 1.0 / 128 : 3e-6 * Math.Sqrt(c.K + 1);
        Worst.Within(Read(z), expected, tolerance, tolerance, c.ToString(), new Shape(c.Batch, c.M, c.N));
    }

    private static double[] Draw(int count, int seed, DType type)
    {
        float[] values = new float[count];
        new Rng((ulong)seed).Stream("draw").FillNormal(0, values);
        return Array.ConvertAll(values, v => type == DType.BF16 ? (float)(BFloat16)v : (double)v);
    }

    private static Tensor Create(Arena arena, Shape shape, DType type, double[] values, int offset = 0)
    {
        double[] padded = new double[values.Length + offset];
        Array.Fill(padded, double.NaN);
        values.CopyTo(padded, offset);
        Tensor whole = type == DType.BF16
            ? arena.Create<BFloat16>(new Shape(padded.Length), Array.ConvertAll(padded, v => (BFloat16)(float)v), MemoryCategory.Activations)
            : arena.Create<float>(new Shape(padded.Length), Array.ConvertAll(padded, v => (float)v), MemoryCategory.Activations);
        return whole.Alias(shape, offset);
    }

    private static double[] Read(Tensor x) => x.DType == DType.BF16
        ? Array.ConvertAll(x.ToArray<BFloat16>(), v => (double)(float)v)
        : Array.ConvertAll(x.ToArray<float>(), v => (double)v);

    private sealed record Case(int M, int N, int K, DType TypeA, DType TypeB, DType TypeC)
    {
        public bool TransposeA { get; init; }

        public bool TransposeB { get; init; }

        public bool Accumulate { get; init; }

        public float Alpha { get; init; } = 1;

        public DType? Bias { get; init; }

        public int Batch { get; init; } = 1;

        public bool SharedA { get; init; }

        public bool SharedB { get; init; }

        public int Offset { get; init; }
    }
}
