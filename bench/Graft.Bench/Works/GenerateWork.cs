using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Runtime;
using TorchSharp;

namespace Graft.Bench.Works;

/// <summary>Greedy generation with a cache: a prompt of 64 tokens, 64 more. The first token's time is the prompt's; the others are decoding.</summary>
internal sealed class GenerateWork : IWork
{
    private const string Peer = "TorchSharp";
    private const int Prompt = 64;

    /// <inheritdoc/>
    public string Name => "generate";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        long? oursPeak = ChildProcess.PeakBytes(this, "ours", options.Quick);
        long? theirsPeak = Torch.IsAvailable ? ChildProcess.PeakBytes(this, "theirs", options.Quick) : null;
        using CpuDevice device = new();
        using PretrainedModel model = SmolLm2.Create(device, options.Quick);
        using Generator generator = new(model.Model, null, device);
        using TorchGenerator? theirs = Torch.IsAvailable ? new TorchGenerator(model.Model.Parameters, options.Quick) : null;
        int[] prompt = new TokenBatch(1, Prompt, model.Model.VocabSize).Ids;
        int news = News(options.Quick);
        int[] a = Generate(generator, prompt, news);
        int[] b = theirs?.Generate(prompt, news) ?? a;
        int equal = a.Zip(b).TakeWhile(pair => pair.First == pair.Second).Count();

        // Sums of another order may turn a near tie at any later token, and all is different from there; the first tokens leave no room for that.
        bool failed = equal < 4;
        string same = theirs is null ? "" : $"; the first {equal} of {news} tokens are the same on both sides";
        string note = $"{SmolLm2.Describe(options.Quick)}, F32, one row{same}";
        (Times Ours, Times? Theirs) Measure(int count)
        {
            return Pair.Measure(options, () => Generate(generator, prompt, count), theirs is null ? null : () => theirs.Generate(prompt, count), repeat: false);
        }

        (Times Ours, Times? Theirs) first = Measure(1);
        (Times Ours, Times? Theirs) whole = Measure(news);
        yield return BenchRow.Rate($"generate: prompt of {Prompt}", "tokens/s", Prompt, first, Peer) with { Target = 1, Note = note, Failed = failed };
        double ours = (news - 1) / (whole.Ours.Median - first.Ours.Median);
        double? other = (news - 1) / (whole.Theirs?.Median - first.Theirs?.Median);
        yield return BenchRow.Rate($"generate: decoding {news} tokens", "tokens/s", news, whole, Peer) with
        {
            Ours = ours,
            Theirs = other,
            Target = 1,
            Failed = failed,
            Note = "the whole's time less the prompt's",
        };
        if (oursPeak is { } bytes)
        {
            yield return new BenchRow("generate: peak resident memory", "MiB", bytes / (double)(1 << 20))
            {
                Peer = theirsPeak is null ? null : Peer,
                Theirs = theirsPeak / (double)(1 << 20),
                Target = 1,
                Rounds = 1,
                Note = "each side in a process of its own, .NET included",
            };
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        using CpuDevice device = new();
        int[] prompt = new TokenBatch(1, Prompt, SmolLm2.Sizes(quick).Vocabulary).Ids;
        if (ours)
        {
            using PretrainedModel model = SmolLm2.Create(device, quick);
            using Generator generator = new(model.Model, null, device);
            _ = Generate(generator, prompt, News(quick));
            return;
        }

        using TorchGenerator theirs = new(null, quick);
        _ = theirs.Generate(prompt, News(quick));
    }

    private static int News(bool quick) => quick ? 16 : 64;

    private static int[] Generate(Generator generator, int[] prompt, int news)
    {
        return [.. generator.Generate(prompt, new GenerationConfig { MaxNewTokens = news }).Ids];
    }

    private sealed class TorchGenerator : IDisposable
    {
        private readonly TorchWeights _weights;
        private readonly LlamaSizes _sizes;
        private readonly TorchLlama _model;
        private readonly int _capacity;

        public TorchGenerator(IEnumerable<Parameter>? source, bool quick)
        {
            _weights = new TorchWeights(source);
            _sizes = SmolLm2.Sizes(quick);
            _capacity = Prompt + News(quick);
            _model = new TorchLlama(_weights, _sizes, _capacity, 0, 0);
        }

        public int[] Generate(int[] prompt, int news)
        {
            using IDisposable inference = torch.inference_mode();
            using TorchCache cache = new(_sizes, _capacity);
            int[] result = new int[news];
            int[] ids = prompt;
            for (int i = 0, past = 0; i < news; i++)
            {
                using DisposeScope scope = torch.NewDisposeScope();
                torch.Tensor logits = _model.NextLogits(Torch.Create(ids, 1, ids.Length), cache, past);
                past += ids.Length;
                result[i] = (int)logits.argmax().item<long>();
                ids = [result[i]];
            }

            return result;
        }

        public void Dispose() => _weights.Dispose();
    }
}
