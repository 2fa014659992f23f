using System.Text.Json.Nodes;
using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;
using Graft.Training.Runs;

namespace Graft.Training.Tests.Runs;

public sealed class RunFileTests
{
    private const string Minimal = "model:\n  path: model\ndata:\n  train: train.jsonl\n";

    private string _folder = string.Empty;

    private string RunYaml => Path.Combine(_folder, "run.yaml");

    [OneTimeSetUp]
    public void MakeFolder()
    {
        _folder = Directory.CreateTempSubdirectory("graft-run-").FullName;
        Directory.CreateDirectory(Path.Combine(_folder, "model"));
        File.WriteAllText(Path.Combine(_folder, "train.jsonl"), "");
        File.WriteAllText(Path.Combine(_folder, "eval.jsonl"), "");
    }

    [OneTimeTearDown]
    public void RemoveFolder() => Directory.Delete(_folder, true);

    [Test]
    public void What_is_not_given_has_the_default_of_the_table()
    {
        RunFile run = Parse(Minimal);
        Assert.That(run.Model, Is.EqualTo(new ModelSection(Path.Combine(_folder, "model"), null, "auto")));
        Assert.That((run.Data.Train, run.Data.Eval, run.Data.Packing, run.Data.Shuffle),
            Is.EqualTo((Path.Combine(_folder, "train.jsonl"), (string?)null, PackingMode.FirstFitDecreasing, true)));
        Assert.That(run.Data.Dataset, Is.EqualTo(new DatasetOptions { Framing = new() { MaxLength = 256 } }));
        Assert.That(run.Adapter, Is.Null);
        Assert.That((run.Optimizer.Name, run.Optimizer.LearningRate, run.Optimizer.Beta2, run.Optimizer.MaxGradNorm), Is.EqualTo(("adamw", 2e-4, 0.999, 1.0)));
        Assert.That((run.Training.Steps, run.Training.Epochs, run.Training.Seed, run.Training.RequireStopToken),
            Is.EqualTo(((long?)null, (long?)1, 42UL, true)));
        Assert.That(run.Schedule.Create(100), Is.EqualTo(new LinearSchedule(0, 100)));
        Assert.That(run.Output.Path, Is.EqualTo(Path.Combine(_folder, "out")));
    }

    [Test]
    public void Every_section_is_read()
    {
        RunFile run = Parse("""
            model: {path: model, dtype: bf16}
            data:
              train: train.jsonl
              eval: eval.jsonl
              prompt_format: "<|im_start|>{prompt}\n{completion}"
              add_bos: true
              max_length: 100
              long_samples: drop
              packing: greedy
              eval_samples: 7
            adapter:
              method: dora
              rank: 4
              alpha: 1.5
              dropout: 0.25
              targets: [q_proj, v_proj]
              options: {init: pissa, steps: 3, deep: {on: true, rate: 1e-3}, none: ~, text: "3"}
            optimizer: {learning_rate: 1e-3, betas: [0.8, 0.95], epsilon: 1e-6, weight_decay: 0, max_grad_norm: 0}
            schedule: {name: warmup_stable_decay, warmup_ratio: 0.05, decay_steps: 30, decay_type: 1-sqrt, min_lr_ratio: 0.1}
            training:
              epochs: 3
              gradient_accumulation_steps: 4
              activation_checkpointing: true
              eval_every: 10
              early_stopping: {patience: 2, min_delta: 0.01}
              checks: {require_gradients: false}
            generation: {prompts: 2, temperature: 0.7}
            output: {path: here, merged: true}
            """);
        Assert.That(run.Data.Dataset.Framing, Is.EqualTo(new FramingOptions
        {
            PromptFormat = "<|im_start|>{prompt}\n{completion}",
            AddBos = true,
            MaxLength = 100,
            LongSamples = LongSamplePolicy.Drop
        }));
        Assert.That((run.Data.Packing, run.Data.EvalSamples), Is.EqualTo((PackingMode.Greedy, (long?)7)));
        AdapterSection adapter = run.Adapter!;
        Assert.That((adapter.Method, adapter.Rank, adapter.Alpha, adapter.Dropout), Is.EqualTo(("dora", 4, 1.5, 0.25)));
        Assert.That(adapter.Targets, Is.EqualTo(new[] { "q_proj", "v_proj" }));
        Assert.That(JsonNode.DeepEquals(adapter.Options.Values,
            JsonNode.Parse("""{"init":"pissa","steps":3,"deep":{"on":true,"rate":0.001},"none":null,"text":"3"}""")), Is.True,
            adapter.Options.Values.ToJsonString());
        Assert.That(adapter.Options.WhereOf("init"), Is.EqualTo($"{RunYaml}:17"));
        Assert.That((run.Optimizer.Beta1, run.Optimizer.Beta2, run.Optimizer.Epsilon, run.Optimizer.MaxGradNorm), Is.EqualTo((0.8, 0.95, 1e-6, 0.0)));
        Assert.That(run.Schedule.Create(201), Is.EqualTo(new WarmupStableDecaySchedule(11, 160, 30) { DecayShape = RampShape.OneMinusSqrt, MinRatio = 0.1 }));
        Assert.That((run.Training.Epochs, run.Training.EarlyStoppingPatience, run.Training.EarlyStoppingMinDelta, run.Training.RequireGradients),
            Is.EqualTo(((long?)3, 2, 0.01, false)));
        Assert.That((run.Generation.Prompts, run.Generation.Temperature, run.Output.Merged), Is.EqualTo((2, 0.7, true)));
    }

