using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Element-wise kernels beyond the op table: lengths around packs and blocks, extreme arguments, every pair of types, the numbers of dropout.</summary>
[Category("CudaEmulator")]
public class ElementsCudaTests
{
    private CudaAgainstCpu _pair = null!;

    [OneTimeSetUp]
    public void Open() => _pair = new CudaAgainstCpu();

    [OneTimeTearDown]
    public void Close() => _pair?.Dispose();

    private CudaDevice Cuda => _pair.Cuda;

    [Test]
    public void Lengths_around_packs_and_blocks_agree_with_the_cpu(
        [Values(1, 3, 4, 5, 7, 8, 9, 1023, 1024, 1025, 2047, 2049, 5000)] int count, [Values(0, 1, 2, 4, 8)] int offset, [Values] bool half)
    {
        Shape shape = new(count);
        (double forward, double backward) = half ? (1e-2, 2e-2) : (2e-6, 1e-5);
        _pair.Compare("silu", (t, x) => t.Silu(x[0]), [Values.Normal(shape, 1)], forward, backward, half, offset);
        _pair.Compare("mul", (t, x) => t.Mul(x[0], x[1]), [Values.Normal(shape, 1), Values.Normal(shape, 2)], forward, backward, half, offset);
        _pair.Compare("swiglu", (t, x) => t.SwiGlu(x[0], x[1]), [Values.Normal(shape, 1), Values.Normal(shape, 2)], forward, backward, half, offset);
        _pair.Compare("dropout", (t, x) => t.Dropout(x[0], 0.3f, new Rng(5), 2), [Values.Normal(shape, 1)], forward, backward, half, offset);
    }

    [Test]
    public void Gradients_that_arrive_twice_add_up([Values(7, 1024)] int count, [Values] bool half)
    {
        Shape shape = new(count);
        (double forward, double backward) = half ? (3e-2, 5e-2) : (4e-6, 2e-5);
        Values x = Values.Normal(shape, 1), z = Values.Normal(shape, 2);
        _pair.Compare("tanh", (t, v) => t.Add(t.Tanh(v[0]), t.Mul(v[0], v[0])), [x], forward, backward, half);
        _pair.Compare("swiglu", (t, v) => t.Add(t.SwiGlu(v[0], v[1]), t.SwiGlu(v[1], v[0])), [x, z], forward, backward, half);
        _pair.Compare("dropout", (t, v) => t.Add(t.Dropout(v[0], 0.5f, new Rng(5)), v[0]), [x], forward, backward, half);
        _pair.Compare("slice", (t, v) => t.Add(t.Slice(t.View(v[0], new Shape(1, count)), 1, 0, count - 1), t.Slice(t.View(v[0], new Shape(1, count)), 1, 1, count - 1)), [x], forward, backward, half);
        _pair.Compare("concat", (t, v) => t.Concat(0, v[0], v[1], v[0]), [x, z], forward, backward, half);
    }

    [TestCase(5, 1)]
    [TestCase(8, 3)]
    [TestCase(1024, 2)]
    public void Masks_choose_and_repeat(int period, int times)
    {
        Shape whole = new(times, period), last = new(period);
        foreach (bool half in (bool[])[false, true])
        {
            foreach (int offset in (int[])[0, 1, 8])
            {
                double exact = half ? 1.0 / 128 : 0;
                _pair.Compare("masked_fill", (t, x) => t.MaskedFill(t.Scale(x[0], 2), Mask(t.Arena, last), -3), [Values.Normal(whole, 1)], exact, exact, half, offset);
                _pair.Compare("where", (t, x) => t.Add(t.Where(Mask(t.Arena, whole), x[0], x[1]), x[0]), [Values.Normal(whole, 1), Values.Normal(whole, 2)], exact, exact, half, offset);
            }
        }
    }

    private static Tensor Mask(Arena arena, Shape shape)
    {
        Tensor mask = arena.Allocate(shape, DType.Bool, MemoryCategory.Activations);
        mask.CopyFrom<bool>([.. Enumerable.Range(0, (int)shape.Count).Select(i => new Rng(3).Below(i, 3) == 0)]);
        return mask;
    }

