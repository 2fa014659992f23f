using System.Text;
using System.Text.Json;
using Graft.Runtime;

namespace Graft.Training;

/// <summary>One entry of the history: numbers by name, as `transformers` writes them (`loss`, `grad_norm`, `learning_rate`, `eval_loss`, ...).</summary>
/// <param name="Step">Optimizer steps done.</param>
/// <param name="Epoch">Passes over the data.</param>
/// <param name="Values">The numbers.</param>
public sealed record LogEntry(long Step, double Epoch, IReadOnlyDictionary<string, double> Values);

/// <summary>Where a run stands and what was measured: the content of `trainer_state.json`, which `transformers` and its tools read.</summary>
public sealed class TrainerState
{
    private readonly List<LogEntry> _history = [];

    /// <summary>Optimizer steps done.</summary>
    public long GlobalStep { get; internal set; }

    /// <summary>The phase that runs, from 0.</summary>
    public int Phase { get; internal set; }

    /// <summary>Optimizer steps done in this phase.</summary>
    public long PhaseStep { get; internal set; }

    /// <summary>True once the phase's own end was reached.</summary>
    public bool PhaseDone { get; internal set; }

    /// <summary>Passes over the data, with the fraction.</summary>
    public double Epoch { get; internal set; }

    /// <summary>Tokens trained on, padding not counted.</summary>
    public long TokensSeen { get; internal set; }

    /// <summary>The best evaluation loss.</summary>
    public double? BestMetric { get; internal set; }

    /// <summary>Where that was.</summary>
    public long? BestStep { get; internal set; }

    /// <summary>Steps of all phases.</summary>
    public long MaxSteps { get; internal set; }

    /// <summary>What was logged, oldest first.</summary>
    public IReadOnlyList<LogEntry> History => _history;

    /// <summary>Seed of everything random in the steps; where the streams stand is the step.</summary>
    public ulong Seed { get; internal init; }

    internal double WindowLoss { get; set; }

    internal long WindowSteps { get; set; }

    internal double? StoppingReference { get; set; }

    internal int StoppingCount { get; set; }

    internal void Log(params ReadOnlySpan<(string Name, double Value)> values)
    {
        SortedDictionary<string, double> numbers = new(StringComparer.Ordinal);
        foreach ((string name, double value) in values)
        {
            numbers[name] = value;
        }

        _history.Add(new LogEntry(GlobalStep, Epoch, numbers));
    }

    /// <summary>The text of `trainer_state.json`; the same state gives the same bytes.</summary>
    public string ToJson()
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            Number(json, "best_global_step", BestStep);
            Number(json, "best_metric", BestMetric);
            if (BestStep is { } best)
            {
                json.WriteString("best_model_checkpoint", $"checkpoint-{best}");
            }
            else
            {
                json.WriteNull("best_model_checkpoint");
            }

            json.WriteNumber("epoch", Epoch);
            json.WriteNumber("global_step", GlobalStep);
            json.WriteBoolean("is_hyper_param_search", false);
            json.WriteBoolean("is_local_process_zero", true);
            json.WriteBoolean("is_world_process_zero", true);
            json.WriteStartArray("log_history");
            foreach (LogEntry entry in _history)
            {
                json.WriteStartObject();
                json.WriteNumber("epoch", entry.Epoch);
                foreach ((string name, double value) in entry.Values)
                {
                    Number(json, name, value);
                }

                json.WriteNumber("step", entry.Step);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteNumber("max_steps", MaxSteps);
            json.WriteNumber("num_input_tokens_seen", TokensSeen);
            json.WriteStartObject("graft");
            json.WriteNumber("seed", Seed);
            json.WriteNumber("phase", Phase);
            json.WriteNumber("phase_step", PhaseStep);
            json.WriteBoolean("phase_done", PhaseDone);
            Number(json, "window_loss", WindowLoss);
            json.WriteNumber("window_steps", WindowSteps);
            Number(json, "stopping_reference", StoppingReference);
            json.WriteNumber("stopping_count", StoppingCount);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="CheckpointException">Something is missing; names file and field.</exception>
    public static TrainerState FromJson(string json, string file)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            JsonElement own = root.GetProperty("graft");
            TrainerState state = new()
            {
                BestStep = (long?)Number(root, "best_global_step"),
                BestMetric = Number(root, "best_metric"),
                Epoch = root.GetProperty("epoch").GetDouble(),
                GlobalStep = root.GetProperty("global_step").GetInt64(),
                MaxSteps = root.GetProperty("max_steps").GetInt64(),
                TokensSeen = root.GetProperty("num_input_tokens_seen").GetInt64(),
                Seed = own.GetProperty("seed").GetUInt64(),
                Phase = own.GetProperty("phase").GetInt32(),
                PhaseStep = own.GetProperty("phase_step").GetInt64(),
                PhaseDone = own.GetProperty("phase_done").GetBoolean(),
                WindowLoss = Number(own, "window_loss") ?? double.NaN,
                WindowSteps = own.GetProperty("window_steps").GetInt64(),
                StoppingReference = Number(own, "stopping_reference"),
                StoppingCount = own.GetProperty("stopping_count").GetInt32(),
            };
            foreach (JsonElement entry in root.GetProperty("log_history").EnumerateArray())
            {
                SortedDictionary<string, double> values = new(StringComparer.Ordinal);
                foreach (JsonProperty value in entry.EnumerateObject().Where(v => v.Name is not ("epoch" or "step")))
                {
                    values[value.Name] = Number(entry, value.Name) ?? double.NaN;
                }

                state._history.Add(new LogEntry(entry.GetProperty("step").GetInt64(), entry.GetProperty("epoch").GetDouble(), values));
            }

            return state;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new CheckpointException($"{file}: is not the state of a run: {e.Message}", e);
        }
    }

    // JSON has no NaN; the file says null, as the tools that read it expect.
    private static void Number(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumber(name, number);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static double? Number(JsonElement element, string name)
    {
        JsonElement value = element.GetProperty(name);
        return value.ValueKind == JsonValueKind.Null ? null : value.GetDouble();
    }
}
