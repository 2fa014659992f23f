using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Architectures;

/// <summary>BF16 weights and activations on CUDA against F32: one architecture of each family, with a LoRA in F32 on top and without.</summary>
[Category("CudaEmulator")]
[TestFixture("llama3-gqa")]
[TestFixture("gpt2")]
public sealed class ArchitectureBfloat16Tests(string name)
{
    // In units of BF16's last place, 2^-8, of the root mean square of a tensor. Rounding the weights alone (CPU, F32 activations) costs up to 2.5 of them at the
    // logits and 6.9 at the gradients; rounding the activations at every op comes to 4.9 and 13.4 together, about twice as much at every single tensor. A wrong
    // op or a lost cast costs hundreds.
    private const double Unit = 1.0 / 256;
    private const double LogitTolerance = 6 * Unit;
    private const double LossTolerance = 0.5 * Unit;
    private const double GradientTolerance = 16 * Unit;

    private CudaDevice _device = null!;
    private PretrainedModel _model = null!;

    private string Folder => FixtureFolder.PathOf("architectures", name);

    [OneTimeSetUp]
    public void Open()
    {
        _device = CudaTestDevice.Open();
        _model = PretrainedModel.Load(Folder, _device, new LoadOptions { WeightType = DType.BF16, Activations = DType.BF16, Tokenizer = false });
    }

    [OneTimeTearDown]
    public void Close()
    {
        _model?.Dispose();
        _device?.Dispose();
    }

    [Test]
    public void The_recording_agrees_within_16_bits([Values] bool checkpointing)
    {
        using ICheckpoint recording = CheckpointReader.Open(Path.Combine(Folder, "recording.safetensors"));
        IReadOnlyList<Parameter> trained = _model.Model.Parameters;
        SetTrainable(trained, true);
        Result result = Run(_model.Model, _device, ActiveAdapters.None, trained, checkpointing);
        SetTrainable(trained, false);
        AssertNear("logits", result.Logits, recording.ReadFloats("plain.logits"), LogitTolerance);
        double loss = recording.ReadFloats("plain.loss")[0];
        Assert.That(result.Loss, Is.EqualTo(loss).Within(LossTolerance * Math.Abs(loss)));
        for (int i = 0; i < trained.Count; i++)
        {
            AssertNear(trained[i].Name, result.Gradients[i], recording.ReadFloats($"plain.grad.{trained[i].Name}"), GradientTolerance);
        }
    }

    [Test]
    public void A_lora_in_f32_trains_on_top()
    {
        LoraConfig config = new() { TargetModules = ModulePattern.AllLinear, Rank = 4, Initialization = LoraInitialization.Random };
        using CpuDevice cpu = new(2);
        using PretrainedModel plain = PretrainedModel.Load(Folder, cpu, new LoadOptions { Tokenizer = false });
        Result expected = Attached(plain.Model, cpu);
        Result actual = Attached(_model.Model, _device);
        AssertNear("logits", actual.Logits, expected.Logits, LogitTolerance);
        Assert.That(actual.Loss, Is.EqualTo(expected.Loss).Within(LossTolerance * expected.Loss));
        for (int i = 0; i < expected.Gradients.Length; i++)
        {
            AssertNear($"gradient {i}", actual.Gradients[i], expected.Gradients[i], GradientTolerance);
        }

        Result Attached(ILanguageModel model, Device device)
        {
            AdapterHost host = new(model);
            AttachedAdapter adapter = host.Attach("tuned", config, new Rng(4));
            Parameter[] trained = [.. adapter.Parameters.Select(p => p.Parameter)];
            Assert.That(trained.Select(p => p.Value.DType), Is.All.EqualTo(DType.F32));
            Result result = Run(model, device, host.Active("tuned"), trained, false);
            host.Detach("tuned");
            return result;
        }
    }

