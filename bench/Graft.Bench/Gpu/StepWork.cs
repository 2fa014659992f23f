using System.Diagnostics;
using System.Globalization;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Bench.Gpu;

/// <summary>Whole training steps: forward, the head's loss, backward, AdamW; drawn weights, one batch that is used in every step, so that its loss must fall.</summary>
internal static class StepWork
{
    private const string Llama = """
        {"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
         "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 8192, "rope_theta": 500000, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
         "hidden_act": "silu", "initializer_range": 0.02}
        """;

    private const string TinyLlama = """
        {"model_type": "llama", "vocab_size": 257, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64, "rope_theta": 500000, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
         "hidden_act": "silu", "initializer_range": 0.05}
        """;

    private const string Gpt2 = """
        {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "resid_pdrop": 0, "embd_pdrop": 0,
         "attn_pdrop": 0, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.02}
        """;

    private const string TinyGpt2 = """
        {"model_type": "gpt2", "vocab_size": 257, "n_positions": 32, "n_embd": 64, "n_layer": 2, "n_head": 4, "resid_pdrop": 0, "embd_pdrop": 0,
         "attn_pdrop": 0, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.05}
        """;

    /// <summary>LoRA r = 16 on all linear layers of Llama-3-8B, 2 x 4096, BF16.</summary>
    public static IEnumerable<GpuRow> Lora(CudaDevice device, GpuOptions options)
    {
        (int rows, int length) = options.Tiny ? (2, 16) : (2, 4096);
        OutOfDeviceMemoryException? first = null;
        foreach (bool checkpoints in (bool[])[false, true])
        {
            GpuRow[] result;
            try
            {
                result = [.. Measure(
                    device, options, new Step("lora: Llama-3-8B r=16", options.Tiny ? TinyLlama : Llama, rows, length, checkpoints, options.Tiny ? 0.05 : 0.02, Adapter: true))];
            }
            catch (OutOfDeviceMemoryException e) when (!checkpoints)
            {
                first = e; // a card of 80 GB may not hold all activations: layers are then run twice
                continue;
            }

            foreach (GpuRow row in result)
            {
                yield return first is null ? row : row with { Note = $"{row.Note}; layers run again in backward, since all activations do not fit" };
            }

            yield break;
        }
    }

    /// <summary>All parameters of GPT-2 124M, 32 x 1024, BF16 with F32 masters.</summary>
    public static IEnumerable<GpuRow> Small(CudaDevice device, GpuOptions options)
    {
        (int rows, int length) = options.Tiny ? (2, 16) : (32, 1024);
        return Measure(device, options, new Step("gpt2: 124M", options.Tiny ? TinyGpt2 : Gpt2, rows, length, false, options.Tiny ? 0.05 : 0.02, Adapter: false));
    }

