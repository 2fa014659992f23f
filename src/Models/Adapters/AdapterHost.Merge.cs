using System.Numerics.Tensors;
using Graft.Models.Layers;
using Graft.Runtime;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Models.Adapters;

public sealed partial class AdapterHost
{
    private MergedState? _merged;

    /// <summary>The names of the adapters that are folded into the base now; empty if none.</summary>
    public IReadOnlyList<string> MergedNames => _merged?.Names ?? [];

    /// <summary>Folds adapters into the base weights, in F32 with one rounding, so that forwards cost nothing beyond the base. Doing it again changes
    /// nothing.</summary>
    /// <remarks>The original bits are kept in host memory for <see cref="Unmerge"/>. Merged adapters act in every forward, whether it names them or
    /// not.</remarks>
    /// <param name="names">The first nearest to the base.</param>
    /// <param name="untie">Gives a module a weight of its own where it shares one with a module that does not change alike; without it that is an
    /// error.</param>
    /// <exception cref="NotMergeableException">A method, a quantised or a tied weight that cannot be folded; the base is unchanged then.</exception>
    public void Merge(IReadOnlyList<string> names, bool untie = false)
    {
        ArgumentNullException.ThrowIfNull(names);
        if (_merged is { } before)
        {
            if (before.Names.SequenceEqual(names))
            {
                return;
            }

            throw new NotMergeableException($"{string.Join(", ", before.Names)} are merged already; unmerge them before merging {string.Join(", ", names)}.");
        }

        AttachedAdapter[] adapters = [.. names.Select(n => this[n])];
        MergedState state = new(names, new Arena(Device, "merge"));
        try
        {
            foreach (Linear linear in _linears.Where(l => names.Any(n => l.Adapters.Find(n) is not null)))
            {
                MergeLinear(state, linear, [.. names.Select(linear.Adapters.Find).OfType<IAdapter>()]);
            }

            foreach (Embedding table in _embeddings.Where(e => names.Any(n => e.Adapters.FindEmbedding(n) is not null)))
            {
                MergeTable(state, table, [.. names.Select(table.Adapters.FindEmbedding).OfType<IEmbeddingAdapter>()]);
            }

            MergeTied(state, untie);
        }
        catch
        {
            state.Restore();
            throw;
        }

        foreach (AttachedAdapter adapter in adapters)
        {
            adapter.OnLinears.ForEach(p => p.Layer.Adapters.Detach(adapter.Name));
            adapter.OnEmbeddings.ForEach(p => p.Table.Adapters.Detach(adapter.Name));
        }

        _merged = state;
        BaseChanged();
    }

    /// <summary>Restores the bits of the base as they were before <see cref="Merge"/>, and the adapters as adapters; nothing happens where none are
    /// merged.</summary>
    public void Unmerge()
    {
        if (_merged is not { } state)
        {
            return;
        }

        state.Restore();
        _merged = null;
        foreach (AttachedAdapter adapter in state.Names.Select(n => this[n]))
        {
            adapter.OnLinears.ForEach(p => p.Layer.Adapters.Attach(adapter.Name, p.Adapter));
            adapter.OnEmbeddings.ForEach(p => p.Table.Adapters.Attach(adapter.Name, p.Adapter));
        }

        BaseChanged();
    }

    private void MergeLinear(MergedState state, Linear linear, IAdapter[] adapters)
    {
        if (linear.Weight.Parameter is not { } parameter)
        {
            throw new NotMergeableException($"'{linear.Name}' holds a quantised weight; dequantise the model first, or keep the adapter beside it.");
        }

        using Scope scope = state.Arena.Enter(linear.Name);
        Tape t = Tape.None(state.Arena);
        Tensor weight = Tape.Detach(linear.Weight.Dense(t));
        Tensor? bias = linear.Bias is null ? null : Tape.Detach(linear.Bias.Value);
        foreach (IAdapter adapter in adapters)
        {
            weight = adapter.Merged(t, weight);
            bias = adapter.MergedBias(t, bias);
        }

        float[] values = Finite(weight, linear.Name);
        float[]? biases = bias is null || linear.Bias is null ? null : Finite(bias, linear.Name);
        if (biases is not null)
        {
            state.Keep(linear.Bias!);
            linear.Bias!.Value.CopyFrom<float>(biases);
        }

        if (Users(parameter) > 1)
        {
            state.Tied.Add((parameter, linear, null, values));
            return;
        }

        state.Keep(parameter);
        linear.Weight.Store(values);
    }

