namespace Graft.Runtime.Tests.Cuda;

/// <summary>
/// Each wrapper of hardware.cuh against its definition, worked out here from the PTX manual and not from the kernels. The emulated driver has bodies of its own for
/// them: a layout that both it and a kernel have wrong would pass everywhere but here, on a card (GRAFT_TEST_GPU=1).
/// </summary>
[Category("CudaEmulator")]
public class HardwareTests
{
    private const string Text = """
        #include "common.cuh"

        GRAFT_KERNEL convert(const float* x, unsigned short* to_bf16, unsigned short* to_f16, const unsigned short* halves, float* from_f16)
        {
            int i = threadIdx.x;
            to_bf16[i] = f32_to_bf16_bits(x[i]);
            to_f16[i] = f32_to_f16_bits(x[i]);
            from_f16[i] = f16_bits_to_f32(halves[i]);
        }

        GRAFT_KERNEL pack(const float* x, unsigned* y)
        {
            y[threadIdx.x] = pack_bf16(x[2 * threadIdx.x], x[2 * threadIdx.x + 1]);
        }

        GRAFT_KERNEL exponential(const float* x, float* y)
        {
            y[threadIdx.x] = exp2_approx(x[threadIdx.x]);
        }

        GRAFT_KERNEL warps(const float* x, float* sums, float* maxima)
        {
            sums[threadIdx.x] = warp_sum(x[threadIdx.x]);
            maxima[threadIdx.x] = warp_max(x[threadIdx.x]);
        }

        GRAFT_KERNEL mma(const unsigned* a, const unsigned* b, float* d)
        {
            int lane = threadIdx.x;
            unsigned fa[4], fb[2];
            float fd[4];
            for (int i = 0; i < 4; i++)
            {
                fa[i] = a[4 * lane + i];
                fd[i] = d[4 * lane + i];
            }

            fb[0] = b[2 * lane];
            fb[1] = b[2 * lane + 1];
            mma_bf16_16816(fd, fa, fb);
            for (int i = 0; i < 4; i++)
            {
                d[4 * lane + i] = fd[i];
            }
        }

        GRAFT_KERNEL matrices(const unsigned short* x, unsigned* plain, unsigned* transposed)
        {
            __shared__ __align__(16) unsigned short tile[32 * 8];
            int lane = threadIdx.x;
            for (int i = 0; i < 8; i++)
            {
                tile[8 * lane + i] = x[8 * lane + i];
            }

            __syncthreads();
            unsigned r[4];
            ldmatrix_x4(r, tile + 8 * lane);
            for (int i = 0; i < 4; i++)
            {
                plain[4 * lane + i] = r[i];
            }

            ldmatrix_x4_trans(r, tile + 8 * lane);
            for (int i = 0; i < 4; i++)
            {
                transposed[4 * lane + i] = r[i];
            }
        }

        GRAFT_KERNEL copies(const float* x, float* first, float* second)
        {
            __shared__ __align__(16) float one[128], two[128];
            int lane = threadIdx.x, other = 31 - lane;
            cp_async16(one + 4 * lane, x + 4 * lane, lane % 3 != 0);
            cp_async_commit();
            cp_async16(two + 4 * lane, x + 128 + 4 * lane);
            cp_async_commit();
            cp_async_wait<1>();
            __syncthreads();
            for (int i = 0; i < 4; i++)
            {
                first[4 * other + i] = one[4 * other + i];
            }

            cp_async_wait<0>();
            __syncthreads();
            for (int i = 0; i < 4; i++)
            {
                second[4 * other + i] = two[4 * other + i];
            }
        }
        """;

    private CudaDevice _device = null!;
    private Arena _arena = null!;
    private TestKernel _kernels = null!;

    [OneTimeSetUp]
    public void Open()
    {
        _device = CudaTestDevice.Open(guardBlocks: true);
        _arena = new Arena(_device, "hardware");
        _kernels = new TestKernel(_device, "hardware_test", Text);
    }

    [OneTimeTearDown]
    public void Close()
    {
        _kernels?.Dispose();
        _arena?.Dispose();
        _device?.Dispose();
    }

