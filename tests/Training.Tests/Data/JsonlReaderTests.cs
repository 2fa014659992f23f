using System.Text;
using Graft.Training.Data;

namespace Graft.Training.Tests.Data;

public sealed class JsonlReaderTests
{
    private const string Good = """{"prompt":"a","completion":"b"}""";

    [Test]
    public void Pairs_are_read_with_their_lines()
    {
        const string Other = "{\"completion\": \" \\u00e9\\ud83d\\ude00\", \"more\": [1, {\"prompt\": 2}], \"prompt\": \"é\"}";
        DataSample[] samples = Read("\uFEFF" + Good + "\r\n\r\n  \n" + Other);
        Assert.That(samples, Is.EqualTo(new DataSample[] { new PromptSample("a", "b", 1), new PromptSample("é", " é😀", 4) }));
    }

    [Test]
    public void Texts_and_other_field_names_are_read()
    {
        Assert.That(Read("""{"text":"x"}""", new JsonlOptions { Format = SampleFormat.Text }), Is.EqualTo(new DataSample[] { new TextSample("x", 1) }));
        JsonlOptions options = new() { PromptField = "question", CompletionField = "answer" };
        Assert.That(Read("""{"question":"q","answer":"a"}""", options), Is.EqualTo(new DataSample[] { new PromptSample("q", "a", 1) }));
    }

    [Test]
    public void A_line_longer_than_the_buffer_is_read()
    {
        string prompt = new('é', 300_000);
        DataSample[] samples = Read(string.Join('\n', Good, $$"""{"prompt":"{{prompt}}","completion":"c"}""", Good));
        Assert.That(samples.Select(s => ((PromptSample)s).Prompt.Length), Is.EqualTo(new[] { 1, 300_000, 1 }));
        Assert.That(samples[2].Line, Is.EqualTo(3));
    }

    [TestCase("""{"prompt":"a","completion":"b" """, "malformed JSON")]
    [TestCase("""{"prompt":"a","completion":"b"} x""", "malformed JSON at byte 33")]
    [TestCase("""{"prompt":"a","completion":"b"}{}""", "malformed JSON")]
    [TestCase("nonsense", "malformed JSON at byte 2")]
    [TestCase("""["a"]""", "must be a JSON object, this is an array")]
    [TestCase("12", "this is a number")]
    [TestCase("""{"prompt":"a"}""", "the field \"completion\" is missing")]
    [TestCase("""{"completion":"a"}""", "the field \"prompt\" is missing")]
    [TestCase("""{"prompt":1,"completion":"b"}""", "the field \"prompt\" must be a string, this is a number")]
    [TestCase("""{"prompt":"a","completion":null}""", "the field \"completion\" must be a string, this is null")]
    [TestCase("""{"prompt":"a","prompt":"b","completion":""}""", "the field \"prompt\" occurs twice")]
    [TestCase("""{"prompt":"\ud800","completion":"b"}""", "surrogate")]
    public void A_bad_line_is_an_error_that_names_file_and_line(string line, string message)
    {
        DatasetException error = Assert.Throws<DatasetException>(() => Read($"{Good}\n\n{line}\n{Good}"))!;
        Assert.That(error.Message, Does.StartWith("data.jsonl:3: ").And.Contains(message));
        Assert.That((error.File, error.Line), Is.EqualTo(("data.jsonl", 3L)));
    }

    [Test]
    public void Deep_nesting_is_an_error_and_not_a_crash()
    {
        Assert.That(() => Read("{\"x\":" + new string('[', 100_000)), Throws.TypeOf<DatasetException>()
            .With.Message.StartsWith("data.jsonl:1: malformed JSON"));
    }

    [Test]
    public void Bytes_that_are_not_UTF8_are_an_error()
    {
        byte[] bytes = [.. Encoding.UTF8.GetBytes(Good + "\n{\"prompt\":\""), 0xFF, .. "\",\"completion\":\"\"}"u8];
        Assert.That(() => JsonlReader.Read(new MemoryStream(bytes), "data.jsonl").ToArray(), Throws.TypeOf<DatasetException>()
            .With.Message.Contains("data.jsonl:2: the line is not valid UTF-8"));
    }

    [Test]
    public void A_line_beyond_the_limit_is_an_error_before_it_is_held_in_memory()
    {
        JsonlOptions options = new() { MaxLineBytes = 100_000 };
        Assert.That(() => Read(Good + "\n" + new string(' ', 200_000), options), Throws.TypeOf<DatasetException>()
            .With.Message.Contains(":2: the line is longer than 100000 bytes"));
    }

    [Test]
    public void A_missing_file_is_an_error_with_its_name()
    {
        Assert.That(() => JsonlReader.Read("/no/such/file.jsonl").ToArray(), Throws.TypeOf<DatasetException>()
            .With.Message.EqualTo("/no/such/file.jsonl: there is no such data file."));
    }

    private static DataSample[] Read(string text, JsonlOptions? options = null) =>
        [.. JsonlReader.Read(new MemoryStream(Encoding.UTF8.GetBytes(text)), "data.jsonl", options)];
}
