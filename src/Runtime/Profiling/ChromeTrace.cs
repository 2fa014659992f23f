using System.Diagnostics;
using System.Text.Json;

namespace Graft.Runtime;

/// <summary>A profile's spans as a file of Chrome's trace event format, for chrome://tracing, ui.perfetto.dev and speedscope.app.</summary>
/// <remarks>Complete events (`ph` X) of one thread: `name`, `cat` the phase, `ts` from the first span on and `dur` in microseconds, `args` bytes and flops.</remarks>
public static class ChromeTrace
{
    /// <summary>Writes the whole file; the stream stays open.</summary>
    public static void Write(OpProfile profile, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(profile);
        ReadOnlySpan<OpSpan> spans = profile.Spans;
        using Utf8JsonWriter json = new(stream);
        json.WriteStartObject();
        json.WriteString("displayTimeUnit", "ms");
        json.WriteStartArray("traceEvents");
        foreach (OpSpan span in spans)
        {
            json.WriteStartObject();
            json.WriteString("name", span.Name);
            json.WriteString("cat", PhaseName(span.Phase));
            json.WriteString("ph", "X");
            json.WriteNumber("ts", Microseconds(span.Start - spans[0].Start));
            json.WriteNumber("dur", Microseconds(span.Ticks));
            json.WriteNumber("pid", 1);
            json.WriteNumber("tid", 1);
            json.WriteStartObject("args");
            json.WriteNumber("bytes", span.Cost.Bytes);
            json.WriteNumber("flops", span.Cost.Flops);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>As in the file and in tables: forward, backward, recompute, step.</summary>
    public static string PhaseName(ProfilePhase phase) => phase switch
    {
        ProfilePhase.Forward => "forward",
        ProfilePhase.Backward => "backward",
        ProfilePhase.Recompute => "recompute",
        _ => "step",
    };

    // Nanoseconds as decimals: exact sums, so that a span never seems to reach beyond the one around it.
    private static decimal Microseconds(long ticks) => decimal.Round((decimal)ticks * 1_000_000 / Stopwatch.Frequency, 3);
}
