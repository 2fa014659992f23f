using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>Which biases of the base are trained along with the adapter.</summary>
public enum BiasTraining
{
    /// <summary>None.</summary>
    None,

    /// <summary>Every bias of the model.</summary>
    All,

    /// <summary>Those of the adapted layers (`lora_only` and the like).</summary>
    Adapted,
}

/// <summary>What every adapter method lets one choose. A method is a sealed record below this one; files are read and written by its row in <see
/// cref="AdapterTable"/>.</summary>
public abstract record AdapterConfig
{
    /// <summary>The layers to adapt.</summary>
    public ModulePattern TargetModules { get; init; } = ModulePattern.None;

    /// <summary>Layers left out although they are targets.</summary>
    public ModulePattern ExcludeModules { get; init; } = ModulePattern.None;

    /// <summary>Layer numbers to adapt; null for all. Filters targets given by ending or `all-linear`.</summary>
    public ValueList<int>? LayersToTransform { get; init; }

    /// <summary>Names before the layer number (`layers`, `h`); null accepts any.</summary>
    public ValueList<string>? LayersPattern { get; init; }

    /// <summary>R: rank, or block size.</summary>
    public int Rank { get; init; }

    /// <summary>Numerator of the scaling, where the method has one.</summary>
    public double Alpha { get; init; }

    /// <summary>Other ranks for some modules; the first match wins.</summary>
    public PatternTable RankPattern { get; init; } = PatternTable.Empty;

    /// <summary>Other alphas for some modules; the first match wins.</summary>
    public PatternTable AlphaPattern { get; init; } = PatternTable.Empty;

    /// <summary>Modules that are trained and saved whole, each adapter having its own copy.</summary>
    public ValueList<string> ModulesToSave { get; init; } = new([]);

    /// <summary>Biases of the base that are trained too.</summary>
    public BiasTraining Bias { get; init; }

    /// <summary>Probability that an element of the adapter's input becomes zero in training.</summary>
    public float Dropout { get; init; }

    /// <summary>Token rows of an embedding that are trained and saved: module path or ending to token ids.</summary>
    public ValueList<TokenRows> TrainableTokens { get; init; } = new([]);

    /// <summary>True keeps tied embeddings tied where both sides are to be saved whole.</summary>
    public bool EnsureWeightTying { get; init; }

    /// <summary>PEFT's `task_type`: `CAUSAL_LM`, `SEQ_CLS`, ...; null if none was given.</summary>
    public string? TaskType { get; init; } = "CAUSAL_LM";

    /// <summary>The base the adapter was made for, for messages; null if unknown.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Keys of a file that was read and that have no effect here, with their JSON text: written back as they were.</summary>
    public ValueList<KeyValuePair<string, string>> OtherKeys { get; init; } = new([]);

    /// <summary>The rank of a module.</summary>
    /// <exception cref="ConfigurationException">It is not a whole number above zero.</exception>
    public int RankOf(string module)
    {
        double rank = RankPattern.Find(module) ?? Rank;
        return rank >= 1 && rank <= int.MaxValue && rank == Math.Floor(rank)
            ? (int)rank
            : throw new ConfigurationException($"the rank of '{module}' is {rank}; it must be a whole number, 1 or more. To leave the module out, exclude it.");
    }

    /// <summary>The alpha of a module.</summary>
    public double AlphaOf(string module) => AlphaPattern.Find(module) ?? Alpha;
}

/// <summary>Rows of one embedding table.</summary>
/// <param name="Module">Path or ending.</param>
/// <param name="Tokens">Row numbers; their order is that of the saved tensor.</param>
public sealed record TokenRows(string Module, ValueList<int> Tokens);