    [TestCase("adapter:\n  method: lora\n  rnak: 4", 7, "there is no key adapter.rnak; did you mean adapter.rank?")]
    [TestCase("trainig:\n  steps: 4", 6, "there is no key trainig; did you mean training?")]
    [TestCase("optimizer:\n  lr: 1", 6, "there is no key optimizer.lr; did you mean optimizer.learning_rate?")]
    [TestCase("optimizer:\n  name: adamw\n  steps: 1", 7, "there is no key optimizer.steps; did you mean training.steps?")]
    [TestCase("training:\n  early_stoping:\n    patience: 1", 7, "there is no key training.early_stoping; did you mean training.early_stopping?")]
    [TestCase("training:\n  early_stopping:\n    patiense: 1", 7, "did you mean training.early_stopping.patience?")]
    [TestCase("training:\n  qwertyuiop: 1", 6, "there is no key training.qwertyuiop; see docs/run-file.md")]
    public void An_unknown_key_is_an_error_with_line_and_suggestion(string yaml, int line, string message)
    {
        Assert.That(Errors(Minimal + yaml), Has.Some.StartsWith($"{RunYaml}:{line}: ").And.Some.Contains(message));
    }

    [TestCase("adapter:\n  method: lora\n  rank: 0", 7, "adapter.rank is '0'; allowed: a whole number from 1 to 65536.")]
    [TestCase("adapter:\n  method: lora\n  rank: 1.5", 7, "adapter.rank is '1.5'; allowed: a whole number from 1 to 65536.")]
    [TestCase("adapter:\n  method: lora\n  dropout: 1", 7, "adapter.dropout is '1'; allowed: a number from 0 and below 1.")]
    [TestCase("optimizer:\n  learning_rate: -1e-3", 6, "optimizer.learning_rate is '-1e-3'; allowed: a number above 0 and to 1000.")]
    [TestCase("optimizer:\n  learning_rate: .nan", 6, "optimizer.learning_rate is '.nan'; allowed:")]
    [TestCase("optimizer:\n  learning_rate: NaN", 6, "optimizer.learning_rate is 'NaN'; allowed:")]
    [TestCase("optimizer:\n  betas: [0.9]", 6, "optimizer.betas is a list; allowed: a list of 2 numbers, each from 0 and below 1.")]
    [TestCase("optimizer:\n  betas: [0.9, 1]", 6, "optimizer.betas is '1'; allowed:")]
    [TestCase("schedule:\n  name: cosin", 6, "schedule.name is 'cosin'; allowed: constant, constant_with_warmup,")]
    [TestCase("training:\n  keep_best: maybe", 6, "training.keep_best is 'maybe'; allowed: true or false.")]
    [TestCase("training:\n  steps: 99999999999999999999", 6, "training.steps is '99999999999999999999'; allowed: a whole number from 1.")]
    [TestCase("training: 3", 5, "training is '3'; allowed: a map of keys such as training.steps.")]
    [TestCase("generation: {temperature: [1]}", 5, "generation.temperature is a list; allowed:")]
    public void An_impossible_value_is_an_error_with_line_field_given_and_allowed(string yaml, int line, string message)
    {
        string[] errors = Errors(Minimal + yaml);
        Assert.That(errors, Has.Length.EqualTo(1));
        Assert.That(errors[0], Does.StartWith($"{RunYaml}:{line}: {message}"));
    }

