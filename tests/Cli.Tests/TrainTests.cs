using System.Text.Json;

namespace Graft.Cli.Tests;

/// <summary>A short run of the shipped sample, and what the other commands make of its results.</summary>
internal sealed class TrainTests
{
    private TemporaryFolder _folder = null!;
    private ToolRun _run = null!;

    private string Adapter => Path.Combine(_folder.Path, "adapter");

    [OneTimeSetUp]
    public async Task Train()
    {
        _folder = new TemporaryFolder();
        _run = await ToolRun.Of(["train", Sample.RunFile, "--json", .. Sample.Small(_folder.Path)]);
        Assert.That(_run.Code, Is.Zero, _run.Error);
    }

    [OneTimeTearDown]
    public void Remove() => _folder.Dispose();

    [Test]
    public void Every_line_is_an_event_with_its_fields()
    {
        Dictionary<string, string[]> fields = new()
        {
            ["started"] = ["step", "total_steps", "trained_parameters", "resumed_from"],
            ["sample"] = ["phase", "prompt", "expected", "text"],
            ["evaluation"] = ["step", "loss", "perplexity", "token_accuracy", "exact_match", "tokens", "best"],
            ["step"] = ["step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "seconds", "tokens_per_second", "memory_bytes"],
            ["checkpoint"] = ["step", "path"],
            ["warning"] = ["message"],
            ["finished"] = ["perplexity_before", "perplexity_after", "seconds", "tokens_per_second", "peak_bytes", "resident_bytes", "steps",
                "reason", "output", "device"],
        };
        foreach (JsonElement line in _run.Lines)
        {
            string name = line.GetProperty("event").GetString()!;
            Assert.That(fields, Does.ContainKey(name));
            Assert.That(line.EnumerateObject().Select(p => p.Name).Skip(1), Is.EqualTo(fields[name]), name);
        }

        Assert.That(_run.Lines.Select(l => l.GetProperty("event").GetString()), Is.SupersetOf(fields.Keys.Except(["warning"])));
        Assert.That(_run.Lines.Count(l => l.GetProperty("event").GetString() == "sample"), Is.EqualTo(4));
    }

    [Test]
    public void The_last_line_says_how_the_run_ended()
    {
        JsonElement last = _run.Last;
        Assert.That(last.GetProperty("event").GetString(), Is.EqualTo("finished"));
        Assert.That(last.GetProperty("perplexity_after").GetDouble(), Is.LessThan(last.GetProperty("perplexity_before").GetDouble()));
        Assert.That(last.GetProperty("seconds").GetDouble(), Is.Positive);
        Assert.That(last.GetProperty("tokens_per_second").GetDouble(), Is.Positive);
        Assert.That(last.GetProperty("resident_bytes").GetInt64(), Is.GreaterThan(last.GetProperty("peak_bytes").GetInt64()));
        Assert.That(last.GetProperty("output").GetString(), Is.EqualTo(_folder.Path));
    }

    [Test]
    public void The_output_folder_holds_all_results()
    {
        string[] files =
        [
            "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "curve.svg", "report.md", "report.json", "run.yaml", "trainer_state.json",
        ];
        foreach (string file in files)
        {
            Assert.That(new FileInfo(Path.Combine(_folder.Path, file)), Has.Property("Exists").True.And.Property("Length").Positive, file);
        }

        Assert.That(File.ReadAllText(Path.Combine(_folder.Path, "curve.svg")), Does.StartWith("<svg").And.Contain("<polyline").And.EndWith("</svg>\n"));
        using JsonDocument state = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder.Path, "trainer_state.json")));
        Assert.That(state.RootElement.GetProperty("global_step").GetInt64(), Is.EqualTo(3));
        using JsonDocument report = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder.Path, "report.json")));
        Assert.That(report.RootElement.GetProperty("before").GetArrayLength(), Is.EqualTo(2));
        Assert.That(report.RootElement.GetProperty("after").GetArrayLength(), Is.EqualTo(2));
        Assert.That(report.RootElement.GetProperty("perplexity_after").GetDouble(), Is.EqualTo(_run.Last.GetProperty("perplexity_after").GetDouble()));
    }

    [TestCase]
    [TestCase("training.gradient_accumulation_steps=2", "training.activation_checkpointing=true")]
    [TestCase("adapter.method=dora", "model.dtype=bf16", "training.batch_size=1")]
    public async Task The_plan_is_the_measured_peak_to_the_byte(params string[] changes)
    {
        using TemporaryFolder folder = new();
        string[] small = Sample.Small(folder.Path, ["training.steps=2", "generation.prompts=0", .. changes]);
        ToolRun run = changes.Length == 0 ? _run : await ToolRun.Of(["train", Sample.RunFile, "--json", .. small]);
        ToolRun plan = await ToolRun.Of(["plan", Sample.RunFile, "--json", .. small]);
        Assert.That((run.Code, plan.Code), Is.EqualTo((0, 0)), run.Error + plan.Error);
        Assert.That(plan.Last.GetProperty("peak_bytes").GetInt64(), Is.EqualTo(run.Last.GetProperty("peak_bytes").GetInt64()));
    }

    [Test]
    public async Task A_profile_is_a_table_and_a_trace([Values] bool json)
    {
        using TemporaryFolder folder = new();
        string[] small = Sample.Small(folder.Path, ["generation.prompts=0"]);
        ToolRun run = await ToolRun.Of(["train", Sample.RunFile, "--profile", .. json ? ["--json"] : (string[])[], .. small]);
        Assert.That(run.Code, Is.Zero, run.Error);
        string trace = Path.Combine(folder.Path, "trace.json");
        using JsonDocument spans = JsonDocument.Parse(File.ReadAllText(trace));
        Assert.That(spans.RootElement.GetProperty("traceEvents").GetArrayLength(), Is.GreaterThan(100));
        if (json)
        {
            JsonElement profile = run.Lines.Single(l => l.GetProperty("event").GetString() == "profile");
            Assert.That(profile.EnumerateObject().Select(p => p.Name), Is.EqualTo(new[] { "event", "steps", "seconds", "outside_seconds", "trace", "families" }));
            Assert.That(profile.GetProperty("steps").GetInt64(), Is.EqualTo(1), "of three steps two are warm-up");
            Assert.That(profile.GetProperty("trace").GetString(), Is.EqualTo(trace));
            double sum = profile.GetProperty("outside_seconds").GetDouble() + profile.GetProperty("families").EnumerateArray().Sum(f => f.GetProperty("seconds").GetDouble());
            Assert.That(profile.GetProperty("seconds").GetDouble(), Is.EqualTo(sum).Within(1e-9));
        }
        else
        {
            Assert.That(run.Output, Does.Match(@"\n  op +phase +calls +ms +share +GB/s +GFLOP/s\n").And.Match(@"\n  linear +backward +84 ").And.Contain("(outside of ops)"));
            Assert.That(run.Output, Does.Contain(trace));
        }
    }

    [Test]
    public async Task A_plan_for_a_card_needs_none()
    {
        ToolRun plan = await ToolRun.Of(["plan", Sample.RunFile, "--json", "--device", "cuda", .. Sample.Small(_folder.Path, ["model.activations=bf16"])]);
        Assert.That(plan.Code, Is.Zero, plan.Error);
        Assert.That(plan.Last.GetProperty("peak_bytes").GetInt64(), Is.Positive);
        ToolRun wide = await ToolRun.Of(["plan", Sample.RunFile, "--json", "--device", "cuda", .. Sample.Small(_folder.Path)]);
        Assert.That(Activations(plan), Is.LessThan(Activations(wide)));

        static long Activations(ToolRun run) => run.Last.GetProperty("step_bytes").GetProperty("activations").GetInt64();
    }

    [Test]
    public async Task A_plan_that_does_not_fit_names_a_change_that_does()
    {
        long peak = _run.Last.GetProperty("peak_bytes").GetInt64();
        string[] small = Sample.Small(_folder.Path);
        ToolRun fits = await ToolRun.Of(["plan", Sample.RunFile, "--json", "--limit", $"{peak}", .. small]);
        Assert.That(fits.Last.GetProperty("fits").GetBoolean(), Is.True, fits.Error);
        ToolRun tight = await ToolRun.Of(["plan", Sample.RunFile, "--json", "--limit", $"{peak - 1}", .. small]);
        Assert.That(tight.Last.GetProperty("fits").GetBoolean(), Is.False);
        JsonElement change = tight.Last.GetProperty("change");
        Assert.That(change.GetProperty("what").GetString(), Does.Contain("accumulation"), "the change that costs nothing comes first");
        string[] sets = [.. change.GetProperty("set").EnumerateArray().SelectMany(v => new[] { "--set", v.GetString()! })];
        ToolRun changed = await ToolRun.Of(["plan", Sample.RunFile, "--json", .. small, .. sets]);
        Assert.That(changed.Last.GetProperty("peak_bytes").GetInt64(), Is.EqualTo(change.GetProperty("peak_bytes").GetInt64()).And.LessThan(peak));
        ToolRun never = await ToolRun.Of(["plan", Sample.RunFile, "--limit", "1000", .. small]);
        Assert.That(never.Code, Is.Zero, never.Error);
        Assert.That(never.Output, Does.Contain("no single change"));
    }

    [Test]
    public async Task Eval_measures_what_training_said()
    {
        string[] small = Sample.Small(_folder.Path);
        ToolRun tuned = await ToolRun.Of(["eval", Sample.RunFile, "--json", "--adapter", Adapter, .. small]);
        ToolRun plain = await Eval(Sample.Model);
        Assert.That((tuned.Code, plain.Code), Is.EqualTo((0, 0)), tuned.Error + plain.Error);
        Assert.That(tuned.Last.EnumerateObject().Select(p => p.Name), Is.SupersetOf(new[] { "event", "loss", "perplexity", "tokens" }));
        Assert.That(tuned.Last.GetProperty("event").GetString(), Is.EqualTo("evaluated"));
        Assert.That(tuned.Last.GetProperty("perplexity").GetDouble(), Is.EqualTo(_run.Last.GetProperty("perplexity_after").GetDouble()).Within(1e-6).Percent);
        Assert.That(plain.Last.GetProperty("perplexity").GetDouble(), Is.EqualTo(_run.Last.GetProperty("perplexity_before").GetDouble()).Within(1e-3).Percent);
    }

    [Test]
    public async Task Merging_gives_a_model_of_the_same_loss()
    {
        using TemporaryFolder folder = new();
        string merged = Path.Combine(folder.Path, "merged");
        ToolRun merge = await ToolRun.Of("merge", Sample.Model, "--adapter", Adapter, "--output", merged, "--dtype", "f32");
        Assert.That(merge.Code, Is.Zero, merge.Error);
        ToolRun eval = await Eval(merged);
        Assert.That(eval.Last.GetProperty("perplexity").GetDouble(), Is.EqualTo(_run.Last.GetProperty("perplexity_after").GetDouble()).Within(1e-2).Percent);
    }

    [Test]
    public async Task Generate_continues_a_prompt_with_several_adapters()
    {
        string[] common = ["generate", Sample.Model, "--prompt", "name : The Mill =>", "--max-new-tokens", "6", "--dtype", "f32"];
        ToolRun plain = await ToolRun.Of([.. common, "--json"]);
        ToolRun streamed = await ToolRun.Of(common);
        ToolRun stacked = await ToolRun.Of([.. common, "--adapter", Adapter, "--adapter", Adapter, "--json"]);
        ToolRun drawn = await ToolRun.Of([.. common, "--temperature", "1.5", "--top-k", "20", "--seed", "7", "--json"]);
        ToolRun again = await ToolRun.Of([.. common, "--temperature", "1.5", "--top-k", "20", "--seed", "7", "--json"]);
        Assert.That(new[] { plain.Code, streamed.Code, stacked.Code, drawn.Code }, Is.All.Zero, plain.Error + stacked.Error);
        Assert.That(streamed.Output, Is.EqualTo(plain.Last.GetProperty("text").GetString() + "\n"));
        Assert.That(again.Output, Is.EqualTo(drawn.Output));
        ToolRun typed = await ToolRun.Of("generate", Sample.RunFile, "--json", "--max-new-tokens", "2");
        Assert.That(typed.Last.GetProperty("prompt_tokens").GetInt32(), Is.Positive);
    }

    [Test]
    public async Task A_cancelled_run_saves_and_goes_on_to_the_same_bits()
    {
        using TemporaryFolder folder = new();
        using CancellationTokenSource stop = new();
        string[] args = ["train", Sample.RunFile, "--json", .. Sample.Small(folder.Path)];
        ToolRun first = await ToolRun.Watch(args, line => Stop(line, stop), stop.Token);
        Assert.That(first.Code, Is.EqualTo(130), first.Error);
        Assert.That(first.Last.GetProperty("event").GetString(), Is.EqualTo("cancelled"));
        Assert.That(Directory.Exists(first.Last.GetProperty("checkpoint").GetString()), Is.True);
        Assert.That(Directory.Exists(Path.Combine(folder.Path, "adapter")), Is.False);

        ToolRun second = await ToolRun.Of([.. args, "--resume"]);
        Assert.That(second.Code, Is.Zero, second.Error);
        Assert.That(second.Lines.First(l => l.GetProperty("event").GetString() == "started").GetProperty("step").GetInt64(), Is.EqualTo(2));
        Assert.That(second.Last.GetProperty("perplexity_before").GetDouble(), Is.EqualTo(_run.Last.GetProperty("perplexity_before").GetDouble()));
        byte[] resumed = await File.ReadAllBytesAsync(Path.Combine(folder.Path, "adapter", "adapter_model.safetensors"));
        Assert.That(resumed, Is.EqualTo(await File.ReadAllBytesAsync(Path.Combine(Adapter, "adapter_model.safetensors"))));
    }

    private Task<ToolRun> Eval(string model)
    {
        string[] sets = ["--set", "model.dtype=f32", "--set", $"data.cache={_folder.Path}"];
        return ToolRun.Of(["eval", model, "--json", "--data", Sample.Data, "--samples", "8", .. sets]);
    }

    private static void Stop(string line, CancellationTokenSource stop)
    {
        if (line.Contains("\"event\":\"step\",\"step\":2", StringComparison.Ordinal))
        {
            stop.Cancel();
        }
    }
}
