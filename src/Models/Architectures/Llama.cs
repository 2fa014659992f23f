using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>The Llama family by configuration: Llama 2 and 3, Mistral (sliding window), Qwen2 (biases on q, k, v) and Qwen3 (norms on each head of q and k).</summary>
/// <remarks>Pre-norm decoder: x += attention(norm(x)); x += down(act(gate(n)) ⊙ up(n)) with n = norm(x). Rotary positions, grouped queries. Touvron et al. 2023, arXiv:2302.13971.</remarks>
public sealed class Llama : ILanguageModel
{
    private readonly Embedding _embedTokens;
    private readonly Rotary _rotary;
    private readonly Block[] _layers;
    private readonly Parameter _norm;

    /// <summary>A model whose parameters are still to be loaded or drawn by the builder.</summary>
    public Llama(LlamaConfig config, ModelBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(builder);
        Config = config;
        _rotary = builder.Rotary(Options(config), config.MaxPositionEmbeddings);
        _embedTokens = builder.Embedding("model.embed_tokens", config.VocabSize, config.HiddenSize);
        _layers = new Block[config.NumHiddenLayers];
        for (int i = 0; i < _layers.Length; i++)
        {
            _layers[i] = new Block(config, builder, _rotary, i);
        }

        _norm = builder.Vector("model.norm.weight", config.HiddenSize, 1);
        Head = config.TieWordEmbeddings ? builder.Tied("lm_head", _embedTokens) : builder.Linear("lm_head", config.HiddenSize, config.VocabSize);
        Activations = builder.Activations;
        Parameters = builder.Parameters;
        Linears = builder.Linears;
        Embeddings = builder.Embeddings;
    }

    /// <summary>The settings it was made by.</summary>
    public LlamaConfig Config { get; }

    /// <inheritdoc/>
    public string ModelType => Config.ModelType;

    /// <inheritdoc/>
    public int VocabSize => Config.VocabSize;

    /// <inheritdoc/>
    public int HiddenSize => Config.HiddenSize;

    /// <inheritdoc/>
    public int MaxPositions => Config.MaxPositionEmbeddings;

    /// <inheritdoc/>
    public (int Heads, int HeadSize) CacheShape => (Config.NumKeyValueHeads, Config.HeadDim);

    /// <inheritdoc/>
    public DType Activations { get; }

    /// <inheritdoc/>
    public int LayerCount => _layers.Length;

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <inheritdoc/>
    public IReadOnlyList<Linear> Linears { get; }

    /// <inheritdoc/>
    public IReadOnlyList<Embedding> Embeddings { get; }

    /// <inheritdoc/>
    public Linear Head { get; }

    /// <inheritdoc/>
    public Tensor Embed(ForwardContext c, Tensor ids)
    {
        ArgumentNullException.ThrowIfNull(c);
        return c.Tape.Site(_embedTokens.Name, c.Tape.Cast(_embedTokens.Forward(c, ids), Activations));
    }

    /// <inheritdoc/>
    public Tensor Transform(ForwardContext c, Tensor x)
    {
        ArgumentNullException.ThrowIfNull(c);
        _rotary.Prepare(c.Layout.MaxPosition);
        c.Prepare();
        foreach (Block layer in _layers)
        {
            x = c.Tape.Site(layer.Name, c.RunLayer(layer.Name, x, layer.Forward));
        }

        return c.Tape.Site("model.norm", c.Tape.RmsNorm(x, _norm.Value, Config.RmsNormEps));
    }

    private static RotaryOptions Options(LlamaConfig config) => new(config.HeadDim, config.Rope.Theta)
    {
        Scaling = config.Rope.Type switch
        {
            RopeType.Linear => RotaryScaling.Linear,
            RopeType.Llama3 => RotaryScaling.Llama3,
            _ => RotaryScaling.None,
        },
        Factor = config.Rope.Factor,
        LowFrequencyFactor = config.Rope.LowFrequencyFactor,
        HighFrequencyFactor = config.Rope.HighFrequencyFactor,
        OriginalMaxPositions = config.Rope.OriginalMaxPositions,
        MaxPositions = config.MaxPositionEmbeddings,
    };

    private sealed class Block
    {
        private readonly Parameter _inputLayernorm;
        private readonly Parameter _postAttentionLayernorm;
        private readonly Attention _selfAttn;
        private readonly Mlp _mlp;
        private readonly float _epsilon;

