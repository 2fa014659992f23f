using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Graft.Runtime;

namespace Graft.Training.Runs;

/// <summary>The values of a run file by key, checked against the rows of <see cref="RunKeys"/>. Collects every error, so that a user sees all of them at
/// once.</summary>
internal sealed class RunValues
{
    private readonly Dictionary<string, YamlValue> _values = [];
    private readonly HashSet<string> _sections = [];
    private readonly List<string> _errors = [];
    private readonly string _file;
    private readonly RunFileOptions _options;

    public RunValues(string text, string file, IEnumerable<string> overrides, RunFileOptions options)
    {
        _file = file;
        _options = options;
        YamlValue root = YamlTree.Parse(text, line => $"{file}:{line}");
        if (root is YamlMap map)
        {
            Walk(map, string.Empty);
        }
        else if (root is not YamlScalar { Text: null })
        {
            _errors.Add($"{root.Where}: a run file is a map of sections such as model, data, training; this is {Describe(root)}.");
        }

        foreach (string change in overrides)
        {
            Override(change);
        }
    }

    /// <summary>True if a section or one of its keys is given.</summary>
    public bool HasSection(string section) => _sections.Contains(section);

    /// <summary>True if a value is given, rather than the default.</summary>
    public bool IsGiven(string key) => _values.GetValueOrDefault(key) is not (null or YamlScalar { Text: null });

    /// <summary>Where a value is given: file and line, or the override; the file where it is not.</summary>
    public string WhereOf(string key) => _values.TryGetValue(key, out YamlValue? value) ? value.Where : _file;

    public string? Text(string key) => Scalar(key)?.Text;

    public long? Integer(string key)
    {
        RunKey row = RowOf(key);
        if (Scalar(key) is not { Text: { } text } scalar)
        {
            return null;
        }

        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && value >= row.Min && value <= row.Max)
        {
            return value;
        }

