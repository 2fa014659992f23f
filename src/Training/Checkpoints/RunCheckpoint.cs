using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Training.Checkpoints;

/// <summary>One complete checkpoint of a run: a folder with a file of fields, a safetensors file per section with tensors, and a manifest with the hash of
/// every file, written last.</summary>
/// <remarks>The folder is filled aside, made durable and renamed: it is there whole or not at all. Opening it checks every hash.</remarks>
public sealed class RunCheckpoint : IDisposable
{
    /// <summary>The name of the manifest.</summary>
    public const string ManifestName = "manifest.json";

    internal const string FieldsName = "state.json";
    private const string Format = "graft-run";
    private const int Version = 1;

    private readonly JsonDocument _fields;

    private RunCheckpoint(string path, long step, double? metric, JsonDocument fields)
    {
        Path = path;
        Step = step;
        Metric = metric;
        _fields = fields;
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>Optimizer steps done when it was written.</summary>
    public long Step { get; }

    /// <summary>What the best checkpoint is chosen by; null where nothing was evaluated.</summary>
    public double? Metric { get; }

    /// <summary>Writes a checkpoint.</summary>
    /// <param name="path">The folder, which appears whole or not at all.</param>
    /// <param name="step">Optimizer steps done.</param>
    /// <param name="metric">What the best is chosen by; null for none.</param>
    /// <param name="sections">The state.</param>
    /// <param name="texts">More files by name, such as `trainer_state.json`.</param>
    /// <exception cref="CheckpointException">It could not be written; nothing is left behind.</exception>
    public static void Write(string path, long step, double? metric, IReadOnlyList<StateWriter> sections, IReadOnlyDictionary<string, string>? texts = null)
    {
        ArgumentNullException.ThrowIfNull(sections);
        using AtomicDirectory folder = AtomicDirectory.Create(path);
        List<string> files = [];
        foreach ((string name, string text) in texts ?? new Dictionary<string, string>())
        {
            AtomicFile.WriteText(System.IO.Path.Combine(folder.Temporary, name), text);
            files.Add(name);
        }

        foreach (StateWriter section in sections.Where(s => s.Tensors.Count > 0))
        {
            string name = section.Section + ".safetensors";
            SafeTensorsWriter.Write(System.IO.Path.Combine(folder.Temporary, name), section.Tensors);
            files.Add(name);
        }

        AtomicFile.Write(System.IO.Path.Combine(folder.Temporary, FieldsName), stream => WriteFields(stream, sections));
        files.Add(FieldsName);
        AtomicFile.Write(System.IO.Path.Combine(folder.Temporary, ManifestName), stream => WriteManifest(stream, folder.Temporary, step, metric, files));
        folder.Commit();
    }

    /// <summary>Opens a checkpoint and checks that every file is as it was written.</summary>
    /// <exception cref="CheckpointException">Something is missing or changed; names the file.</exception>
    public static RunCheckpoint Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string manifestPath = System.IO.Path.Combine(path, ManifestName);
        using JsonDocument manifest = ReadJson(manifestPath);
        JsonElement root = manifest.RootElement;
        if (Text(root, "format", manifestPath) != Format || Number(root, "version", manifestPath) != Version)
        {
            throw new CheckpointException($"{manifestPath}: is not a checkpoint of a run in version {Version} of its format.");
        }

        if (!root.TryGetProperty("files", out JsonElement files) || files.ValueKind != JsonValueKind.Array)
        {
            throw new CheckpointException($"{manifestPath}: has no list 'files'.");
        }

        foreach (JsonElement file in files.EnumerateArray())
        {
            Verify(path, Text(file, "name", manifestPath), (long)Number(file, "bytes", manifestPath), Text(file, "sha256", manifestPath));
        }

        double? metric = root.TryGetProperty("metric", out JsonElement m) && m.ValueKind == JsonValueKind.Number ? m.GetDouble() : null;
        return new RunCheckpoint(path, (long)Number(root, "step", manifestPath), metric, ReadJson(System.IO.Path.Combine(path, FieldsName)));
    }