        public Block(LlamaConfig config, ModelBuilder builder, Rotary rotary, int layer)
        {
            Name = $"model.layers.{layer}";
            _epsilon = config.RmsNormEps;
            _inputLayernorm = builder.Vector(Name + ".input_layernorm.weight", config.HiddenSize, 1);
            _selfAttn = new Attention(config, builder, rotary, Name + ".self_attn", layer);
            _postAttentionLayernorm = builder.Vector(Name + ".post_attention_layernorm.weight", config.HiddenSize, 1);
            _mlp = new Mlp(config, builder, Name + ".mlp");
        }

        public string Name { get; }

        public Tensor Forward(ForwardContext c, Tensor x)
        {
            Tape t = c.Tape;
            x = t.Add(x, _selfAttn.Forward(c, t.RmsNorm(x, _inputLayernorm.Value, _epsilon)));
            return t.Add(x, _mlp.Forward(c, t.RmsNorm(x, _postAttentionLayernorm.Value, _epsilon)));
        }
    }

    private sealed class Attention
    {
        private readonly Linear _qProj;
        private readonly Linear _kProj;
        private readonly Linear _vProj;
        private readonly Linear _oProj;
        private readonly Parameter? _qNorm;
        private readonly Parameter? _kNorm;
        private readonly LlamaConfig _config;
        private readonly Rotary _rotary;
        private readonly int _layer;
        private readonly int _window;

        public Attention(LlamaConfig config, ModelBuilder builder, Rotary rotary, string name, int layer)
        {
            _config = config;
            _rotary = rotary;
            _layer = layer;
            _window = config.SlidingWindows[layer] ?? 0;
            int d = config.HeadDim;
            _qProj = builder.Linear(name + ".q_proj", config.HiddenSize, config.NumAttentionHeads * d, config.QkvBias);
            _kProj = builder.Linear(name + ".k_proj", config.HiddenSize, config.NumKeyValueHeads * d, config.QkvBias);
            _vProj = builder.Linear(name + ".v_proj", config.HiddenSize, config.NumKeyValueHeads * d, config.QkvBias);
            _oProj = builder.Linear(name + ".o_proj", config.NumAttentionHeads * d, config.HiddenSize, config.OutputBias);
            if (config.QkNorm)
            {
                _qNorm = builder.Vector(name + ".q_norm.weight", d, 1);
                _kNorm = builder.Vector(name + ".k_norm.weight", d, 1);
            }
        }

        public Tensor Forward(ForwardContext c, Tensor x)
        {
            Tape t = c.Tape;
            Tensor q = Heads(c, _qProj.Forward(c, x), _config.NumAttentionHeads, _qNorm); // (B, T, H, D)
            Tensor k = Heads(c, _kProj.Forward(c, x), _config.NumKeyValueHeads, _kNorm);  // (B, T, K, D)
            Tensor v = Split(t, _vProj.Forward(c, x), _config.NumKeyValueHeads);          // (B, T, K, D)
            Tensor y = c.Attend(q, k, v, _layer, _window, 1 / MathF.Sqrt(_config.HeadDim)); // (B, T, H, D)
            return _oProj.Forward(c, t.View(y, x.Shape.With(-1, _config.NumAttentionHeads * _config.HeadDim)));
        }

        private Tensor Heads(ForwardContext c, Tensor x, int heads, Parameter? norm)
        {
            Tensor split = Split(c.Tape, x, heads);
            split = norm is null ? split : c.Tape.RmsNorm(split, norm.Value, _config.RmsNormEps);
            return c.Tape.RotaryEmbedding(split, _rotary.Table, c.Positions);
        }

        private Tensor Split(Tape t, Tensor x, int heads) => t.View(x, new Shape(x.Shape[0], x.Shape[1], heads, _config.HeadDim));
    }

    private sealed class Mlp
    {
        private readonly Linear _gateProj;
        private readonly Linear _upProj;
        private readonly Linear _downProj;
        private readonly string _act;

        public Mlp(LlamaConfig config, ModelBuilder builder, string name)
        {
            _act = config.HiddenAct;
            _gateProj = builder.Linear(name + ".gate_proj", config.HiddenSize, config.IntermediateSize, config.MlpBias);
            _upProj = builder.Linear(name + ".up_proj", config.HiddenSize, config.IntermediateSize, config.MlpBias);
            _downProj = builder.Linear(name + ".down_proj", config.IntermediateSize, config.HiddenSize, config.MlpBias);
        }

        public Tensor Forward(ForwardContext c, Tensor x)
        {
            Tensor gate = _gateProj.Forward(c, x); // (B, T, F)
            Tensor up = _upProj.Forward(c, x);     // (B, T, F)
            return _downProj.Forward(c, _act == "silu" ? c.Tape.SwiGlu(gate, up) : c.Tape.Mul(Layers.Activations.Apply(c.Tape, _act, gate), up));
        }
    }
}
