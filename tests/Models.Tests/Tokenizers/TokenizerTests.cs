using System.Diagnostics;
using CsCheck;
using Graft.Models.Tokenizers;
using Graft.Runtime;
using Graft.Tests;

namespace Graft.Models.Tests.Tokenizers;

[TestFixture]
public class TokenizerTests
{
    private static IEnumerable<string> Folders() => TokenizerFixtures.Folders();

    [TestCaseSource(nameof(Folders))]
    [Category("Fixtures")]
    public void The_fast_way_gives_the_same_ids_and_decoding_never_fails_on_random_text(string name)
    {
        Tokenizer tokenizer = TokenizerFixtures.Load(name);
        string[] words = ["don't", "  ", "hello world", "\r\n", .. tokenizer.AddedTokens.Select(t => t.Content)];
        Gen<string> text = Gen.OneOf(
            Gen.Char.Select(c => c.ToString()),
            Gen.Char["abcXYZ  .,'\n\t019éßΣ中ー"].Select(c => c.ToString()),
            Gen.Int[0, 0x10FFFF].Select(c => c is >= 0xD800 and <= 0xDFFF ? "\uD800" : char.ConvertFromUtf32(c)),
            Gen.Int[0, words.Length - 1].Select(i => words[i])).Array[0, 30].Select(string.Concat);
        text.Sample(
            sample =>
            {
                Encoding encoding = tokenizer.Encode(sample);
                bool inside = encoding.Offsets.All(o => 0 <= o.Start && o.End <= sample.Length);
                tokenizer.Decode(encoding.Ids);
                return inside && tokenizer.EncodeIds(sample).SequenceEqual(encoding.Ids);
            },
            iter: 300,
            seed: "0N0XIzNsQ0O2");
    }

    [Test]
    [Category("Fixtures")]
    public void Many_threads_give_the_same_ids_as_one()
    {
        if (!Folders().Any())
        {
            Assert.Ignore("no recorded tokenizer is there");
        }

        Tokenizer tokenizer = TokenizerFixtures.Load(Folders().First());
        string[] texts = [.. Enumerable.Range(0, 400).Select(i => $"Text number {i}: some wörds {i * 7919} and {i % 13} more, don't repeat {i}.")];
        int[][] alone = [.. texts.Select(t => tokenizer.EncodeIds(t))];
        int[][] together = new int[texts.Length][];
        Parallel.For(0, texts.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => together[i] = tokenizer.EncodeIds(texts[i]));
        Assert.That(together, Is.EqualTo(alone));
    }

    [Test]
    [Category("Fixtures")]
    public void Loading_and_encoding_keep_their_budgets()
    {
        string? largest = Folders().MaxBy(f => new FileInfo(FixtureFolder.PathOf("tokenizers", f, "tokenizer.json")).Length);
        if (largest is null)
        {
            Assert.Ignore("no recorded tokenizer is there");
        }

        Tokenizer.Load(FixtureFolder.PathOf("tokenizers", largest));
        Stopwatch clock = Stopwatch.StartNew();
        Tokenizer tokenizer = Tokenizer.Load(FixtureFolder.PathOf("tokenizers", largest));
        TimeSpan load = clock.Elapsed;
        string text = string.Concat(TokenizerFixtures.Lines(largest, "strings.jsonl").Where(l => l.Text("kind") is "prose" or "long"
            or "code").Select(l => l.Text("text") + "\n"));
        text = string.Concat(Enumerable.Repeat(text, 1 + (400_000 / Math.Max(1, text.Length))));
        List<int> ids = [];
        tokenizer.EncodeIds(text, ids);
        clock.Restart();
        tokenizer.EncodeIds(text, ids);
        double rate = text.Length / clock.Elapsed.TotalSeconds / 1e6;
        TestContext.Out.WriteLine($"{largest}: load {load.TotalMilliseconds:F0} ms, {rate:F1} million characters per second");

        // Far below what is reached on an idle machine, so that a busy one passes as well.
        Assert.That(load, Is.LessThan(TimeSpan.FromSeconds(3)));
        Assert.That(rate, Is.GreaterThan(0.3));
    }

    [Test]
    [Category("Fixtures")]
    public void The_configuration_beside_a_file_names_the_special_tokens()
    {
        foreach (string folder in Folders())
        {
            Tokenizer tokenizer = TokenizerFixtures.Load(folder);
            foreach ((string? token, int? id) in new[] { (tokenizer.Config.BosToken, tokenizer.BosId), (tokenizer.Config.EosToken, tokenizer.EosId),
                (tokenizer.Config.PadToken, tokenizer.PadId) })
            {
                Assert.That(id is null ? null : tokenizer.IdToToken(id.Value), Is.EqualTo(token), folder);
            }
        }
    }

    [Test]
    public void A_special_token_may_be_a_string_or_an_object()
    {
        TokenizerConfig config = TokenizerConfig.Parse(
            """{"bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false},"pad_token":null,"model_max_length":1e30,"chat_template":[{"name":"tool","template":"t"},{"name":"default","template":"d"}]}"""u8.ToArray(), "c.json");
        Assert.That(config, Is.EqualTo(new TokenizerConfig("<s>", "</s>", null, null, "d", null)));
        Assert.That(() => TokenizerConfig.Parse("""{"bos_token":7}"""u8.ToArray(), "c.json"), Throws.TypeOf<CheckpointException>().With.Message.Contains("bos_token"));
    }

    [Test]
    public void Special_tokens_in_the_text_are_found_and_skipped_when_asked()
    {
        Tokenizer tokenizer = Tokenizer.Parse(
            """{"added_tokens":[{"id":2,"content":"<e>","special":true}],"model":{"type":"WordLevel","vocab":{"a":0,"?":1},"unk_token":"?"},"pre_tokenizer":{"type":"WhitespaceSplit"}}"""u8, "t.json");
        Encoding encoding = tokenizer.Encode("a \U0001F600 <e>a");
        Assert.Multiple(() =>
        {
            Assert.That(encoding.Ids, Is.EqualTo(new[] { 0, 1, 2, 0 }));
            Assert.That(encoding.Offsets, Is.EqualTo(new TextOffset[] { new(0, 1), new(2, 4), new(5, 8), new(8, 9) }));
            Assert.That(encoding.OffsetsInCodePoints, Is.EqualTo(new TextOffset[] { new(0, 1), new(2, 3), new(4, 7), new(7, 8) }));
            Assert.That(tokenizer.Decode(encoding.Ids), Is.EqualTo("a ? <e> a"));
            Assert.That(tokenizer.Decode(encoding.Ids, skipSpecialTokens: true), Is.EqualTo("a ? a"));
            Assert.That(tokenizer.VocabularySize, Is.EqualTo(3));
        });
    }
}
