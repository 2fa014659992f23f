using System.Text.Json;
using Graft.Models.Tokenizers;
using Graft.Tests;

namespace Graft.Models.Tests.Tokenizers;

/// <summary>Reading of recorded tokenizer cases.</summary>
internal static class TokenizerFixtures
{
    private static readonly Dictionary<string, Tokenizer> s_loaded = new(StringComparer.Ordinal);

    /// <summary>Folders that hold a tokenizer and recorded strings.</summary>
    public static IEnumerable<string> Folders()
    {
        string root = FixtureFolder.PathOf("tokenizers");
        return Directory.Exists(root)
            ? Directory.EnumerateDirectories(root).Where(f => File.Exists(Path.Combine(f, "tokenizer.json"))).Select(f =>
                Path.GetFileName(f)!).Order(StringComparer.Ordinal)
            : [];
    }

    public static Tokenizer Load(string name)
    {
        lock (s_loaded)
        {
            return s_loaded.TryGetValue(name, out Tokenizer? known) ? known : s_loaded[name] = Tokenizer.Load(FixtureFolder.PathOf("tokenizers", name));
        }
    }

    /// <summary>The lines of a file; none if it is not there.</summary>
    public static IEnumerable<JsonElement> Lines(params string[] path)
    {
        string file = FixtureFolder.PathOf(["tokenizers", .. path]);
        if (!File.Exists(file))
        {
            yield break;
        }

        foreach (string line in File.ReadLines(file))
        {
            if (line.Length > 0)
            {
                yield return JsonDocument.Parse(line).RootElement;
            }
        }
    }

    public static int[] Ints(this JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(e => e.GetInt32())];

    public static int?[] OptionalInts(this JsonElement element, string name) =>
        [.. element.GetProperty(name).EnumerateArray().Select(e => e.ValueKind == JsonValueKind.Null ? (int?)null : e.GetInt32())];

    public static string?[] Texts(this JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(e => e.GetString())];

    public static string Text(this JsonElement element, string name) => element.GetProperty(name).GetString()!;

    public static bool Has(this JsonElement element, string name) => element.TryGetProperty(name, out _);

    /// <summary>Start and end alternating.</summary>
    public static int[] Flat(this IEnumerable<TextOffset> offsets) => [.. offsets.SelectMany(o => new[] { o.Start, o.End })];

    /// <summary>A text short enough for a message.</summary>
    public static string Shown(string text) => JsonSerializer.Serialize(text.Length <= 200 ? text : text[..200] + "...");
}

/// <summary>Collects what differs, so that one run shows all of it.</summary>
internal sealed class Differences
{
    private readonly List<string> _found = [];

    public int Checked { get; private set; }

    public void Equal<T>(IEnumerable<T> actual, IEnumerable<T> expected, string what)
    {
        Checked++;
        List<T> a = [.. actual];
        List<T> e = [.. expected];
        if (a.SequenceEqual(e))
        {
            return;
        }

        int at = 0;
        while (at < a.Count && at < e.Count && Equals(a[at], e[at]))
        {
            at++;
        }

        _found.Add($"{what}: differs first at {at}: {Part(a, at)} but recorded {Part(e, at)} ({a.Count} and {e.Count} entries)");
    }

    public void Same(string? actual, string? expected, string what)
    {
        Checked++;
        if (!string.Equals(actual, expected, StringComparison.Ordinal))
        {
            _found.Add($"{what}: {TokenizerFixtures.Shown(actual ?? "null")} but recorded {TokenizerFixtures.Shown(expected ?? "null")}");
        }
    }

    public void AssertNone(string where) =>
        Assert.That(_found, Is.Empty, $"{where}: {_found.Count} of {Checked} comparisons differ:\n{string.Join('\n', _found.Take(15))}");

    private static string Part<T>(List<T> list, int at) => "[" + string.Join(", ", list.Skip(Math.Max(0, at - 2)).Take(8).Select(x => x is string s
        ? JsonSerializer.Serialize(s) : x?.ToString() ?? "null")) + "]";
}
