using System.Runtime.CompilerServices;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Models.Tokenizers;
using Graft.Runtime;

namespace Graft.Models.Generation;

/// <summary>Why a generation ended.</summary>
public enum FinishReason
{
    /// <summary>A token that ends a text, or a stop sequence.</summary>
    Stop,

    /// <summary>The most new tokens, or the model's longest sequence.</summary>
    Length,
}

/// <summary>What one generation gave.</summary>
/// <param name="Ids">New tokens, the end token included where one came.</param>
/// <param name="Text">Their text without special tokens, up to a stop sequence; empty without a tokenizer.</param>
/// <param name="Reason">Why it ended.</param>
public sealed record GenerationResult(IReadOnlyList<int> Ids, string Text, FinishReason Reason);

/// <summary>Generates from a decoder, token by token, with a cache of keys and values.</summary>
/// <remarks>Holds an arena of its own; not thread-safe: one generator per thread, any number on one model.</remarks>
public sealed class Generator : IDisposable
{
    private readonly ILanguageModel _model;
    private readonly Tokenizer? _tokenizer;
    private readonly Arena _arena;

    /// <summary>A generator on a model.</summary>
    public Generator(ILanguageModel model, Tokenizer? tokenizer, Device device)
    {
        ArgumentNullException.ThrowIfNull(model);
        _model = model;
        _tokenizer = tokenizer;
        _arena = new Arena(device, "generation");
    }

    /// <summary>The adapters that act.</summary>
    public ActiveAdapters Adapters { get; set; } = ActiveAdapters.None;

    /// <summary>Draws tokens, where the settings ask for it: token i takes element i of its stream `sampling`.</summary>
    public Rng Random { get; set; } = new(0);

    /// <summary>Texts that end a generation, besides those of its settings; they are not part of the result.</summary>
    public IReadOnlyList<string> StopSequences { get; set; } = [];

    /// <summary>The whole continuation of a prompt.</summary>
    /// <exception cref="ShapeException">The prompt is empty, or longer than the model allows.</exception>
    public GenerationResult Generate(ReadOnlySpan<int> prompt, GenerationConfig config, CancellationToken cancellation = default)
    {
        using Run run = new(this, prompt.ToArray(), config);
        while (run.Step() is not null)
        {
            cancellation.ThrowIfCancellationRequested();
        }

        return run.Result();
    }

    /// <summary>The text of a continuation, piece by piece as characters are complete; text that may be the start of a stop sequence is held back.</summary>
    /// <exception cref="InvalidOperationException">The generator has no tokenizer.</exception>
    public async IAsyncEnumerable<string> StreamAsync(int[] prompt, GenerationConfig config, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        if (_tokenizer is null)
        {
            throw new InvalidOperationException("Text needs a tokenizer; this generator was made without one.");
        }

        using Run run = new(this, prompt, config);
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            string? piece = run.Step();
            if (piece is null)
            {
                break;
            }

            if (piece.Length > 0)
            {
                yield return piece;
            }

            await Task.Yield(); // a host's thread gets its turn between two tokens
        }

        if (run.Rest() is { Length: > 0 } rest)
        {
            yield return rest;
        }
    }

    /// <summary>Gives the memory back.</summary>
    public void Dispose() => _arena.Dispose();

    /// <summary>One generation under way.</summary>
    private sealed class Run : IDisposable
    {
        private readonly Generator _owner;
        private readonly List<int> _ids;
        private readonly int _promptLength;
        private readonly int _limit;
        private readonly Sampler _sampler;
        private readonly Arena _cacheArena;
        private readonly KvCache _cache;
        private readonly IReadOnlyList<int> _ends;
        private readonly float[] _scores;
        private readonly StopText? _text;
        private int _past;
        private FinishReason? _reason;

        public Run(Generator owner, int[] prompt, GenerationConfig config)
        {
            ArgumentNullException.ThrowIfNull(config);
            ILanguageModel model = owner._model;
            if (prompt.Length == 0 || prompt.Length >= model.MaxPositions)
            {
                throw new ShapeException($"A prompt of {prompt.Length} tokens was given; it must have 1 to {model.MaxPositions - 1}.");
            }

            _owner = owner;
            _ids = [.. prompt];
            _promptLength = prompt.Length;
            int most = config.MaxNewTokens ?? Math.Max(1, (config.MaxLength ?? (prompt.Length + 20)) - prompt.Length);
            _limit = Math.Min(prompt.Length + most, model.MaxPositions);
            _ends = config.EosTokenIds;
            _sampler = new Sampler(config, prompt.Length, _ends);
            _scores = new float[model.VocabSize];
            _text = owner._tokenizer is null ? null : new StopText(owner._tokenizer, [.. owner.StopSequences, .. config.StopStrings]);
            _cacheArena = new Arena(owner._arena.Device, "cache");
            _cache = new KvCache(_cacheArena, model.LayerCount, 1, _limit, model.CacheShape.Heads, model.CacheShape.HeadSize, model.Activations);
        }

        /// <summary>One more token; the text that became certain, null when the end had come before.</summary>
        public string? Step()
        {
            if (_reason is not null || _ids.Count >= _limit)
            {
                _reason ??= FinishReason.Length;
                return null;
            }

            Score();
            int made = _ids.Count - _promptLength;
            double uniform = _owner.Random.Stream("sampling").Bits64(made) * (1 / 18446744073709551616.0); // 2^-64
            int next = _sampler.Next(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_ids), _scores, uniform);
            _ids.Add(next);
            if (_ends.Contains(next))
            {
                _reason = FinishReason.Stop;
                return "";
            }

            string piece = _text?.Add(next) ?? "";
            if (_text is { Stopped: true })
            {
                _reason = FinishReason.Stop;
            }

            return piece;
        }

        public string Rest() => _text?.Finish() ?? "";

        public GenerationResult Result()
        {
            _ = Rest();
            return new GenerationResult(_ids.GetRange(_promptLength, _ids.Count - _promptLength), _text?.Whole ?? "", _reason ?? FinishReason.Length);
        }

        public void Dispose() => _cacheArena.Dispose();

        private void Score()
        {
            ILanguageModel model = _owner._model;
            int length = _ids.Count - _past;
            using Scope scope = _owner._arena.Enter("token");
            ForwardContext c = new(Tape.None(_owner._arena), new TokenLayout(1, length, null, null, _past))
            {
                Cache = _cache,
                Adapters = _owner.Adapters,
                Phase = _past == 0 ? ForwardPhase.Prefill : ForwardPhase.Decode,
            };
            ReadOnlySpan<int> news = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_ids)[_past..];
            Tensor hidden = model.Hidden(c, _owner._arena.Create(new Shape(1, length), news, MemoryCategory.Activations));
            Tensor last = c.Tape.View(hidden, new Shape(1, model.HiddenSize), (long)(length - 1) * model.HiddenSize);
            c.Tape.Cast(model.Head.Forward(c, last), DType.F32).CopyTo(_scores.AsSpan());
            _past = _ids.Count;
        }
    }
}
