using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>A whole linear layer in place of the base's: `modules_to_save`. Each adapter has its own copy, so that the base, and other adapters, keep
/// theirs.</summary>
internal sealed class SavedLinear : IAdapter
{
    private readonly AdapterParameter _weight;
    private readonly AdapterParameter? _bias;
    private readonly DenseWeight _dense;

    /// <summary>A copy of the layer, or one on the copy of a table that it is tied to.</summary>
    public SavedLinear(AdapterSite site, AdapterParameter? tied)
    {
        Linear target = site.Linear;
        Parameter source = target.Weight.Parameter
            ?? throw new ConfigurationException($"'{site.Module}' holds a quantised weight, which cannot be trained whole. Leave it out of modules_to_save.");
        bool inputFirst = source.Shape[0] != target.Out || (target.Weight is DenseWeight { InputFirst: true });
        _weight = tied is null ? site.Parameter("weight", source.Shape, AdapterRole.Module) : tied with { Module = site.Module };
        _dense = new DenseWeight(_weight.Parameter, inputFirst);
        _bias = target.Bias is null ? null : site.Parameter("bias", target.Bias.Shape, AdapterRole.Bias);
        if (tied is null)
        {
            Widen.Copy(source.Value, _weight.Value);
        }

        if (_bias is not null)
        {
            Widen.Copy(target.Bias!.Value, _bias.Value);
        }

        Parameters = _bias is null ? [_weight] : [_weight, _bias];
    }

    public IReadOnlyList<AdapterParameter> Parameters { get; }

    public Tensor Forward(LinearCall c) => _dense.Forward(c.Tape, c.Input, _bias?.Value, null);

    public Tensor Merged(Tape t, Tensor weight) => _dense.Dense(t);

    public Tensor? MergedBias(Tape t, Tensor? bias) => _bias?.Value;
}

/// <summary>A whole table in place of the base's.</summary>
internal sealed class SavedEmbedding : IEmbeddingAdapter
{
    public SavedEmbedding(AdapterSite site)
    {
        Weight = site.Parameter("weight", site.Embedding.Weight.Shape, AdapterRole.Module);
        Widen.Copy(site.Embedding.Weight.Value, Weight.Value);
        Parameters = [Weight];
    }

    public AdapterParameter Weight { get; }

    public IReadOnlyList<AdapterParameter> Parameters { get; }

    public Tensor Forward(EmbeddingCall c) => c.Tape.Embedding(Weight.Value, c.Ids);

    public Tensor Merged(Tape t, Tensor weight) => Weight.Value;
}

/// <summary>Some rows of a table in place of the base's: `trainable_token_indices`. On a tied head the same rows act as output rows.</summary>
/// <remarks>y = E[t] + S[t]·(R − E_S) with S (V, n) one-hot and R (n, C) the rows; on the head y = x·Wᵀ + (x·(R − W_S)ᵀ)·Sᵀ, the low-rank branch
/// again.</remarks>
internal sealed class TokenRowsEmbedding : IEmbeddingAdapter
{
    public const string Key = "token_adapter.trainable_tokens_delta";

    private readonly Tensor _tokens;

    public TokenRowsEmbedding(AdapterSite site, IReadOnlyList<int> tokens)
    {
        Embedding table = site.Embedding;
        int count = table.Weight.Shape[0];
        if (tokens.FirstOrDefault(t => t >= count, -1) is >= 0 and int beyond)
        {
            throw new ConfigurationException($"trainable_token_indices: token {beyond} is not in the table '{site.Module}' of {count} rows.");
        }

        Arena arena = site.Group.Arena;
        Rows = site.Parameter(Key, new Shape(tokens.Count, table.Weight.Shape[1]), AdapterRole.Tokens);
        _tokens = arena.Create<int>(new Shape(tokens.Count), [.. tokens], MemoryCategory.Weights, site.Module + ".tokens");
        float[] choice = new float[count * tokens.Count];
        for (int i = 0; i < tokens.Count; i++)
        {
            choice[(tokens[i] * tokens.Count) + i] = 1;
        }

        Choice = arena.Create<float>(new Shape(count, tokens.Count), choice, MemoryCategory.Weights, site.Module + ".choice");
        using Scope scope = arena.Enter("rows");
        Rows.Value.CopyFrom(Tape.None(arena).Embedding(table.Weight.Value, _tokens));
        Parameters = [Rows];
    }

    public AdapterParameter Rows { get; }

    /// <summary>(V, n): row t has a one where token t is the n-th.</summary>
    public Tensor Choice { get; }

    public IReadOnlyList<AdapterParameter> Parameters { get; }

    public Tensor Forward(EmbeddingCall c)
    {
        Tensor chosen = c.Tape.Embedding(Choice, c.Ids); // (..., n)
        return c.Tape.Add(c.Inner(), c.Tape.Linear(chosen, c.Tape.Transpose(Difference(c.Tape, c.Target.Weight.Value))));
    }

    public Tensor Merged(Tape t, Tensor weight) => t.Add(weight, t.MatMul(Choice, Difference(t, weight)));

    /// <summary>R − W_S (n, C).</summary>
    public Tensor Difference(Tape t, Tensor weight) => t.Sub(Rows.Value, t.Embedding(Tape.Detach(weight), _tokens));
}

/// <summary>The rows of <see cref="TokenRowsEmbedding"/> on a head that shares the table.</summary>
internal sealed class TokenRowsHead(TokenRowsEmbedding rows) : IAdapter
{
    // The table's adapter saves the rows.
    public IReadOnlyList<AdapterParameter> Parameters => [];

    public Tensor Forward(LinearCall c)
    {
        Tensor u = c.Tape.Linear(c.Input, rows.Difference(c.Tape, c.Target.Weight.Parameter!.Value)); // (..., n)
        return c.Inner(c.Input, new LowRankBranch(u, rows.Choice, 1));
    }

    public Tensor Merged(Tape t, Tensor weight) => rows.Merged(t, weight);
}

/// <summary>Copies of base tensors, as F32.</summary>
internal static class Widen
{
    public static void Copy(Tensor source, Tensor target)
    {
        if (!source.Device.Computes)
        {
            return;
        }

        using Scope scope = target.Arena.Enter("widen");
        target.CopyFrom(source.DType == DType.F32 ? source : Tape.None(target.Arena).Cast(Tape.Detach(source), DType.F32));
    }
}