    [Test]
    public void A_cache_of_16_bits_generates_what_whole_forwards_choose()
    {
        using Generator generator = new(_model.Model, null, _device);
        List<int> ids = [5, 6, 7, 8];
        IReadOnlyList<int> made = generator.Generate([.. ids], new GenerationConfig { MaxNewTokens = 6 }).Ids;
        Assert.That(made, Is.Not.Empty);
        using Arena arena = new(_device, "whole");
        foreach (int token in made)
        {
            using Scope scope = arena.Enter("whole");
            ForwardContext c = new(Tape.None(arena), new TokenLayout(1, ids.Count));
            Tensor logits = _model.Model.Logits(c, arena.Create<int>(new Shape(1, ids.Count), [.. ids], MemoryCategory.Activations));
            float[] last = c.Tape.Cast(logits, DType.F32).ToArray<float>()[^_model.Model.VocabSize..];
            Assert.That(last[token], Is.GreaterThanOrEqualTo(last.Max() - (2 * Unit * last.Max(Math.Abs))), "the best, or as good within the rounding");
            ids.Add(token);
        }
    }

    private static void AssertNear(string what, float[] actual, float[] expected, double tolerance)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length), what);
        double error = 0;
        double size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            error += ((double)actual[i] - expected[i]) * ((double)actual[i] - expected[i]);
            size += (double)expected[i] * expected[i];
        }

        Assert.That(Math.Sqrt(error / size), Is.LessThanOrEqualTo(tolerance), $"{what}: root mean square of the error, of that of the values");
    }

    private static void SetTrainable(IReadOnlyList<Parameter> parameters, bool trainable)
    {
        foreach (Parameter parameter in parameters)
        {
            parameter.Trainable = trainable;
            parameter.ClearGradient();
        }
    }

    private Result Run(ILanguageModel model, Device device, ActiveAdapters active, IReadOnlyList<Parameter> trained, bool checkpointing)
    {
        using ICheckpoint recording = CheckpointReader.Open(Path.Combine(Folder, "recording.safetensors"));
        using Arena arena = new(device, "step");
        using Tape tape = new(arena);
        Shape shape = recording.Entry("plain.input_ids").Shape;
        int[] targets = Integers(recording, "plain.labels");
        targets = [.. targets.Select((_, i) => i % shape[1] == shape[1] - 1 ? -100 : targets[i + 1])];
        ForwardContext c = new(tape, new TokenLayout(shape[0], shape[1])) { Adapters = active, ActivationCheckpointing = checkpointing };
        Tensor hidden = model.Hidden(c, arena.Create<int>(shape, Integers(recording, "plain.input_ids"), MemoryCategory.Activations));
        Assert.That(hidden.DType, Is.EqualTo(model.Activations));
        Tensor rows = tape.View(hidden, new Shape(targets.Length, model.HiddenSize));
        Tensor logits = model.Head.Forward(c, rows);
        float[] values = Tape.None(arena).Cast(Tape.Detach(logits), DType.F32).ToArray<float>();
        Tensor labels = arena.Create<int>(new Shape(targets.Length), targets, MemoryCategory.Activations);
        // By the logits where layers are kept, by the fused head where they are run again.
        Tensor sum = checkpointing
            ? tape.Scale(tape.Sum(tape.SelectedLogProb(rows, model.Head.Weight.Parameter!.Value, labels)), -1)
            : tape.Sum(tape.CrossEntropy(logits, labels));
        Tensor loss = tape.Scale(sum, 1.0 / targets.Count(t => t >= 0));
        tape.Backward(loss);
        double value = Tape.None(arena).Cast(Tape.Detach(loss), DType.F32).ReadScalar();
        return new Result(values, value, [.. trained.Select(p => p.Gradient!.ToArray<float>())]);
    }

    private static int[] Integers(ICheckpoint recording, string tensor)
    {
        return recording.Entry(tensor).Type == DType.I64 ? [.. recording.ReadArray<long>(tensor).Select(v => (int)v)] : recording.ReadArray<int>(tensor);
    }

    private sealed record Result(float[] Logits, double Loss, float[][] Gradients);
}
