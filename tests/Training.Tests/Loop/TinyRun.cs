using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Loop;

/// <summary>The shape of a tiny run.</summary>
internal sealed record TinyOptions
{
    public int Threads { get; init; } = 1;

    public bool Meta { get; init; }

    /// <summary>The device, or the one that meta plans for.</summary>
    public DeviceKind Kind { get; init; } = DeviceKind.Cpu;

    public bool CudaGraph { get; init; }

    public DType Activations { get; init; } = DType.F32;

    public int Rows { get; init; } = 4;

    public int Length { get; init; } = 12;

    public int Accumulation { get; init; } = 1;

    public bool Checkpointing { get; init; }

    public int Width { get; init; } = 8;

    public int Rank { get; init; } = 2;

    public int Layers { get; init; } = 2;

    public DType DType { get; init; }

    public bool TrainBase { get; init; }

    public double Dropout { get; init; }

    public long Steps { get; init; } = 12;

    public PackingMode Packing { get; init; } = PackingMode.FirstFitDecreasing;

    public IOptimizerRule Rule { get; init; } = new AdamW();

    public double LearningRate { get; init; } = 0.01;

    public bool Shuffle { get; init; } = true;

    public int Samples { get; init; } = 40;

    public NonFinitePolicy NonFinite { get; init; }

    public bool RequireGradients { get; init; } = true;

    public bool Evaluates { get; init; }

    public int Phases { get; init; } = 1;

    public ValueLayout Layout { get; init; }

    public TrainerOptions Trainer { get; init; } = new();

    public Device Open() => Meta ? new MetaDevice(Kind) : Kind == DeviceKind.Cuda ? CudaTestDevice.Open() : new CpuDevice(Threads);
}

/// <summary>A model of a table, one layer with a low-rank branch and a head, on random sequences: small enough for thousands of steps a second.</summary>
internal sealed class TinyRun : IMeasuredObjective, IDisposable
{
    public const int Vocabulary = 16;
    public const int Stop = 15;

    private readonly TinyOptions _options;
    private readonly Arena _arena;
    private readonly Parameter _table;
    private readonly Parameter _weight;
    private readonly Parameter _a;
    private readonly Parameter _b;
    private readonly Parameter _head;

    public TinyRun(TinyOptions options)
    {
        _options = options;
        Device = options.Open();
        _arena = new Arena(Device, "model");
        _table = Make("embed.weight", options.TrainBase, Vocabulary, options.Width);
        _weight = Make("layers.0.up.weight", options.TrainBase, options.Width, options.Width);
        _a = Make("layers.0.up.lora_A.weight", true, options.Rank, options.Width);
        _b = Make("layers.0.up.lora_B.weight", true, options.Width, options.Rank);
        _head = Make("lm_head.weight", options.TrainBase, Vocabulary, options.Width);
        Data = Samples(options.Samples, 1);
        Trainer = new Trainer(Device, Phases(), options.Trainer with
        {
            Evaluator = options.Evaluates ? new Evaluator(this, () => Sampler(Samples(9, 2), shuffle: false).Take(9)) : options.Trainer.Evaluator,
            Parameters = Parameters,
        });
    }

    public Device Device { get; }

    public Trainer Trainer { get; }

    public TokenSampleList Data { get; }

    public IReadOnlyList<Parameter> Parameters => [_table, _weight, _a, _b, _head];

    /// <summary>Called at every forward with the micro-batch.</summary>
    public Action<Batch>? OnForward { get; set; }

    /// <summary>Multiplies the loss.</summary>
    public float LossFactor { get; set; } = 1;

    /// <summary>A parameter the forward leaves out.</summary>
    public bool LeaveOutBranch { get; set; }

    public static TokenSampleList Samples(int count, ulong seed)
    {
        TokenSampleList samples = new();
        RngSequence random = new Rng(seed).Stream("samples").Sequence();
        for (int i = 0; i < count; i++)
        {
            int[] ids = new int[3 + random.NextBelow(9)];
            byte[] mask = new byte[ids.Length];
            for (int t = 0; t < ids.Length; t++)
            {
                ids[t] = t + 1 == ids.Length ? Stop : random.NextBelow(Stop);
                mask[t] = (byte)(t > 0 && random.NextBelow(4) > 0 ? 1 : 0);
            }

            mask[^1] = 1;
            samples.Add((ulong)(100 + i), ids, mask);
        }

        return samples;
    }

    public async Task<List<TrainingEvent>> Run(CancellationToken cancellation = default)
    {
        List<TrainingEvent> events = [];
        await foreach (TrainingEvent e in Trainer.RunAsync(cancellation).ConfigureAwait(false))
        {
            events.Add(e);
        }

        return events;
    }

