using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>One method on one linear layer. A method is a sealed class that implements this, a configuration record and a row in <c>AdapterTable</c>; the host
/// does everything else.</summary>
public interface IAdapter
{
    /// <summary>All tensors that belong to the adapter's file, trainable or frozen, by their names on disk below the module (`lora_A.weight`).</summary>
    IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>The layer's whole output: calls <see cref="LinearCall.Inner"/> for what lies below (the base, or another adapter) and adds to it, or replaces
    /// it.</summary>
    Tensor Forward(LinearCall c);

    /// <summary>The effective weight (out, in) F32 from the weight below it (out, in) F32; not recorded. A method that depends on its input throws <see
    /// cref="NotMergeableException"/>.</summary>
    Tensor Merged(Tape t, Tensor weight);

    /// <summary>The effective bias (out) F32 from the one below it, null where the layer has none; not recorded.</summary>
    Tensor? MergedBias(Tape t, Tensor? bias) => bias;

    /// <summary>The same function as a plain LoRA on the base as it was before the adapter; null where there is none.</summary>
    LoraFactors? ToLora() => null;

    /// <summary>Called once the parameters hold their values, drawn or read, and again after they were replaced from outside: caches are made here.</summary>
    void Loaded()
    {
    }

    /// <summary>Called after each optimizer step: schedules, gates, growth. Parameters may change their values and their trainability here.</summary>
    /// <returns>True where the list of parameters is another one now; optimizers then start the new ones with fresh state.</returns>
    bool AfterStep(in AdapterStep step) => false;
}

/// <summary>Where training stands when <see cref="IAdapter.AfterStep"/> is called.</summary>
/// <param name="Step">Optimizer steps done, from 1 on.</param>
/// <param name="Steps">Optimizer steps of the whole run; 0 if unknown.</param>
public readonly record struct AdapterStep(long Step, long Steps);

/// <summary>A plain LoRA: ΔW = Scale · B·A.</summary>
/// <param name="Rank">R.</param>
/// <param name="Scale">alpha / R.</param>
/// <param name="A">(R, in), row-major.</param>
/// <param name="B">(out, R), row-major.</param>
public sealed record LoraFactors(int Rank, double Scale, float[] A, float[] B);

/// <summary>One method on an embedding table.</summary>
public interface IEmbeddingAdapter
{
    /// <summary>All tensors that belong to the adapter's file, by their names on disk below the module (`lora_embedding_A`).</summary>
    IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>The table's whole output.</summary>
    Tensor Forward(EmbeddingCall c);

    /// <summary>The effective table (V, C) F32 from the one below it.</summary>
    Tensor Merged(Tape t, Tensor weight);
}

/// <summary>An adapter that cannot be folded into a weight.</summary>
public sealed class NotMergeableException(string message) : GraftException(message);

/// <summary>One forward of a layer as an adapter sees it.</summary>
public readonly struct LinearCall
{
    private readonly int _depth;

    internal LinearCall(ForwardContext context, Linear target, Tensor x, int depth)
    {
        Context = context;
        Target = target;
        Input = x;
        _depth = depth;
    }

    /// <summary>The forward's context.</summary>
    public ForwardContext Context { get; }

    /// <summary>The layer.</summary>
    public Linear Target { get; }

    /// <summary>x (..., in), of the type of activations.</summary>
    public Tensor Input { get; }

    /// <summary>Runs and perhaps records the ops.</summary>
    public Tape Tape => Context.Tape;

    /// <summary>True where nothing but the base lies below: a branch is then added in the base's own pass.</summary>
    public bool IsInnermost => _depth == 1;

    /// <summary>What lies below this adapter: the next active one, or the base.</summary>
    /// <param name="x">Usually <see cref="Input"/>.</param>
    /// <param name="branch">A low-rank term to add, in the base's pass where possible.</param>
    public Tensor Inner(Tensor x, LowRankBranch? branch = null)
    {
        if (_depth == 1)
        {
            return Target.Base(Context, x, branch);
        }

        Tensor y = new LinearCall(Context, Target, x, _depth - 1).Outermost();
        return branch is { } b ? Tape.Add(y, Tape.Scale(Tape.Linear(b.U, b.B), b.Scale)) : y;
    }

    internal Tensor Outermost() => Target.Adapters.Linear(Context.Adapters, _depth).Forward(this);
}

/// <summary>One forward of a table as an adapter sees it.</summary>
public readonly struct EmbeddingCall
{
    private readonly int _depth;

    internal EmbeddingCall(ForwardContext context, Embedding target, Tensor ids, int depth)
    {
        Context = context;
        Target = target;
        Ids = ids;
        _depth = depth;
    }

    /// <summary>The forward's context.</summary>
    public ForwardContext Context { get; }

    /// <summary>The table.</summary>
    public Embedding Target { get; }

    /// <summary>ids (...) I32.</summary>
    public Tensor Ids { get; }

    /// <summary>Runs and perhaps records the ops.</summary>
    public Tape Tape => Context.Tape;

    /// <summary>What lies below this adapter.</summary>
    public Tensor Inner()
    {
        return _depth == 1 ? Target.Base(Context, Ids) : new EmbeddingCall(Context, Target, Ids, _depth - 1).Outermost();
    }

    internal Tensor Outermost() => Target.Adapters.Embedding(Context.Adapters, _depth).Forward(this);
}
