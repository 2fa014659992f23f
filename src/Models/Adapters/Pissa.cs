using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Runtime.LinearAlgebra;

namespace Graft.Models.Adapters;

/// <summary>PiSSA: LoRA on the principal singular directions of the weight, the base keeping the rest. Meng et al. 2024, arXiv:2404.02948. Changes the base
/// until it is detached.</summary>
public sealed record PissaConfig : AdapterConfig
{
    /// <summary>PEFT's defaults.</summary>
    public PissaConfig()
    {
        (Rank, Alpha) = (8, 8);
    }

    /// <summary>Scales by alpha / √R in place of alpha / R.</summary>
    public bool RankStabilized { get; init; }

    /// <summary>Power iterations of the randomised decomposition; 0 is the exact one.</summary>
    public int Iterations { get; init; }
}

/// <summary>y = x·W_resᵀ + b + s·(x·Aᵀ)·Bᵀ with W0 ≈ W_res + s·B0·A0, B0 = U_R·√(S_R / s), A0 = √(S_R / s)·V_Rᵀ. Meng et al. 2024, arXiv:2404.02948.</summary>
/// <remarks>
/// The base weight is overwritten by W_res = W0 − s·B0·A0, in its own type with one rounding, until the adapter is detached. Costs what LoRA costs; the start
/// is one decomposition per layer.
/// As a plain LoRA for the unchanged base it is A' = [A; A0], B' = [B, −B0] with the same s.
/// Loading a file repeats the exact decomposition; the randomised one cannot be repeated from a file, so it is saved in the plain form only.
/// </remarks>
public sealed class Pissa : IAdapter
{
    private readonly LowRankPair _pair;
    private readonly float[] _a0;
    private readonly float[] _b0;

    private Pissa(LowRankPair pair, float[] a0, float[] b0)
    {
        (_pair, _a0, _b0) = (pair, a0, b0);
        Parameters = [pair.A, pair.B];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>Decomposes the weight, and leaves the rest in its place.</summary>
    public static Pissa Create(AdapterSite site, PissaConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        int rows = site.Linear.Out;
        int columns = site.Linear.In;
        if (site.Rank > Math.Min(rows, columns))
        {
            throw new ConfigurationException($"'{site.Module}' ({rows}, {columns}) has no {site.Rank} singular directions; choose a rank of at most "
                + $"{Math.Min(rows, columns)}.");
        }

        LowRankPair pair = LowRankPair.Create(site, config, LowRankPair.Scaling(site, config.RankStabilized), LoraInitialization.Default);
        if (!site.Group.Arena.Device.Computes)
        {
            return new Pissa(pair, [], []);
        }

        float[] weight = site.BaseWeight();
        (float[] a0, float[] b0) = Principal(weight, rows, columns, site, config, pair.Scale);
        pair.A.Value.CopyFrom<float>(a0);
        pair.B.Value.CopyFrom<float>(b0);
        site.ReplaceBase(Residual(weight, a0, b0, rows, columns, site.Rank, pair.Scale));
        return new Pissa(pair, a0, b0);
    }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c) => c.Inner(c.Input, _pair.Branch(c.Tape, _pair.Input(c)));

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Add(weight, _pair.Delta(t));
    }

    /// <inheritdoc/>
    public LoraFactors ToLora()
    {
        LoraFactors now = _pair.ToFactors();
        int rank = now.Rank;
        int rows = now.B.Length / rank;
        float[] b = new float[2 * now.B.Length];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < rank; j++)
            {
                b[(2 * i * rank) + j] = now.B[(i * rank) + j];
                b[(2 * i * rank) + rank + j] = -_b0[(i * rank) + j];
            }
        }

        return new LoraFactors(2 * rank, now.Scale, [.. now.A, .. _a0], b);
    }

    private static (float[] A, float[] B) Principal(float[] weight, int rows, int columns, AdapterSite site, PissaConfig config, double scale)
    {
        int rank = site.Rank;
        Svd svd = config.Iterations == 0
            ? Svd.Thin(weight, rows, columns).Truncate(rank)
            : RandomizedRange.Svd(weight, rows, columns, rank, 0, config.Iterations, site.Random.Stream("pissa"));
        float[] a = new float[rank * columns];
        float[] b = new float[rows * rank];
        for (int k = 0; k < rank; k++)
        {
            double root = Math.Sqrt(svd.S[k] / scale);
            for (int j = 0; j < columns; j++)
            {
                a[(k * columns) + j] = (float)(root * svd.Vt[(k * columns) + j]);
            }

            for (int i = 0; i < rows; i++)
            {
                b[(i * rank) + k] = (float)(root * svd.U[(i * rank) + k]);
            }
        }

        return (a, b);
    }

    private static float[] Residual(float[] weight, float[] a, float[] b, int rows, int columns, int rank, double scale)
    {
        float[] rest = new float[weight.Length];
        _ = Parallel.For(0, rows, i =>
        {
            double[] row = new double[columns];
            for (int k = 0; k < rank; k++)
            {
                double factor = scale * b[(i * rank) + k];
                for (int j = 0; j < columns; j++)
                {
                    row[j] += factor * a[(k * columns) + j];
                }
            }

            for (int j = 0; j < columns; j++)
            {
                rest[(i * columns) + j] = (float)(weight[(i * columns) + j] - row[j]);
            }
        });
        return rest;
    }
}