    [Test]
    public void All_errors_are_listed_together()
    {
        string[] errors = Errors("model:\n  path: nowhere\noptimizer:\n  lr: 1\n  epsilon: -1\nadapter:\n  rank: 0\n");
        Assert.That(errors, Has.Length.EqualTo(6));
        Assert.That(string.Join('\n', errors), Does.Contain(":2: model.path is 'nowhere'; allowed: a file or folder that exists.")
            .And.Contain($"{Path.Combine(_folder, "nowhere")} does not exist")
            .And.Contain(":4: ").And.Contain(":5: ").And.Contain(":7: ").And.Contain("data.train is missing").And.Contain("adapter.method is missing"));
    }

    [Test]
    public void Every_key_of_the_table_is_read()
    {
        foreach (RunKey row in RunKeys.All)
        {
            string bad = row.Kind switch
            {
                RunKeyKind.Text or RunKeyKind.Texts or RunKeyKind.File or RunKeyKind.FileOrFolder or RunKeyKind.NewFolder => "{a: 1}",
                RunKeyKind.Numbers => "3",
                _ => "[x]",
            };
            string[] parts = row.Path.Split('.');
            string yaml = string.Concat(parts.Select((p, i) => $"{new string(' ', i)}{p}:{(i == parts.Length - 1 ? " " + bad : "\n")}"));
            Assert.That(Errors(yaml), Has.Some.Matches<string>(e => e.Contains($": {row.Path} is ", StringComparison.Ordinal)), row.Path);
        }
    }

    [Test]
    public void Every_default_of_the_table_is_allowed()
    {
        foreach (RunKey row in RunKeys.All.Where(r => r.Default is not null))
        {
            Assert.That(Parse(Minimal, $"{row.Path}={row.Default}", "adapter.method=lora"), Is.Not.Null, row.Path);
        }
    }

    [Test]
    public void The_resolved_file_gives_the_same_run()
    {
        string yaml = Minimal + "adapter:\n  method: lora\n  options: {use_rslora: true}\ntraining:\n  early_stopping:\n    min_delta: 0.5\n";
        RunFile run = Parse(yaml, "data.prompt_format=<\"{prompt}\">\n{completion}: #", "adapter.targets=[q_proj, v_proj]");
        RunFile again = RunFile.Parse(run.Resolved, RunYaml);
        Assert.That(again.Resolved, Is.EqualTo(run.Resolved));
        Assert.That(again.Data.Dataset.Framing.PromptFormat, Is.EqualTo("<\"{prompt}\">\n{completion}: #"));
        Assert.That((again.Model, again.Training, again.Schedule), Is.EqualTo((run.Model, run.Training, run.Schedule)));
        Assert.That(again.Adapter!.Targets, Is.EqualTo(run.Adapter!.Targets));
        Assert.That(again.Adapter.Options.Values.ToJsonString(), Is.EqualTo("""{"use_rslora":true}"""));
    }

    [Test]
    public void A_missing_model_is_answered_by_where_it_can_be_had()
    {
        Assert.That(Errors("model:\n  path: nowhere.gguf\n  source: Ask the library.\n"), Has.Some.EndsWith("does not exist. Ask the library."));
    }

