using System.Text.Json;
using Graft.Models.Checkpoints;

namespace Graft.Runtime.Tests.Support;

/// <summary>One row of a recording under `ops/`: inputs, what the reference computed in F32 and in F64, gradients, tolerances.</summary>
public sealed class OpRecording
{
    private static readonly Dictionary<string, ICheckpoint> s_files = [];
    private readonly ICheckpoint _file;

    private OpRecording(string group, ICheckpoint file, JsonElement row)
    {
        Group = group;
        Row = row;
        Name = row.GetProperty("name").GetString()!;
        _file = file;
    }

    public string Group { get; }

    public string Name { get; }

    public JsonElement Row { get; }

    public JsonElement Settings => Row.GetProperty("settings");

    public override string ToString() => Name;

    /// <summary>All rows of a group, as test cases named after them; none where the group is not there.</summary>
    public static IEnumerable<TestCaseData> Cases(string group)
    {
        string folder = FixtureFolder.PathOf("ops", group);
        if (!File.Exists(Path.Combine(folder, "case.json")))
        {
            yield break;
        }

        ICheckpoint file = Open(Path.Combine(folder, "tensors.safetensors"));
        foreach (JsonElement row in JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "case.json"))).RootElement.GetProperty("rows").EnumerateArray())
        {
            OpRecording recording = new(group, file, row);
            yield return new TestCaseData(recording).SetArgDisplayNames(recording.Name);
        }
    }

    public static ICheckpoint Open(string path)
    {
        lock (s_files)
        {
            return s_files.TryGetValue(path, out ICheckpoint? file) ? file : s_files[path] = SafeTensorsFile.Open(path);
        }
    }

    /// <summary>The bound for `output` or `gradient`, absolute against the F64 run.</summary>
    public double Tolerance(string kind) => Row.GetProperty("tolerance").GetProperty(kind).GetDouble();

    public bool HasGradient => Row.GetProperty("tolerance").TryGetProperty("gradient", out _);

    public string[] Inputs => [.. Row.GetProperty("inputs").EnumerateArray().Select(i => i.GetString()!)];

    public bool Has(string kind, string? part = null) => _file.Tensors.ContainsKey(Key(kind, part));

    public Shape Shape(string kind, string? part = null) => _file.Tensors[Key(kind, part)].Shape;

    public string TypeName(string kind, string? part = null) => _file.Tensors[Key(kind, part)].TypeName;

    public float[] Floats(string kind, string? part = null) => _file.ReadFloats(Key(kind, part));

    /// <summary>Elements of any recorded type as doubles, without loss.</summary>
    public double[] Doubles(string kind, string? part = null)
    {
        string key = Key(kind, part);
        return _file.Tensors[key].TypeName switch
        {
            "F64" => _file.ReadArray<double>(key),
            "I64" => Array.ConvertAll(_file.ReadArray<long>(key), x => (double)x),
            _ => Array.ConvertAll(_file.ReadFloats(key), x => (double)x),
        };
    }

    /// <summary>Integer elements, such as ids, as I32.</summary>
    public int[] Integers(string kind, string? part = null) => Array.ConvertAll(Doubles(kind, part), x => checked((int)x));

    private string Key(string kind, string? part) => $"{kind}.{Name}" + (part is null ? "" : $".{part}");
}
