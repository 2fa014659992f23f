namespace Graft.Runtime.Tests.Tables;

/// <summary>One row at one shape on a device of its own: inputs, outputs, gradients.</summary>
internal sealed class OpRun : IDisposable
{
    private readonly Arena _inputs;
    private readonly HalfInputs _half;

    public OpRun(Row row, string shapes, Device device, bool doubles = false, int offset = 0, HalfInputs half = HalfInputs.None)
    {
        _half = half;
        Row = row;
        Device = device;
        Doubles = doubles;
        Shapes = Row.Parse(shapes);
        Elements = row.Draw(Shapes);
        for (int i = 0; i < Elements.Length; i++)
        {
            if (half.Includes(i) && row.GivenOf(i).Type == DType.F32)
            {
                Elements[i] = Rounded(Elements[i]);
            }
        }
        _inputs = new Arena(device, "inputs", 4096);
        Step = new Arena(device, "step", 4096);
        Tape = new Tape(Step);
        Offset = offset;
        Bases = [.. Enumerable.Range(0, Shapes.Length).Select(i => Base(i))];
        Inputs = [.. Enumerable.Range(0, Shapes.Length).Select(i => offset == 0 ? Bases[i] : Bases[i].Alias(Shapes[i], offset))];
    }

    public Row Row { get; }

    public Device Device { get; }

    public bool Doubles { get; }

    public int Offset { get; }

    public Shape[] Shapes { get; }

    public double[][] Elements { get; }

    public Arena Step { get; }

    public Tape Tape { get; }

    /// <summary>The tensors that hold the inputs: larger than these where an offset was asked for.</summary>
    public Tensor[] Bases { get; }

    public Tensor[] Inputs { get; }

    public int[] Differentiated => [.. Enumerable.Range(0, Shapes.Length).Where(i => Row.GivenOf(i).Differentiated)];

    public void Dispose()
    {
        Tape.Dispose();
        Step.Dispose();
        _inputs.Dispose();
    }

    /// <summary>The upstream gradient of an output: normal numbers, the same on every run.</summary>
    public double[] Upstream(Shape shape, int output)
    {
        float[] u = new float[shape.Count];
        new Rng(7).Stream($"upstream {output}").FillNormal(0, u);
        return _half == HalfInputs.None ? Array.ConvertAll(u, v => (double)v) : Rounded(Array.ConvertAll(u, v => (double)v));
    }

    /// <summary>Outputs of the op, or of its reference, as doubles.</summary>
    public double[][] Forward(bool reference = false)
    {
        using Scope scope = Step.Enter("forward");
        Tape none = Tape.None(Step);
        Tensor[] outputs = reference ? [Row.Reference(none, Inputs)] : Row.Run(none, Inputs);
        return [.. outputs.Select(Read)];
    }

    /// <summary>
    /// Gradients of the inputs named, for one output's upstream gradient; null where none arrived. Runs forward and backward <paramref name="times"/>
    /// times and lets them add up.
    /// </summary>
    public double[]?[] Backward(int output, int[] inputs, bool reference = false, int times = 1)
    {
        using Scope scope = Step.Enter("backward");
        Tensor[] x = [.. Inputs];
        Tensor[] watched = [.. Inputs];
        foreach (int i in inputs)
        {
            watched[i] = Tape.Watch(Bases[i]);
            x[i] = Offset == 0 ? watched[i] : Tape.View(watched[i], Shapes[i], Offset);
        }

        for (int time = 0; time < times; time++)
        {
            Tensor y = reference ? Row.Reference(Tape, x) : Row.Run(Tape, x)[output];
            double[] upstream = Upstream(y.Shape, output);
            Tensor gradient = Create(Step, y.Shape, Doubles ? DType.F64 : y.DType == DType.BF16 && Device.Plans == DeviceKind.Cuda ? DType.BF16 : DType.F32, upstream);
            Tape.Backward(y, gradient);
            double[] before = Device.Kind == DeviceKind.Meta ? [] : Doubles ? upstream : Array.ConvertAll(upstream, u => (double)(float)u);
            Assert.That(Read(gradient), Is.EqualTo(before), $"{Row.Label} {string.Join(", ", Shapes)}: backward wrote into the gradient it was given");
        }

        double[]?[] gradients = [.. inputs.Select(i => Tape.GradientOf(watched[i]) is { } g ? Read(g) : null)];
        Tape.Clear();
        return gradients;
    }