    [TestCase("training: {steps: 3, epochs: 2}", "training.epochs is given beside training.steps")]
    [TestCase("schedule: {warmup_steps: 3, warmup_ratio: 0.1}", "schedule.warmup_ratio is given beside schedule.warmup_steps")]
    [TestCase("schedule: {warmup_steps: 30}\ntraining: {steps: 20}", "schedule.warmup_steps is 30; allowed: at most training.steps, 20")]
    [TestCase("training: {eval_every: 3}", "training.eval_every needs evaluation data: set data.eval")]
    [TestCase("training: {early_stopping: {patience: 3}}", "training.early_stopping.patience needs evaluations")]
    public void Values_that_contradict_each_other_are_refused(string yaml, string message)
    {
        Assert.That(Errors(Minimal + yaml), Has.Some.StartsWith($"{RunYaml}:5: ").Or.Some.StartsWith($"{RunYaml}:6: ").And.Some.Contains(message));
    }

    [Test]
    public void The_data_section_is_checked_as_a_whole()
    {
        Assert.That(Errors(Minimal + "  max_length: 300"),
            Has.One.EqualTo($"{RunYaml}:5: data.max_length is 300; allowed: at most training.sequence_length, 256."));
        Assert.That(Errors(Minimal + "  prompt_format: \"{promt}{completion}\""), Has.One.Contains(":5: data.prompt_format cannot be used: ")
            .And.One.Contains("{promt}"));
        Assert.That(Errors(Minimal + "  prompt_format: {completion}"),
            Has.One.Contains(":5: data.prompt_format is a map; allowed: a text. Put the text into quotes."));
    }

    [Test]
    public void Overrides_replace_values_and_are_named_in_errors()
    {
        string yaml = Minimal + "adapter:\n  method: lora\n  rank: 4\n  options: {a: 1, b: 2}\n";
        RunFile run = Parse(yaml, "adapter.rank=32", "data.prompt_format={prompt}: {completion}", "optimizer.betas=[0.5, 0.6]", "adapter.options.b=x",
            "adapter.options.c=true", "training.early_stopping.min_delta=1");
        Assert.That((run.Adapter!.Rank, run.Data.Dataset.Framing.PromptFormat, run.Optimizer.Beta1, run.Training.EarlyStoppingMinDelta),
            Is.EqualTo((32, "{prompt}: {completion}", 0.5, 1.0)));
        Assert.That(run.Adapter.Options.Values.ToJsonString(), Is.EqualTo("""{"a":1,"b":"x","c":true}"""));
        Assert.That(Errors(yaml, "adapter.rank=0", "adapter.rnk=1", "nonsense"), Is.EqualTo(new[]
        {
            "--set adapter.rnk=1: there is no key adapter.rnk; did you mean adapter.rank?",
            "--set nonsense: an override is written key=value, as in training.steps=100.",
            "--set adapter.rank=0: adapter.rank is '0'; allowed: a whole number from 1 to 65536.",
        }));
    }

    [Test]
    public void Variables_in_paths_are_replaced()
    {
        Dictionary<string, string> variables = new() { ["PLACE"] = _folder, ["EMPTY"] = "" };
        RunFileOptions options = new() { Environment = variables.GetValueOrDefault };
        string[] paths = ["${PLACE}/model", "${NOWHERE:-model}", "${EMPTY:-.}/model", "./${NOWHERE:-}model"];
        foreach (string path in paths)
        {
            Assert.That(RunFile.Parse(Minimal, RunYaml, [$"model.path={path}"], options).Model.Path, Is.EqualTo(Path.Combine(_folder, "model")), path);
        }

        foreach ((string path, string message) in new[] { ("${NOWHERE}/m", "the environment variable NOWHERE is not set"), ("${PLACE", "not closed"),
            ("${A B}", "no name") })
        {
            Assert.That(() => RunFile.Parse(Minimal, RunYaml, [$"model.path={path}"], options), Throws.TypeOf<ConfigurationException>()
                .With.Message.Contains(message));
        }
    }

