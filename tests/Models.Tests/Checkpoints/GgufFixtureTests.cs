using System.Security.Cryptography;
using System.Text.Json;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
[Category("Fixtures")]
public sealed class GgufFixtureTests
{
    private static readonly string[] s_exact = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];

    private static IEnumerable<TestCaseData> BlockTypes()
    {
        foreach (string name in FixtureFolder.Cases("ops"))
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllText(FixtureFolder.PathOf("ops", name, "case.json")));
            if (json.RootElement.TryGetProperty("types", out JsonElement types) && json.RootElement.GetProperty("tolerance").TryGetProperty("dequantised", out JsonElement tolerance))
            {
                foreach (JsonElement type in types.EnumerateArray())
                {
                    yield return new TestCaseData(name, type.GetProperty("type").GetString(), tolerance.GetDouble());
                }
            }
        }
    }

    [TestCaseSource(nameof(BlockTypes))]
    public void Blocks_are_unpacked_as_the_reference_does(string name, string type, double tolerance)
    {
        if (!GgmlBlocks.TryGetLayout(type, out int elements, out int bytes))
        {
            Assert.Ignore($"{type} is not built: it is listed, and refused by name when read");
        }

        using SafeTensorsFile file = SafeTensorsFile.Open(FixtureFolder.PathOf("ops", name, "tensors.safetensors"));
        int compared = 0;
        foreach ((string packed, string unpacked) in new[] { ($"blocks.{type}", $"values.{type}"), ($"quantised.{type}", $"restored.{type}") })
        {
            if (!file.Tensors.ContainsKey(packed))
            {
                continue;
            }

            float[] expected = file.ReadFloats(unpacked);
            float[] values = new float[expected.Length];
            Assert.That(file.Bytes(packed).Length, Is.EqualTo(expected.Length / elements * bytes));
            GgmlBlocks.Unpack(type, file.Bytes(packed), values);
            for (int i = 0; i < values.Length; i++)
            {
                float largest = expected.AsSpan(i / elements * elements, elements).ToArray().Max(Math.Abs);
                bool same = s_exact.Contains(type)
                    ? BitConverter.SingleToInt32Bits(values[i]) == BitConverter.SingleToInt32Bits(expected[i])
                    : Math.Abs(values[i] - expected[i]) <= tolerance * largest;
                Assert.That(same, $"{packed}[{i}]: {values[i]:R}, expected {expected[i]:R}, error {Math.Abs(values[i] - expected[i]) / (tolerance * largest)} times the tolerance");
                compared++;
            }
        }

        Assert.That(compared, Is.GreaterThan(0));
    }

    private static IEnumerable<string> GgufFolders()
    {
        return FixtureFolder.Models is { } models ? Directory.EnumerateDirectories(models).Where(d => File.Exists(Path.Combine(d, "blocks.json"))).Select(d => Path.GetFileName(d)!) : [];
    }

    [Test]
    public void The_models_are_there_or_the_tests_below_say_why_not()
    {
        if (!GgufFolders().Any())
        {
            Assert.Ignore(FixtureFolder.ModelsReason);
        }
    }

    [TestCaseSource(nameof(GgufFolders))]
    public void Every_tensor_has_the_recorded_hash_name_and_row_order(string folder)
    {
        string root = Path.Combine(FixtureFolder.Models!, folder);
        using GgufCheckpoint checkpoint = GgufCheckpoint.Open(Directory.GetFiles(root, "*.gguf").Single());
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.Combine(root, "blocks.json")));
        JsonElement tensors = json.RootElement.GetProperty("tensors");
        Assert.That(tensors.EnumerateArray().Select(t => t.GetProperty("name").GetString()), Is.EqualTo(checkpoint.File.Tensors.Keys));
        float[] values = new float[checkpoint.File.Tensors.Values.Max(t => t.Shape.Count)];
        foreach (JsonElement tensor in tensors.EnumerateArray())
        {
            string name = tensor.GetProperty("name").GetString()!;
            string target = tensor.GetProperty("hugging_face").GetString()!;
            TensorEntry entry = checkpoint.File.Entry(name);
            Assert.That(entry.TypeName, Is.EqualTo(tensor.GetProperty("type").GetString()), name);
            Assert.That(entry.Shape, Is.EqualTo(new Shape([.. tensor.GetProperty("shape").EnumerateArray().Select(a => a.GetInt32())])), name);
            Span<float> whole = values.AsSpan(0, (int)entry.Shape.Count);
            checkpoint.File.Read(name, whole);
            Assert.That(Convert.ToHexStringLower(SHA256.HashData(System.Runtime.InteropServices.MemoryMarshal.AsBytes(whole))), Is.EqualTo(tensor.GetProperty("sha256_f32_le").GetString()), name);
            Assert.That(checkpoint.Entry(target).Shape, Is.EqualTo(entry.Shape), target);
            if (name.EndsWith("attn_q.weight", StringComparison.Ordinal) || name.EndsWith("attn_k.weight", StringComparison.Ordinal))
            {
                CheckRowOrder(checkpoint, target, whole, entry.Shape.Last);
            }
        }
    }

    private static void CheckRowOrder(GgufCheckpoint checkpoint, string target, ReadOnlySpan<float> stored, int width)
    {
        int headDim = checkpoint.Config.Root.GetProperty("head_dim").GetInt32();
        float[] read = checkpoint.ReadFloats(target);
        for (int row = 0; row < stored.Length / width; row++)
        {
            (int head, int within) = (row / headDim, row % headDim);
            int place = (head * headDim) + (within % 2 * headDim / 2) + (within / 2);
            Assert.That(read.AsSpan(place * width, width).SequenceEqual(stored.Slice(row * width, width)), $"{target} row {place}");
        }
    }

    [TestCaseSource(nameof(GgufFolders))]
    public void Recorded_rows_and_raw_bytes_agree(string folder)
    {
        string root = Path.Combine(FixtureFolder.Models!, folder);
        using GgufFile gguf = GgufFile.Open(Directory.GetFiles(root, "*.gguf").Single());
        using SafeTensorsFile recorded = SafeTensorsFile.Open(Path.Combine(root, "blocks.safetensors"));
        foreach (string key in recorded.Tensors.Keys.Where(k => k.EndsWith(".values", StringComparison.Ordinal)))
        {
            string name = key[..^".values".Length];
            float[] expected = recorded.ReadFloats(key);
            float[] values = new float[expected.Length];
            gguf.Read(name, 0, values.AsSpan());
            Assert.That(values.Select(BitConverter.SingleToInt32Bits), Is.EqualTo(expected.Select(BitConverter.SingleToInt32Bits)), name);
            byte[] raw = new byte[recorded.Tensors[$"{name}.bytes"].ByteCount];
            gguf.ReadRaw(name, 0, raw);
            Assert.That(raw, Is.EqualTo(recorded.Bytes($"{name}.bytes").ToArray()), name);
        }
    }

    [TestCaseSource(nameof(GgufFolders))]
    public void The_derived_config_vocabulary_and_template_are_the_recorded_ones(string folder)
    {
        string root = Path.Combine(FixtureFolder.Models!, folder);
        using GgufCheckpoint checkpoint = GgufCheckpoint.Open(Directory.GetFiles(root, "*.gguf").Single());
        HuggingFaceConfig recorded = HuggingFaceConfig.Load(root);
        List<string> warnings = [];
        Assert.That(LlamaConfig.Parse(checkpoint.Config.Root, checkpoint.Path, warnings), Is.EqualTo(LlamaConfig.Parse(recorded.Root, recorded.Path, warnings)));
        Assert.That(warnings, Is.Empty);
        Assert.That(checkpoint.ChatTemplate, Is.EqualTo(File.ReadAllText(Path.Combine(root, "chat_template.jinja"))));
        using JsonDocument tokenizer = JsonDocument.Parse(File.ReadAllText(Path.Combine(root, "tokenizer.json")));
        JsonElement model = tokenizer.RootElement.GetProperty("model");
        Assert.That(checkpoint.Vocabulary!.Tokens, Has.Count.EqualTo(checkpoint.Config.Root.GetProperty("vocab_size").GetInt32()));
        foreach (JsonProperty token in model.GetProperty("vocab").EnumerateObject())
        {
            Assert.That(checkpoint.Vocabulary.Tokens[token.Value.GetInt32()], Is.EqualTo(token.Name));
        }

        Assert.That(checkpoint.Vocabulary.Merges, Has.Count.EqualTo(model.GetProperty("merges").GetArrayLength()));
    }
}