    [Test]
    public void Conversions_round_to_nearest_even()
    {
        // Ties of both types to even and odd, the largest that stay finite, below the smallest, zeros, infinities; then drawn ones.
        float[] x =
        [
            0, -0f, 1, 1 + (1f / 256), 1 + (3f / 256), 1 + (1f / 2048), 1 + (3f / 2048), 65504, 65519.99f, 65520, -65520, 3.4e38f, 3.3961775e38f, 6e-8f, 2.9e-8f, 3e-8f, 1e-40f,
            float.PositiveInfinity, float.NegativeInfinity, .. Drawn(109, 100),
        ];
        ushort[] halves = [0, 0x8000, 1, 0x3ff, 0x400, 0x3c00, 0x7bff, 0x7c00, 0xfc00, .. Enumerable.Range(0, x.Length - 9).Select(i => (ushort)(i * 239 % 0x7c00))];
        Tensor to16 = Shorts(new ushort[x.Length]), toHalf = Shorts(new ushort[x.Length]), back = Floats(new float[x.Length]);
        _kernels.Launch("convert\0"u8, x.Length, Floats(x), to16, toHalf, Shorts(halves), back);
        Assert.Multiple(() =>
        {
            Assert.That(Bits(to16), Is.EqualTo(x.Select(v => ((BFloat16)v).Bits)), "bf16");
            Assert.That(Bits(toHalf), Is.EqualTo(x.Select(v => BitConverter.HalfToUInt16Bits((Half)v))), "f16");
            Assert.That(back.ToArray<float>(), Is.EqualTo(halves.Select(h => (float)BitConverter.UInt16BitsToHalf(h))), "from f16");
        });
    }

    [Test]
    public void Packing_puts_the_first_number_into_the_low_half()
    {
        float[] x = Drawn(64, 3);
        Tensor y = Words(new int[32]);
        _kernels.Launch("pack\0"u8, 32, Floats(x), y);
        Assert.That(y.ToArray<int>(), Is.EqualTo(Enumerable.Range(0, 32).Select(i => ((BFloat16)x[2 * i]).Bits | (((BFloat16)x[(2 * i) + 1]).Bits << 16))));
    }

    [Test]
    public void Exp2_is_within_two_units_in_the_last_place()
    {
        float[] x = [0, 1, -1, 10, -10, -125, 126, float.NegativeInfinity, -200, .. Drawn(119, 20)];
        Tensor y = Floats(new float[x.Length]);
        _kernels.Launch("exponential\0"u8, x.Length, Floats(x), y);
        float[] actual = y.ToArray<float>();
        for (int i = 0; i < x.Length; i++)
        {
            double expected = Math.Pow(2, x[i]);
            double tolerance = expected < 1.1754944e-38 ? 0 : 2.5 * Math.Pow(2, -23) * expected; // flushed to zero below the smallest normal number
            Assert.That(actual[i], Is.EqualTo(expected < 1.1754944e-38 ? 0 : expected).Within(tolerance), $"2^{x[i]}");
        }
    }

    [Test]
    public void Sums_and_maxima_of_a_warp_reach_every_lane()
    {
        float[] x = [.. Enumerable.Range(0, 96).Select(i => (float)((i * 37 % 101) - 50))];
        Tensor sums = Floats(new float[96]), maxima = Floats(new float[96]);
        _kernels.Launch("warps\0"u8, 96, Floats(x), sums, maxima);
        Assert.Multiple(() =>
        {
            Assert.That(sums.ToArray<float>(), Is.EqualTo(Enumerable.Range(0, 96).Select(i => x[(i / 32 * 32)..((i / 32 * 32) + 32)].Sum())));
            Assert.That(maxima.ToArray<float>(), Is.EqualTo(Enumerable.Range(0, 96).Select(i => x[(i / 32 * 32)..((i / 32 * 32) + 32)].Max())));
        });
    }