    [TestCase("model: &a {path: model}\ndata: *a", 1, "an anchor (&) is not taken")]
    [TestCase("model:\n  path: *a", 2, "an alias (*) is not taken")]
    [TestCase("model:\n  path: !!python/object x", 2, "a tag (!) is not taken")]
    [TestCase("model:\n  path: model\n---\nmodel: 3", 3, "a second document")]
    [TestCase("model:\n  path: a\n  path: b", 3, "the key 'path' occurs twice")]
    [TestCase("model:\n  path: 'a", 2, "not valid YAML")]
    [TestCase("model:\n\tpath: a", 2, "not valid YAML")]
    [TestCase("[1]: 2", 1, "a key must be a single word")]
    [TestCase("- model", 1, "a run file is a map of sections")]
    public void YAML_that_is_broken_or_hides_something_is_refused(string yaml, int line, string message)
    {
        Assert.That(Errors(yaml)[0], Does.StartWith($"{RunYaml}:{line}: ").And.Contains(message));
    }

    [Test]
    public void Bombs_are_refused_quickly()
    {
        Assert.That(Errors("model: " + new string('[', 100_000))[0], Does.Contain("nesting deeper than 16"));
        Assert.That(Errors(string.Concat(Enumerable.Range(0, 100).Select(i => new string(' ', i) + "a:\n")))[0], Does.Contain("nesting deeper than 16"));
        Assert.That(Errors(new string('#', 2 << 20))[0], Does.Contain("characters are too many"));
        string laughs = "a: &a [lol,lol]\n" + string.Concat(Enumerable.Range(1, 30).Select(i =>
            $"a{i}: &a{i} [*a{(i > 1 ? i - 1 : "")},*a{(i > 1 ? i - 1 : "")}]\n"));
        Assert.That(Errors(laughs)[0], Does.Contain("an anchor (&) is not taken"));
    }

    [Test]
    public void A_missing_run_file_is_an_error_with_its_name()
    {
        Assert.That(() => RunFile.Load("/no/such/run.yaml"), Throws.TypeOf<ConfigurationException>()
            .With.Message.StartsWith("/no/such/run.yaml: the run file cannot be read"));
    }

    [Test]
    public void An_empty_file_lists_what_is_missing()
    {
        Assert.That(Errors("# nothing\n"), Is.EqualTo(new[] { $"{RunYaml}: model.path is missing: {RunKeys.All[0].Description}",
            $"{RunYaml}: data.train is missing: Training samples, JSON lines." }));
    }

    [Test]
    public void The_run_files_of_the_samples_are_valid()
    {
        string? root = FixtureFolder.Repository;
        Assume.That(root, Is.Not.Null, "no checkout: the samples are not here");
        RunFile tiny = RunFile.Load(Path.Combine(root!, "samples", "e2e-nlg", "run.yaml"));
        Assert.That(tiny.Model.Path, Is.EqualTo(Path.Combine(root!, "samples", "models", "graft-tiny")));
        RunFile smol = RunFile.Load(Path.Combine(root!, "samples", "smollm2", "run.yaml"), null,
            new RunFileOptions { CheckFiles = FixtureFolder.Models is not null, Environment = n => n == "GRAFT_MODELS" ? FixtureFolder.Models : null });
        Assert.That((smol.Model.IsGguf, smol.Training.Steps, smol.Training.BatchSize, smol.Training.SequenceLength, smol.Adapter!.Rank),
            Is.EqualTo((true, (long?)30, 4, 128, 16)));
        Assert.That(smol.Data.Dataset.Framing.PromptFormat, Does.StartWith("<|im_start|>user\n"));
    }

    [Test]
    [Category("Docs")]
    public void The_reference_of_the_run_file_is_up_to_date()
    {
        string? root = FixtureFolder.Repository;
        Assume.That(root, Is.Not.Null, "no checkout: the documents are not here");
        string path = Path.Combine(root!, "docs", "run-file.md");
        if (Environment.GetEnvironmentVariable("GRAFT_UPDATE_DOCS") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, RunKeys.Markdown());
        }

        Assert.That(File.Exists(path) ? File.ReadAllText(path).ReplaceLineEndings("\n") : "missing", Is.EqualTo(RunKeys.Markdown()),
            "run this test with GRAFT_UPDATE_DOCS=1 to rewrite docs/run-file.md");
    }

    private RunFile Parse(string yaml, params string[] overrides) => RunFile.Parse(yaml, RunYaml, overrides);

    private string[] Errors(string yaml, params string[] overrides)
    {
        return Assert.Throws<ConfigurationException>(() => Parse(yaml, overrides))!.Message.Split('\n');
    }
}