    private static readonly float[] s_extreme =
    [
        0f, -0f, 1e-40f, -1e-40f, 1e-20f, -1e-20f, 0.54f, -0.55f, 1f, -1f, 3f, -3f, 9f, -9f, 20f, -20f, 88.6f, -87.3f, 89f, -103f, 104f, -105f, 1000f, -1000f, 1e10f, -1e10f,
        float.PositiveInfinity, float.NegativeInfinity, float.NaN,
    ];

    private static readonly (string Name, Func<Tape, Tensor, Tensor> Run)[] s_functions =
    [
        ("abs", (t, x) => t.Abs(x)), ("square", (t, x) => t.Square(x)), ("log", (t, x) => t.Log(x)), ("erf", (t, x) => t.Erf(x)), ("silu", (t, x) => t.Silu(x)),
        ("gelu", (t, x) => t.Gelu(x)), ("gelu_tanh", (t, x) => t.GeluTanh(x)), ("quick_gelu", (t, x) => t.QuickGelu(x)), ("relu", (t, x) => t.Relu(x)),
        ("relu_squared", (t, x) => t.ReluSquared(x)), ("leaky_relu", (t, x) => t.LeakyRelu(x, 0.1)), ("elu", (t, x) => t.Elu(x, 1.5)), ("softplus", (t, x) => t.Softplus(x)),
        ("log_sigmoid", (t, x) => t.LogSigmoid(x)), ("mish", (t, x) => t.Mish(x)), ("hard_swish", (t, x) => t.HardSwish(x)), ("exp", (t, x) => t.Exp(x)),
        ("sqrt", (t, x) => t.Sqrt(x)), ("rsqrt", (t, x) => t.Rsqrt(x)), ("tanh", (t, x) => t.Tanh(x)), ("sigmoid", (t, x) => t.Sigmoid(x)), ("neg", (t, x) => t.Neg(x)),
        ("scale", (t, x) => t.Scale(x, -0.75)), ("add_scalar", (t, x) => t.AddScalar(x, 0.75)),
    ];

    private static string[] Functions() => [.. s_functions.Select(f => f.Name)];

    [TestCaseSource(nameof(Functions))]
    public void Extreme_arguments_give_what_the_cpu_gives(string name)
    {
        Func<Tape, Tensor, Tensor> run = s_functions.Single(f => f.Name == name).Run;
        foreach (float value in s_extreme)
        {
            // One at a time: the tolerance is that of its own magnitude.
            _pair.Compare($"{name}({value:r})", (t, x) => run(t, x[0]), [new Values(new Shape(1), [value])], 2e-6, 1e-5);
        }
    }

    [Test]
    public void Every_pair_of_types_converts_and_adds()
    {
        float[] x = [.. s_extreme, .. Values.Normal(new Shape(5000), 3).Floats!];
        using CpuDevice cpu = new(1);
        foreach (DType from in (DType[])[DType.F32, DType.BF16, DType.F16])
        {
            foreach (DType to in (DType[])[DType.F32, DType.BF16, DType.F16])
            {
                double[][] known = Both(cpu, x, from, to), given = Both(Cuda, x, from, to);
                Worst.Within(given[0], known[0], 0, 0, $"{from} cast to {to}");
                Worst.Within(given[1], known[1], 0, to == DType.F32 ? 1e-7 : to == DType.BF16 ? 1.0 / 128 : 1.0 / 1024, $"{from} added to {to}");
            }
        }
    }

    [Test]
    public void Fill_sets_every_element([Values(1, 9, 4097)] int count, [Values(DType.F32, DType.BF16, DType.F16)] DType type)
    {
        using Arena arena = new(Cuda, "fill");
        Tensor x = arena.Allocate(new Shape(count), type, MemoryCategory.Activations);
        x.Fill(-1.5f);
        Assert.That(Values.Read(x), Is.All.EqualTo(-1.5));
    }

