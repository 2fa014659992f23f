using System.Text;
using Graft.Training.Optimizers;

namespace Graft.Training.Runs;

/// <summary>Every key that a run file may have.</summary>
public static class RunKeys
{
    private static readonly (string Name, string Description)[] s_sections =
    [
        ("model", "The model that is trained."),
        ("data", "What it is trained and evaluated on, and how samples become tokens."),
        ("adapter", "The adapter that is trained beside frozen weights. Without this section every weight is trained."),
        ("optimizer", "How gradients become updates."),
        ("schedule", "The course of the learning rate, by the names and formulas of `transformers`."),
        ("training", "Length, batches, evaluation, checkpoints."),
        ("generation", "Texts generated before and after training, to see what changed."),
        ("output", "Where results go."),
    ];

    private static readonly RunKey[] s_rows =
    [
        new("model.path", RunKeyKind.FileOrFolder, null, "Folder in Hugging Face layout (config.json, safetensors, tokenizer.json) or a GGUF file.")
        {
            IsRequired = true,
            OtherNames = ["name", "model", "model_name_or_path", "gguf"],
        },
        new("model.tokenizer", RunKeyKind.FileOrFolder, null, "Folder or tokenizer.json to use instead of the model's own tokenizer."),
        new("model.dtype", RunKeyKind.Choice, "auto",
            "Type in which weights are held; auto is bf16 where the model's config says so, else f32 (quantised weights too); quantized keeps what a GGUF file holds as Q4_0, Q4_1 or Q8_0 as it is (on the CPU, frozen). Arithmetic is f32.")
        {
            Choices = ["auto", "f32", "bf16", "quantized"],
            OtherNames = ["torch_dtype", "precision"],
        },
        new("model.activations", RunKeyKind.Choice, "f32",
            "Type of the activations: bf16 (on a CUDA device) takes half the memory and the tensor cores; sums, statistics and losses stay f32.")
        {
            Choices = ["f32", "bf16"],
            OtherNames = ["compute_dtype", "activation_dtype"],
        },
        new("model.source", RunKeyKind.Text, null, "Where the model can be had; said when model.path is not there.") { OtherNames = ["url", "from"] },

        new("data.train", RunKeyKind.File, null, "Training samples, JSON lines.") { IsRequired = true, OtherNames = ["train_file", "path", "dataset"] },
        new("data.eval", RunKeyKind.File, null, "Samples for evaluation, JSON lines.") { OtherNames = ["valid", "validation", "eval_file", "dev"] },
        new("data.format", RunKeyKind.Choice, "prompt_completion", "What a line holds: a prompt and its completion (loss on the completion only) or one text.")
        {
            Choices = ["prompt_completion", "text"],
        },
        new("data.prompt_field", RunKeyKind.Text, "prompt", "Field of the prompt."),
        new("data.completion_field", RunKeyKind.Text, "completion", "Field of the completion.") { OtherNames = ["response_field"] },
        new("data.text_field", RunKeyKind.Text, "text", "Field of the text."),
        new("data.prompt_format", RunKeyKind.Text, "{prompt}{completion}",
            "How a pair becomes one sequence; special tokens written here become those tokens. What stands before {completion} carries no loss.")
        {
            OtherNames = ["template", "chat_template"],
        },
        new("data.add_bos", RunKeyKind.Boolean, "false", "Start every sample with the begin-of-sequence token, unless it does."),
        new("data.append_eos", RunKeyKind.Boolean, "true", "End every sample with the end-of-sequence token, unless it does; it carries loss.")
        {
            OtherNames = ["add_eos"],
        },
        new("data.allow_special_tokens", RunKeyKind.Boolean, "false", "Let texts of special tokens inside the data become those tokens."),
        new("data.max_length", RunKeyKind.Integer, null, "Most tokens of a sample; training.sequence_length if not given.")
        {
            Min = 2,
            Max = int.MaxValue,
            OtherNames = ["max_seq_length", "cutoff_len"],
        },
        new("data.long_samples", RunKeyKind.Choice, "truncate", "What becomes of longer samples; truncate cuts the prompt before the completion.")
        {
            Choices = ["truncate", "drop", "error"],
            OtherNames = ["truncation"],
        },
        new("data.packing", RunKeyKind.Choice, "first_fit_decreasing", "How samples share rows; documents in one row never see each other.")
        {
            Choices = ["first_fit_decreasing", "greedy", "none"],
            OtherNames = ["pack"],
        },
        new("data.shuffle", RunKeyKind.Boolean, "true", "Draw a new order of the training samples for each epoch."),
        new("data.eval_samples", RunKeyKind.Integer, null, "Evaluate on the first so many samples; all if not given.")
        {
            Min = 1,
            OtherNames = ["max_eval_samples", "eval_limit"],
        },
        new("data.cache", RunKeyKind.NewFolder, null, "Folder of tokenised data; `.graft-cache` beside the data if not given.") { OtherNames = ["cache_dir"] },

        new("adapter.method", RunKeyKind.Text, null, "Name of the method, such as lora.") { IsRequired = true, OtherNames = ["type", "name", "peft_type"] },
        new("adapter.rank", RunKeyKind.Integer, "8", "Rank of the update.") { Min = 1, Max = 65536, OtherNames = ["r", "lora_r"] },
        new("adapter.alpha", RunKeyKind.Number, "16", "The update is scaled by alpha / rank.")
        {
            Min = 0,
            AboveMin = true,
            Max = 1e6,
            OtherNames = ["lora_alpha"],
        },
        new("adapter.dropout", RunKeyKind.Number, "0", "Probability with which inputs of the adapter are dropped in training.")
        {
            Min = 0,
            Max = 1,
            BelowMax = true,
            OtherNames = ["lora_dropout"],
        },
        new("adapter.targets", RunKeyKind.Texts, "all-linear", "Modules that get an adapter: all-linear, or names such as q_proj.")
        {
            OtherNames = ["target_modules", "modules"],
        },
        new("adapter.options", RunKeyKind.Options, null, "Further options of the method, under the names of its own page."),

        new("optimizer.name", RunKeyKind.Text, "adamw", "Name of the update rule.") { OtherNames = ["type", "method", "optim"] },
        new("optimizer.learning_rate", RunKeyKind.Number, "2e-4", "Largest learning rate; the schedule scales it.")
        {
            Min = 0,
            AboveMin = true,
            Max = 1000,
            OtherNames = ["lr", "rate"],
        },
        new("optimizer.betas", RunKeyKind.Numbers, "[0.9, 0.999]", "Decay of the running mean and of the running square.")
        {
            Min = 0,
            Max = 1,
            BelowMax = true,
            ListLength = 2,
            OtherNames = ["beta"],
        },
        new("optimizer.epsilon", RunKeyKind.Number, "1e-8", "Added to the root of the running square.")
        {
            Min = 0,
            Max = 1,
            OtherNames = ["eps", "adam_epsilon"],
        },
        new("optimizer.weight_decay", RunKeyKind.Number, "0.01", "Decoupled weight decay.") { Min = 0, Max = 1000, OtherNames = ["decay", "wd"] },
        new("optimizer.max_grad_norm", RunKeyKind.Number, "1", "Gradients are scaled down to this global norm; 0 leaves them as they are.")
        {
            Min = 0,
            Max = 1e9,
            OtherNames = ["clip", "clip_norm", "gradient_clipping"],
        },
        new("optimizer.options", RunKeyKind.Options, null, "Further options of the update rule, under the names of its own page."),

        new("schedule.name", RunKeyKind.Choice, "linear", "Name of the schedule.")
        {
            Choices = ScheduleTable.Names,
            OtherNames = ["type", "lr_scheduler_type"],
        },
        new("schedule.warmup_steps", RunKeyKind.Integer, null, "Optimizer steps of the warm-up; 0 if neither this nor warmup_ratio is given.")
        {
            Min = 0,
            OtherNames = ["warmup", "num_warmup_steps"],
        },
        new("schedule.warmup_ratio", RunKeyKind.Number, null, "The warm-up as a part of all steps, rounded up.") { Min = 0, Max = 1 },
        new("schedule.decay_steps", RunKeyKind.Integer, null, "Optimizer steps of the final decay (warmup_stable_decay); a tenth of all steps if not given.")
        {
            Min = 0,
            OtherNames = ["num_decay_steps"],
        },
        new("schedule.min_lr_ratio", RunKeyKind.Number, null, "Smallest learning rate as a part of the largest; the schedule's own if not given.")
        {
            Min = 0,
            Max = 1,
            OtherNames = ["min_lr", "min_lr_rate"],
        },
        new("schedule.num_cycles", RunKeyKind.Number, null, "Waves of a cosine or number of restarts; the schedule's own if not given.")
        {
            Min = 0,
            AboveMin = true,
            Max = 1e6,
            OtherNames = ["cycles"],
        },
        new("schedule.power", RunKeyKind.Number, "1", "Exponent of polynomial.") { Min = 0, AboveMin = true, Max = 100 },
        new("schedule.timescale", RunKeyKind.Number, null, "Timescale of inverse_sqrt in steps; the warm-up if not given.") { Min = 0, AboveMin = true },
        new("schedule.warmup_type", RunKeyKind.Choice, "linear", "Shape of the warm-up of warmup_stable_decay.") { Choices = ["linear", "cosine", "1-sqrt"] },
        new("schedule.decay_type", RunKeyKind.Choice, "linear", "Shape of the decay of warmup_stable_decay.") { Choices = ["linear", "cosine", "1-sqrt"] },

        new("training.steps", RunKeyKind.Integer, null, "Optimizer steps of the run. Either this or epochs.")
        {
            Min = 1,
            OtherNames = ["max_steps", "num_steps", "total_steps", "iterations"],
        },
        new("training.epochs", RunKeyKind.Integer, null, "Passes over the training data; 1 if neither this nor steps is given.")
        {
            Min = 1,
            Max = 1_000_000,
            OtherNames = ["num_train_epochs", "num_epochs"],
        },
        new("training.batch_size", RunKeyKind.Integer, "8", "Rows of a micro-batch.")
        {
            Min = 1,
            Max = 1 << 20,
            OtherNames = ["batch", "rows", "batch_rows", "per_device_train_batch_size", "micro_batch_size"],
        },
        new("training.sequence_length", RunKeyKind.Integer, "256", "Tokens of a row.")
        {
            Min = 2,
            Max = 1 << 24,
            OtherNames = ["seq_len", "context_length", "block_size", "length"],
        },
        new("training.gradient_accumulation_steps", RunKeyKind.Integer, "1", "Micro-batches of one optimizer step.")
        {
            Min = 1,
            Max = 1 << 20,
            OtherNames = ["accumulation", "gradient_accumulation", "grad_accum"],
        },
        new("training.activation_checkpointing", RunKeyKind.Boolean, "false",
            "Recompute activations in the backward pass instead of keeping them: less memory, about a third more time.")
        {
            OtherNames = ["gradient_checkpointing", "checkpointing"],
        },
        new("training.cuda_graph", RunKeyKind.Boolean, "false",
            "On a CUDA device, record forward and backward of a micro-batch as a graph and launch it as one: less work for the host. Not with dropout.")
        {
            OtherNames = ["cuda_graphs", "graph"],
        },
        new("training.seed", RunKeyKind.Integer, "42", "Seed of everything random: the same seed gives the same bits.")
        {
            Min = 0,
            OtherNames = ["random_seed"],
        },
        new("training.device", RunKeyKind.Text, "cpu", $"Where the run computes: {DeviceName.Allowed}.") { OtherNames = ["accelerator", "cuda"] },
        new("training.threads", RunKeyKind.Integer, "0", "Threads to compute with; 0 for every core. Results do not depend on it.")
        {
            Min = 0,
            Max = 4096,
            OtherNames = ["num_threads", "workers"],
        },
        new("training.log_every", RunKeyKind.Integer, "10", "Report the loss every so many optimizer steps.") { Min = 1, OtherNames = ["logging_steps"] },
        new("training.eval_every", RunKeyKind.Integer, "0", "Evaluate every so many optimizer steps; 0 only before and after training.")
        {
            Min = 0,
            OtherNames = ["eval_steps", "eval_interval"],
        },
        new("training.save_every", RunKeyKind.Integer, "0", "Write a checkpoint every so many optimizer steps; 0 only at the end.")
        {
            Min = 0,
            OtherNames = ["save_steps", "checkpoint_every"],
        },
        new("training.keep_checkpoints", RunKeyKind.Integer, "2", "How many checkpoints to keep; older ones are removed.")
        {
            Min = 1,
            Max = 1_000_000,
            OtherNames = ["save_total_limit"],
        },
        new("training.keep_best", RunKeyKind.Boolean, "true", "Deliver the weights of the best evaluation rather than the last ones, where eval_every is set.")
        {
            OtherNames = ["load_best_model_at_end"],
        },
        new("training.early_stopping.patience", RunKeyKind.Integer, "0", "Stop after so many evaluations without progress; 0 never stops early.")
        {
            Min = 0,
            Max = 1_000_000,
            OtherNames = ["early_stopping_patience"],
        },
        new("training.early_stopping.min_delta", RunKeyKind.Number, "0", "How much lower the evaluation loss must be to count as progress.")
        {
            Min = 0,
            OtherNames = ["threshold"],
        },
        new("training.checks.require_gradients", RunKeyKind.Boolean, "true", "Stop at the first step if a trainable tensor receives no gradient."),
        new("training.checks.require_stop_token", RunKeyKind.Boolean, "true",
            "Refuse data in which no end-of-sequence token carries loss: such a model never learns to stop."),

        new("generation.prompts", RunKeyKind.Integer, "0", "How many prompts of the evaluation data to complete before and after training.")
        {
            Min = 0,
            Max = 1_000_000,
            OtherNames = ["samples", "count"],
        },
        new("generation.max_new_tokens", RunKeyKind.Integer, "64", "Most tokens of a completion.")
        {
            Min = 1,
            Max = 1 << 24,
            OtherNames = ["max_tokens", "max_length"],
        },
        new("generation.temperature", RunKeyKind.Number, "0", "Randomness of the choice of tokens; 0 always takes the likeliest.") { Min = 0, Max = 100 },
        new("generation.top_k", RunKeyKind.Integer, "0", "Choose among the so many likeliest tokens; 0 among all.") { Min = 0 },
        new("generation.top_p", RunKeyKind.Number, "1", "Choose among the likeliest tokens that together have this probability.")
        {
            Min = 0,
            AboveMin = true,
            Max = 1,
        },

        new("output.path", RunKeyKind.NewFolder, "out", "Folder of adapter, checkpoints, metrics and report.") { OtherNames = ["dir", "folder", "output_dir"] },
        new("output.merged", RunKeyKind.Boolean, "false", "Also write the whole model with the adapter merged into it, weights in the type of model.dtype (not with quantized).") { OtherNames = ["merge"] },
    ];

