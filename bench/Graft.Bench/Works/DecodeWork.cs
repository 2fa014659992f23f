using System.Diagnostics;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>Decoding with one row: SmolLM2-135M from its GGUF file beside llama.cpp, and a 1B shape beside the time that reading its weights takes.</summary>
internal sealed class DecodeWork : IWork
{
    private const string Peer = "llama.cpp";
    private const int Prompt = 512;

    // Llama 3.2 1B.
    private const string Large = """
        {"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
         "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 8192, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
         "tie_word_embeddings": true, "hidden_act": "silu", "initializer_range": 0.02}
        """;

    /// <inheritdoc/>
    public string Name => "decode";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        if (SmolLm2.Find() is { } file)
        {
            string? wide = Directory.EnumerateFiles(Path.GetDirectoryName(file)!, "*.gguf").FirstOrDefault(f => Path.GetFileName(f).Contains("bf16", StringComparison.OrdinalIgnoreCase));
            LoadOptions load = new() { Tokenizer = false };
            foreach (BenchRow row in Beside(options, "SmolLM2-135M, weights as stored", file, load with { KeepQuantized = true }, file))
            {
                yield return row;
            }

            foreach (BenchRow row in Beside(options, "SmolLM2-135M, BF16", file, load with { WeightType = DType.BF16 }, wide))
            {
                yield return row;
            }
        }

        yield return Bandwidth(options);
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        using CpuDevice device = new();
        using PretrainedModel model = SmolLm2.Create(device, quick);
        _ = Seconds(device, model, 1, News(quick));
    }

    private static int News(bool quick) => quick ? 8 : 64;

    private static IEnumerable<BenchRow> Beside(BenchOptions options, string what, string file, LoadOptions load, string? peerFile)
    {
        using CpuDevice device = new();
        using PretrainedModel model = PretrainedModel.Load(file, device, load);
        int news = News(options.Quick);
        bool beside = !options.OursOnly && peerFile is not null && LlamaBench.IsAvailable;
        _ = Seconds(device, model, 1, news);
        _ = Seconds(device, model, Prompt, 1);
        List<double> prompts = [], decodes = [], theirPrompts = [], theirDecodes = [];
        for (int round = 0; round < Math.Min(options.Rounds, 5); round++)
        {
            prompts.Add(Seconds(device, model, Prompt, 1));
            decodes.Add(Seconds(device, model, 1, news));
            if (beside)
            {
                (double prompt, double decode) = LlamaBench.Measure(peerFile!, Prompt, news);
                theirPrompts.Add(Prompt / prompt);
                theirDecodes.Add(news / decode);
            }
        }

        (Times, Times?) Both(List<double> ours, List<double> theirs) => (Times.Of(ours), theirs.Count == 0 ? null : Times.Of(theirs));
        yield return BenchRow.Rate($"decode: {what}, {news} tokens", "tokens/s", news, Both(decodes, theirDecodes), Peer) with { Target = 1.2, Note = "greedy, cache and sampling included" };
        yield return BenchRow.Rate($"decode: {what}, prompt of {Prompt}", "tokens/s", Prompt, Both(prompts, theirPrompts), Peer) with { Target = 2, Note = "to the first token" };
    }

    private static BenchRow Bandwidth(BenchOptions options)
    {
        double read = Machine.Measure(options.Quick).ReadAllCores * 1e9;
        using CpuDevice device = new();
        using PretrainedModel model = options.Quick
            ? SmolLm2.Create(device, true)
            : PretrainedModel.Create(Large, device, new Rng(3), new LoadOptions { WeightType = DType.BF16 });
        int news = News(options.Quick) / 2;
        _ = Seconds(device, model, 1, news);
        List<double> seconds = [.. Enumerable.Range(0, Math.Min(options.Rounds, 5)).Select(_ => Seconds(device, model, 1, news))];
        return BenchRow.Rate($"decode: Llama 1B shape, BF16, {news} tokens", "tokens/s", news, (Times.Of(seconds), null), null) with
        {
            Peer = "read bandwidth",
            Theirs = read / model.Weights.Report().Current.Total,
            Target = 0.75,
            Note = "theirs: bytes per second that all cores read, over the bytes of the weights",
        };
    }

    private static double Seconds(CpuDevice device, PretrainedModel model, int prompt, int news)
    {
        using Generator generator = new(model.Model, null, device);
        int[] ids = new TokenBatch(1, prompt, model.Model.VocabSize).Ids;
        long start = Stopwatch.GetTimestamp();
        _ = generator.Generate(ids, new GenerationConfig { MaxNewTokens = news });
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
