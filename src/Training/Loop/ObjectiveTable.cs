using Graft.Models.Adapters;
using Graft.Models.Architectures;

namespace Graft.Training;

/// <summary>One row of the table of objectives.</summary>
/// <param name="Name">As users write it.</param>
/// <param name="Description">One line for users.</param>
/// <param name="Create">The objective on a model with these adapters.</param>
public sealed record ObjectiveRow(string Name, string Description, Func<ILanguageModel, ActiveAdapters, IObjective> Create);

/// <summary>The objectives by name. A new one is a new file and a row here.</summary>
public static class ObjectiveTable
{
    /// <summary>The rows; the first is what run files train.</summary>
    public static IReadOnlyList<ObjectiveRow> Rows { get; } =
    [
        new("causal_lm", "cross-entropy of the next token, on the tokens that carry loss", (model, adapters) => new LanguageModelObjective(model, adapters)),
    ];
}