    private static IEnumerable<GpuRow> Measure(CudaDevice device, GpuOptions options, Step step)
    {
        using Arena weights = new(device, "weights"), training = new(device, "training"), activations = new(device, "step");
        ModelBuilder builder = new(weights, DType.BF16, DType.BF16);
        ILanguageModel model = ArchitectureTable.Build(HuggingFaceConfig(step.Config), builder);
        Fill(model, (float)step.Deviation);
        AdapterHost? host = step.Adapter ? new AdapterHost(model) : null;
        ActiveAdapters active = ActiveAdapters.None;
        Parameter[] trained;
        if (host is null)
        {
            trained = [.. model.Parameters];
        }
        else
        {
            AttachedAdapter adapter = host.Attach("bench", new LoraConfig { Rank = options.Tiny ? 4 : 16, Alpha = 32, TargetModules = ModulePattern.AllLinear }, new Rng(9));
            active = host.Active("bench");
            trained = [.. adapter.Parameters.Select(p => p.Parameter)];
        }

        foreach (Parameter parameter in trained)
        {
            parameter.Trainable = true;
        }

        using ParameterSet set = new(trained, training);
        Optimizer optimizer = new(set, new AdamW(), 3e-4);
        int count = step.Rows * step.Length;
        Tensor ids = Draw.Integers(weights, new Shape(step.Rows, step.Length), model.VocabSize, 11), targets = Draw.Integers(weights, new Shape(step.Rows, step.Length), model.VocabSize, 12);
        List<double> milliseconds = [], losses = [];
        int warmUps = options.Tiny ? 1 : 3, steps = options.Tiny ? 3 : options.Quick ? 8 : 15;
        long begun = Stopwatch.GetTimestamp();
        for (int i = 0; i < warmUps + steps && (i < warmUps + 3 || Stopwatch.GetElapsedTime(begun).TotalSeconds < (options.Quick ? 15 : 40)); i++)
        {
            device.Synchronize();
            long start = Stopwatch.GetTimestamp();
            losses.Add(RunStep(model, activations, active, optimizer, set, ids, targets, step)); // reads the loss: what a trainer does, and it waits for the card
            device.Synchronize();
            if (i >= warmUps)
            {
                milliseconds.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
        }

        GpuTimes times = GpuTimes.Of(milliseconds);
        double peak = (weights.Report().SlabBytes + training.Report().SlabBytes + activations.Report().SlabBytes) / (double)(1 << 20);
        bool failed = !(losses[^1] < losses[0]);
        double rate = 1e3 * count / times.Median, limit = options.Limits().GemmTflops;

        // A frozen weight takes 2 operations per token forward and 2 for the gradient of its input; a trained one 2 more. The embedding's table is looked up, not multiplied.
        double elements = model.Linears.Sum(l => (double)l.Weight.Parameter!.Shape.Count);
        double tflops = (step.Adapter ? 4 : 6) * elements * rate / 1e12;
        Dictionary<string, double> Wanted(double eager, double compile, double llmc) =>
            step.Adapter ? new() { ["eager"] = eager, ["compile"] = compile } : new() { ["compile"] = compile, ["llm.c"] = llmc };
        string note = string.Create(
            CultureInfo.InvariantCulture,
            $"{step.Rows} x {step.Length}, loss {losses[0]:F3} to {losses[^1]:F3}{(failed ? " DOES NOT FALL" : "")}; {tflops:F1} TFLOP/s by {(step.Adapter ? 4 : 6)}·N·tokens, N = {elements / 1e6:F0}M{(limit > 0 ? $", {100 * tflops / limit:F1} % of the product limit" : "")}; {times.Median:F1} ms a step");
        yield return new GpuRow($"{step.Name}: tokens", "tokens/s", rate)
        {
            P90 = 1e3 * count / times.P90,
            Rounds = times.Count,
            Goal = step.Adapter ? 15000 : 0,
            Targets = step.Adapter ? Wanted(1.2, 1.2, 0) : Wanted(0, 1.1, 1.0),
            Failed = failed,
            Note = note,
        };
        yield return new GpuRow($"{step.Name}: peak memory", "MiB", peak)
        {
            Rounds = 1,
            Targets = step.Adapter ? Wanted(1 / 0.6, 1 / 0.6, 0) : [],
            Failed = failed,
            Note = $"slabs of all arenas; step's arena at most {activations.Report().Peak.Total >> 20} MiB",
        };
    }

    private static double RunStep(
        ILanguageModel model, Arena activations, ActiveAdapters active, Optimizer optimizer, ParameterSet set, Tensor ids, Tensor targets, Step step)
    {
        using Scope scope = activations.Enter("step");
        using Tape tape = new(activations);
        ForwardContext context = new(tape, new TokenLayout(step.Rows, step.Length))
        {
            Phase = ForwardPhase.Train,
            Adapters = active,
            Random = new Rng(5),
            ActivationCheckpointing = step.Checkpoints,
        };
        Tensor mean = tape.Mean(tape.SelectedLogProb(model.Hidden(context, ids), model.Head.Weight.Parameter!.Value, targets));
        tape.Backward(mean, -1);
        optimizer.Update();
        set.ClearGradients();
        return -mean.ReadScalar();
    }

    private static void Fill(ILanguageModel model, float deviation)
    {
        int seed = 100;
        foreach (Parameter parameter in model.Parameters)
        {
            if (parameter.Shape.Rank > 1)
            {
                Draw.Fill(parameter.Value, deviation, seed++);
            }
            else
            {
                parameter.Value.Fill(parameter.Name.EndsWith("bias", StringComparison.Ordinal) ? 0 : 1);
            }
        }
    }

    private static Models.Checkpoints.HuggingFaceConfig HuggingFaceConfig(string text) => Models.Checkpoints.HuggingFaceConfig.Parse(text, "config.json");

    /// <param name="Name">Of the work's rows.</param>
    /// <param name="Config">config.json.</param>
    /// <param name="Rows">B.</param>
    /// <param name="Length">T.</param>
    /// <param name="Checkpoints">Layers run again in backward.</param>
    /// <param name="Deviation">Of the drawn matrices.</param>
    /// <param name="Adapter">LoRA on a frozen model, or all parameters.</param>
    private sealed record Step(string Name, string Config, int Rows, int Length, bool Checkpoints, double Deviation, bool Adapter);
}
