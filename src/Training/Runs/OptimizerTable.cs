using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Runs;

/// <summary>One row of the table of optimizers.</summary>
/// <param name="Name">As in `optimizer.name`.</param>
/// <param name="Description">One line for users.</param>
/// <param name="Options">The names that `optimizer.options` may have.</param>
/// <param name="Create">The rule of a section.</param>
public sealed record OptimizerRow(string Name, string Description, IReadOnlyList<string> Options, Func<OptimizerSection, IOptimizerRule> Create);

/// <summary>The optimizers by the names of run files. A new one is a new rule and a row here.</summary>
public static class OptimizerTable
{
    /// <summary>The option of every optimizer that gives the outer factors of LoRA (B) a rate so many times larger: LoRA+, arXiv:2402.12354.</summary>
    public const string LoraPlusRatio = "loraplus_lr_ratio";

    /// <summary>The rows.</summary>
    public static IReadOnlyList<OptimizerRow> Rows { get; } =
    [
        new("adamw", "Adam with decoupled weight decay (betas, epsilon, weight_decay)", ["amsgrad", "maximize"], s => Adam(s, DecayPlacement.BeforeUpdate)),
        new("adam", "Adam, weight decay within the gradient (betas, epsilon, weight_decay)", ["amsgrad", "maximize"], s => Adam(s, DecayPlacement.InGradient)),
        new("sgd", "gradient descent, with momentum if given (weight_decay)", ["momentum", "dampening", "nesterov", "maximize"], s => new Sgd(
            Number(s, "momentum", 0), Number(s, "dampening", 0), s.WeightDecay)
        {
            Nesterov = Flag(s, "nesterov"),
            Maximize = Flag(s, "maximize"),
        }),
    ];

    /// <summary>The rule that a section describes.</summary>
    /// <exception cref="ConfigurationException">No such optimizer or option, or a value of the wrong kind; names place and what is known.</exception>
    public static IOptimizerRule Create(OptimizerSection section)
    {
        ArgumentNullException.ThrowIfNull(section);
        OptimizerRow row = Rows.FirstOrDefault(r => r.Name == section.Name)
            ?? throw new ConfigurationException($"optimizer.name is '{section.Name}'; allowed: {string.Join(", ", Rows.Select(r => r.Name))}.");
        foreach ((string key, _) in section.Options.Values)
        {
            if (key != LoraPlusRatio && !row.Options.Contains(key))
            {
                throw new ConfigurationException($"{section.Options.WhereOf(key)}: optimizer.options has no '{key}' for {row.Name}; "
                    + $"known are {string.Join(", ", [.. row.Options, LoraPlusRatio])}.");
            }
        }

        return row.Create(section);
    }

    /// <summary>The factor of <see cref="LoraPlusRatio"/>; 1 where it is not given.</summary>
    internal static double RatioOf(OptimizerSection section) => Number(section, LoraPlusRatio, 1);

    private static AdamW Adam(OptimizerSection s, DecayPlacement decay) => new(s.Beta1, s.Beta2, s.Epsilon, s.WeightDecay)
    {
        Decay = decay,
        AmsGrad = Flag(s, "amsgrad"),
        Maximize = Flag(s, "maximize"),
    };

    private static double Number(OptimizerSection s, string name, double fallback)
    {
        return s.Options.Values[name] is not { } node ? fallback
            : node.GetValueKind() == JsonValueKind.Number && NumberOf(node) is var value && value >= 0 ? value
            : throw new ConfigurationException($"{s.Options.WhereOf(name)}: optimizer.options.{name} is {node.ToJsonString()}; allowed: a number from 0.");
    }

    private static bool Flag(OptimizerSection s, string name)
    {
        return s.Options.Values[name] is { } node && (node.GetValueKind() switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw new ConfigurationException($"{s.Options.WhereOf(name)}: optimizer.options.{name} is {node.ToJsonString()}; allowed: true or false."),
        });
    }

    // A node made from YAML holds a long or a double, and GetValue<double> takes only the latter.
    private static double NumberOf(JsonNode node) => node.AsValue().TryGetValue(out long whole) ? whole : node.GetValue<double>();
}