        Impossible(row, scalar);
        return null;
    }

    public double? Number(string key) => Scalar(key) is { Text: not null } scalar ? Number(RowOf(key), scalar) : null;

    public bool Boolean(string key)
    {
        YamlScalar? scalar = Scalar(key);
        if (scalar?.Text is "true" or "false")
        {
            return scalar.Text == "true";
        }

        if (scalar?.Text is not null)
        {
            Impossible(RowOf(key), scalar);
        }

        return false;
    }

    /// <summary>The place of a word among the choices of its row; 0 after an error.</summary>
    public int Choice(string key)
    {
        RunKey row = RowOf(key);
        YamlScalar? scalar = Scalar(key);
        for (int i = 0; i < row.Choices.Count; i++)
        {
            if (row.Choices[i] == scalar?.Text)
            {
                return i;
            }
        }

        if (scalar?.Text is not null)
        {
            Impossible(row, scalar);
        }

        return 0;
    }

    public IReadOnlyList<double> Numbers(string key)
    {
        RunKey row = RowOf(key);
        YamlValue? value = ValueOf(row);
        if (value is not YamlList list
            || (row.ListLength > 0 && list.Items.Count != row.ListLength)
            || list.Items.Any(i => i is not YamlScalar { Text: not null }))
        {
            if (value is not null)
            {
                Impossible(row, value);
            }

            return new double[row.ListLength];
        }

        return [.. list.Items.Select(i => Number(row, (YamlScalar)i) ?? 0)];
    }

    public IReadOnlyList<string> Texts(string key)
    {
        RunKey row = RowOf(key);
        YamlValue? value = ValueOf(row);
        if (value is YamlScalar { Text: { } text })
        {
            return [text];
        }

        if (value is YamlList { Items.Count: > 0 } list && list.Items.All(i => i is YamlScalar { Text.Length: > 0 }))
        {
            return [.. list.Items.Select(i => ((YamlScalar)i).Text!)];
        }

        if (value is not null)
        {
            Impossible(row, value);
        }

        return [];
    }

    public OptionMap Options(string key)
    {
        YamlValue? value = _values.GetValueOrDefault(key);
        if (value is not (null or YamlMap or YamlScalar { Text: null }))
        {
            Impossible(RowOf(key), value);
        }

        return new OptionMap(value as YamlMap, WhereOf(key));
    }

    /// <summary>An absolute path with its variables replaced; checked to exist where the row says so.</summary>
    public string? PathOf(string key)
    {
        RunKey row = RowOf(key);
        if (Scalar(key) is not { Text: { } text } scalar)
        {
            return null;
        }

        if (!RunPath.TryExpand(text, _options.Environment, out string expanded, out string error))
        {
            _errors.Add($"{scalar.Where}: {key} is {Describe(scalar)}: {error}.");
            return null;
        }

        string path = Path.GetFullPath(expanded, Path.GetDirectoryName(Path.GetFullPath(_file))!);
        string? wrong = row.Kind switch
        {
            RunKeyKind.NewFolder => File.Exists(path) ? "is a file" : null,
            RunKeyKind.File => File.Exists(path) ? null : "does not exist",
            _ => Path.Exists(path) ? null : "does not exist",
        };
        if (_options.CheckFiles && wrong is not null)
        {
            string source = key == "model.path" && _values.GetValueOrDefault("model.source") is YamlScalar { Text: { } from } ? " " + from : string.Empty;
            _errors.Add($"{scalar.Where}: {key} is {Describe(scalar)}; allowed: {row.Allowed}. {path} {wrong}.{source}");
        }

        return path;
    }

    /// <summary>Adds an error about a value that is possible alone but not beside others.</summary>
    public void Conflict(string key, string message) => _errors.Add($"{WhereOf(key)}: {key} {message}");

    /// <summary>Adds an error for every required key that is missing in a section.</summary>
    public void Require(string section)
    {
        foreach (RunKey row in RunKeys.All.Where(r => r.Section == section && r.IsRequired && !IsGiven(r.Path)))
        {
            _errors.Add($"{_file}: {row.Path} is missing: {row.Description}");
        }
    }

    /// <summary>The file with every default, variable and override in its place, paths absolute: reading it again gives the same run.</summary>
    public string Resolved()
    {
        StringBuilder text = new("# Every value of this run: defaults, variables and overrides in their places.\n");
        string[] open = [];
        foreach (RunKey row in RunKeys.All.Where(r => r.Section != "adapter" || HasSection("adapter")))
        {
            if (ValueOf(row) is not { } value || value is YamlScalar { Text: null })
            {
                continue;
            }

            string[] parts = row.Path.Split('.');
            for (int i = 0; i < parts.Length - 1; i++)
            {
                if (!parts.AsSpan(0, i + 1).SequenceEqual(open.AsSpan(0, Math.Min(i + 1, open.Length))))
                {
                    text.Append(' ', 2 * i).Append(parts[i]).Append(":\n");
                }
            }

            open = parts[..^1];
            text.Append(' ', 2 * open.Length).Append(row.Name).Append(": ").Append(row.IsPath ? Quoted(PathOf(row.Path)!) : Flow(value)).Append('\n');
        }

        return text.ToString();
    }

    /// <exception cref="ConfigurationException">There was at least one error.</exception>
    public void ThrowIfAny()
    {
        if (_errors.Count > 0)
        {
            throw new ConfigurationException(string.Join("\n", _errors));
        }
    }

    private static RunKey RowOf(string key) => RunKeys.Find(key) ?? throw new ArgumentException($"There is no row for {key}.", nameof(key));

    private static string Describe(YamlValue value) => value switch
    {
        YamlMap => "a map",
        YamlList => "a list",
        YamlScalar { Text: null } => "empty",
        _ => $"'{((YamlScalar)value).Text!.ReplaceLineEndings("\\n")}'",
    };

    /// <summary>A value on one line. Texts that were written as they stand may be anything, so they are quoted; numbers and words are not.</summary>
    private static string Flow(YamlValue value) => value switch
    {
        YamlMap map => new OptionMap(map, map.Where).Values.ToJsonString(),
        YamlList list => "[" + string.Join(", ", list.Items.Select(Flow)) + "]",
        YamlScalar scalar when scalar.IsQuoted => Quoted(scalar.Text ?? string.Empty),
        YamlScalar scalar => scalar.Text ?? string.Empty,
        _ => string.Empty,
    };

    // JSON strings are YAML strings in double quotes.
    private static string Quoted(string text) => "\"" + JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping) + "\"";

    private double? Number(RunKey row, YamlScalar scalar)
    {
        if (double.TryParse(scalar.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && double.IsFinite(value)
            && (row.AboveMin ? value > row.Min : value >= row.Min)
            && (row.BelowMax ? value < row.Max : value <= row.Max))
        {
            return value;
        }

        Impossible(row, scalar);
        return null;
    }

    private YamlValue? ValueOf(RunKey row)
    {
        return IsGiven(row.Path) ? _values[row.Path] : row.Default is null ? null : YamlTree.Parse(Quoted(row), _ => "default");
    }

    /// <summary>A default of a text kind may hold characters that mean something in YAML.</summary>
    private static string Quoted(RunKey row) => row.IsPlainText ? $"'{row.Default}'" : row.Default!;

    private YamlScalar? Scalar(string key)
    {
        RunKey row = RowOf(key);
        YamlValue? value = ValueOf(row);
        if (value is null or YamlScalar)
        {
            return value as YamlScalar;
        }

        Impossible(row, value);
        return null;
    }

    private void Impossible(RunKey row, YamlValue value)
    {
        string hint = row.IsPlainText && value is YamlMap or YamlList ? " Put the text into quotes." : string.Empty;
        _errors.Add($"{value.Where}: {row.Path} is {Describe(value)}; allowed: {row.Allowed}.{hint}");
    }

    private void Walk(YamlMap map, string parent)
    {
        foreach ((string name, YamlValue value) in map.Entries)
        {
            string path = parent.Length == 0 ? name : $"{parent}.{name}";
            Set(path, value);
        }
    }

    private void Set(string path, YamlValue value)
    {
        if (RunKeys.Find(path) is not null)
        {
            _values[path] = value;
            _sections.Add(path[..path.IndexOf('.', StringComparison.Ordinal)]);
        }
        else if (!RunKeys.IsSection(path))
        {
            string hint = RunKeys.Nearest(path) is { } near ? $"did you mean {near}?" : "see docs/run-file.md for the keys.";
            _errors.Add($"{value.Where}: there is no key {path}; {hint}");
        }
        else if (value is YamlMap map)
        {
            _sections.Add(path);
            Walk(map, path);
        }
        else if (value is not YamlScalar { Text: null })
        {
            string example = RunKeys.All.First(r => r.Path.StartsWith(path + ".", StringComparison.Ordinal)).Path;
            _errors.Add($"{value.Where}: {path} is {Describe(value)}; allowed: a map of keys such as {example}.");
        }
    }

    private void Override(string change)
    {
        int equals = change.IndexOf('=', StringComparison.Ordinal);
        string where = $"--set {change}";
        if (equals < 1)
        {
            _errors.Add($"{where}: an override is written key=value, as in training.steps=100.");
            return;
        }

        (string path, string text) = (change[..equals].Trim(), change[(equals + 1)..]);
        RunKey? row = RunKeys.Find(path);
        YamlValue value = row?.IsPlainText == true ? new YamlScalar(text.Length == 0 ? null : text, true, where) : YamlTree.Parse(text, _ => where);
        RunKey? options = RunKeys.All.FirstOrDefault(r => r.Kind == RunKeyKind.Options && path.StartsWith(r.Path + ".", StringComparison.Ordinal));
        if (options is null)
        {
            Set(path, value);
            return;
        }

        // One option of a free map: the others stay.
        Dictionary<string, YamlValue> entries = _values.GetValueOrDefault(options.Path) is YamlMap map ? new(map.Entries) : [];
        entries[path[(options.Path.Length + 1)..]] = value;
        Set(options.Path, new YamlMap(entries, WhereOf(options.Path)));
    }
}
