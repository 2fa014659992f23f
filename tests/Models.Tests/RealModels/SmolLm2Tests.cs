using System.Text.Json;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.RealModels;

/// <summary>A real chat model from its 4-bit GGUF file against recordings of transformers on the same weights. Runs wherever the file is.</summary>
[Category("Fixtures")]
public sealed class SmolLm2Tests
{
    private CpuDevice _device = null!;
    private PretrainedModel _model = null!;
    private ICheckpoint _recording = null!;
    private JsonElement _case;

    private static string? Folder => FixtureFolder.Models is { } models ? Path.Combine(models, "smollm2-135m-instruct") : null;

    [OneTimeSetUp]
    public void Load()
    {
        if (Folder is null || !Directory.Exists(Folder))
        {
            Assert.Ignore(FixtureFolder.ModelsReason);
        }

        _device = new CpuDevice();
        _model = PretrainedModel.Load(Directory.EnumerateFiles(Folder, "*.gguf").Single(), _device);
        _recording = CheckpointReader.Open(Path.Combine(Folder, "recording.safetensors"));
        _case = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "case.json"))).RootElement;
    }

    [OneTimeTearDown]
    public void Close()
    {
        _recording?.Dispose();
        _model?.Dispose();
        _device?.Dispose();
    }

    [Test]
    public void Logits_and_losses_of_the_texts_agree()
    {
        int texts = _case.GetProperty("texts").GetArrayLength();
        for (int text = 0; text < texts; text++)
        {
            int[] ids = [.. _recording.ReadArray<long>($"text.{text}.input_ids").Select(v => (int)v)];
            Assert.That(_model.Tokenizer!.EncodeIds(_case.GetProperty("texts")[text].GetProperty("text").GetString()), Is.EqualTo(ids), $"ids of text {text}");
            float[] logits = Logits(ids, out double loss);
            int vocabulary = _model.Model.VocabSize;
            long[] top = _recording.ReadArray<long>($"text.{text}.top.ids");
            int best = top.Length / ids.Length;
            float[] values = [.. top.Select((id, i) => logits[(i / best * vocabulary) + (int)id])];
            double tolerance = _case.GetProperty("tolerance_logits").GetDouble();
            Closeness.AssertClose($"best logits of text {text}", values, _recording.ReadFloats($"text.{text}.top.values"), tolerance);
            Closeness.AssertClose($"last logits of text {text}", logits.AsSpan(^vocabulary..), _recording.ReadFloats($"text.{text}.last_logits"), tolerance);
            double expected = _recording.ReadFloats($"text.{text}.loss")[0];
            Assert.That(loss, Is.EqualTo(expected).Within(_case.GetProperty("tolerance_loss").GetDouble() * expected), $"loss of text {text}");
        }
    }

    [Test]
    public void The_perplexity_of_wikitext_agrees()
    {
        Shape shape = _recording.Entry("wikitext.input_ids").Shape;
        int[] ids = [.. _recording.ReadArray<long>("wikitext.input_ids").Select(v => (int)v)];
        float[] losses = _recording.ReadFloats("wikitext.loss");
        double sum = 0;
        for (int window = 0; window < shape[0]; window++)
        {
            _ = Logits(ids.AsSpan(window * shape[1], shape[1]).ToArray(), out double loss);
            Assert.That(loss, Is.EqualTo(losses[window]).Within(_case.GetProperty("tolerance_loss").GetDouble() * losses[window]), $"window {window}");
            sum += loss / shape[0];
        }

        double perplexity = _case.GetProperty("wikitext").GetProperty("perplexity").GetDouble();
        Assert.That(Math.Exp(sum), Is.EqualTo(perplexity).Within(2e-4 * perplexity));
    }

    [Test]
    public void Greedy_generations_agree()
    {
        using Generator generator = new(_model.Model, _model.Tokenizer, _device);
        foreach (JsonElement row in File.ReadLines(Path.Combine(Folder!, "generations.jsonl")).Select(l => JsonDocument.Parse(l).RootElement))
        {
            int[] prompt = [.. row.GetProperty("prompt_ids").EnumerateArray().Select(v => v.GetInt32())];
            int[] expected = [.. row.GetProperty("ids").EnumerateArray().Select(v => v.GetInt32())];
            GenerationResult result = generator.Generate(prompt, new GenerationConfig { MaxNewTokens = expected.Length });
            Assert.That(result.Ids, Is.EqualTo(expected));
        }
    }

    [Test]
    public void Streamed_text_is_the_text()
    {
        JsonElement row = JsonDocument.Parse(File.ReadLines(Path.Combine(Folder!, "generations.jsonl")).First()).RootElement;
        int[] prompt = [.. row.GetProperty("prompt_ids").EnumerateArray().Select(v => v.GetInt32())];
        using Generator generator = new(_model.Model, _model.Tokenizer, _device);
        GenerationConfig config = new() { MaxNewTokens = 40, EosTokenIds = _model.Generation.EosTokenIds };
        string streamed = string.Concat(generator.StreamAsync(prompt, config).ToBlockingEnumerable());
        Assert.That(streamed, Is.EqualTo(row.GetProperty("text_before_end").GetString()));
        generator.StopSequences = ["France is"];
        GenerationResult stopped = generator.Generate(prompt, config);
        Assert.That((stopped.Text, stopped.Reason), Is.EqualTo((streamed[..streamed.IndexOf("France is", StringComparison.Ordinal)], FinishReason.Stop)));
    }

    private float[] Logits(int[] ids, out double loss)
    {
        using Arena arena = new(_device, "test");
        using Scope scope = arena.Enter("text");
        Tape tape = Tape.None(arena);
        Tensor logits = _model.Model.Logits(new ForwardContext(tape, new TokenLayout(1, ids.Length)), arena.Create<int>(new Shape(1, ids.Length), ids, MemoryCategory.Activations));
        int[] targets = [.. ids[1..], -100];
        Tensor rows = tape.View(logits, new Shape(ids.Length, _model.Model.VocabSize));
        loss = tape.CrossEntropy(rows, arena.Create<int>(new Shape(ids.Length), targets, MemoryCategory.Activations)).ToArray<float>().Sum(v => (double)v) / (ids.Length - 1);
        return logits.ToArray<float>();
    }
}
