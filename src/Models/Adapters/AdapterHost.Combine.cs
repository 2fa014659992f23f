using System.Text.RegularExpressions;
using Graft.Runtime;
using Graft.Runtime.LinearAlgebra;

namespace Graft.Models.Adapters;

/// <summary>How several adapters become one plain LoRA.</summary>
public enum AdapterCombination
{
    /// <summary>The exact weighted sum: A and B one below, or beside, the other; the ranks add up.</summary>
    Concatenate,

    /// <summary>The best approximation of the weighted sum at one rank, by its singular values.</summary>
    SingularValues,

    /// <summary>A and B summed apart with the square roots of weight and scaling, as PEFT's `linear`; products of different adapters mix. Equal ranks only.</summary>
    Linear,
}

public sealed partial class AdapterHost
{
    /// <summary>Attaches a new plain LoRA made of others: Σ weight · ΔW, or near it. Whatever has a plain form can take part; the parts stay as they are.</summary>
    /// <param name="name">The new adapter's name.</param>
    /// <param name="parts">Names of attached adapters and their weights.</param>
    /// <param name="how">How they are put together.</param>
    /// <param name="rank">The rank of <see cref="AdapterCombination.SingularValues"/>; 0 takes the largest of the parts.</param>
    /// <exception cref="NotMergeableException">A part that has no plain form, or that is more than its low-rank pairs (tables, saved modules, biases).</exception>
    /// <exception cref="ConfigurationException">Weights or ranks that do not suit the way of combining.</exception>
    public AttachedAdapter Combine(
        string name, IReadOnlyList<(string Name, double Weight)> parts, AdapterCombination how = AdapterCombination.Concatenate, int rank = 0)
    {
        ArgumentNullException.ThrowIfNull(parts);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        if (parts.Count == 0 || parts.Any(p => !double.IsFinite(p.Weight) || (how == AdapterCombination.Linear && p.Weight < 0)))
        {
            throw new ConfigurationException($"combining into '{name}': at least one adapter and finite weights are needed, for {how} none below zero.");
        }

        Dictionary<string, LoraFactors> combined = [];
        foreach (var module in parts.SelectMany(p => Factors(this[p.Name]).Select(f => (f.Module, f.Factors, p.Weight))).GroupBy(f => f.Module))
        {
            (LoraFactors, double)[] factors = [.. module.Select(m => (m.Factors, m.Weight))];
            combined[module.Key] = how switch
            {
                AdapterCombination.Concatenate => Concatenated(factors),
                AdapterCombination.Linear => Summed(module.Key, factors),
                _ => Approximated(Concatenated(factors), rank > 0 ? rank : factors.Max(f => f.Item1.Rank)),
            };
        }

        int common = combined.Values.Max(f => f.Rank);
        LoraConfig config = new()
        {
            TargetModules = ModulePattern.Of(combined.Keys),
            Rank = common,
            Alpha = common,
            RankPattern = Exceptions(combined.Where(c => c.Value.Rank != common).Select(c => (c.Key, (double)c.Value.Rank))),
            AlphaPattern = Exceptions(combined.Where(c => c.Value.Rank != common).Select(c => (c.Key, (double)c.Value.Rank))),
            BaseModel = this[parts[0].Name].Config.BaseModel,
        };
        AttachedAdapter attached = Build(name, config, new Rng(0), module => combined[module].Rank);
        foreach (AdapterParameter parameter in attached.Parameters)
        {
            LoraFactors factors = combined[parameter.Module];
            parameter.Value.CopyFrom<float>(parameter.Role == AdapterRole.Down ? factors.A : factors.B);
        }

        Ready(attached);
        return attached;
    }

    private static IEnumerable<(string Module, LoraFactors Factors)> Factors(AttachedAdapter part)
    {
        return part.OnEmbeddings.Count > 0 || part.OfBase.Count > 0 || part.OnLinears.Exists(p => p.Adapter.ToLora() is null)
            ? throw new NotMergeableException($"adapter '{part.Name}' ({part.Row.Name}) is more than low-rank pairs on linear layers, so it cannot "
                + "be combined. Merge it.")
            : part.OnLinears.Select(p => (p.Layer.Name, p.Adapter.ToLora()!));
    }

    // [w·s·A] and [B], so that the product is the sum of the products.
    private static LoraFactors Concatenated(ReadOnlySpan<(LoraFactors Factors, double Weight)> parts)
    {
        int rank = 0;
        foreach ((LoraFactors factors, _) in parts)
        {
            rank += factors.Rank;
        }

        int inputs = parts[0].Factors.A.Length / parts[0].Factors.Rank;
        int outputs = parts[0].Factors.B.Length / parts[0].Factors.Rank;
        float[] a = new float[rank * inputs];
        float[] b = new float[outputs * rank];
        int at = 0;
        foreach ((LoraFactors factors, double weight) in parts)
        {
            for (int i = 0; i < factors.A.Length; i++)
            {
                a[(at * inputs) + i] = (float)(weight * factors.Scale * factors.A[i]);
            }

            for (int i = 0; i < outputs; i++)
            {
                factors.B.AsSpan(i * factors.Rank, factors.Rank).CopyTo(b.AsSpan((i * rank) + at));
            }

            at += factors.Rank;
        }

        return new LoraFactors(rank, 1, a, b);
    }

    private static LoraFactors Summed(string module, ReadOnlySpan<(LoraFactors Factors, double Weight)> parts)
    {
        LoraFactors first = parts[0].Factors;
        float[] a = new float[first.A.Length];
        float[] b = new float[first.B.Length];
        foreach ((LoraFactors factors, double weight) in parts)
        {
            if (factors.Rank != first.Rank)
            {
                throw new ConfigurationException($"'{module}' has the ranks {first.Rank} and {factors.Rank}, which cannot be summed apart. "
                    + "Concatenate, or use singular values.");
            }

            double root = Math.Sqrt(weight * factors.Scale);
            AddTo(a, factors.A, root);
            AddTo(b, factors.B, root);
        }

        return new LoraFactors(first.Rank, 1, a, b);

        static void AddTo(float[] sum, float[] values, double factor)
        {
            for (int i = 0; i < sum.Length; i++)
            {
                sum[i] += (float)(factor * values[i]);
            }
        }
    }

    private static LoraFactors Approximated(LoraFactors sum, int rank)
    {
        int inputs = sum.A.Length / sum.Rank;
        int outputs = sum.B.Length / sum.Rank;
        double[] product = MatrixProduct.Multiply(Array.ConvertAll(sum.B, v => (double)v), Array.ConvertAll(sum.A, v => (double)v), outputs, inputs, sum.Rank);
        int held = Math.Min(rank, Math.Min(inputs, outputs));
        Svd svd = Svd.Thin(product, outputs, inputs).Truncate(held);
        float[] a = new float[held * inputs];
        float[] b = new float[outputs * held];
        for (int k = 0; k < held; k++)
        {
            double root = Math.Sqrt(svd.S[k]);
            for (int j = 0; j < inputs; j++)
            {
                a[(k * inputs) + j] = (float)(root * svd.Vt[(k * inputs) + j]);
            }

            for (int i = 0; i < outputs; i++)
            {
                b[(i * held) + k] = (float)(root * svd.U[(i * held) + k]);
            }
        }

        return new LoraFactors(held, 1, a, b);
    }

    private static PatternTable Exceptions(IEnumerable<(string Module, double Value)> entries)
    {
        return new PatternTable(entries.Select(e => KeyValuePair.Create($"^{Regex.Escape(e.Module)}", e.Value)));
    }
}
