using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;

namespace Graft.Models.Architectures;

/// <summary>How rotary position embeddings stretch their wavelengths beyond the length that a model was trained on.</summary>
public enum RopeType
{
    /// <summary>Not at all.</summary>
    Default,

    /// <summary>All positions divided by the factor.</summary>
    Linear,

    /// <summary>Long wavelengths divided by the factor, short ones kept, those between blended (Llama 3.1).</summary>
    Llama3,
}

/// <summary>The settings of rotary position embeddings, from `rope_parameters` or from `rope_theta` and `rope_scaling`.</summary>
/// <param name="Theta">The base of the wavelengths.</param>
/// <param name="Type">The kind of stretching.</param>
/// <param name="Factor">By how much; 1 for <see cref="RopeType.Default"/>.</param>
/// <param name="LowFrequencyFactor">Llama 3: wavelengths above the original length over this are stretched fully.</param>
/// <param name="HighFrequencyFactor">Llama 3: wavelengths below the original length over this are kept.</param>
/// <param name="OriginalMaxPositions">Llama 3: the length that the model was first trained on.</param>
public sealed record RopeParameters(
    double Theta, RopeType Type = RopeType.Default, double Factor = 1, double LowFrequencyFactor = 1, double HighFrequencyFactor = 1, int OriginalMaxPositions = 0)
{
    private string TypeName => Type switch
    {
        RopeType.Linear => "linear",
        RopeType.Llama3 => "llama3",
        _ => "default",
    };

    /// <summary>Reads both spellings; where both are given they must say the same.</summary>
    internal static RopeParameters Read(ConfigReader config, double defaultTheta, int maxPositions, List<string> warnings)
    {
        double? topTheta = config.OptionalNumber("rope_theta");
        RopeParameters? fromOld = Read(config, "rope_scaling", topTheta ?? defaultTheta, maxPositions, warnings);
        RopeParameters? fromNew = Read(config, "rope_parameters", topTheta ?? defaultTheta, maxPositions, warnings);
        if (fromNew is not null && ((fromOld is not null && fromOld != fromNew) || (topTheta is { } theta && theta != fromNew.Theta)))
        {
            throw config.Error("rope_parameters", "contradicts 'rope_theta' or 'rope_scaling', which are also given; keep one spelling");
        }

        RopeParameters rope = fromNew ?? fromOld ?? new RopeParameters(topTheta ?? defaultTheta);
        return rope.Theta > 0 ? rope : throw config.Error("rope_theta", "must be above zero");
    }

    internal JsonObject ToJson()
    {
        JsonObject json = new() { ["rope_theta"] = Theta, ["rope_type"] = TypeName };
        if (Type != RopeType.Default)
        {
            json["factor"] = Factor;
        }

        if (Type == RopeType.Llama3)
        {
            json["high_freq_factor"] = HighFrequencyFactor;
            json["low_freq_factor"] = LowFrequencyFactor;
            json["original_max_position_embeddings"] = OriginalMaxPositions;
        }

        return json;
    }

    private static RopeParameters? Read(ConfigReader config, string key, double theta, int maxPositions, List<string> warnings)
    {
        if (config.OptionalObject(key) is not { } rope)
        {
            return null;
        }

        string spelling = rope.Has("rope_type") ? "rope_type" : "type";
        rope.Ignore("rope_type", "type");
        string type = rope.ChoiceOr(spelling, "default", "default", "linear", "llama3");
        theta = rope.PositiveOr("rope_theta", theta);
        RopeParameters read = type switch
        {
            "linear" => new(theta, RopeType.Linear, Stretch(rope)),
            "llama3" => new(
                theta,
                RopeType.Llama3,
                Stretch(rope),
                rope.PositiveOr("low_freq_factor", 1),
                rope.PositiveOr("high_freq_factor", 4),
                rope.OptionalInt("original_max_position_embeddings", 1) ?? config.OptionalInt("original_max_position_embeddings", 1) ?? maxPositions),
            _ => new(theta),
        };
        if (read.Type == RopeType.Llama3 && read.HighFrequencyFactor <= read.LowFrequencyFactor)
        {
            throw rope.Error("high_freq_factor", "must be above low_freq_factor");
        }

        warnings.AddRange(rope.RefuseUnknownBehaviour());
        return read;
    }

    private static double Stretch(ConfigReader rope)
    {
        double factor = rope.Number("factor");
        return factor >= 1 ? factor : throw rope.Error("factor", "must be 1 or more");
    }
}
