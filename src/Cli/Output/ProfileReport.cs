using System.Text;
using System.Text.Json;
using Graft.Runtime;
using Graft.Training;

namespace Graft.Cli.Output;

/// <summary>Where the time of the profiled steps went, added up over them.</summary>
internal sealed class ProfileReport
{
    private readonly Dictionary<(string Name, ProfilePhase Phase), OpFamilyCost> _sums = [];

    public long Steps { get; private set; }

    public double Seconds { get; private set; }

    public double OutsideSeconds { get; private set; }

    /// <summary>The most expensive first.</summary>
    public IEnumerable<OpFamilyCost> Families => _sums.Values.OrderByDescending(f => f.Seconds);

    public void Add(StepProfiled step)
    {
        Steps++;
        Seconds += step.Seconds;
        OutsideSeconds += step.OutsideSeconds;
        foreach (OpFamilyCost f in step.Families)
        {
            OpFamilyCost sum = _sums.GetValueOrDefault((f.Name, f.Phase));
            _sums[(f.Name, f.Phase)] = f with
            {
                Calls = sum.Calls + f.Calls,
                Seconds = sum.Seconds + f.Seconds,
                Bytes = sum.Bytes + f.Bytes,
                Flops = sum.Flops + f.Flops,
            };
        }
    }

    /// <summary>Figures of a step, a row per family.</summary>
    public string Table()
    {
        IEnumerable<IReadOnlyList<string>> rows = Families.Select(f => (IReadOnlyList<string>)
        [
            f.Name, ChromeTrace.PhaseName(f.Phase), Words.Number((double)f.Calls / Steps, "0.#"), .. Time(f.Seconds), Rate(f.Bytes, f.Seconds), Rate(f.Flops, f.Seconds),
        ]);
        string[] outside = ["(outside of ops)", "", "", .. Time(OutsideSeconds), "", ""];
        StringBuilder text = new(Words.Table(["op", "phase", "calls", "ms", "share", "GB/s", "GFLOP/s"], [.. rows, outside]));
        if (_sums.Keys.Any(k => k.Name == GradientStep.GraphSpan))
        {
            text.Append("  ").Append(GradientStep.GraphSpan).Append(": forward and backward of a micro-batch, recorded and launched as one\n");
        }

        return text.ToString();
    }

    public void WriteFields(Utf8JsonWriter json, string trace)
    {
        json.WriteNumber("steps", Steps);
        json.WriteNumber("seconds", Seconds);
        json.WriteNumber("outside_seconds", OutsideSeconds);
        json.WriteString("trace", trace);
        json.WriteStartArray("families");
        foreach (OpFamilyCost f in Families)
        {
            json.WriteStartObject();
            json.WriteString("name", f.Name);
            json.WriteString("phase", ChromeTrace.PhaseName(f.Phase));
            json.WriteNumber("calls", f.Calls);
            json.WriteNumber("seconds", f.Seconds);
            json.WriteNumber("bytes", f.Bytes);
            json.WriteNumber("flops", f.Flops);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private string[] Time(double seconds) => [Words.Number(1000 * seconds / Steps, "0.00"), Words.Number(100 * seconds / Seconds, "0.0") + " %"];

    private static string Rate(long count, double seconds) => count > 0 && seconds > 0 ? Words.Number(count / seconds / 1e9, "0.0") : "";
}
