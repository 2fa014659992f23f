using Graft.Models.Adapters;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>y = down(tanh(up(x))): two layers of different widths, one stored input first, for the contract that every method keeps.</summary>
internal sealed class ToyModel : IDisposable
{
    public const int In = 24;
    public const int Hidden = 40;
    public const int Out = 16;
    public const int Rows = 7;

    private readonly Device _device;
    private readonly Arena _weights;
    private readonly Arena _step;
    private readonly float[] _x = new float[Rows * In];

    public ToyModel(DType type = DType.F32, IReadOnlyList<AdapterRow>? methods = null, Device? device = null)
    {
        _device = device ?? new CpuDevice(2);
        _weights = new Arena(_device, "weights");
        _step = new Arena(_device, "step");
        Up = new Linear("block.up", new DenseWeight(Matrix("block.up.weight", new Shape(Hidden, In), type)),
            Matrix("block.up.bias", new Shape(Hidden), DType.F32));
        Down = new Linear("block.down", new DenseWeight(Matrix("block.down.weight", new Shape(Hidden, Out), type), transposed: true));
        Parameters = [Up.Weight.Parameter!, Up.Bias!, Down.Weight.Parameter!];
        Host = new AdapterHost([Up, Down], [], Parameters) { Methods = methods ?? AdapterTable.Rows };
        new Rng(9).Stream("x").FillNormal(0, _x);
    }

    public Linear Up { get; }

    public Linear Down { get; }

    public Parameter[] Parameters { get; }

    public AdapterHost Host { get; }

    public float[] Forward(params string[] active) => Forward(ForwardPhase.Evaluate, default, active);

    public float[] Forward(ForwardPhase phase, Rng random, params string[] active)
    {
        using Scope scope = _step.Enter("forward");
        return Forward(Tape.None(_step), Input(), phase, random, active).ToArray<float>();
    }

    /// <summary>Forward and backward, without a look at the numbers.</summary>
    public void Run(params string[] active)
    {
        using Scope scope = _step.Enter("run");
        using Tape tape = new(_step);
        tape.Backward(Forward(tape, Input(), ForwardPhase.Train, new Rng(1), active), OutputWeights());
    }

    /// <summary>Gradients of Σ y⊙w, w fixed: of every trainable parameter in its own place, and the one of x returned.</summary>
    public float[] Backward(params string[] active)
    {
        foreach (AdapterParameter parameter in Host.Adapters.SelectMany(a => a.Parameters))
        {
            parameter.Parameter.ClearGradient();
        }

        using Scope scope = _step.Enter("backward");
        using Tape tape = new(_step);
        Tensor x = tape.Watch(Input());
        Tensor y = Forward(tape, x, ForwardPhase.Evaluate, default, active);
        tape.Backward(y, OutputWeights());
        return tape.GradientOf(x)!.ToArray<float>();
    }

    /// <summary>Σ y⊙w in F64.</summary>
    public double Objective(params string[] active)
    {
        float[] y = Forward(active);
        float[] w = new float[y.Length];
        new Rng(9).Stream("w").FillNormal(0, w);
        return y.Zip(w, (a, b) => (double)a * b).Sum();
    }

    public Dictionary<string, byte[]> Bits()
    {
        return Parameters.ToDictionary(p => p.Name, p => p.Value.DType == DType.F32
            ? System.Runtime.InteropServices.MemoryMarshal.AsBytes(p.Value.OnHost<float>()).ToArray()
            : System.Runtime.InteropServices.MemoryMarshal.AsBytes(p.Value.OnHost<BFloat16>()).ToArray());
    }

    /// <summary>Numbers without meaning in every trainable tensor, so that nothing is zero.</summary>
    public static void Disturb(AttachedAdapter adapter, float deviation = 0.1f)
    {
        foreach (AdapterParameter parameter in adapter.Parameters.Where(p => p.Parameter.Trainable))
        {
            float[] noise = new float[parameter.Value.Shape.Count];
            new Rng(5).Stream(parameter.Parameter.Name).FillNormal(0, noise, 0, deviation);
            parameter.Value.ChangeOnHost<float>((values, start) =>
            {
                for (int i = 0; i < values.Length; i++)
                {
                    values[i] += noise[start + i];
                }
            });
        }
    }

    public void Dispose()
    {
        foreach (AttachedAdapter adapter in Host.Adapters.ToArray())
        {
            Host.Detach(adapter.Name);
        }

        _step.Dispose();
        _weights.Dispose();
        _device.Dispose();
    }

    private Tensor Forward(Tape tape, Tensor x, ForwardPhase phase, Rng random, string[] active)
    {
        ForwardContext c = new(tape, new TokenLayout(1, Rows)) { Adapters = new ActiveAdapters(active), Phase = phase, Random = random };
        return Down.Forward(c, tape.Tanh(Up.Forward(c, x)));
    }

    private Tensor Input() => _step.Create<float>(new Shape(1, Rows, In), _x, MemoryCategory.Activations);

    private Tensor OutputWeights()
    {
        float[] w = new float[Rows * Out];
        new Rng(9).Stream("w").FillNormal(0, w);
        return _step.Create<float>(new Shape(1, Rows, Out), w, MemoryCategory.Activations);
    }

    private Parameter Matrix(string name, Shape shape, DType type)
    {
        float[] values = new float[shape.Count];
        new Rng(3).Stream(name).FillNormal(0, values, 0, 0.2f);
        Tensor tensor = _weights.Allocate(shape, type, MemoryCategory.Weights, name);
        if (type == DType.F32)
        {
            tensor.CopyFrom<float>(values);
        }
        else
        {
            tensor.CopyFrom<BFloat16>(Array.ConvertAll(values, v => (BFloat16)v));
        }

        return new Parameter(name, tensor);
    }
}
