using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training.Runs;

/// <summary>How a run file is read.</summary>
public sealed record RunFileOptions
{
    /// <summary>Files and folders that are named must exist.</summary>
    public bool CheckFiles { get; init; } = true;

    /// <summary>Where variables in paths come from.</summary>
    public Func<string, string?> Environment { get; init; } = System.Environment.GetEnvironmentVariable;
}

/// <summary>The description of a run: a YAML file whose keys are those of <see cref="RunKeys"/>.</summary>
public sealed record RunFile
{
    private static readonly RampShape[] s_shapes = [RampShape.Linear, RampShape.Cosine, RampShape.OneMinusSqrt];

    private RunFile(RunValues values, string file)
    {
        File = file;
        values.Require("model");
        values.Require("data");
        string dtype = RunKeys.Find("model.dtype")!.Choices[values.Choice("model.dtype")];
        Model = new ModelSection(values.PathOf("model.path") ?? string.Empty, values.PathOf("model.tokenizer"), dtype)
        {
            Source = values.Text("model.source"),
            Activations = values.Choice("model.activations") == 1 ? DType.BF16 : DType.F32,
        };
        Training = ReadTraining(values);
        Data = ReadData(values, Training.SequenceLength);
        if (values.HasSection("adapter"))
        {
            values.Require("adapter");
            Adapter = new AdapterSection(
                values.Text("adapter.method") ?? string.Empty,
                (int)(values.Integer("adapter.rank") ?? 1),
                values.Number("adapter.alpha") ?? 1,
                values.Number("adapter.dropout") ?? 0,
                values.Texts("adapter.targets"),
                values.Options("adapter.options"));
        }

        IReadOnlyList<double> betas = values.Numbers("optimizer.betas");
        Optimizer = new OptimizerSection(
            values.Text("optimizer.name")!,
            values.Number("optimizer.learning_rate") ?? 0,
            betas[0],
            betas[1],
            values.Number("optimizer.epsilon") ?? 0,
            values.Number("optimizer.weight_decay") ?? 0,
            values.Number("optimizer.max_grad_norm") ?? 0,
            values.Options("optimizer.options"));
        Schedule = ReadSchedule(values);
        Generation = new GenerationSection(
            (int)(values.Integer("generation.prompts") ?? 0),
            (int)(values.Integer("generation.max_new_tokens") ?? 1),
            values.Number("generation.temperature") ?? 0,
            (int)Math.Min(values.Integer("generation.top_k") ?? 0, int.MaxValue),
            values.Number("generation.top_p") ?? 1);
        Output = new OutputSection(values.PathOf("output.path") ?? string.Empty, values.Boolean("output.merged"));
        CheckTogether(values);
        Resolved = values.Resolved();
    }

    /// <summary>The file as the user named it.</summary>
    public string File { get; }

    /// <summary>What is trained.</summary>
    public ModelSection Model { get; }

    /// <summary>What it is trained on.</summary>
    public DataSection Data { get; }

    /// <summary>The adapter; null to train every weight.</summary>
    public AdapterSection? Adapter { get; }

    /// <summary>The update rule.</summary>
    public OptimizerSection Optimizer { get; }

    /// <summary>The course of the learning rate.</summary>
    public ScheduleSection Schedule { get; }

    /// <summary>Length, batches, evaluation, checkpoints.</summary>
    public TrainingSection Training { get; }

    /// <summary>Texts to generate.</summary>
    public GenerationSection Generation { get; }

    /// <summary>Where results go.</summary>
    public OutputSection Output { get; }

    /// <summary>The file again, with every default, variable and override in its place.</summary>
    public string Resolved { get; }

