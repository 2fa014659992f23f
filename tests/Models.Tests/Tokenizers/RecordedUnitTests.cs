using System.Text.Json;
using Graft.Models.Tokenizers;

namespace Graft.Models.Tests.Tokenizers;

[TestFixture]
[Category("Fixtures")]
public class RecordedUnitTests
{
    private static IEnumerable<string> Configs(string file) =>
        TokenizerFixtures.Lines("units", file).Select(l => l.GetProperty("config").GetRawText()).Distinct().DefaultIfEmpty(string.Empty);

    private static IEnumerable<string> NormalizerConfigs() => Configs("normalizers.jsonl");

    private static IEnumerable<string> PreTokenizerConfigs() => Configs("pre_tokenizers.jsonl");

    private static IEnumerable<string> DecoderConfigs() => Configs("decoders.jsonl");

    [TestCaseSource(nameof(NormalizerConfigs))]
    public void A_normalizer_gives_the_recorded_texts(string config)
    {
        Normalizer normalizer = Normalizer.Read(Field(config));
        Differences differences = new();
        foreach (JsonElement line in Of("normalizers.jsonl", config))
        {
            NormalizedText text = NormalizedText.Of(line.Text("text"), aligned: true);
            normalizer.Apply(text, 0);
            differences.Same(text.Text, line.Text("normalized"), TokenizerFixtures.Shown(line.Text("text")));
            NormalizedText fast = NormalizedText.Of(line.Text("text"), aligned: false);
            normalizer.Apply(fast, 0);
            differences.Same(fast.Text, text.Text, "without alignments");
        }

        differences.AssertNone(config);
    }

    [TestCaseSource(nameof(PreTokenizerConfigs))]
    public void A_pre_tokenizer_gives_the_recorded_pieces(string config)
    {
        PreTokenizer preTokenizer = PreTokenizer.Read(Field(config));
        Differences differences = new();
        foreach (JsonElement line in Of("pre_tokenizers.jsonl", config))
        {
            string text = line.Text("text");
            PreTokenizedText pieces = new();
            if (text.Length > 0)
            {
                pieces.Reset(NormalizedText.Of(text, aligned: true), CodePoints.Count(text));
                preTokenizer.Apply(pieces);
            }

            differences.Equal(pieces.Pieces.Select(p => p.Span.ToString()), line.Texts("pieces")!, $"pieces of {TokenizerFixtures.Shown(text)}");
            differences.Equal(pieces.Pieces.SelectMany(p => new[] { p.OriginalStart, p.OriginalEnd }), line.Ints("offsets"), $"offsets of {TokenizerFixtures.Shown(text)}");
        }

        differences.AssertNone(config);
    }

    [TestCaseSource(nameof(DecoderConfigs))]
    public void A_decoder_gives_the_recorded_text(string config)
    {
        Decoder decoder = Decoder.Read(Field(config));
        Differences differences = new();
        foreach (JsonElement line in Of("decoders.jsonl", config))
        {
            string text = string.Concat(decoder.Apply([.. line.Texts("tokens").Select(t => t!)]));
            if (line.Has("text"))
            {
                differences.Same(text, line.Text("text"), string.Join('|', line.Texts("tokens")));
            }
        }

        differences.AssertNone(config);
    }

    private static TokenizerField Field(string config)
    {
        if (config.Length == 0)
        {
            Assert.Ignore("the recordings of units are not there");
        }

        return new TokenizerField(JsonDocument.Parse(config).RootElement, "config", string.Empty);
    }

    private static IEnumerable<JsonElement> Of(string file, string config) =>
        TokenizerFixtures.Lines("units", file).Where(l => l.GetProperty("config").GetRawText() == config);
}
