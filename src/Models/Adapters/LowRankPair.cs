using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>A (R, in) and B (out, R) of one linear layer with their scaling: what LoRA, DoRA, PiSSA and ALLoRA have in common.</summary>
internal sealed class LowRankPair
{
    private readonly float _dropout;
    private readonly string _dropoutSite;

    private LowRankPair(AdapterSite site, AdapterConfig config, double scale, bool frozenB)
    {
        A = site.Parameter("lora_A.weight", new Shape(site.Rank, site.Linear.In), AdapterRole.Down);
        B = site.Parameter("lora_B.weight", new Shape(site.Linear.Out, site.Rank), AdapterRole.Up, !frozenB);
        Scale = scale;
        _dropout = config.Dropout;
        _dropoutSite = site.DropoutSite;
    }

    public AdapterParameter A { get; }

    public AdapterParameter B { get; }

    public int Rank => A.Value.Shape[0];

    public double Scale { get; }

    public float Dropout => _dropout;

    public static LowRankPair Create(AdapterSite site, AdapterConfig config, double scale, LoraInitialization initialization)
    {
        LowRankPair pair = new(site, config, scale, initialization == LoraInitialization.Mica);
        if (!site.Group.FromFile)
        {
            Initialize(pair, site, initialization);
        }

        return pair;
    }

    /// <summary>alpha / R, or alpha / √R.</summary>
    public static double Scaling(AdapterSite site, bool rankStabilized) => site.Alpha / (rankStabilized ? Math.Sqrt(site.Rank) : site.Rank);

    public static ConfigurationException CannotDraw(LoraInitialization initialization)
    {
        return new ConfigurationException($"A LoRA initialised by '{initialization}' can be loaded and trained, but not made here. Choose Default, "
            + "Gaussian or Random.");
    }

    /// <summary>The adapter's input, dropped out in training.</summary>
    public Tensor Input(LinearCall c) => c.Context.Dropout(c.Input, _dropout, _dropoutSite);

    /// <summary>x (..., in) as a branch u = x·Aᵀ, to be added in the base's own pass.</summary>
    public LowRankBranch Branch(Tape t, Tensor x) => new(t.Linear(x, A.Value), B.Value, (float)Scale);

    /// <summary>s·B·A (out, in).</summary>
    public Tensor Delta(Tape t) => t.Scale(t.MatMul(B.Value, A.Value), Scale);

    public LoraFactors ToFactors() => new(Rank, Scale, A.Value.ToArray<float>(), B.Value.ToArray<float>());

    private static void Initialize(LowRankPair pair, AdapterSite site, LoraInitialization initialization)
    {
        Rng a = site.Random.Stream("lora_A");
        switch (initialization)
        {
            case LoraInitialization.Default:
                Draw.Uniform(pair.A.Value, a, 1 / Math.Sqrt(site.Linear.In)); // Kaiming-uniform with a = √5
                break;
            case LoraInitialization.Gaussian:
                Draw.Normal(pair.A.Value, a, 1.0 / site.Rank);
                break;
            case LoraInitialization.Random:
                Draw.Uniform(pair.A.Value, a, 1 / Math.Sqrt(site.Linear.In));
                Draw.Uniform(pair.B.Value, site.Random.Stream("lora_B"), 1 / Math.Sqrt(site.Rank));
                break;
            default:
                throw CannotDraw(initialization);
        }
    }
}
