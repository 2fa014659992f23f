using System.Globalization;
using System.Text.RegularExpressions;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>Decides from its path alone whether a module gets an adapter, by the rules of PEFT: excluded, saved whole, named, in a chosen layer.</summary>
public static class TargetMatcher
{
    private static readonly Regex s_anyLayer = ModulePattern.Compile(@"\A.*\.[^.]*\.(\d+)\.", "layers");

    /// <summary>True where the configuration selects the module.</summary>
    /// <param name="config">Targets, exclusions, layers, modules to save.</param>
    /// <param name="module">The module's path, e.g. `model.layers.0.self_attn.q_proj`.</param>
    /// <param name="isLinear">True for linear layers other than the head: what `all-linear` means.</param>
    public static bool IsTarget(AdapterConfig config, string module, bool isLinear)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(module);
        if (config.ExcludeModules.Matches(module) || IsSaved(config, module))
        {
            return false;
        }

        ModulePattern target = config.TargetModules;
        if (target.IsAllLinear)
        {
            return isLinear && InLayers(config, module);
        }

        // As in PEFT: an expression, or a whole path, speaks for itself; layers filter endings only.
        return target.Matches(module) && (target.Expression is not null || target.IsNamed(module) || InLayers(config, module));
    }

    /// <summary>True where the module, or one that it is part of, is to be trained and saved whole: an ending need not begin at a dot, as in PEFT.</summary>
    public static bool IsSaved(AdapterConfig config, string module)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(module);
        if (config.ModulesToSave.Count == 0)
        {
            return false;
        }

        for (int end = module.Length; end > 0; end = module.LastIndexOf('.', end - 1))
        {
            string path = module[..end];
            if (config.ModulesToSave.Any(s => path.EndsWith(s, StringComparison.Ordinal)))
            {
                return true;
            }
        }

        return false;
    }

    private static bool InLayers(AdapterConfig config, string module)
    {
        if (config.LayersToTransform is not { Count: > 0 } layers)
        {
            return true;
        }

        if (config.LayersPattern is not { Count: > 0 } patterns)
        {
            return Contains(layers, s_anyLayer, module) ?? false;
        }

        foreach (string pattern in patterns)
        {
            if (Contains(layers, ModulePattern.Compile($@"\A.*\.{pattern}\.(\d+)\.", pattern), module) is { } found)
            {
                return found;
            }
        }

        return false;
    }

    private static bool? Contains(ValueList<int> layers, Regex expression, string module)
    {
        try
        {
            Match match = expression.Match(module);
            return !match.Success ? null
                : int.TryParse(match.Groups[1].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out int layer) && layers.Contains(layer);
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new ConfigurationException($"layers_pattern {expression} takes too long on the module name '{module}'. Write a simpler one.", e);
        }
    }
}