    /// <summary>True where the checkpoint has this section.</summary>
    public bool Has(string section) => _fields.RootElement.TryGetProperty(section, out _);

    /// <summary>Opens a section; dispose it.</summary>
    /// <exception cref="CheckpointException">There is none of that name.</exception>
    public StateReader Section(string section)
    {
        string file = System.IO.Path.Combine(Path, FieldsName);
        if (!_fields.RootElement.TryGetProperty(section, out JsonElement fields))
        {
            throw new CheckpointException($"{file}: there is no section '{section}': the checkpoint belongs to another configuration.");
        }

        string tensors = System.IO.Path.Combine(Path, section + ".safetensors");
        return new StateReader(section, file, fields, File.Exists(tensors) ? SafeTensorsFile.Open(tensors) : null);
    }

    /// <summary>Closes the checkpoint.</summary>
    public void Dispose() => _fields.Dispose();

    /// <summary>The step and metric in a manifest, without checking the files; null where it cannot be read.</summary>
    internal static (long Step, double? Metric)? Peek(string path)
    {
        try
        {
            string manifestPath = System.IO.Path.Combine(path, ManifestName);
            using JsonDocument manifest = ReadJson(manifestPath);
            double? metric = manifest.RootElement.TryGetProperty("metric", out JsonElement m) && m.ValueKind == JsonValueKind.Number ? m.GetDouble() : null;
            return ((long)Number(manifest.RootElement, "step", manifestPath), metric);
        }
        catch (CheckpointException)
        {
            return null;
        }
    }

    internal static void WriteFields(Stream stream, IReadOnlyList<StateWriter> sections)
    {
        using Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        foreach (StateWriter section in sections)
        {
            json.WriteStartObject(section.Section);
            foreach ((string field, object value) in section.Fields)
            {
                switch (value)
                {
                    case long number:
                        json.WriteNumber(field, number);
                        break;
                    case double number when double.IsFinite(number):
                        json.WriteNumber(field, number);
                        break;
                    case double number:
                        json.WriteString(field, number.ToString(CultureInfo.InvariantCulture));
                        break;
                    case bool flag:
                        json.WriteBoolean(field, flag);
                        break;
                    default:
                        json.WriteString(field, (string)value);
                        break;
                }
            }

            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void WriteManifest(Stream stream, string folder, long step, double? metric, List<string> files)
    {
        using Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteString("format", Format);
        json.WriteNumber("version", Version);
        json.WriteNumber("step", step);
        if (metric is { } value && double.IsFinite(value))
        {
            json.WriteNumber("metric", value);
        }

        json.WriteStartArray("files");
        foreach (string file in files)
        {
            string path = System.IO.Path.Combine(folder, file);
            json.WriteStartObject();
            json.WriteString("name", file);
            json.WriteNumber("bytes", new FileInfo(path).Length);
            json.WriteString("sha256", Hash(path));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Verify(string folder, string name, long bytes, string hash)
    {
        string path = System.IO.Path.Combine(folder, name);
        if (name != System.IO.Path.GetFileName(name) || !File.Exists(path))
        {
            throw new CheckpointException($"{path}: is named in the manifest but is not there.");
        }

        try
        {
            long length = new FileInfo(path).Length;
            if (length != bytes)
            {
                throw new CheckpointException($"{path}: has {length} bytes, the manifest says {bytes}.");
            }

            if (Hash(path) != hash)
            {
                throw new CheckpointException($"{path}: its SHA-256 is not that of the manifest: the file was changed or damaged.");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    private static string Hash(string path)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private static JsonDocument ReadJson(string path)
    {
        try
        {
            return JsonDocument.Parse(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new CheckpointException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    private static string Text(JsonElement element, string field, string path)
    {
        return element.ValueKind == JsonValueKind.Object && element.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : throw new CheckpointException($"{path}: field '{field}' is missing or is not a text.");
    }

    private static double Number(JsonElement element, string field, string path)
    {
        return element.ValueKind == JsonValueKind.Object && element.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.Number
            ? value.GetDouble()
            : throw new CheckpointException($"{path}: field '{field}' is missing or is not a number.");
    }
}
