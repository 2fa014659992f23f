using System.Text.Json;
using Graft.Models.Tokenizers;

namespace Graft.Models.Tests.Tokenizers;

[TestFixture]
[Category("Fixtures")]
public class RecordedStringTests
{
    private static IEnumerable<string> Folders() => TokenizerFixtures.Folders();

    [TestCaseSource(nameof(Folders))]
    public void Strings_give_the_recorded_ids_tokens_and_offsets(string name)
    {
        Tokenizer tokenizer = TokenizerFixtures.Load(name);
        Differences differences = new();
        foreach (JsonElement line in TokenizerFixtures.Lines(name, "strings.jsonl"))
        {
            string text = line.Text("text");
            string what = TokenizerFixtures.Shown(text);
            Encoding encoding = tokenizer.Encode(text);
            differences.Equal(encoding.Ids, line.Ints("ids"), $"ids of {what}");
            differences.Equal(tokenizer.EncodeIds(text), line.Ints("ids"), $"fast ids of {what}");
            if (line.Has("ids_plain") || line.Text("kind") != "long")
            {
                int[] plain = line.Ints(line.Has("ids_plain") ? "ids_plain" : "ids");
                differences.Equal(tokenizer.Encode(text, addSpecialTokens: false).Ids, plain, $"plain ids of {what}");
                differences.Equal(tokenizer.EncodeIds(text, addSpecialTokens: false), plain, $"fast plain ids of {what}");
            }

            if (line.Has("tokens"))
            {
                differences.Equal(encoding.Tokens, line.Texts("tokens"), $"tokens of {what}");
            }

            if (line.Has("offsets"))
            {
                differences.Equal(encoding.OffsetsInCodePoints.Flat(), line.Ints("offsets"), $"offsets of {what}");
                differences.Equal(encoding.Offsets.Flat(), line.Ints("offsets").Select(o => UnitsBefore(text, o)), $"UTF-16 offsets of {what}");
            }
        }

        differences.AssertNone(name);
        Assert.That(differences.Checked, Is.GreaterThan(0), "no recorded strings were found");
    }

    [TestCaseSource(nameof(Folders))]
    public void Recorded_ids_decode_to_the_recorded_text(string name)
    {
        Tokenizer tokenizer = TokenizerFixtures.Load(name);
        Differences differences = new();
        foreach (string file in new[] { "strings.jsonl", "decode.jsonl" })
        {
            foreach (JsonElement line in TokenizerFixtures.Lines(name, file))
            {
                int[] ids = line.Ints("ids");
                string what = $"{file} {string.Join(',', ids.Take(20))}";
                differences.Same(tokenizer.Decode(ids), line.Text("decoded"), $"decoded {what}");
                differences.Same(tokenizer.Decode(ids, skipSpecialTokens: true), line.Text(line.Has("decoded_skip") ? "decoded_skip" : "decoded"), $"skipped {what}");
                if (file == "decode.jsonl" && line.Has("tokens"))
                {
                    differences.Equal(ids.Select(tokenizer.IdToToken), line.Texts("tokens"), $"tokens {what}");
                }

                if (line.Has("stream"))
                {
                    DecodeStream stream = tokenizer.CreateDecodeStream();
                    string?[] recorded = line.Texts("stream");
                    differences.Equal(ids.Select(stream.Add).ToList().Take(recorded.Length), recorded, $"stream {what}");
                }
            }
        }

        differences.AssertNone(name);
        Assert.That(differences.Checked, Is.GreaterThan(0), "no recorded ids were found");
    }

    [TestCaseSource(nameof(Folders))]
    public void Pairs_give_the_recorded_encoding(string name)
    {
        Tokenizer tokenizer = TokenizerFixtures.Load(name);
        Differences differences = new();
        foreach (JsonElement line in TokenizerFixtures.Lines(name, "pairs.jsonl"))
        {
            string text = line.Text("text");
            string pair = line.Text("pair");
            string what = $"{TokenizerFixtures.Shown(text)} + {TokenizerFixtures.Shown(pair)}";
            Encoding encoding = tokenizer.Encode(text, pair);
            differences.Equal(encoding.Ids, line.Ints("ids"), $"ids of {what}");
            differences.Equal(encoding.Tokens, line.Texts("tokens"), $"tokens of {what}");
            differences.Equal(encoding.TypeIds, line.Ints("type_ids"), $"types of {what}");
            differences.Equal(encoding.OffsetsInCodePoints.Flat(), line.Ints("offsets"), $"offsets of {what}");
            differences.Equal(encoding.SpecialTokensMask.Select(s => s ? 1 : 0), line.Ints("special_tokens_mask"), $"special mask of {what}");
            differences.Equal(encoding.AttentionMask, line.Ints("attention_mask"), $"attention mask of {what}");
            differences.Equal(encoding.SequenceIds, line.OptionalInts("sequence_ids"), $"sequence ids of {what}");
            if (line.Has("ids_plain"))
            {
                differences.Equal(tokenizer.Encode(text, pair, addSpecialTokens: false).Ids, line.Ints("ids_plain"), $"plain ids of {what}");
            }

            for (int i = 0; i < encoding.Count; i++)
            {
                string own = encoding.SequenceIds[i] == 1 ? pair : text;
                TextOffset units = encoding.Offsets[i];
                TextOffset points = encoding.OffsetsInCodePoints[i];
                differences.Equal([units.Start, units.End], [UnitsBefore(own, points.Start), UnitsBefore(own, points.End)], $"UTF-16 offsets of {what}, token {i}");
            }
        }

        if (differences.Checked == 0)
        {
            Assert.Pass("the case has no pairs");
        }

        differences.AssertNone(name);
    }

    /// <summary>How many UTF-16 units so many code points take, counted by runes.</summary>
    private static int UnitsBefore(string text, int codePoints) => text.EnumerateRunes().Take(codePoints).Sum(r => r.Utf16SequenceLength);
}
