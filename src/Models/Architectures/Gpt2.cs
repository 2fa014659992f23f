using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>GPT-2: learned positions, layer norms, fused q, k, v, weights stored as (in, out), a tied head. Radford et al. 2019.</summary>
public sealed class Gpt2 : ILanguageModel
{
    private readonly Embedding _wte;
    private readonly Embedding _wpe;
    private readonly Block[] _h;
    private readonly Norm _lnF;

    /// <summary>A model whose parameters are still to be loaded or drawn by the builder.</summary>
    public Gpt2(Gpt2Config config, ModelBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(builder);
        Config = config;
        _wte = builder.Embedding("transformer.wte", config.VocabSize, config.HiddenSize);
        _wpe = builder.Embedding("transformer.wpe", config.MaxPositionEmbeddings, config.HiddenSize);
        _h = new Block[config.NumHiddenLayers];
        for (int i = 0; i < _h.Length; i++)
        {
            _h[i] = new Block(config, builder, i);
        }

        _lnF = new Norm(builder, "transformer.ln_f", config);
        Head = config.TieWordEmbeddings ? builder.Tied("lm_head", _wte) : builder.Linear("lm_head", config.HiddenSize, config.VocabSize);
        Activations = builder.Activations;
        Parameters = builder.Parameters;
        Linears = builder.Linears;
        Embeddings = builder.Embeddings;
    }

    /// <summary>The settings it was made by.</summary>
    public Gpt2Config Config { get; }

    /// <inheritdoc/>
    public string ModelType => "gpt2";

    /// <inheritdoc/>
    public int VocabSize => Config.VocabSize;

    /// <inheritdoc/>
    public int HiddenSize => Config.HiddenSize;

    /// <inheritdoc/>
    public int MaxPositions => Config.MaxPositionEmbeddings;

    /// <inheritdoc/>
    public (int Heads, int HeadSize) CacheShape => (Config.NumAttentionHeads, Config.HiddenSize / Config.NumAttentionHeads);

    /// <inheritdoc/>
    public DType Activations { get; }

    /// <inheritdoc/>
    public int LayerCount => _h.Length;

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
        if (c.Layout.MaxPosition > MaxPositions)
        {
            throw new ShapeException($"gpt2: position {c.Layout.MaxPosition - 1} was given; n_positions is {MaxPositions}. Use shorter sequences.");
        }

        Tensor x = c.Tape.Cast(c.Tape.Add(_wte.Forward(c, ids), _wpe.Forward(c, c.Positions)), Activations);
        return c.Tape.Site(_wte.Name, c.Dropout(x, Config.EmbeddingDropout, "transformer.drop"));
    }

    /// <inheritdoc/>
    public Tensor Transform(ForwardContext c, Tensor x)
    {
        ArgumentNullException.ThrowIfNull(c);
        c.Prepare();
        foreach (Block layer in _h)
        {
            x = c.Tape.Site(layer.Name, c.RunLayer(layer.Name, x, layer.Forward));
        }

        return c.Tape.Site("transformer.ln_f", _lnF.Forward(c, x));
    }

    private sealed class Norm(ModelBuilder builder, string name, Gpt2Config config)
    {
        private readonly Parameter _weight = builder.Vector(name + ".weight", config.HiddenSize, 1);
        private readonly Parameter _bias = builder.Vector(name + ".bias", config.HiddenSize, 0);
        private readonly float _epsilon = config.LayerNormEpsilon;

        public Tensor Forward(ForwardContext c, Tensor x) => c.Tape.LayerNorm(x, _weight.Value, _bias.Value, _epsilon);
    }

    private sealed class Block
    {
        private readonly Norm _ln1;
        private readonly Norm _ln2;
        private readonly Linear _attn;
        private readonly Linear _attnProj;
        private readonly Linear _fc;
        private readonly Linear _mlpProj;
        private readonly Gpt2Config _config;
        private readonly int _layer;

        public Block(Gpt2Config config, ModelBuilder builder, int layer)
        {
            _config = config;
            _layer = layer;
            Name = $"transformer.h.{layer}";
            int c = config.HiddenSize;
            _ln1 = new Norm(builder, Name + ".ln_1", config);
            _attn = builder.Linear(Name + ".attn.c_attn", c, 3 * c, bias: true, transposed: true);
            _attnProj = builder.Linear(Name + ".attn.c_proj", c, c, bias: true, transposed: true);
            _ln2 = new Norm(builder, Name + ".ln_2", config);
            _fc = builder.Linear(Name + ".mlp.c_fc", c, config.IntermediateSize, bias: true, transposed: true);
            _mlpProj = builder.Linear(Name + ".mlp.c_proj", config.IntermediateSize, c, bias: true, transposed: true);
        }

        public string Name { get; }

        public Tensor Forward(ForwardContext c, Tensor x)
        {
            Tape t = c.Tape;
            x = t.Add(x, c.Dropout(Attention(c, _ln1.Forward(c, x)), _config.ResidualDropout, Name + ".attn.resid_dropout"));
            Tensor f = _mlpProj.Forward(c, Layers.Activations.Apply(t, _config.ActivationFunction, _fc.Forward(c, _ln2.Forward(c, x))));
            return t.Add(x, c.Dropout(f, _config.ResidualDropout, Name + ".mlp.dropout"));
        }

        private Tensor Attention(ForwardContext c, Tensor x)
        {
            int heads = _config.NumAttentionHeads;
            float scale = _config.ScaleAttentionWeights ? 1 / MathF.Sqrt(_config.HiddenSize / heads) : 1;
            return _attnProj.Forward(c, c.Attend(_attn.Forward(c, x), heads, _layer, scale));
        }
    }
}
