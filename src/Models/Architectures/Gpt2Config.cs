using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>The settings of a GPT-2 decoder. Defaults are those of the reference implementation.</summary>
public sealed record Gpt2Config
{
    private static readonly string[] s_modelTypes = ["gpt2"];

    private static readonly Dictionary<string, string[]> s_oldSpellings = new(StringComparer.Ordinal) { ["dtype"] = ["torch_dtype"] };

    /// <summary>V: rows of the embedding (`vocab_size`).</summary>
    public required int VocabSize { get; init; }

    /// <summary>C: model width (`n_embd`).</summary>
    public required int HiddenSize { get; init; }

    /// <summary>L: layers (`n_layer`).</summary>
    public required int NumHiddenLayers { get; init; }

    /// <summary>H: heads (`n_head`); divides C.</summary>
    public required int NumAttentionHeads { get; init; }

    /// <summary>The longest sequence: rows of the position embedding (`n_positions`).</summary>
    public required int MaxPositionEmbeddings { get; init; }

    /// <summary>F: width of the feed-forward layer (`n_inner`; 4·C where null).</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>ε of the layer norms (`layer_norm_epsilon`).</summary>
    public required float LayerNormEpsilon { get; init; }

    /// <summary>The activation (`activation_function`): gelu_new, gelu_pytorch_tanh, gelu, relu or silu.</summary>
    public string ActivationFunction { get; init; } = "gelu_new";

    /// <summary>True where attention scores are divided by √D (`scale_attn_weights`).</summary>
    public bool ScaleAttentionWeights { get; init; } = true;

    /// <summary>True where the head is the embedding.</summary>
    public bool TieWordEmbeddings { get; init; } = true;

    /// <summary>Dropout of residual branches in training (`resid_pdrop`).</summary>
    public float ResidualDropout { get; init; } = 0.1f;

    /// <summary>Dropout of embeddings in training (`embd_pdrop`).</summary>
    public float EmbeddingDropout { get; init; } = 0.1f;

    /// <summary>Dropout of attention probabilities in training (`attn_pdrop`).</summary>
    public float AttentionDropout { get; init; } = 0.1f;

    /// <summary>Standard deviation of fresh weights.</summary>
    public float InitializerRange { get; init; } = 0.02f;

    /// <summary>The token that begins a text, if any.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The tokens that end a text.</summary>
    public ValueList<int> EosTokenIds { get; init; } = new([]);

    /// <summary>The token of padding, if any.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>The type in which the weights are meant to be stored, if said.</summary>
    public DType? DType { get; init; }

    /// <summary>Reads a config.json; unknown keys are added to <paramref name="warnings"/>.</summary>
    /// <exception cref="CheckpointException">A setting is wrong or changes the model in a way that is not implemented; names file, key and value.</exception>
    public static Gpt2Config Parse(JsonElement root, string file, ICollection<string>? warnings = null)
    {
        _ = HuggingFaceConfig.RequireModelType(root, file, s_modelTypes);
        ConfigReader c = new(root, file);
        int width = c.IntOr("n_embd", 768, 1);
        int heads = c.IntOr("n_head", 12, 1);
        if (width % heads != 0 || width > int.MaxValue / 4)
        {
            throw c.Error("n_embd", $"must be a multiple of n_head = {heads} and below 2^29");
        }

        Gpt2Config config = new()
        {
            VocabSize = c.IntOr("vocab_size", 50257, 1),
            HiddenSize = width,
            NumHiddenLayers = c.IntOr("n_layer", 12, 1),
            NumAttentionHeads = heads,
            MaxPositionEmbeddings = c.IntOr("n_positions", 1024, 1),
            IntermediateSize = c.IntOr("n_inner", 4 * width, 1),
            LayerNormEpsilon = (float)c.PositiveOr("layer_norm_epsilon", 1e-5),
            ActivationFunction = c.ChoiceOr("activation_function", "gelu_new", ConfigValues.Activations),
            ScaleAttentionWeights = c.FlagOr("scale_attn_weights", true),
            TieWordEmbeddings = c.FlagOr("tie_word_embeddings", true),
            ResidualDropout = ConfigValues.Probability(c, "resid_pdrop", 0.1),
            EmbeddingDropout = ConfigValues.Probability(c, "embd_pdrop", 0.1),
            AttentionDropout = ConfigValues.Probability(c, "attn_pdrop", 0.1),
            InitializerRange = (float)c.NumberOr("initializer_range", 0.02),
            BosTokenId = c.IsPresent("bos_token_id") ? c.OptionalInt("bos_token_id") : 50256,
            EosTokenIds = c.IsPresent("eos_token_id") ? c.Ints("eos_token_id") : new([50256]),
            PadTokenId = c.OptionalInt("pad_token_id"),
            DType = ConfigValues.StorageType(c),
        };
        foreach (string warning in c.RefuseUnknownBehaviour())
        {
            warnings?.Add(warning);
        }

        return config;
    }

    /// <summary>The text of a config.json. Given the text it was read from, all that did not change stays as it was, byte by byte where nothing changed.</summary>
    /// <exception cref="CheckpointException"><paramref name="original"/> is not a config.json of this family.</exception>
    public string Write(string? original = null)
    {
        if (original is null)
        {
            return ConfigWriter.Text(ToJson());
        }

        HuggingFaceConfig before = HuggingFaceConfig.Parse(original, HuggingFaceConfig.FileName);
        return ConfigWriter.Merge(original, Parse(before.Root, HuggingFaceConfig.FileName).ToJson(), ToJson(), s_oldSpellings);
    }

    private JsonObject ToJson() => new()
    {
        ["activation_function"] = ActivationFunction,
        ["architectures"] = new JsonArray("GPT2LMHeadModel"),
        ["attn_pdrop"] = AttentionDropout,
        ["bos_token_id"] = BosTokenId,
        ["dtype"] = ConfigValues.StorageName(DType),
        ["embd_pdrop"] = EmbeddingDropout,
        ["eos_token_id"] = ConfigValues.OneOrMany(EosTokenIds),
        ["initializer_range"] = InitializerRange,
        ["layer_norm_epsilon"] = LayerNormEpsilon,
        ["model_type"] = "gpt2",
        ["n_embd"] = HiddenSize,
        ["n_head"] = NumAttentionHeads,
        ["n_inner"] = IntermediateSize == 4 * HiddenSize ? null : IntermediateSize,
        ["n_layer"] = NumHiddenLayers,
        ["n_positions"] = MaxPositionEmbeddings,
        ["pad_token_id"] = PadTokenId,
        ["resid_pdrop"] = ResidualDropout,
        ["scale_attn_weights"] = ScaleAttentionWeights,
        ["tie_word_embeddings"] = TieWordEmbeddings,
        ["use_cache"] = true,
        ["vocab_size"] = VocabSize,
    };
}