    private static readonly Dictionary<string, RunKey> s_byPath = s_rows.ToDictionary(r => r.Path);

    /// <summary>The rows, section by section.</summary>
    public static IReadOnlyList<RunKey> All => s_rows;

    /// <summary>The reference of the run file as Markdown: the text of docs/run-file.md.</summary>
    public static string Markdown()
    {
        var text = new StringBuilder();
        text.Append("""
            # The run file

            A run is described by one YAML file. Keys are written in sections, as in `training:` with `steps: 100` below it;
            this page calls that key `training.steps`. `--set training.steps=100` on the command line replaces a value.
            Unknown keys and impossible values are errors that name file and line.

            Relative paths are relative to the run file. In paths `${NAME}` stands for an environment variable
            and `${NAME:-other}` for `other` where that variable is not set. Anchors, aliases and tags of YAML are not taken.

            This page is made from the table that the program itself reads by (`src/Training/Runs/RunKeys.cs`); a test compares them,
            and rewrites the page with `GRAFT_UPDATE_DOCS=1`.

            """);
        foreach ((string section, string description) in s_sections)
        {
            text.Append($"\n## {section}\n\n{description}\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
            foreach (RunKey row in s_rows.Where(r => r.Section == section))
            {
                string fallback = row.IsRequired ? "required" : row.Default is null ? "" : $"`{row.Default}`";
                text.Append($"| `{row.Path}` | {row.Allowed} | {fallback} | {row.Description} |\n");
            }
        }

        return text.ToString().ReplaceLineEndings("\n");
    }

    /// <summary>The row of a path, null if there is none.</summary>
    internal static RunKey? Find(string path) => s_byPath.GetValueOrDefault(path);

    /// <summary>True for the path of a section or subsection.</summary>
    internal static bool IsSection(string path) => s_rows.Any(r => r.Path.StartsWith(path + ".", StringComparison.Ordinal));

    /// <summary>The known path that was probably meant, null if nothing is near.</summary>
    internal static string? Nearest(string path)
    {
        int dot = path.LastIndexOf('.');
        string parent = dot < 0 ? string.Empty : path[..dot];
        string name = path[(dot + 1)..];
        RunKey? other = s_rows.FirstOrDefault(r => ParentOf(r.Path) == parent && r.OtherNames.Contains(name))
            ?? s_rows.FirstOrDefault(r => r.Name == name)
            ?? s_rows.FirstOrDefault(r => r.OtherNames.Contains(name));
        if (other is not null)
        {
            return other.Path;
        }

        IEnumerable<string> known = [.. s_rows.Select(r => r.Path), .. s_sections.Select(s => s.Name), .. s_rows.Select(r => ParentOf(r.Path))];
        (string? best, int distance) = known.Distinct().Where(s => ParentOf(s) == parent)
            .Select(s => ((string?)s, EditDistance.Between(s, path)))
            .DefaultIfEmpty((null, int.MaxValue))
            .MinBy(s => s.Item2);
        return distance <= Math.Max(2, name.Length / 3) ? best : null;
    }

    private static string ParentOf(string path) => path.LastIndexOf('.') is var dot and > 0 ? path[..dot] : string.Empty;
}
