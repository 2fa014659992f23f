using System.Globalization;
using Graft.Runtime;

namespace Graft.Training.Checkpoints;

/// <summary>The checkpoints of one run in one folder, as `checkpoint-&lt;step&gt;`: keeps the last ones and the best, finds the newest that is
/// complete.</summary>
/// <param name="folder">The run's folder; made when the first checkpoint is written. It belongs to one run at a time.</param>
/// <param name="keepLast">How many of the newest to keep; the best is kept besides.</param>
/// <param name="maximize">True where a larger metric is better.</param>
public sealed class CheckpointStore(string folder, int keepLast = 2, bool maximize = false)
{
    private const string Prefix = "checkpoint-";

    /// <summary>The run's folder.</summary>
    public string Folder { get; } = Path.GetFullPath(folder);

    /// <summary>The folders of checkpoints, oldest step first; complete or not.</summary>
    public IReadOnlyList<string> Paths => [.. Steps().Select(s => s.Path)];

    /// <summary>The folder of the best metric; null where no checkpoint has one.</summary>
    public string? BestPath
    {
        get
        {
            string? best = null;
            double metric = 0;
            foreach ((_, string path) in Steps())
            {
                if (RunCheckpoint.Peek(path) is { Metric: { } found } && (best is null || (maximize ? found > metric : found < metric)))
                {
                    (best, metric) = (path, found);
                }
            }

            return best;
        }
    }

    /// <summary>Writes the checkpoint of a step, replacing one of the same step, then removes what is neither among the last nor the best.</summary>
    /// <returns>Its folder.</returns>
    /// <exception cref="CheckpointException">It could not be written; earlier checkpoints are untouched.</exception>
    public string Save(long step, double? metric, IReadOnlyList<StateWriter> sections, IReadOnlyDictionary<string, string>? texts = null)
    {
        try
        {
            _ = Directory.CreateDirectory(Folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{Folder}: cannot be made: {e.Message}", e);
        }

        string path = PathOf(step);
        RunCheckpoint.Write(path, step, metric, sections, texts);
        Prune();
        return path;
    }

    /// <summary>The newest checkpoint that is complete, null where there is none. Broken ones are passed over and told of, not removed.</summary>
    /// <param name="broken">Called with each error on the way.</param>
    public RunCheckpoint? OpenLatest(Action<CheckpointException>? broken = null)
    {
        foreach ((_, string path) in Steps().AsEnumerable().Reverse())
        {
            try
            {
                return RunCheckpoint.Open(path);
            }
            catch (CheckpointException e)
            {
                broken?.Invoke(e);
            }
        }

        return null;
    }

    /// <summary>Removes what killed processes left half-written. Only for the run that owns the folder.</summary>
    public void RemoveLeftovers()
    {
        if (!Directory.Exists(Folder))
        {
            return;
        }

        foreach (string leftover in Directory.EnumerateDirectories(Folder, $".{Prefix}*.tmp"))
        {
            Directory.Delete(leftover, recursive: true);
        }
    }

    private string PathOf(long step) => Path.Combine(Folder, Prefix + step.ToString(CultureInfo.InvariantCulture));

    private List<(long Step, string Path)> Steps()
    {
        List<(long, string)> found = [];
        if (Directory.Exists(Folder))
        {
            foreach (string path in Directory.EnumerateDirectories(Folder, Prefix + "*"))
            {
                if (long.TryParse(Path.GetFileName(path.AsSpan())[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out long step))
                {
                    found.Add((step, path));
                }
            }
        }

        found.Sort();
        return found;
    }

    private void Prune()
    {
        List<(long Step, string Path)> all = Steps();
        string? best = BestPath;
        foreach ((_, string path) in all.Take(Math.Max(0, all.Count - Math.Max(1, keepLast))))
        {
            if (path != best)
            {
                Remove(path);
            }
        }
    }

    private static void Remove(string path)
    {
        try
        {
            // Out of the way under one name first: a crash in the middle must not leave a checkpoint with files missing.
            string aside = Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.removed.tmp");
            if (Directory.Exists(aside))
            {
                Directory.Delete(aside, recursive: true);
            }

            Directory.Move(path, aside);
            Directory.Delete(aside, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // An old checkpoint too many is no reason to end a run.
        }
    }
}
