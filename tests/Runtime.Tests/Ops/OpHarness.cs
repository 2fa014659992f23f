using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Ops;

/// <summary>Gradients of an op in F64 against central differences, and its F32 kernels against its F64 ones.</summary>
internal static class OpHarness
{
    /// <summary>A function of tensors built on a tape.</summary>
    public delegate Tensor Build(Tape t, Tensor[] x);

    public static double[] Random(long count, int seed)
    {
        System.Random random = new(seed);
        double[] values = new double[count];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)((random.NextDouble() * 2) - 1); // exact in F32 too
        }

        return values;
    }

    public static Tensor Create(Arena arena, Shape shape, double[] values, DType type)
    {
        return type switch
        {
            DType.F64 => arena.Create<double>(shape, values, MemoryCategory.Activations),
            DType.F32 => arena.Create<float>(shape, Array.ConvertAll(values, v => (float)v), MemoryCategory.Activations),
            _ => arena.Create<BFloat16>(shape, Array.ConvertAll(values, v => (BFloat16)(float)v), MemoryCategory.Activations),
        };
    }

    public static double[] Read(Tensor x) => x.DType == DType.F64 ? x.ToArray<double>() : Array.ConvertAll(x.ToArray<float>(), v => (double)v);

    /// <summary>Output and gradients of Σ output·weights with respect to all inputs.</summary>
    public static (double[] Output, double[][] Gradients) Evaluate(Build build, Shape[] shapes, double[][] values, DType[] types, double[] seed, int threads = 2)
    {
        using CpuDevice device = new(threads);
        using Arena arena = new(device, "op");
        using Tape tape = new(arena);
        Tensor[] watched = new Tensor[shapes.Length];
        for (int i = 0; i < shapes.Length; i++)
        {
            Tensor x = Create(arena, shapes[i], values[i], types[i]);
            watched[i] = types[i] is DType.I32 or DType.I64 ? x : tape.Watch(x);
        }

        Tensor y = Tape.Pin(build(tape, watched));
        double[] output = Read(y);
        tape.Backward(y, Create(arena, y.Shape, seed[..output.Length], y.DType));
        double[][] gradients = [.. watched.Select(w => tape.GradientOf(w) is { } g ? Read(g) : new double[w.Shape.Count])];
        return (output, gradients);
    }

    /// <summary>Checks the F64 gradients by central differences of Σ output·weights.</summary>
    public static void CheckGradients(Build build, params Shape[] shapes)
    {
        double[][] values = [.. shapes.Select((s, i) => Random(s.Count, 100 + i))];
        DType[] types = [.. shapes.Select(_ => DType.F64)];
        double[] seed = Random(100_000, 7);
        double[][] gradients = Evaluate(build, shapes, values, types, seed).Gradients;
        double worst = 0;
        string text = "";
        for (int i = 0; i < shapes.Length; i++)
        {
            for (int j = 0; j < values[i].Length; j++)
            {
                const double Step = 1e-5;
                double kept = values[i][j];
                values[i][j] = kept + Step;
                double up = Dot(Evaluate(build, shapes, values, types, seed).Output, seed);
                values[i][j] = kept - Step;
                double down = Dot(Evaluate(build, shapes, values, types, seed).Output, seed);
                values[i][j] = kept;
                double expected = (up - down) / (2 * Step);
                double error = Math.Abs(gradients[i][j] - expected) / (1e-8 * (1 + Math.Abs(expected)));
                if (!(error <= worst))
                {
                    worst = error;
                    text = $"input {i}, element {j}: {gradients[i][j]:R} for {expected:R}, {error:F2} times the tolerance";
                }
            }
        }

        Assert.That(worst, Is.LessThanOrEqualTo(1), text);
    }

    /// <summary>Checks the kernels of the given types against the F64 ones on the same numbers.</summary>
    public static void CheckAgainstDouble(Build build, double tolerance, DType[] types, params Shape[] shapes)
    {
        double[][] values = [.. shapes.Select((s, i) => Random(s.Count, 200 + i))];
        for (int i = 0; i < types.Length; i++)
        {
            if (types[i] == DType.BF16)
            {
                values[i] = Array.ConvertAll(values[i], v => (double)(float)(BFloat16)(float)v);
            }
        }

        double[] seed = Random(1_000_000, 8);
        (double[] output, double[][] gradients) = Evaluate(build, shapes, values, types, seed);
        (double[] expected, double[][] expectedGradients) = Evaluate(build, shapes, values, [.. types.Select(_ => DType.F64)], seed);
        Compare("output", output, expected, tolerance);
        for (int i = 0; i < gradients.Length; i++)
        {
            Compare($"gradient {i}", gradients[i], expectedGradients[i], tolerance);
        }
    }

    /// <summary>Reports the worst element; the tolerance is relative to the root mean square of the expected values, and to each value.</summary>
    public static void Compare(string name, double[] given, double[] expected, double tolerance)
    {
        Assert.That(given, Has.Length.EqualTo(expected.Length), name);
        double scale = Math.Sqrt(expected.Sum(e => e * e) / Math.Max(1, expected.Length));
        double worst = 0;
        string text = "";
        for (int i = 0; i < given.Length; i++)
        {
            double error = Math.Abs(given[i] - expected[i]) / (tolerance * (scale + Math.Abs(expected[i]) + 1e-30));
            if (!(error <= worst))
            {
                worst = error;
                text = $"{name}[{i}]: {given[i]:R} for {expected[i]:R}, {error:F2} times the tolerance";
            }
        }

        Assert.That(worst, Is.LessThanOrEqualTo(1), text);
    }

    private static double Dot(double[] a, double[] b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }
}
