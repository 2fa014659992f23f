using Graft.Cli.Output;

namespace Graft.Cli.Tests;

/// <summary>Parsing, help, tables: what needs no model.</summary>
internal sealed class CommandLineTests
{
    [TestCase("train")]
    [TestCase("trian", "run.yaml")]
    [TestCase("train", "run.yaml", "--stes", "3")]
    [TestCase("merge", "model", "--adapter", "a")]
    [TestCase("generate", "model", "--top-k", "many")]
    [TestCase("eval", "model", "--dtype", "f16")]
    [TestCase("eval", "somewhere")]
    [TestCase("plan", "run.yaml", "--limit", "much")]
    public async Task What_cannot_be_understood_is_an_error_of_usage(params string[] args)
    {
        ToolRun run = await ToolRun.Of(args);
        Assert.That(run.Code, Is.EqualTo(2), run.Error);
        Assert.That(run.Error, Does.StartWith("graft: ").And.Not.Contains("   at "));
        Assert.That(run.Output, Is.Empty);
    }

    [Test]
    public async Task Help_names_every_command()
    {
        ToolRun run = await ToolRun.Of("--help");
        Assert.That(run.Code, Is.Zero);
        foreach (string command in new[] { "train", "eval", "generate", "merge", "plan", "methods", "doctor" })
        {
            Assert.That(run.Output, Does.Contain($"  {command} "));
        }
    }

    [Test]
    public async Task Methods_lists_every_row_of_every_table()
    {
        ToolRun run = await ToolRun.Of("methods");
        Assert.That(run.Code, Is.Zero);
        string[] adapters = [.. Graft.Models.Adapters.AdapterTable.Rows.Select(r => r.Name)];
        string[] names = [.. adapters, .. Graft.Training.Optimizers.ScheduleTable.Names, "adamw", "sgd", "llama", "gpt2", "causal_lm"];
        foreach (string name in names)
        {
            Assert.That(run.Output, Does.Match($"(?m)^  {name}\\b"), name);
        }

        ToolRun json = await ToolRun.Of("methods", "--json");
        string[] kinds = ["adapter", "optimizer", "schedule", "architecture", "objective"];
        Assert.That(json.Lines.Select(l => l.GetProperty("event").GetString()).Distinct(), Is.EqualTo(kinds));
        Assert.That(json.Lines.Select(l => l.GetProperty("name").GetString()), Is.SupersetOf(names));
    }

    [Test]
    public async Task Doctor_says_what_the_machine_is()
    {
        ToolRun run = await ToolRun.Of("doctor", "--json");
        Assert.That(run.Code, Is.Zero);
        Dictionary<string, string?> facts = run.Lines.Where(l => l.GetProperty("event").GetString() == "fact")
            .ToDictionary(l => l.GetProperty("name").GetString()!, l => l.GetProperty("value").GetString());
        Assert.That(facts.Keys, Is.SupersetOf(new[] { "processor", "instruction sets", "threads", "memory", "disk", ".net" }));
        Assert.That(facts["threads"], Is.EqualTo(Environment.ProcessorCount.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        Assert.That(facts.Values, Has.None.Empty);
        Assert.That((await ToolRun.Of("doctor")).Output, Does.Contain("instruction sets").And.Contain("CUDA"));
    }

    [TestCase("1500000", 1_500_000)]
    [TestCase("500M", 500L << 20)]
    [TestCase("500MB", 500_000_000)]
    [TestCase("2.5GiB", 2_684_354_560L)]
    [TestCase("2 g", 2L << 30)]
    [TestCase("", null)]
    [TestCase("-1", null)]
    [TestCase("12 parsecs", null)]
    [TestCase("0", null)]
    public void Bytes_are_read_as_people_write_them(string text, long? bytes)
    {
        Assert.That(Words.ParseBytes(text), Is.EqualTo(bytes));
    }
}
