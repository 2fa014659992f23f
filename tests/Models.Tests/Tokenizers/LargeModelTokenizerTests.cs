using System.Text.Json;
using Graft.Models.Tokenizers;
using Graft.Tests;

namespace Graft.Models.Tests.Tokenizers;

[TestFixture]
[Category("Fixtures")]
public class LargeModelTokenizerTests
{
    private static IEnumerable<string> Folders() => FixtureFolder.Models is { } root
        ? Directory.EnumerateDirectories(root).Where(f => File.Exists(Path.Combine(f, "tokenizer.json")) && File.Exists(Path.Combine(f,
            "strings.jsonl"))).Select(f => Path.GetFileName(f)!).DefaultIfEmpty(string.Empty)
        : [string.Empty];

    [TestCaseSource(nameof(Folders))]
    public void The_published_tokenizer_gives_the_recorded_ids_and_texts(string name)
    {
        string folder = Folder(name);
        Check(Tokenizer.Load(folder), folder);
    }

    [TestCaseSource(nameof(Folders))]
    public void The_same_vocabulary_as_a_GGUF_file_has_it_gives_the_same_ids(string name)
    {
        string folder = Folder(name);
        JsonElement root = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "tokenizer.json"))).RootElement;
        JsonElement model = root.GetProperty("model");
        bool digits = root.GetProperty("pre_tokenizer").GetRawText().Contains("individual_digits", StringComparison.Ordinal);
        if (!digits || !root.GetProperty("pre_tokenizer").GetRawText().Contains("ByteLevel", StringComparison.Ordinal))
        {
            Assert.Ignore("the test knows the GGUF name of one kind of pre-tokenizer only");
        }

        SortedDictionary<int, string> tokens = [];
        foreach (JsonProperty property in model.GetProperty("vocab").EnumerateObject())
        {
            tokens[property.Value.GetInt32()] = property.Name;
        }

        Dictionary<int, int> types = root.GetProperty("added_tokens").EnumerateArray().ToDictionary(t => t.GetProperty("id").GetInt32(), _ => 3);
        string[] merges = [.. model.GetProperty("merges").EnumerateArray().Select(m => m.ValueKind == JsonValueKind.String ? m.GetString()! : $"{m[0]} {m[1]}")];
        GgufVocabulary vocabulary = new(
            "gpt2", "smollm", [.. tokens.Values], null, [.. tokens.Keys.Select(id => types.GetValueOrDefault(id, 1))], merges, 1, 2, 2, 0, false, null);
        Tokenizer tokenizer = GgufTokenizer.Create(vocabulary);
        Assert.That((tokenizer.BosId, tokenizer.EosId, tokenizer.VocabularySize), Is.EqualTo((1, 2, tokens.Count)));
        Check(tokenizer, folder);
    }

    private static string Folder(string name)
    {
        if (name.Length == 0)
        {
            Assert.Ignore(FixtureFolder.ModelsReason);
        }

        return Path.Combine(FixtureFolder.Models!, name);
    }

    private static void Check(Tokenizer tokenizer, string folder)
    {
        Differences differences = new();
        foreach (string line in File.ReadLines(Path.Combine(folder, "strings.jsonl")))
        {
            JsonElement entry = JsonDocument.Parse(line).RootElement;
            int[] ids = entry.Ints("ids");
            string what = TokenizerFixtures.Shown(entry.Text("text"));
            differences.Equal(tokenizer.Encode(entry.Text("text")).Ids, ids, $"ids of {what}");
            differences.Equal(tokenizer.EncodeIds(entry.Text("text")), ids, $"fast ids of {what}");
            differences.Same(tokenizer.Decode(ids), entry.Text("decoded"), $"decoded {what}");
        }

        string chat = Path.Combine(folder, "chat.jsonl");
        foreach (string line in File.Exists(chat) ? File.ReadLines(chat) : [])
        {
            JsonElement entry = JsonDocument.Parse(line).RootElement;
            if (entry.Has("rendered") && entry.Has("ids"))
            {
                differences.Equal(tokenizer.EncodeIds(entry.Text("rendered"), addSpecialTokens: false), entry.Ints("ids"), $"ids of {TokenizerFixtures.Shown(entry.Text("rendered"))}");
            }
        }

        differences.AssertNone(folder);
        Assert.That(differences.Checked, Is.GreaterThan(10));
    }
}
