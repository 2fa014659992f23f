using Graft.Models.Adapters;
using Graft.Models.Generation;
using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>What a forward is for.</summary>
public enum ForwardPhase
{
    /// <summary>Training: dropout acts.</summary>
    Train,

    /// <summary>Loss or score of given tokens.</summary>
    Evaluate,

    /// <summary>A prompt goes into the cache; decisions made here hold for the whole generation.</summary>
    Prefill,

    /// <summary>One more token; decisions of the prompt are used, never made anew.</summary>
    Decode,
}

/// <summary>Everything one forward is given besides tokens and weights: the tape, the active adapters, document boundaries, positions, the cache, randomness. One object per forward.</summary>
public sealed class ForwardContext
{
    private readonly Dictionary<int, Tensor> _ranges;

    /// <summary>A context for one forward.</summary>
    /// <param name="tape">Runs and perhaps records the ops.</param>
    /// <param name="layout">Rows, length, positions and who sees whom.</param>
    public ForwardContext(Tape tape, TokenLayout layout)
        : this(tape, layout, [], [], [])
    {
    }

    private ForwardContext(Tape tape, TokenLayout layout, Dictionary<int, Tensor> ranges, Dictionary<string, Tensor> held, List<Tensor> auxiliary)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(layout);
        Tape = tape;
        Layout = layout;
        _ranges = ranges;
        Held = held;
        AuxiliaryLosses = auxiliary;
    }

    /// <summary>Runs and perhaps records the ops.</summary>
    public Tape Tape { get; }

    /// <summary>Rows, length, positions and who sees whom.</summary>
    public TokenLayout Layout { get; }

    /// <summary>What the forward is for.</summary>
    public ForwardPhase Phase { get; init; } = ForwardPhase.Evaluate;

    /// <summary>The adapters that act in this forward: none, one or several, in order of application.</summary>
    public ActiveAdapters Adapters { get; init; } = ActiveAdapters.None;

    /// <summary>Keys and values of earlier tokens; null without generation.</summary>
    public KvCache? Cache { get; init; }

    /// <summary>Random numbers of this step; each use takes a stream of its own name.</summary>
    public Rng Random { get; init; }

    /// <summary>True where each layer is to be run again in backward instead of being kept.</summary>
    public bool ActivationCheckpointing { get; init; }

    /// <summary>Decisions made on the prompt (gates, routing), by name, that hold for the whole generation.</summary>
    public Dictionary<string, Tensor> Held { get; }

    /// <summary>Scalars that layers add to the objective (balance, orthogonality).</summary>
    public List<Tensor> AuxiliaryLosses { get; }

    /// <summary>The same forward on another tape: inside a checkpointed region.</summary>
    public ForwardContext On(Tape tape) => Copy(tape, Adapters);

    /// <summary>The same forward with other adapters: some rows of the batch.</summary>
    public ForwardContext With(ActiveAdapters adapters) => Copy(Tape, adapters);

    private ForwardContext Copy(Tape tape, ActiveAdapters adapters)
    {
        return new ForwardContext(tape, Layout, _ranges, Held, AuxiliaryLosses)
        {
            Phase = Phase,
            Adapters = adapters,
            Cache = Cache,
            Random = Random,
            ActivationCheckpointing = ActivationCheckpointing,
        };
    }

    /// <summary>Position of each token, (B, T) I32.</summary>
    public Tensor Positions => Shared(-1, Layout.FillPositions, new Shape(Layout.Rows, Layout.Length));

    /// <summary>Which keys each token sees, [start, end), as (B, T, 2) I32; null where causality alone says it.</summary>
    public Tensor? Ranges => Layout.IsPlain ? null : Shared(0, Layout.FillRanges, new Shape(Layout.Rows, Layout.Length, 2));

    /// <summary>Takes positions and ranges that lie on the device already, as <see cref="Positions"/> and <see cref="Ranges"/> would make them from the layout.</summary>
    /// <param name="positions">(B, T) I32.</param>
    /// <param name="ranges">(B, T, 2) I32; null where the layout is plain.</param>
    public void Take(Tensor positions, Tensor? ranges)
    {
        _ranges[-1] = positions;
        if (ranges is not null)
        {
            _ranges[0] = ranges;
        }
    }

    /// <summary>Dropout in training, nothing otherwise.</summary>
    /// <param name="x">Any shape.</param>
    /// <param name="probability">Of an element to become zero.</param>
    /// <param name="site">The stream's name: the same mask wherever and whenever this site of this step is run.</param>
    public Tensor Dropout(Tensor x, float probability, string site)
    {
        return Phase == ForwardPhase.Train && probability > 0 ? Tape.Dropout(x, probability, Random.Stream(site)) : x;
    }

    /// <summary>Makes positions and ranges before the first layer, so that they outlive the layers' scopes.</summary>
    public void Prepare()
    {
        _ = Positions;
        _ = Ranges;
    }

    /// <summary>Runs a layer in a scope of its own, or as a region to be run again in backward: only its result, and what backward reads, outlives it.</summary>
    public Tensor RunLayer(string name, Tensor x, Func<ForwardContext, Tensor, Tensor> layer)
    {
        ArgumentNullException.ThrowIfNull(layer);
        if (ActivationCheckpointing && Tape.Records)
        {
            return Tape.Checkpoint(name, (tape, inputs) => layer(On(tape), inputs[0]), x);
        }

        using Scope scope = Tape.Enter(name);
        return scope.Keep(layer(this, x));
    }

    /// <summary>Causal attention of new queries over the cache, if any, and new keys, by this forward's layout.</summary>
    /// <param name="q">(B, T, H, D).</param>
    /// <param name="k">(B, T, K, D).</param>
    /// <param name="v">(B, T, K, D).</param>
    /// <param name="layer">Which layer of the cache.</param>
    /// <param name="window">The sliding window, 0 for none.</param>
    /// <param name="scale">Of the scores.</param>
    public Tensor Attend(Tensor q, Tensor k, Tensor v, int layer, int window, float scale)
    {
        int heads = q.Shape[2];
        int keyHeads = k.Shape[2];
        if (Cache is not null)
        {
            (k, v) = Cache.Append(layer, k, v, Layout.Past);
        }

        return Tape.ScaledDotProductAttention(q, k, v, heads, keyHeads, Attention(window, scale));
    }

    /// <summary>The same from one packed tensor (B, T, 3·C), queries first; the result is (B, T, C). Without a cache the three are never copied apart.</summary>
    public Tensor Attend(Tensor qkv, int heads, int layer, float scale)
    {
        ArgumentNullException.ThrowIfNull(qkv);
        if (Cache is null)
        {
            return Tape.PackedAttention(qkv, heads, heads, Attention(0, scale));
        }

        int width = qkv.Shape.Last / 3;
        Shape split = new(qkv.Shape[0], qkv.Shape[1], heads, width / heads);
        Tensor[] parts = Tape.Split(qkv, -1, width, width, width);
        Tensor y = Attend(Tape.View(parts[0], split), Tape.View(parts[1], split), Tape.View(parts[2], split), layer, 0, scale);
        return Tape.View(y, qkv.Shape.With(-1, width));
    }

    private AttentionOptions Attention(int window, float scale) => new()
    {
        Scale = scale,
        Window = window,
        Keys = Cache is null ? 0 : Layout.Past + Layout.Length,
        Ranges = Ranges,
    };

    // Models ask for these before their first layer, so that they outlive the layers' scopes; what a scope has ended is made anew.
    private Tensor Shared(int key, FillIntegers fill, Shape shape)
    {
        if (!_ranges.TryGetValue(key, out Tensor? tensor) || !tensor.IsAlive)
        {
            tensor = Tape.Arena.Allocate(shape, DType.I32, MemoryCategory.Activations);
            if (tensor.Device.IsHost)
            {
                fill(tensor.AsSpan<int>());
            }
            else if (tensor.Device.Computes)
            {
                int[] values = new int[shape.Count];
                fill(values);
                tensor.CopyFrom<int>(values);
            }

            _ranges[key] = tensor;
        }

        return tensor;
    }

    private delegate void FillIntegers(Span<int> values);
}
