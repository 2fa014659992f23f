using System.Globalization;
using System.Text.Json.Nodes;

namespace Graft.Training.Runs;

/// <summary>A map of options that belongs to a method: read by the method's own configuration, which knows its names.</summary>
public sealed class OptionMap
{
    private readonly Dictionary<string, string> _where = [];

    internal OptionMap(YamlMap? map, string where)
    {
        Where = map?.Where ?? where;
        Values = map is null ? [] : Convert(map);
        foreach ((string key, YamlValue value) in map?.Entries ?? [])
        {
            _where[key] = value.Where;
        }
    }

    /// <summary>The options as JSON, the form in which adapter files hold them too.</summary>
    public JsonObject Values { get; }

    /// <summary>File and line of the map.</summary>
    public string Where { get; }

    /// <summary>File and line of an option, for errors.</summary>
    public string WhereOf(string option) => _where.GetValueOrDefault(option, Where);

    private static JsonObject Convert(YamlMap map)
    {
        JsonObject result = [];
        foreach ((string key, YamlValue value) in map.Entries)
        {
            result[key] = Convert(value);
        }

        return result;
    }

    private static JsonNode? Convert(YamlValue value) => value switch
    {
        YamlMap map => Convert(map),
        YamlList list => new JsonArray([.. list.Items.Select(Convert)]),
        YamlScalar { IsQuoted: true } text => JsonValue.Create(text.Text),
        YamlScalar { Text: null } => null,
        YamlScalar { Text: "true" } => JsonValue.Create(true),
        YamlScalar { Text: "false" } => JsonValue.Create(false),
        _ => Number(((YamlScalar)value).Text!) ?? JsonValue.Create(((YamlScalar)value).Text),
    };

    private static JsonValue? Number(string text)
    {
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole))
        {
            return JsonValue.Create(whole);
        }

        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) ? JsonValue.Create(number)
            : null;
    }
}
