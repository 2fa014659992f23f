using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>A decoder: tokens to hidden states, and a head. One file per family implements it.</summary>
public interface ILanguageModel
{
    /// <summary>The family, as `model_type` in config.json.</summary>
    string ModelType { get; }

    /// <summary>V.</summary>
    int VocabSize { get; }

    /// <summary>C.</summary>
    int HiddenSize { get; }

    /// <summary>The longest sequence.</summary>
    int MaxPositions { get; }

    /// <summary>Width of the keys, and of the values, that one token leaves in each layer's cache: key heads and head size.</summary>
    (int Heads, int HeadSize) CacheShape { get; }

    /// <summary>The type of hidden states, from the embedding on to the logits: F32, or BF16 on devices that take it.</summary>
    DType Activations { get; }

    /// <summary>L.</summary>
    int LayerCount { get; }

    /// <summary>Every parameter once, by the checkpoint's names.</summary>
    IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Every linear layer, in the order of the forward.</summary>
    IReadOnlyList<Linear> Linears { get; }

    /// <summary>Every embedding table.</summary>
    IReadOnlyList<Embedding> Embeddings { get; }

    /// <summary>Hidden states to logits; shares its weight with the embedding where they are tied.</summary>
    Linear Head { get; }

    /// <summary>ids (B, T) I32 to embeddings (B, T, C), of the type of activations as all that follow.</summary>
    Tensor Embed(ForwardContext c, Tensor ids);

    /// <summary>Embeddings (B, T, C) to hidden states (B, T, C) after the final norm.</summary>
    Tensor Transform(ForwardContext c, Tensor x);
}

/// <summary>What follows from <see cref="ILanguageModel"/>.</summary>
public static class LanguageModelExtensions
{
    /// <summary>ids (B, T) I32 to hidden states (B, T, C) after the final norm.</summary>
    public static Tensor Hidden(this ILanguageModel model, ForwardContext c, Tensor ids)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Transform(c, model.Embed(c, ids));
    }

    /// <summary>ids (B, T) I32 to logits (B, T, V): for a few tokens; training uses the fused head and never holds these.</summary>
    public static Tensor Logits(this ILanguageModel model, ForwardContext c, Tensor ids)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Head.Forward(c, model.Hidden(c, ids));
    }
}
