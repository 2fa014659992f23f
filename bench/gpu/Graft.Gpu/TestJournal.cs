using System.Text.Json;
using System.Text.Json.Nodes;

namespace Graft.Gpu;

/// <summary>What became of a test.</summary>
/// <param name="Name">Its full name.</param>
/// <param name="Outcome">Passed, Failed, Skipped, ...; Faulted where its process ended or hung in it.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="Message">Of a failure, or why it was skipped.</param>
internal sealed record TestEnd(string Name, string Outcome, double Seconds, string Message);

/// <summary>The journal of a run: a line when a test starts, a line when it ends, on disk at once.</summary>
internal static class TestJournal
{
    public static void Start(StreamWriter to, string name) => Write(to, new JsonObject { ["start"] = name });

    public static void End(StreamWriter to, TestEnd end) => Write(
        to, new JsonObject { ["end"] = end.Name, ["outcome"] = end.Outcome, ["seconds"] = Math.Round(end.Seconds, 4), ["message"] = end.Message });

    /// <summary>A test that met a fault which may be another's: it is run once more.</summary>
    public static void Again(StreamWriter to, string name) => Write(to, new JsonObject { ["again"] = name });

    /// <summary>Opens for appending; each line is handed to the system at once, so that a crash loses none.</summary>
    public static StreamWriter Open(string path) => new(path, append: true) { AutoFlush = true };

    /// <summary>Reads what has ended, which tests were under way at the end of the file, and which were to be run again.</summary>
    public static (List<TestEnd> Ended, List<string> Open, List<string> Again) Read(string path)
    {
        Dictionary<string, TestEnd> ended = [];
        List<string> open = [], again = [];
        foreach (string line in File.Exists(path) ? File.ReadLines(path) : [])
        {
            JsonNode? node;
            try
            {
                node = JsonNode.Parse(line);
            }
            catch (JsonException)
            {
                continue; // the last line of a process that was killed
            }

            if ((string?)node!["start"] is { } started)
            {
                open.Add(started);
            }
            else if ((string?)node["again"] is { } repeated)
            {
                _ = open.Remove(repeated);
                again.Add(repeated);
            }
            else if ((string?)node["end"] is { } name)
            {
                _ = open.Remove(name);
                ended[name] = new(name, (string)node["outcome"]!, (double)node["seconds"]!, (string?)node["message"] ?? "");
            }
        }

        return ([.. ended.Values], open, again);
    }

    private static void Write(StreamWriter to, JsonObject line) => to.WriteLine(line.ToJsonString());
}
