namespace Graft.Cli.Tests;

/// <summary>Bad input is one clear message on the error stream, the exit code 1, and nothing half-written.</summary>
internal sealed class BadInputTests
{
    [Test]
    public async Task A_run_file_that_is_not_there_is_named()
    {
        await Refused(["train", "nowhere.yaml"], "nowhere.yaml");
    }

    [TestCase("training.step=3", "there is no key training.step; did you mean training.steps?")]
    [TestCase("adapter.rank=0", "adapter.rank is '0'; allowed: a whole number from 1")]
    [TestCase("adapter.rank=300", "adapter.rank is 300", "at most rank 256")]
    [TestCase("adapter.method=loar", "adapter.method is 'loar'; allowed: ", "lora")]
    [TestCase("adapter.options.use_rslroa=true", "use_rslroa")]
    [TestCase("adapter.targets=[q_prj]", "q_prj", "q_proj")]
    [TestCase("optimizer.name=adamv", "optimizer.name is 'adamv'; allowed: adamw")]
    [TestCase("optimizer.options.momentum=0.9", "momentum", "amsgrad")]
    [TestCase("model.path=../nowhere", "model.path", "does not exist")]
    [TestCase("data.train=nowhere.jsonl", "data.train", "does not exist")]
    [TestCase("training.device=gpu", "training.device is gpu; allowed: cpu, cuda, or cuda:N")]
    [TestCase("model.activations=bf16", "model.activations is bf16; allowed with training.device cpu: f32")]
    [TestCase("training.cuda_graph=true", "training.cuda_graph is true; allowed with training.device cpu: false")]
    [TestCase("training.sequence_length=4096", "training.sequence_length is 4096", "at most 1024")]
    public async Task An_impossible_value_is_refused(string set, params string[] said)
    {
        using TemporaryFolder folder = new();
        await Refused(["train", Sample.RunFile, .. Sample.Small(folder.Path), "--set", set], said);
        Assert.That(File.Exists(Path.Combine(folder.Path, "run.yaml")), Is.False);
    }

    [TestCase("{\"prompt\": \"a\", \"completion\": 3}", "completion")]
    [TestCase("{\"prompt\": \"a\"", "")]
    [TestCase("{\"promt\": \"a\", \"completion\": \"b\"}", "prompt")]
    public async Task A_malformed_line_of_data_is_named(string line, string said)
    {
        using TemporaryFolder folder = new();
        string data = folder.File("data.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n\n" + line + "\n");
        await Refused(["train", Sample.RunFile, .. Sample.Small(folder.Path), "--set", $"data.train={data}"], "data.jsonl:3", said);
    }

    [Test]
    public async Task An_adapter_of_another_model_or_none_is_refused()
    {
        using TemporaryFolder folder = new();
        await Refused(["eval", Sample.Model, "--data", Sample.Data, "--adapter", folder.Path], "adapter_config.json");
    }

    [Test]
    public async Task An_output_that_cannot_be_made_is_refused_before_training()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("file", "");
        await Refused(["train", Sample.RunFile, .. Sample.Small(folder.Path), "--set", $"output.path={file}/below"], "output.path", "cannot be made");
    }

    [Test]
    public async Task A_card_that_is_not_here_is_a_failure_at_run_time([Values("train", "eval", "generate")] string command)
    {
        using TemporaryFolder folder = new();
        ToolRun run = await ToolRun.Of([command, Sample.RunFile, "--device", "cuda:99", .. Sample.Small(folder.Path)]);
        Assert.That(run.Code, Is.EqualTo(3), run.Error);
        Assert.That(run.Error, Does.StartWith("graft: ").And.Contain("CUDA").IgnoreCase.And.Not.Contain("   at "));
    }

    [Test]
    public async Task Numbers_that_leave_the_range_of_floats_are_a_failure_at_run_time()
    {
        using TemporaryFolder folder = new();
        string[] wild = ["optimizer.name=sgd", "optimizer.learning_rate=1000", "optimizer.max_grad_norm=0", "adapter.alpha=1e6"];
        string[] sets = Sample.Small(folder.Path, ["training.steps=20", "schedule.name=constant", "schedule.warmup_steps=0", "generation.prompts=0", .. wild]);
        ToolRun run = await ToolRun.Of(["train", Sample.RunFile, "--json", .. sets]);
        Assert.That(run.Code, Is.EqualTo(3), run.Output);
        Assert.That(run.Error, Does.StartWith("graft: ").And.Contain("not finite").And.Contain("learning rate"));
        Assert.That(Directory.Exists(Path.Combine(folder.Path, "adapter")), Is.False);
    }

    [Test]
    public async Task With_json_the_error_is_a_line_too()
    {
        ToolRun run = await ToolRun.Of("train", "nowhere.yaml", "--json");
        Assert.That(run.Code, Is.EqualTo(1));
        Assert.That(run.Last.GetProperty("event").GetString(), Is.EqualTo("failed"));
        Assert.That(run.Last.GetProperty("exit_code").GetInt32(), Is.EqualTo(1));
        Assert.That(run.Last.GetProperty("message").GetString(), Does.Contain("nowhere.yaml"));
    }

    [Test]
    public async Task A_model_that_is_not_shipped_is_answered_by_where_to_get_it()
    {
        string file = Path.Combine(Sample.Root, "samples", "smollm2", "run.yaml");
        using TemporaryFolder folder = new();
        await Refused(["train", file, "--set", $"model.path={folder.Path}/none.gguf"], "does not exist", "SmolLM2-135M-Instruct", "GRAFT_MODELS");
    }

    private static async Task Refused(string[] args, params string[] said)
    {
        ToolRun run = await ToolRun.Of(args);
        Assert.That(run.Code, Is.EqualTo(1), run.Error);
        Assert.That(run.Error, Does.StartWith("graft: ").And.Not.Contains("   at "));
        foreach (string text in said)
        {
            Assert.That(run.Error, Does.Contain(text));
        }
    }
}
