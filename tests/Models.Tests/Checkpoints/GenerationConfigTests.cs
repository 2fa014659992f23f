using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class GenerationConfigTests
{
    private static GenerationConfig Parse(string json, ICollection<string>? warnings = null)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return GenerationConfig.Parse(document.RootElement, "the/generation_config.json", warnings);
    }

    [Test]
    public void Settings_are_read_and_absent_ones_take_the_reference_defaults()
    {
        GenerationConfig config = Parse("""{"do_sample":true,"temperature":0.7,"top_p":0.8,"top_k":20,"repetition_penalty":1.05,"eos_token_id":[5,6],"pad_token_id":5,"max_new_tokens":2048,"bad_words_ids":[[1],[2,3]]}""");
        GenerationConfig expected = new()
        {
            DoSample = true,
            Temperature = 0.7,
            TopP = 0.8,
            TopK = 20,
            RepetitionPenalty = 1.05,
            EosTokenIds = new([5, 6]),
            PadTokenId = 5,
            MaxNewTokens = 2048,
            BadWordsIds = new([new([1]), new([2, 3])]),
        };
        Assert.That(config, Is.EqualTo(expected));
        GenerationConfig defaults = Parse("{}");
        Assert.That((defaults.DoSample, defaults.Temperature, defaults.TopK, defaults.TopP, defaults.MaxLength), Is.EqualTo((false, 1.0, 50, 1.0, (int?)null)));
        Assert.That(Parse("""{"eos_token_id":7,"top_k":null}""").EosTokenIds, Is.EqualTo(new ValueList<int>([7])));
        Assert.That(Parse("""{"top_k":null}""").TopK, Is.Zero);
    }

    [TestCase("""{"num_beams":4}""", "num_beams")]
    [TestCase("""{"penalty_alpha":0.6}""", "penalty_alpha")]
    [TestCase("""{"guidance_scale":1.5}""", "guidance_scale")]
    [TestCase("""{"temperature":-1}""", "temperature")]
    [TestCase("""{"do_sample":true,"temperature":0}""", "temperature")]
    [TestCase("""{"top_p":1.5}""", "top_p")]
    [TestCase("""{"top_k":-1}""", "top_k")]
    [TestCase("""{"repetition_penalty":0}""", "repetition_penalty")]
    [TestCase("""{"max_new_tokens":0}""", "max_new_tokens")]
    [TestCase("""{"bad_words_ids":[1]}""", "bad_words_ids")]
    [TestCase("""{"eos_token_id":"end"}""", "eos_token_id")]
    public void A_setting_that_cannot_be_followed_is_refused_by_name(string json, string key)
    {
        Assert.That(() => Parse(json), Throws.TypeOf<CheckpointException>().With.Message.Contains($"'{key}'").And.Message.Contains("the/generation_config.json"));
    }

    [Test]
    public void Neutral_values_pass_and_unknown_keys_are_warned_of()
    {
        List<string> warnings = [];
        _ = Parse("""{"num_beams":1,"guidance_scale":null,"use_cache":true,"strange":3}""", warnings);
        Assert.That(warnings, Has.Count.EqualTo(1).And.One.Contains("strange"));
    }

    private static IEnumerable<string> Folders() => FixtureFolder.Cases("architectures");

    [Category("Fixtures")]
    [TestCaseSource(nameof(Folders))]
    public void A_recorded_folder_gives_the_ids_of_its_config(string name)
    {
        string folder = FixtureFolder.PathOf("architectures", name);
        List<string> warnings = [];
        GenerationConfig config = GenerationConfig.Load(folder, warnings);
        using JsonDocument model = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "config.json")));
        ConfigReader expected = new(model.RootElement, name);
        Assert.That(config.BosTokenId, Is.EqualTo(expected.OptionalInt("bos_token_id")));
        Assert.That(config.EosTokenIds, Is.EqualTo(expected.Ints("eos_token_id")));
        Assert.That(warnings, Is.Empty);
    }
}
