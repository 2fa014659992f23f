using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>One recorded case of PEFT: its base in memory, its batch, its recording.</summary>
internal sealed class AdapterCase : IDisposable
{
    private static readonly string[] s_repeatedOnTheBase = ["olora", "corda", "lora_ga", "pissa_niter"];

    private readonly PretrainedModel _loaded;
    private readonly Device _device;
    private readonly bool _ownsDevice;
    private readonly ICheckpoint _batch;

    /// <param name="name">The folder of the case.</param>
    /// <param name="unchanged">The base as it was before any initialisation.</param>
    /// <param name="device">Where it lies; null for a CPU device of its own.</param>
    /// <param name="activations">The type of hidden states.</param>
    public AdapterCase(string name, bool unchanged = false, Device? device = null, DType activations = DType.F32)
    {
        _device = device ?? new CpuDevice(2);
        _ownsDevice = device is null;
        Folder = FixtureFolder.PathOf("adapters", name);
        Json = Parse(Path.Combine(Folder, "case.json"));
        Recording = CheckpointReader.Open(Path.Combine(Folder, "recording.safetensors"));
        _batch = CheckpointReader.Open(FixtureFolder.PathOf("adapters", "batch.safetensors"));
        Step = new Arena(_device, "step");
        _loaded = PretrainedModel.Load(FixtureFolder.PathOf("adapters", Json.GetProperty("base").GetString()!), _device,
            new LoadOptions { WeightType = DType.F32, Activations = activations, Tokenizer = false });
        Host = new AdapterHost(Model);
        HoldsResidual = !unchanged && RecordsResidual(Folder);
        if (HoldsResidual)
        {
            PutResidual();
        }
    }

    public string Folder { get; }

    public JsonElement Json { get; }

    public ICheckpoint Recording { get; }

    public Arena Step { get; }

    public AdapterHost Host { get; }

    public ILanguageModel Model => _loaded.Model;

    public bool HoldsResidual { get; }

    public Shape BatchShape => _batch.Entry("input_ids").Shape;

    /// <summary>The start changes the base in a way that a file does not tell: the recording holds the changed base.</summary>
    public static bool RecordsResidual(string folder)
    {
        string config = Path.Combine(folder, PeftConfig.FileName);
        return File.Exists(config) && Parse(config).TryGetProperty("init_lora_weights", out JsonElement init) && init.ValueKind == JsonValueKind.String
            && s_repeatedOnTheBase.Any(n => init.GetString()!.StartsWith(n, StringComparison.Ordinal));
    }

    public static JsonElement Parse(string file)
    {
        // Python writes NaN, which JSON has not.
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file).Replace(": NaN", ": null", StringComparison.Ordinal));
        return document.RootElement.Clone();
    }

    public double Tolerance(string what) => Json.GetProperty("tolerance").GetProperty(what).GetDouble();

    public AttachedAdapter Load(string? folder = null, string name = "recorded")
    {
        return Host.Load(folder is null ? Folder : Path.Combine(Folder, folder), name, new AdapterLoadOptions { BaseHoldsResidual = HoldsResidual });
    }

    /// <summary>The base as the recorded initialisation left it.</summary>
    public void PutResidual()
    {
        foreach (Parameter parameter in Model.Parameters)
        {
            if (Recording.Tensors.ContainsKey("initbase." + parameter.Name))
            {
                parameter.Value.CopyFrom<float>(Recording.ReadFloats("initbase." + parameter.Name));
            }
        }
    }

    public float[] Logits(params string[] active) => Logits(new ActiveAdapters(active));

    public float[] Logits(ActiveAdapters active)
    {
        using Scope scope = Step.Enter("logits");
        return Tape.None(Step).Cast(Logits(Tape.None(Step), active), DType.F32).ToArray<float>();
    }

    /// <summary>Loss of the batch, the mean over labels, and the gradients of everything trainable.</summary>
    public double LossAndGradients(string active, bool checkpointing = false)
    {
        foreach (AdapterParameter parameter in Host.Adapters.SelectMany(a => a.Parameters))
        {
            parameter.Parameter.ClearGradient();
        }

        using Scope scope = Step.Enter("step");
        using Tape tape = new(Step);
        Tensor logits = Logits(tape, new ActiveAdapters(active), checkpointing);
        int[] labels = Shifted(out int count);
        Tensor rows = tape.CrossEntropy(tape.View(logits, new Shape(labels.Length, logits.Shape.Last)),
            Step.Create<int>(new Shape(labels.Length), labels, MemoryCategory.Activations));
        Tensor loss = tape.Scale(tape.Sum(rows), 1.0 / count);
        tape.Backward(loss);
        return loss.ReadScalar();
    }

    public void Dispose()
    {
        Recording.Dispose();
        _batch.Dispose();
        _loaded.Dispose();
        Step.Dispose();
        foreach (AttachedAdapter adapter in Host.Adapters.ToArray())
        {
            adapter.Arena.Dispose();
        }

        if (_ownsDevice)
        {
            _device.Dispose();
        }
    }

    private Tensor Logits(Tape tape, ActiveAdapters active, bool checkpointing = false)
    {
        Shape shape = BatchShape;
        int[] ids = [.. _batch.ReadArray<long>("input_ids").Select(v => (int)v)];
        ForwardContext c = new(tape, new TokenLayout(shape[0], shape[1])) { Adapters = active, ActivationCheckpointing = checkpointing };
        return Model.Logits(c, Step.Create<int>(shape, ids, MemoryCategory.Activations));
    }

    private int[] Shifted(out int count)
    {
        long[] labels = _batch.ReadArray<long>("labels");
        int length = BatchShape[1];
        int[] shifted = new int[labels.Length];
        for (int i = 0; i < labels.Length; i++)
        {
            shifted[i] = i % length == length - 1 ? -100 : (int)labels[i + 1];
        }

        count = shifted.Count(l => l >= 0);
        return shifted;
    }
}