    /// <summary>All values as bits.</summary>
    public List<int[]> Bits() => [.. Parameters.Select(p => Array.ConvertAll(Floats(p), BitConverter.SingleToInt32Bits))];

    public float[] Floats(Parameter p) => p.Value.DType == DType.BF16 ? Array.ConvertAll(p.Value.ToArray<BFloat16>(), v => (float)v) : p.Value.ToArray<float>();

    public IReadOnlyList<LossTerm> Forward(ObjectiveCall c)
    {
        OnForward?.Invoke(c.Batch);
        Tensor losses = c.Tape.CrossEntropy(Logits(c), Integers(c, c.Batch.Targets));
        return [new LossTerm("loss", c.Tape.Scale(c.Tape.Sum(losses), LossFactor))];
    }

    public void Measure(ObjectiveCall c, Action<int, double, bool> report)
    {
        Tensor logits = Logits(c);
        float[] losses = c.Tape.CrossEntropy(logits, Integers(c, c.Batch.Targets)).ToArray<float>();
        int[] best = c.Tape.ArgMax(logits).ToArray<int>();
        for (int i = 0; i < losses.Length; i++)
        {
            if (c.Batch.Targets[i] != Batch.IgnoredTarget)
            {
                report(i, losses[i], best[i] == c.Batch.Targets[i]);
            }
        }
    }

    public void Dispose()
    {
        Trainer.Dispose();
        _arena.Dispose();
        Device.Dispose();
    }

    private Tensor Logits(ObjectiveCall c)
    {
        Tape t = c.Tape;
        Tensor x = t.Embedding(_table.Value, Integers(c, c.Batch.Ids));
        Tensor h = c.ActivationCheckpointing ? t.Checkpoint("layer", (inner, inputs) => Layer(inner, inputs[0]), x) : Layer(t, x);
        if (c.IsTraining && _options.Dropout > 0)
        {
            h = t.Dropout(h, (float)_options.Dropout, c.Random.Stream("hidden"));
        }

        return t.Linear(h, _head.Value);
    }

    private Tensor Layer(Tape t, Tensor x)
    {
        return t.Tanh(LeaveOutBranch ? t.Linear(x, _weight.Value) : t.LinearWithBranch(x, _weight.Value, null, t.Linear(x, _a.Value), _b.Value, 2));
    }

    private static Tensor Integers(ObjectiveCall c, int[] values)
    {
        return c.Tape.Arena.Create<int>(new Shape(c.Batch.Rows, c.Batch.Length), values, MemoryCategory.Activations);
    }

    private List<TrainingPhase> Phases()
    {
        List<TrainingPhase> phases = [];
        for (int i = 0; i < _options.Phases; i++)
        {
            // The first phase trains everything that is trainable, each further one another half of the adapter.
            Func<ParameterEntry, bool>? selects = i == 0 ? null
                : i % 2 == 1 ? e => e.Tags.Adapter == "lora_A"
                : e => e.Tags.Adapter == "lora_B" || e.Tags.Role == ParameterRole.Head;
            phases.Add(new TrainingPhase($"phase {i}", () => Program(selects), new SamplerSource(Sampler(Data, _options.Shuffle)), _options.Steps));
        }

        return phases;
    }

    private GradientStep Program(Func<ParameterEntry, bool>? selects)
    {
        ParameterSet set = new(Parameters, _arena, new ParameterSetOptions { Layout = _options.Layout });
        if (selects is not null)
        {
            set.Activate(selects);
        }

        return new GradientStep(this, new Optimizer(set, _options.Rule, _options.LearningRate, new CosineSchedule(2, 100)), new GradientStepOptions
        {
            AccumulationSteps = _options.Accumulation,
            ActivationCheckpointing = _options.Checkpointing,
            NonFinite = _options.NonFinite,
            RequireGradients = _options.RequireGradients,
        });
    }

    private BatchSampler Sampler(TokenSampleList samples, bool shuffle)
    {
        ISampleOrder order = shuffle ? SampleOrder.Shuffled(samples.Count, new Rng(7).Stream("order")) : SampleOrder.Sequential(samples.Count);
        return new BatchSampler(samples, new BatchOptions { Rows = _options.Rows, Length = _options.Length, Packing = _options.Packing, Window = 16 }, order);
    }

    private Parameter Make(string name, bool trainable, int rows, int columns)
    {
        float[] values = new float[rows * columns];
        new Rng(3).Stream(name).FillNormal(0, values, 0, 0.3f);
        Shape shape = new(rows, columns);
        Tensor value = _options.DType == DType.BF16
            ? _arena.Create<BFloat16>(shape, Array.ConvertAll(values, v => (BFloat16)v), MemoryCategory.Weights)
            : _arena.Create<float>(shape, values, MemoryCategory.Weights);
        return new Parameter(name, value, trainable);
    }
}
