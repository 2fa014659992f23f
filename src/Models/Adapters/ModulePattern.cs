using System.Text.RegularExpressions;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>Which modules are meant: a list of names or endings, one regular expression that matches the whole path, or every linear layer but the
/// head.</summary>
/// <remarks>Compares by value. Expressions run with a time limit, since they come from files.</remarks>
public sealed record ModulePattern
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(1);

    private readonly Regex? _regex;

    private ModulePattern(ValueList<string> names, string? expression, bool allLinear)
    {
        Names = names;
        Expression = expression;
        IsAllLinear = allLinear;
        _regex = expression is null ? null : Compile($@"\A(?:{expression})\z", expression);
    }

    /// <summary>Nothing.</summary>
    public static ModulePattern None { get; } = new(new ValueList<string>([]), null, false);

    /// <summary>Every linear layer except the output head.</summary>
    public static ModulePattern AllLinear { get; } = new(new ValueList<string>([]), null, true);

    /// <summary>Whole paths, or endings that begin at a dot; empty for the other forms.</summary>
    public ValueList<string> Names { get; }

    /// <summary>The regular expression; null for the other forms.</summary>
    public string? Expression { get; }

    /// <summary>True for <see cref="AllLinear"/>.</summary>
    public bool IsAllLinear { get; }

    /// <summary>True where nothing can match.</summary>
    public bool IsEmpty => !IsAllLinear && Expression is null && Names.Count == 0;

    /// <summary>These modules, by path or ending: `q_proj`, `model.layers.3.mlp.up_proj`.</summary>
    public static ModulePattern Of(params IEnumerable<string> names) => new(new ValueList<string>(names), null, false);

    /// <summary>The modules whose whole path the expression matches.</summary>
    /// <exception cref="ConfigurationException">It is not a valid expression.</exception>
    public static ModulePattern Matching(string expression)
    {
        ArgumentNullException.ThrowIfNull(expression);
        return new ModulePattern(new ValueList<string>([]), expression, false);
    }

    /// <summary>True where the path is one of the names or ends in a dot and one of them, or the expression matches it whole. Never true for <see
    /// cref="AllLinear"/>.</summary>
    public bool Matches(string module)
    {
        ArgumentNullException.ThrowIfNull(module);
        return _regex is not null ? IsMatch(_regex, module) : IsNamed(module) || Names.Any(n => EndsWith(module, n));
    }

    /// <summary>True where the path stands in the list as it is.</summary>
    public bool IsNamed(string module) => Names.Contains(module);

    /// <summary>Compares what was given, not the compiled form.</summary>
    public bool Equals(ModulePattern? other)
    {
        return other is not null && Names.Equals(other.Names) && Expression == other.Expression && IsAllLinear == other.IsAllLinear;
    }

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Names, Expression, IsAllLinear);

    /// <summary>As in messages.</summary>
    public override string ToString() => IsAllLinear ? "all-linear" : Expression is not null ? $"/{Expression}/" : Names.ToString();

    internal static bool EndsWith(string module, string ending)
    {
        return module.Length > ending.Length && module[module.Length - ending.Length - 1] == '.' && module.EndsWith(ending, StringComparison.Ordinal);
    }

    internal static Regex Compile(string whole, string given)
    {
        try
        {
            return new Regex(whole, RegexOptions.CultureInvariant, s_limit);
        }
        catch (ArgumentException e)
        {
            throw new ConfigurationException($"'{given}' is not a valid regular expression for module names: {e.Message}", e);
        }
    }

    internal static bool IsMatch(Regex regex, string module)
    {
        try
        {
            return regex.IsMatch(module);
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new ConfigurationException($"the expression {regex} takes longer than {s_limit.TotalSeconds} s on the module name '{module}'. "
                + "Write a simpler one, or list the modules.", e);
        }
    }
}
