using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>Cross-entropy, rotary embedding, dropout and conversions against plain F64 loops.</summary>
[TestFixture]
public sealed class TrainingKernelTests
{
    [Test]
    public void Cross_entropy_and_its_gradient([Values(1, 2, 33, 1000, 40_000)] int classes, [Values(0, 0.1f)] float smoothing, [Values] bool weighted)
    {
        const int Rows = 5;
        float[] x = Kernels.Numbers(Rows * classes, 1, 4), weights = weighted ? Array.ConvertAll(Kernels.Numbers(classes, 2), MathF.Abs) : [], upstream = Kernels.Numbers(Rows, 3);
        int[] labels = [0, classes - 1, -100, classes / 2, classes / 3];
        double[] loss = new double[Rows], gradient = new double[Rows * classes];
        double total = weighted ? weights.Sum(v => (double)v) : classes;
        for (int r = 0; r < Rows; r++)
        {
            if (labels[r] < 0)
            {
                continue;
            }

            double max = x.Skip(r * classes).Take(classes).Max(), lse = max + Math.Log(x.Skip(r * classes).Take(classes).Sum(v => Math.Exp(v - max)));
            for (int c = 0; c < classes; c++)
            {
                double weight = weighted ? weights[c] : 1;
                double share = ((c == labels[r] ? 1 - (double)smoothing : 0) + ((double)smoothing / classes)) * weight;
                double own = (1 - (double)smoothing) * (weighted ? weights[labels[r]] : 1);
                loss[r] += share * (lse - x[(r * classes) + c]);
                gradient[(r * classes) + c] = upstream[r] * ((Math.Exp(x[(r * classes) + c] - lse) * (own + (smoothing / (double)classes * total))) - share);
            }
        }

        CrossEntropyOptions options = new(smoothing, -100);
        float[] lse32 = new float[Rows];
        Kernels.Check("loss", loss, 1e-6, (t, to) => CrossEntropyKernel.Forward(t, Rows, classes, x, labels, weights, options, to, lse32));
        Kernels.Check("gradient", gradient, 2e-6, (t, to) => CrossEntropyKernel.Backward(t, Rows, classes, x, labels, weights, options, lse32, upstream, to));
        Kernels.Check("gradient in place", gradient, 2e-6, (t, to) =>
        {
            x.CopyTo(to);
            CrossEntropyKernel.Backward(t, Rows, classes, to, labels, weights, options, lse32, upstream, to);
        });
    }

    [Test]
    public void Rotation_turns_pairs_and_its_inverse_brings_them_back([Values(2, 10, 32, 40, 128)] int headSize, [Values] bool partial)
    {
        const int Tokens = 7, Heads = 3, Positions = 50, Gap = 5;
        int rotated = partial ? headSize / 4 * 2 : headSize, half = rotated / 2, width = Heads * headSize;
        float[] x = Kernels.Numbers((Tokens * (width + Gap)) - Gap, 1), cos = new float[Positions * half], sin = new float[Positions * half];
        int[] positions = [3, 0, 49, 1, 1, 20, 7];
        for (int i = 0; i < cos.Length; i++)
        {
            cos[i] = MathF.Cos(i);
            sin[i] = MathF.Sin(i);
        }

        double[] expected = new double[Tokens * width], original = new double[Tokens * width];
        for (int t = 0; t < Tokens; t++)
        {
            for (int h = 0; h < Heads; h++)
            {
                for (int j = 0; j < headSize; j++)
                {
                    int from = (t * (width + Gap)) + (h * headSize), to = (t * width) + (h * headSize) + j;
                    int angle = (positions[t] * half) + (half == 0 ? 0 : j % half);
                    original[to] = x[from + j];
                    expected[to] = j >= rotated ? x[from + j]
                        : j < half ? ((double)x[from + j] * cos[angle]) - ((double)x[from + j + half] * sin[angle])
                        : ((double)x[from + j] * cos[angle]) + ((double)x[from + j - half] * sin[angle]);
                }
            }
        }

        Kernels.Check("rotary", expected, 1e-6, (t, to) => RotaryKernel.Run(t, Tokens, Heads, headSize, rotated, x, width + Gap, cos, sin, positions, false, to, width));
        Kernels.Check("there and back in place", original, 2e-6, (t, to) =>
        {
            RotaryKernel.Run(t, Tokens, Heads, headSize, rotated, x, width + Gap, cos, sin, positions, false, to, width);
            RotaryKernel.Run(t, Tokens, Heads, headSize, rotated, to, width, cos, sin, positions, true, to, width);
        });
    }

    [Test]
    public void Dropout_keeps_elements_by_their_place_in_the_stream()
    {
        const int N = 100_003;
        float[] x = Kernels.Numbers(N, 1);
        Rng rng = new Rng(5).Stream("dropout").At(3);
        double[] expected = new double[N];
        for (int i = 0; i < N; i++)
        {
            expected[i] = rng.Uniform(i + 11) < 0.3f ? 0 : x[i] / (1 - 0.3);
        }

        Kernels.Check("dropout", expected, 1e-6, (t, to) => DropoutKernel.Run(t, x, 0.3f, rng, 11, to));
        Assert.That(expected.Count(v => v == 0) / (double)N, Is.EqualTo(0.3).Within(0.01));
        Kernels.Check("no dropout", ElementwiseTests.Wide(x), 0, (t, to) => DropoutKernel.Run(t, x, 0, rng, 11, to));
    }

    [Test]
    public void Blocks_are_scaled_and_added()
    {
        float[] x = Kernels.Numbers(40_003, 1), y = Kernels.Numbers(40_003, 2);
        Kernels.Check("axpy", x.Zip(y, (a, b) => b + (0.3 * a)).ToArray(), 1e-6, (t, to) =>
        {
            y.CopyTo(to);
            FlatBlocks.Axpy(t, 0.3, x, to);
        });
        Kernels.Check("scale", x.Select(v => v * 0.1).ToArray(), 1e-6, (t, to) =>
        {
            x.CopyTo(to);
            FlatBlocks.Scale(t, 0.1, to);
        });
    }

    [Test]
    public void Conversions_agree_with_the_scalar_ones_for_patterns_of_all_magnitudes()
    {
        using WorkerTeam team = new(2);
        List<float> values = [];
        for (long bits = 0; bits < 1L << 32; bits += 40_961)
        {
            values.Add(BitConverter.UInt32BitsToSingle((uint)bits));
        }

        float[] x = [.. values];
        BFloat16[] brain = new BFloat16[x.Length];
        Half[] half = new Half[x.Length];
        float[] back = new float[x.Length];
        Conversions.Convert(team, x, brain);
        Conversions.Convert(team, x, half);
        for (int i = 0; i < x.Length; i++)
        {
            Assert.That(brain[i].Bits, Is.EqualTo(((BFloat16)x[i]).Bits));
            Assert.That(BitConverter.HalfToInt16Bits(half[i]) == BitConverter.HalfToInt16Bits((Half)x[i]) || (Half.IsNaN(half[i]) && float.IsNaN(x[i])), Is.True, $"{x[i]:R} to f16");
        }

        Conversions.Convert(team, brain, back);
        Assert.That(back, Is.EqualTo(brain.Select(b => (float)b)));
        Half[] all = new Half[65536];
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = BitConverter.UInt16BitsToHalf((ushort)i);
        }

        float[] wide = new float[all.Length];
        Conversions.Convert(team, all, wide);
        Assert.That(wide, Is.EqualTo(all.Select(h => (float)h)));
    }
}