    [Test]
    public void Dropout_draws_the_numbers_of_the_cpu([Values(0, 1, 2, 3, 1000001, 17179869183)] long first, [Values(1, 5, 4099)] int count)
    {
        Rng rng = new Rng(7).Stream("layer 3").At(41);
        _pair.Compare($"dropout from {first}", (t, x) => t.Dropout(x[0], 0.37f, rng, first), [Values.Normal(new Shape(count), 1)], 0, 0);
    }

    [TestCase("2x3x4x5x2x3,3x1x5x1x3")]
    [TestCase("2x1x4x1x2x1,1x3x1x5x1x8")]
    [TestCase("33x64,64")]
    [TestCase("64,33x64")]
    [TestCase("40x24,40x1")]
    [TestCase("7x1x16,7x5x16")]
    [TestCase("3x5x7,")]
    [TestCase("300x3,3")]
    public void Operands_repeat_along_any_axes(string shapes)
    {
        Shape[] parsed = Tables.Row.Parse(shapes);
        foreach (bool half in (bool[])[false, true])
        {
            foreach (int offset in (int[])[0, 1, 8])
            {
                Values[] x = [Values.Normal(parsed[0], 1), Values.Normal(parsed[1], 2)];
                _pair.Compare("sub", (t, v) => t.Sub(v[0], v[1]), x, half ? 1e-2 : 0, half ? 2e-2 : 1e-5, half, offset);
                _pair.Compare("mul", (t, v) => t.Mul(v[0], v[1]), x, half ? 1e-2 : 0, half ? 2e-2 : 1e-5, half, offset);
            }
        }
    }

    [Test]
    public void The_gradient_of_a_16_bit_parameter_is_f32_and_adds_up()
    {
        using Arena weights = new(Cuda, "weights"), step = new(Cuda, "step");
        using Scope scope = step.Enter("step");
        Tensor value = weights.Allocate(new Shape(9), DType.BF16, MemoryCategory.Weights);
        value.CopyFrom<BFloat16>([.. Enumerable.Range(1, 9).Select(i => (BFloat16)(i / 4f))]);
        Parameter w = new("w", value, trainable: true);
        using Tape tape = new(step);
        for (int time = 1; time <= 2; time++)
        {
            Tensor y = tape.Square(w.Value);
            Tensor dy = step.Allocate(y.Shape, DType.BF16, MemoryCategory.Activations);
            dy.Fill(1);
            tape.Backward(y, dy);
            Assert.That(w.Gradient!.DType, Is.EqualTo(DType.F32));
            Assert.That(w.Gradient.ToArray<float>(), Is.EqualTo(Enumerable.Range(1, 9).Select(i => time * i / 2f)));
        }
    }

    /// <summary>x in one type: converted to another, and added to as many ones of it.</summary>
    private static double[][] Both(Device device, float[] x, DType from, DType to)
    {
        using Arena arena = new(device, "both");
        Shape shape = new(x.Length);
        Tensor source = arena.Allocate(shape, from, MemoryCategory.Activations), cast = arena.Allocate(shape, to, MemoryCategory.Activations);
        Tensor sum = arena.Allocate(shape, to, MemoryCategory.Activations);
        switch (from)
        {
            case DType.F32:
                source.CopyFrom<float>(x);
                break;
            case DType.BF16:
                source.CopyFrom<BFloat16>(Array.ConvertAll(x, v => (BFloat16)v));
                break;
            default:
                source.CopyFrom<Half>(Array.ConvertAll(x, v => (Half)v));
                break;
        }

        device.CastInto(cast, source);
        double[] converted = Values.Read(cast);
        if (device is CpuDevice)
        {
            return [converted, [.. Values.Read(source).Select(v => Rounded(1 + v, to))]];
        }

        sum.Fill(1);
        device.AddInto(sum, source);
        return [converted, Values.Read(sum)];
    }

    private static double Rounded(double v, DType type) => type switch
    {
        DType.F32 => (float)v,
        DType.BF16 => (float)(BFloat16)(float)v,
        _ => (double)(Half)(float)v,
    };
}