    private void MergeTable(MergedState state, Embedding table, IEmbeddingAdapter[] adapters)
    {
        using Scope scope = state.Arena.Enter(table.Name);
        Tape t = Tape.None(state.Arena);
        Tensor weight = new DenseWeight(table.Weight).Dense(t);
        foreach (IEmbeddingAdapter adapter in adapters)
        {
            weight = adapter.Merged(t, Tape.Detach(weight));
        }

        float[] values = Finite(weight, table.Name);
        if (Users(table.Weight) > 1)
        {
            state.Tied.Add((table.Weight, null, table, values));
            return;
        }

        state.Keep(table.Weight);
        new DenseWeight(table.Weight).Store(values);
    }

    // A shared weight may change only where all its users change alike.
    private void MergeTied(MergedState state, bool untie)
    {
        foreach (var users in state.Tied.GroupBy(e => e.Shared))
        {
            float[] first = users.First().Values;
            if (users.Count() == Users(users.Key) && users.All(e => e.Values.AsSpan().SequenceEqual(first)))
            {
                state.Keep(users.Key);
                new DenseWeight(users.Key).Store(first);
                continue;
            }

            if (!untie)
            {
                throw new NotMergeableException($"'{users.Key.Name}' is shared by modules that the adapters do not change alike "
                    + $"({string.Join(", ", users.Select(e => e.Linear?.Name ?? e.Table!.Name))} "
                    + "would change). Merge with untie to give each a weight of its own, or keep the adapters beside it.");
            }

            foreach ((_, Linear? linear, Embedding? table, float[] values) in users)
            {
                state.Untie(linear, table).Store(values);
            }
        }
    }

    private static float[] Finite(Tensor tensor, string module)
    {
        if (!tensor.Device.Computes)
        {
            return new float[tensor.Shape.Count];
        }

        float[] values = tensor.ToArray<float>();
        return float.IsFinite(TensorPrimitives.SumOfMagnitudes<float>(values))
            ? values
            : throw new NotMergeableException($"'{module}': the merged weight holds NaN or infinite values, so nothing was merged. Look at the "
                + "adapter's tensors: was the training diverging?");
    }

    /// <summary>What merging changed, and how it was.</summary>
    private sealed class MergedState(IReadOnlyList<string> names, Arena arena)
    {
        private readonly List<SavedBits> _bits = [];
        private readonly List<Action> _ties = [];

        public IReadOnlyList<string> Names { get; } = [.. names];

        public Arena Arena { get; } = arena;

        public List<(Parameter Shared, Linear? Linear, Embedding? Table, float[] Values)> Tied { get; } = [];

        public void Keep(Parameter parameter) => _bits.Add(new SavedBits(parameter));

        public DenseWeight Untie(Linear? linear, Embedding? table)
        {
            Parameter shared = linear?.Weight.Parameter ?? table!.Weight;
            string name = (linear?.Name ?? table!.Name) + ".weight";
            DenseWeight own = new(new Parameter(name, Arena.Allocate(shared.Shape, shared.Value.DType, MemoryCategory.Weights, name)));
            if (linear is not null)
            {
                IWeight before = linear.Weight;
                linear.Weight = own;
                _ties.Add(() => linear.Weight = before);
            }
            else
            {
                table!.Weight = own.Parameter;
                _ties.Add(() => table.Weight = shared);
            }

            return own;
        }

        public void Restore()
        {
            _ties.ForEach(tie => tie());
            _bits.ForEach(b => b.Restore());
            Arena.Dispose();
        }
    }
}