    /// <summary>All outputs, then all gradients for each float output.</summary>
    public List<double[]> Results()
    {
        List<double[]> results = [.. Forward()];
        if (Row.HasGradient)
        {
            foreach (int output in FloatOutputs())
            {
                results.AddRange(Backward(output, Differentiated).Select(g => g ?? []));
            }
        }

        return results;
    }

    /// <summary>The outputs that a gradient can start from.</summary>
    public int[] FloatOutputs()
    {
        using Scope scope = Step.Enter("specs");
        Tensor[] outputs = Row.Run(Tape.None(Step), Inputs);
        return Differentiated.Length == 0 ? [] : [.. Enumerable.Range(0, outputs.Length).Where(i => outputs[i].DType.IsFloat())];
    }

    /// <summary>An input's elements set anew, for differences.</summary>
    public void Set(int input, double[] values) => Fill(Inputs[input], values);

    public double[] Read(Tensor x)
    {
        return Device.Kind == DeviceKind.Meta ? [] : x.DType switch
        {
            DType.F32 => Array.ConvertAll(x.ToArray<float>(), v => (double)v),
            DType.F64 => x.ToArray<double>(),
            DType.BF16 => Array.ConvertAll(x.ToArray<BFloat16>(), v => (double)(float)v),
            DType.F16 => Array.ConvertAll(x.ToArray<Half>(), v => (double)v),
            DType.I64 => Array.ConvertAll(x.ToArray<long>(), v => (double)v),
            DType.I32 => Array.ConvertAll(x.ToArray<int>(), v => (double)v),
            DType.U8 => Array.ConvertAll(x.ToArray<byte>(), v => (double)v),
            _ => Array.ConvertAll(x.ToArray<bool>(), v => v ? 1.0 : 0.0),
        };
    }

    // Around an offset input lie numbers that poison whatever reads them.
    private Tensor Base(int i)
    {
        DType type = Doubles && Row.GivenOf(i).Type.IsFloat() ? DType.F64 : Row.GivenOf(i).Type;
        if (type == DType.F32 && _half.Includes(i) && Device.Plans == DeviceKind.Cuda)
        {
            type = DType.BF16;
        }

        if (Offset == 0)
        {
            return Create(_inputs, Shapes[i], type, Elements[i]);
        }

        double[] padded = new double[Elements[i].Length + (2 * Offset)];
        Array.Fill(padded, type.IsFloat() ? double.NaN : 1);
        Elements[i].CopyTo(padded.AsSpan(Offset));
        return Create(_inputs, new Shape(padded.Length), type, padded);
    }

    private static double[] Rounded(double[] values) => Array.ConvertAll(values, v => (double)(float)(BFloat16)(float)v);

    private static Tensor Create(Arena arena, Shape shape, DType type, double[] values)
    {
        Tensor tensor = arena.Allocate(shape, type, MemoryCategory.Activations);
        Fill(tensor, values);
        return tensor;
    }

    private static void Fill(Tensor x, double[] values)
    {
        switch (x.DType)
        {
            case DType.F32:
                x.CopyFrom<float>(Array.ConvertAll(values, v => (float)v));
                break;
            case DType.F64:
                x.CopyFrom<double>(values);
                break;
            case DType.BF16:
                x.CopyFrom<BFloat16>(Array.ConvertAll(values, v => (BFloat16)(float)v));
                break;
            case DType.F16:
                x.CopyFrom<Half>(Array.ConvertAll(values, v => (Half)v));
                break;
            case DType.I64:
                x.CopyFrom<long>(Array.ConvertAll(values, v => (long)v));
                break;
            case DType.I32:
                x.CopyFrom<int>(Array.ConvertAll(values, v => (int)v));
                break;
            case DType.U8:
                x.CopyFrom<byte>(Array.ConvertAll(values, v => (byte)v));
                break;
            default:
                x.CopyFrom<bool>(Array.ConvertAll(values, v => v != 0));
                break;
        }
    }
}

/// <summary>Which F32 inputs a run holds as BF16 on CUDA; the CPU takes the rounded numbers as F32.</summary>
internal enum HalfInputs
{
    None,
    First,
    All,
}

internal static class HalfInputsExtensions
{
    public static bool Includes(this HalfInputs half, int input) => half == HalfInputs.All || (half == HalfInputs.First && input == 0);
}