    /// <summary>PTX manual, "Matrix fragments for mma.m16n8k16 with floating point type": groupID = lane / 4, threadID_in_group = lane % 4.</summary>
    [Test]
    public void Mma_multiplies_fragments_as_the_manual_lays_them_out()
    {
        // Small integers: every product and sum is exact, whatever the order.
        float[,] a = new float[16, 16], b = new float[16, 8], d = new float[16, 8];
        for (int i = 0; i < 16; i++)
        {
            for (int j = 0; j < 16; j++)
            {
                a[i, j] = (((i * 17) + (j * 5)) % 23) - 11;
            }

            for (int j = 0; j < 8; j++)
            {
                b[i, j] = (((i * 7) + (j * 13)) % 19) - 9;
                d[i, j] = (i * 100) + j;
            }
        }

        int[] fa = new int[128], fb = new int[64];
        float[] fd = new float[128], expected = new float[128];
        for (int lane = 0; lane < 32; lane++)
        {
            int group = lane / 4, thread = lane % 4;
            for (int i = 0; i < 8; i++)
            {
                int row = i is 0 or 1 or 4 or 5 ? group : group + 8;
                int column = (thread * 2) + (i & 1) + (i >= 4 ? 8 : 0);
                fa[(4 * lane) + (i / 2)] |= ((BFloat16)a[row, column]).Bits << (16 * (i & 1));
            }

            for (int i = 0; i < 4; i++)
            {
                int row = (thread * 2) + (i & 1) + (i >= 2 ? 8 : 0);
                fb[(2 * lane) + (i / 2)] |= ((BFloat16)b[row, group]).Bits << (16 * (i & 1));

                int r = i < 2 ? group : group + 8, c = (thread * 2) + (i & 1);
                fd[(4 * lane) + i] = d[r, c];
                expected[(4 * lane) + i] = d[r, c] + Enumerable.Range(0, 16).Sum(k => a[r, k] * b[k, c]);
            }
        }

        Tensor result = Floats(fd);
        _kernels.Launch("mma\0"u8, 32, Words(fa), Words(fb), result);
        Assert.That(result.ToArray<float>(), Is.EqualTo(expected));
    }

    /// <summary>PTX manual, "ldmatrix": row r of matrix j comes from the address of lane 8j + r; lane l receives elements 2(l % 4) and 2(l % 4) + 1 of row l / 4.</summary>
    [Test]
    public void Matrices_are_loaded_as_the_manual_says_plain_and_transposed()
    {
        ushort[] x = [.. Enumerable.Range(0, 256).Select(i => (ushort)(1000 + i))];
        Tensor plain = Words(new int[128]), transposed = Words(new int[128]);
        _kernels.Launch("matrices\0"u8, 32, Shorts(x), plain, transposed);
        int[] p = plain.ToArray<int>(), t = transposed.ToArray<int>();
        Assert.Multiple(() =>
        {
            for (int lane = 0; lane < 32; lane++)
            {
                for (int j = 0; j < 4; j++)
                {
                    int row = lane / 4, column = 2 * (lane % 4);
                    int Element(int r, int c) => x[(64 * j) + (8 * r) + c];
                    Assert.That(p[(4 * lane) + j], Is.EqualTo(Element(row, column) | (Element(row, column + 1) << 16)), $"lane {lane}, matrix {j}");
                    Assert.That(t[(4 * lane) + j], Is.EqualTo(Element(column, row) | (Element(column + 1, row) << 16)), $"lane {lane}, matrix {j}, transposed");
                }
            }
        });
    }

    [Test]
    public void Asynchronous_copies_arrive_by_group_and_fill_with_zeros()
    {
        float[] x = Drawn(256, 1);
        Tensor first = Floats(new float[128]), second = Floats(new float[128]);
        _kernels.Launch("copies\0"u8, 32, Floats(x), first, second);
        Assert.Multiple(() =>
        {
            Assert.That(first.ToArray<float>(), Is.EqualTo(x[..128].Select((v, i) => i / 4 % 3 == 0 ? 0 : v)));
            Assert.That(second.ToArray<float>(), Is.EqualTo(x[128..]));
        });
    }

    private static float[] Drawn(int count, float deviation)
    {
        float[] values = new float[count];
        new Rng(7).Stream("drawn").FillNormal(0, values, 0, deviation);
        return values;
    }

    private static IEnumerable<ushort> Bits(Tensor tensor) => tensor.ToArray<BFloat16>().Select(v => v.Bits);

    private Tensor Floats(float[] values) => _arena.Create<float>(new Shape(values.Length), values, MemoryCategory.Workspace);

    private Tensor Words(int[] values) => _arena.Create<int>(new Shape(values.Length), values, MemoryCategory.Workspace);

    private Tensor Shorts(ushort[] values) => _arena.Create<BFloat16>(new Shape(values.Length), Array.ConvertAll(values, v => new BFloat16(v)), MemoryCategory.Workspace);
}