    /// <summary>Reads a run file from disk.</summary>
    /// <exception cref="ConfigurationException">The file cannot be read, or anything in it is unknown or impossible; every error is listed with file, line,
    /// key, given and allowed.</exception>
    public static RunFile Load(string file, IReadOnlyList<string>? overrides = null, RunFileOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(file);
        try
        {
            return Parse(System.IO.File.ReadAllText(file), file, overrides, options);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"{file}: the run file cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Reads a run file from its text.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="file">Its name in errors, and the place that relative paths start from.</param>
    /// <param name="overrides">Values that replace those of the file, as `training.steps=100`.</param>
    /// <param name="options">How to read; null for the defaults.</param>
    /// <exception cref="ConfigurationException">Anything is unknown or impossible; every error is listed with file, line, key, given and allowed.</exception>
    public static RunFile Parse(string text, string file, IReadOnlyList<string>? overrides = null, RunFileOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentException.ThrowIfNullOrEmpty(file);
        var values = new RunValues(text, file, overrides ?? [], options ?? new RunFileOptions());
        var run = new RunFile(values, file);
        values.ThrowIfAny();
        return run;
    }

    private static TrainingSection ReadTraining(RunValues values)
    {
        bool hasSteps = values.IsGiven("training.steps");
        return new TrainingSection
        {
            Steps = values.Integer("training.steps"),
            Epochs = values.Integer("training.epochs") ?? (hasSteps ? null : 1),
            BatchSize = (int)(values.Integer("training.batch_size") ?? 1),
            SequenceLength = (int)(values.Integer("training.sequence_length") ?? 2),
            GradientAccumulationSteps = (int)(values.Integer("training.gradient_accumulation_steps") ?? 1),
            ActivationCheckpointing = values.Boolean("training.activation_checkpointing"),
            CudaGraph = values.Boolean("training.cuda_graph"),
            Seed = (ulong)(values.Integer("training.seed") ?? 0),
            Device = values.Text("training.device") ?? "cpu",
            Threads = (int)(values.Integer("training.threads") ?? 0),
            LogEvery = values.Integer("training.log_every") ?? 1,
            EvalEvery = values.Integer("training.eval_every") ?? 0,
            SaveEvery = values.Integer("training.save_every") ?? 0,
            KeepCheckpoints = (int)(values.Integer("training.keep_checkpoints") ?? 1),
            KeepBest = values.Boolean("training.keep_best"),
            EarlyStoppingPatience = (int)(values.Integer("training.early_stopping.patience") ?? 0),
            EarlyStoppingMinDelta = values.Number("training.early_stopping.min_delta") ?? 0,
            RequireGradients = values.Boolean("training.checks.require_gradients"),
            RequireStopToken = values.Boolean("training.checks.require_stop_token"),
        };
    }

    private static DataSection ReadData(RunValues values, int sequenceLength)
    {
        JsonlOptions jsonl = new()
        {
            Format = values.Choice("data.format") == 0 ? SampleFormat.PromptCompletion : SampleFormat.Text,
            PromptField = values.Text("data.prompt_field")!,
            CompletionField = values.Text("data.completion_field")!,
            TextField = values.Text("data.text_field")!,
        };
        FramingOptions framing = new()
        {
            PromptFormat = values.Text("data.prompt_format")!,
            AddBos = values.Boolean("data.add_bos"),
            AppendEos = values.Boolean("data.append_eos"),
            AllowSpecialTokens = values.Boolean("data.allow_special_tokens"),
            MaxLength = (int)(values.Integer("data.max_length") ?? sequenceLength),
            LongSamples = (LongSamplePolicy)values.Choice("data.long_samples"),
        };
        return new DataSection(
            values.PathOf("data.train") ?? string.Empty,
            values.PathOf("data.eval"),
            new DatasetOptions { Jsonl = jsonl, Framing = framing, CacheFolder = values.PathOf("data.cache") },
            (PackingMode)values.Choice("data.packing"),
            values.Boolean("data.shuffle"),
            values.Integer("data.eval_samples"));
    }

    private static ScheduleSection ReadSchedule(RunValues values)
    {
        ScheduleSettings settings = new()
        {
            WarmupSteps = values.Integer("schedule.warmup_steps") ?? 0,
            Cycles = values.Number("schedule.num_cycles"),
            MinRatio = values.Number("schedule.min_lr_ratio"),
            Power = values.Number("schedule.power") ?? 1,
            Timescale = values.Number("schedule.timescale") ?? 0,
            WarmupShape = s_shapes[values.Choice("schedule.warmup_type")],
            DecayShape = s_shapes[values.Choice("schedule.decay_type")],
        };
        string name = ScheduleTable.Names[values.Choice("schedule.name")];
        return new ScheduleSection(name, values.Number("schedule.warmup_ratio"), values.Integer("schedule.decay_steps"), settings);
    }

    private void CheckTogether(RunValues values)
    {
        // What is wrong by itself comes first: the rest would be judged on placeholders.
        values.ThrowIfAny();
        if (values.IsGiven("training.steps") && values.IsGiven("training.epochs"))
        {
            values.Conflict("training.epochs", "is given beside training.steps; allowed: one of them.");
        }

        if (values.IsGiven("schedule.warmup_steps") && values.IsGiven("schedule.warmup_ratio"))
        {
            values.Conflict("schedule.warmup_ratio", "is given beside schedule.warmup_steps; allowed: one of them.");
        }

        if (Data.Dataset.Framing.MaxLength > Training.SequenceLength)
        {
            values.Conflict("data.max_length", $"is {Data.Dataset.Framing.MaxLength}; allowed: at most training.sequence_length, {Training.SequenceLength}.");
        }

        if (Training.Steps is { } steps && Schedule.Settings.WarmupSteps > steps)
        {
            values.Conflict("schedule.warmup_steps", $"is {Schedule.Settings.WarmupSteps}; allowed: at most training.steps, {steps}.");
        }

        if (Training.EarlyStoppingPatience > 0 && Training.EvalEvery == 0)
        {
            values.Conflict("training.early_stopping.patience", "needs evaluations: set training.eval_every.");
        }

        if (!DeviceName.IsKnown(Training.Device))
        {
            values.Conflict("training.device", $"is {Training.Device}; allowed: {DeviceName.Allowed}.");
        }
        else if (DeviceName.KindOf(Training.Device) != DeviceKind.Cuda)
        {
            if (Model.Activations != DType.F32)
            {
                values.Conflict("model.activations", $"is {Model.Activations.Name()}; allowed with training.device {Training.Device}: f32.");
            }

            if (Training.CudaGraph)
            {
                values.Conflict("training.cuda_graph", $"is true; allowed with training.device {Training.Device}: false.");
            }
        }

        string? needsEval = Training.EvalEvery > 0 ? "training.eval_every" : Generation.Prompts > 0 ? "generation.prompts" : null;
        if (needsEval is not null && !values.IsGiven("data.eval"))
        {
            values.Conflict(needsEval, "needs evaluation data: set data.eval.");
        }

        try
        {
            PromptFormat.Parse(Data.Dataset.Framing.PromptFormat);
        }
        catch (ConfigurationException e)
        {
            values.Conflict("data.prompt_format", $"cannot be used: {e.Message}");
        }
    }
}
