using System.Text.Json;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Architectures;

/// <summary>Every recorded architecture: logits, hidden states, loss and the gradient of every parameter, in all the runs that its recording holds.</summary>
/// <remarks>One suite, one class per device: <see cref="ArchitectureFixtureTests"/> on the CPU, <see cref="ArchitectureCudaTests"/> on CUDA.</remarks>
/// <param name="name">The folder of the recording.</param>
public abstract class ArchitectureSuite(string name)
{
    private Device _device = null!;
    private Arena _step = null!;
    private PretrainedModel? _loaded;
    private ICheckpoint _recording = null!;
    private JsonElement _case;

    public static IEnumerable<string> Cases() => FixtureFolder.Cases("architectures");

    protected string Folder => FixtureFolder.PathOf("architectures", name);

    private ILanguageModel Model => _loaded!.Model;

    /// <summary>The device of the class; it ends with the class.</summary>
    protected abstract Device Open();

    [OneTimeSetUp]
    public void Load()
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "case.json")));
        _case = document.RootElement.Clone();
        string type = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "config.json"))).RootElement.GetProperty("model_type").GetString()!;
        if (!HuggingFaceConfig.SupportedModelTypes.Contains(type))
        {
            Assert.Ignore($"the architecture '{type}' is not built yet");
        }

        _device = Open();
        _step = new Arena(_device, "step");
        _recording = CheckpointReader.Open(Path.Combine(Folder, "recording.safetensors"));
        _loaded = PretrainedModel.Load(Folder, _device, new LoadOptions { WeightType = DType.F32, Tokenizer = false });
    }

    [OneTimeTearDown]
    public void Close()
    {
        _recording?.Dispose();
        _loaded?.Dispose();
        _step?.Dispose();
        _device?.Dispose();
    }

    [TestCase(false)]
    [TestCase(true)]
    public void The_plain_run_agrees(bool checkpointing)
    {
        Require("plain");
        Shape shape = _recording.Entry("plain.input_ids").Shape;
        Run("plain", new TokenLayout(shape[0], shape[1]), checkpointing);
    }

    [TestCase(false)]
    [TestCase(true)]
    public void The_packed_run_agrees(bool checkpointing)
    {
        Require("packed");
        Shape shape = _recording.Entry("packed.input_ids").Shape;
        TokenLayout layout = TokenLayout.Packed(shape[0], shape[1], Integers("packed.document_ids"));
        int[] positions = new int[shape.Count];
        layout.FillPositions(positions);
        Assert.That(positions, Is.EqualTo(Integers("packed.position_ids")));
        Run("packed", layout, checkpointing);
    }

    [TestCase("padded.left")]
    [TestCase("padded.right")]
    public void The_padded_runs_agree(string run)
    {
        Require("padded");
        Shape shape = _recording.Entry($"{run}.input_ids").Shape;
        int[] mask = Integers($"{run}.attention_mask");
        using Scope scope = _step.Enter(run);
        ForwardContext c = new(Tape.None(_step), TokenLayout.Padded(shape[0], shape[1], mask));
        float[] logits = Model.Logits(c, Ids(run)).ToArray<float>();
        for (int i = 0; i < logits.Length; i++)
        {
            logits[i] *= mask[i / Model.VocabSize]; // zeros at padding, as recorded
        }

        Closeness.AssertClose($"{run}.logits", logits, _recording.ReadFloats($"{run}.logits"), Tolerance("logits"));
    }

    [Test]
    public void The_cached_generation_agrees()
    {
        Require("generate");
        int[] prompt = Integers("generate.prompt_ids");
        int[] expected = Integers("generate.new_ids");
        float[] recorded = _recording.ReadFloats("generate.logits");
        using Scope scope = _step.Enter("generate");
        KvCache cache = new(_step, Model.LayerCount, 1, prompt.Length + expected.Length, Model.CacheShape.Heads, Model.CacheShape.HeadSize);
        int[] next = prompt;
        int past = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            using Scope token = _step.Enter("token");
            ForwardContext c = new(Tape.None(_step), new TokenLayout(1, next.Length, null, null, past))
            {
                Cache = cache,
                Phase = i == 0 ? ForwardPhase.Prefill : ForwardPhase.Decode,
            };
            Tensor all = Model.Logits(c, _step.Create<int>(new Shape(1, next.Length), next, MemoryCategory.Activations));
            ReadOnlySpan<float> last = all.ToArray<float>().AsSpan()[^Model.VocabSize..];
            Closeness.AssertClose($"logits of token {i}", last, recorded.AsSpan(i * Model.VocabSize, Model.VocabSize), Tolerance("logits"));
            int best = System.Numerics.Tensors.TensorPrimitives.IndexOfMax(last);
            Assert.That(best, Is.EqualTo(expected[i]), $"token {i}");
            past += next.Length;
            next = [best];
        }
    }

    [Test]
    public void Saving_and_loading_is_the_identity()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"graft-{Guid.NewGuid():N}");
        try
        {
            _loaded!.Save(folder);
            using PretrainedModel again = PretrainedModel.Load(folder, _device, new LoadOptions { WeightType = DType.F32, Tokenizer = false });
            Assert.That(again.Model.Parameters.Select(p => p.Name), Is.EqualTo(Model.Parameters.Select(p => p.Name)));
            foreach ((Parameter a, Parameter b) in Model.Parameters.Zip(again.Model.Parameters))
            {
                Assert.That(b.Value.ToArray<float>(), Is.EqualTo(a.Value.ToArray<float>()), a.Name);
            }

            Assert.That(File.ReadAllText(Path.Combine(folder, "config.json")), Is.EqualTo(File.ReadAllText(Path.Combine(Folder, "config.json"))));
        }
        finally
        {
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, true);
            }
        }
    }

    private void Run(string run, TokenLayout layout, bool checkpointing)
    {
        foreach (Parameter parameter in Model.Parameters)
        {
            parameter.Trainable = true;
            parameter.ClearGradient();
        }

        using Scope scope = _step.Enter(run);
        using Tape tape = new(_step);
        List<string> sites = [];
        tape.Tap = (site, x) =>
        {
            string recorded = $"{run}.hidden.{sites.Count}";
            if (!checkpointing && _recording.Tensors.ContainsKey(recorded) && !site.EndsWith($".{Model.LayerCount - 1}", StringComparison.Ordinal))
            {
                Closeness.AssertClose(recorded, x.ToArray<float>(), _recording.ReadFloats(recorded), Tolerance("logits"));
                sites.Add(site);
            }

            return x;
        };
        ForwardContext c = new(tape, layout) { Phase = ForwardPhase.Evaluate, ActivationCheckpointing = checkpointing };
        Tensor hidden = Model.Hidden(c, Ids(run)); // (B, T, C)
        if (!checkpointing && _recording.Tensors.ContainsKey($"{run}.hidden.0"))
        {
            Assert.That(sites, Has.Count.EqualTo(Model.LayerCount + 1), "embedding, all layers but the last, final norm");
        }

        Tensor logits = Model.Head.Forward(new ForwardContext(Tape.None(_step), layout), Tape.Detach(hidden));
        Closeness.AssertClose($"{run}.logits", logits.ToArray<float>(), _recording.ReadFloats($"{run}.logits"), Tolerance("logits"));

        int[] targets = Targets(run, layout.Length, out int count);
        Tensor rows = tape.View(hidden, new Shape(targets.Length, Model.HiddenSize));
        Tensor labels = _step.Create<int>(new Shape(targets.Length), targets, MemoryCategory.Activations);
        // By the logits, and by the head that never holds them.
        Tensor loss = checkpointing
            ? tape.Scale(tape.Sum(tape.SelectedLogProb(rows, Model.Head.Weight.Parameter!.Value, labels)), -1.0 / count)
            : tape.Scale(tape.Sum(tape.CrossEntropy(Model.Head.Forward(c, rows), labels)), 1.0 / count);
        tape.Backward(loss);
        double expected = _recording.ReadFloats($"{run}.loss")[0];
        Assert.That(loss.ReadScalar(), Is.EqualTo(expected).Within(Tolerance("loss") * Math.Abs(expected)), $"{run}.loss");

        double largest = Model.Parameters.Max(p => _recording.ReadFloats($"{run}.grad.{p.Name}").Max(Math.Abs));
        foreach (Parameter parameter in Model.Parameters)
        {
            Assert.That(parameter.HasGradient, parameter.Name);
            Closeness.AssertClose(
                $"{run}.grad.{parameter.Name}", parameter.Gradient!.ToArray<float>(), _recording.ReadFloats($"{run}.grad.{parameter.Name}"), Tolerance("grad"), 1e-2 * largest);
        }

        int recordedGradients = _recording.Tensors.Keys.Count(k => k.StartsWith($"{run}.grad.", StringComparison.Ordinal));
        Assert.That(recordedGradients, Is.EqualTo(Model.Parameters.Count), "every recorded gradient was compared");
    }

    private int[] Targets(string run, int length, out int count)
    {
        int[] labels = Integers($"{run}.labels");
        int[] targets = new int[labels.Length];
        for (int i = 0; i < targets.Length; i++)
        {
            targets[i] = i % length == length - 1 ? -100 : labels[i + 1];
        }

        count = targets.Count(t => t >= 0);
        return targets;
    }

    private Tensor Ids(string run) => _step.Create<int>(_recording.Entry($"{run}.input_ids").Shape, Integers($"{run}.input_ids"), MemoryCategory.Activations);

    private int[] Integers(string tensor)
    {
        return _recording.Entry(tensor).Type == DType.I64
            ? [.. _recording.ReadArray<long>(tensor).Select(v => (int)v)]
            : _recording.ReadArray<int>(tensor);
    }

    private double Tolerance(string what) => _case.GetProperty("tolerance").GetProperty(what).GetDouble();

    private void Require(string run)
    {
        if (!_case.GetProperty("runs").EnumerateArray().Any(r => r.GetString() == run))
        {
            Assert.Ignore($"the recording has no run '{run}'");
        }
    }
}
