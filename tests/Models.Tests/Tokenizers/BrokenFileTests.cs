using System.Text.Json;
using CsCheck;
using Graft.Models.Tokenizers;
using Graft.Runtime;
using Graft.Tests;

namespace Graft.Models.Tests.Tokenizers;

[TestFixture]
public class BrokenFileTests
{
    private const string Small = """
        {"version":"1.0","added_tokens":[{"id":6,"content":"<x>","special":true,"normalized":false,"lstrip":true,"rstrip":false,"single_word":false}],
         "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "},{"type":"Lowercase"}]},
         "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:a|b)+|[^\\s\\p{L}]"},"behavior":"Isolated","invert":false},
           {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},
         "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
           "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<x>":{"id":"<x>","ids":[6],"tokens":["<x>"]}}},
         "decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
         "model":{"type":"BPE","dropout":null,"unk_token":"u","fuse_unk":true,"byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2,"u":3,"\u0120":4,"\u0120a":5},"merges":["a b",["\u0120","a"]]}}
        """;

    private static IEnumerable<string> BadFiles()
    {
        string file = FixtureFolder.PathOf("tokenizers", "bad", "bad.json");
        return File.Exists(file)
            ? JsonDocument.Parse(File.ReadAllBytes(file)).RootElement.GetProperty("files").EnumerateObject().Select(p => p.Name)
            : [];
    }

    [TestCaseSource(nameof(BadFiles))]
    [Category("Fixtures")]
    public void A_recorded_broken_file_is_treated_as_expected(string name)
    {
        JsonElement root = JsonDocument.Parse(File.ReadAllBytes(FixtureFolder.PathOf("tokenizers", "bad", "bad.json"))).RootElement;
        JsonElement entry = root.GetProperty("files").GetProperty(name);
        string expected = entry.Text("expect");
        string path = FixtureFolder.PathOf("tokenizers", "bad", name + ".json");
        long before = GC.GetAllocatedBytesForCurrentThread();
        Tokenizer? tokenizer = null;
        CheckpointException? refused = null;
        try
        {
            tokenizer = Tokenizer.Load(path);
        }
        catch (CheckpointException e)
        {
            refused = e;
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(64 << 20), "a small file took much memory");
        if (expected.StartsWith("refuse", StringComparison.Ordinal) && !expected.Contains(" or ", StringComparison.Ordinal))
        {
            Assert.That(refused, Is.Not.Null, $"{name} must be refused: {entry.Text("what")}");
        }

        if (expected.StartsWith("load", StringComparison.Ordinal))
        {
            Assert.That(refused, Is.Null, $"{name} must load: {refused?.Message}");
        }

        if (refused is not null)
        {
            Assert.That(refused.Message, Does.Contain(name + ".json"), "the error names the file");
            if (expected.Contains("naming the type", StringComparison.Ordinal))
            {
                string type = JsonDocument.Parse(File.ReadAllBytes(path)).RootElement.GetProperty("pre_tokenizer").Text("type");
                Assert.That(refused.Message, Does.Contain(type));
            }

            return;
        }

        System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
        try
        {
            Encoding encoding = tokenizer!.Encode(root.Text("probe"));
            Assert.That(encoding.Ids, Is.All.InRange(0, tokenizer.VocabularySize + 16));
            tokenizer.Decode(encoding.Ids);
        }
        catch (GraftException e)
        {
            Assert.That(e.Message, Does.Contain("pattern"), "a clean failure says why");
        }

        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(10)), "a hostile file must not hang the host");
    }

    [TestCase("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}}""", "dropout")]
    [TestCase("""{"model":{"type":"Frob","vocab":{"a":0}}}""", "Frob")]
    [TestCase("""{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}""", "model.vocab")]
    [TestCase("""{"model":{"type":"BPE","vocab":{"a":2000000000},"merges":[]}}""", "2000000000")]
    [TestCase("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}}""", "merge 0")]
    [TestCase("""{"model":{"type":"Unigram","vocab":[["a",0]],"unk_id":7}}""", "unk_id")]
    [TestCase("""{"version":"2.0","model":{"type":"BPE","vocab":{},"merges":[]}}""", "version")]
    [TestCase("""{"normalizer":{"type":"Blur"},"model":{"type":"BPE","vocab":{},"merges":[]}}""", "Blur")]
    [TestCase("""{"decoder":{"type":"Blur"},"model":{"type":"BPE","vocab":{},"merges":[]}}""", "Blur")]
    [TestCase("""{"post_processor":{"type":"Blur"},"model":{"type":"BPE","vocab":{},"merges":[]}}""", "Blur")]
    [TestCase("""{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{},"merges":[]}}""", "pre_tokenizer.pattern.Regex")]
    [TestCase("""{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\p{Klingon}"},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{},"merges":[]}}""", "Klingon")]
    [TestCase("""{"model":{"type":"BPE","vocab":{"\ud800":0},"merges":[]}}""", "model.vocab")]
    [TestCase("[]", "model")]
    [TestCase("", "JSON")]
    public void A_broken_file_is_refused_and_the_error_names_the_field(string json, string named)
    {
        CheckpointException refused = Assert.Throws<CheckpointException>(() => Tokenizer.Parse(System.Text.Encoding.UTF8.GetBytes(json), "broken.json"))!;
        Assert.That(refused.Message, Does.Contain(named).And.Contain("broken.json"));
    }

    [Test]
    public void A_file_nested_without_end_is_refused()
    {
        string deep = "{\"normalizer\":" + string.Concat(Enumerable.Repeat("{\"type\":\"Sequence\",\"normalizers\":[", 5000));
        Assert.That(() => Tokenizer.Parse(System.Text.Encoding.UTF8.GetBytes(deep), "deep.json"), Throws.TypeOf<CheckpointException>());
    }

    [Test]
    public void A_file_that_is_not_there_is_refused_by_name() =>
        Assert.That(() => Tokenizer.Load(Path.Combine(Path.GetTempPath(), "graft-no-such-folder", "tokenizer.json")),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("tokenizer.json"));

    [Test]
    public void Mutated_files_give_a_working_tokenizer_or_a_typed_error()
    {
        byte[] good = System.Text.Encoding.UTF8.GetBytes(Small);
        Assert.That(Tokenizer.Parse(good, "good").EncodeIds("ab  a <x>").Length, Is.GreaterThan(2), "the file to mutate is sound");
        Gen.Select(Gen.Int[0, good.Length - 1], Gen.Byte, Gen.Int[0, 3]).List[1, 4].Sample(
            mutations =>
            {
                List<byte> bytes = [.. good];
                foreach ((int at, byte value, int kind) in mutations)
                {
                    int place = Math.Min(at, bytes.Count - 1);
                    switch (kind)
                    {
                        case 0:
                            bytes[place] = value;
                            break;
                        case 1:
                            bytes.Insert(place, value);
                            break;
                        case 2:
                            bytes.RemoveAt(place);
                            break;
                        default:
                            bytes[place] = (byte)"0123456789\"{}[],:\\ntf"[value % 21];
                            break;
                    }
                }

                try
                {
                    Tokenizer tokenizer = Tokenizer.Parse([.. bytes], "mutated");
                    tokenizer.Decode(tokenizer.EncodeIds("ab  Ba é <x> 12"));
                    tokenizer.Encode("ab", "b a\U0001F600");
                    return true;
                }
                catch (GraftException)
                {
                    return true;
                }
            },
            iter: 4000,
            seed: "0N0XIzNsQ0O2");
    }
}
