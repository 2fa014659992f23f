using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>A folder that appears under its name whole or not at all: filled aside, every file fsynced, renamed, the parent fsynced.</summary>
/// <remarks>Use: `using AtomicDirectory folder = AtomicDirectory.Create(path); write below folder.Temporary; folder.Commit();`. Dispose without Commit removes it.</remarks>
public sealed class AtomicDirectory : IDisposable
{
    private bool _committed;

    private AtomicDirectory(string path, string temporary)
    {
        Path = path;
        Temporary = temporary;
    }

    /// <summary>The name under which the folder will appear.</summary>
    public string Path { get; }

    /// <summary>The folder to write into until <see cref="Commit"/>.</summary>
    public string Temporary { get; }

    /// <summary>Makes an empty folder beside <paramref name="path"/>.</summary>
    /// <exception cref="CheckpointException">The parent cannot be written.</exception>
    public static AtomicDirectory Create(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string full = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));
        string temporary = AtomicFile.TemporaryName(full);
        try
        {
            _ = Directory.CreateDirectory(temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{full}: cannot be written: {e.Message}", e);
        }

        return new AtomicDirectory(full, temporary);
    }

    /// <summary>Makes everything below durable and gives the folder its name. An older folder of that name is replaced (on Linux in one step) and removed.</summary>
    /// <exception cref="CheckpointException">The disk failed; the older folder, if any, is still there.</exception>
    public void Commit()
    {
        try
        {
            Sync(Temporary);
            if (Directory.Exists(Path))
            {
                Replace();
            }
            else
            {
                Directory.Move(Temporary, Path);
                _committed = true;
            }

            FileSync.Directory(System.IO.Path.GetDirectoryName(Path)!);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{Path}: could not be written: {e.Message} Free space on the disk or choose another folder.", e);
        }
    }

    /// <summary>Removes what was written unless it was committed; never throws.</summary>
    public void Dispose()
    {
        if (!_committed)
        {
            TryDelete(Temporary);
        }
    }

    /// <summary>Removes temporary folders that killed processes left beside <paramref name="path"/>. Only for the single owner of that path.</summary>
    public static void RemoveLeftovers(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string full = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));
        string parent = System.IO.Path.GetDirectoryName(full)!;
        if (Directory.Exists(parent))
        {
            foreach (string leftover in Directory.EnumerateDirectories(parent, AtomicFile.TemporaryPrefix(full) + "*.tmp"))
            {
                Directory.Delete(leftover, recursive: true);
            }
        }
    }

    private void Replace()
    {
        if (FileSync.TryExchange(Temporary, Path))
        {
            _committed = true;
            TryDelete(Temporary);
            return;
        }

        // Two renames: between them a reader finds no folder, and a crash there leaves both folders under temporary names.
        string aside = AtomicFile.TemporaryName(Path);
        Directory.Move(Path, aside);
        try
        {
            Directory.Move(Temporary, Path);
            _committed = true;
        }
        catch (IOException)
        {
            Directory.Move(aside, Path);
            throw;
        }

        TryDelete(aside);
    }

    private static void Sync(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder))
        {
            FileSync.File(file);
        }

        foreach (string below in Directory.EnumerateDirectories(folder))
        {
            Sync(below);
        }

        FileSync.Directory(folder);
    }

    private static void TryDelete(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Left under its temporary name; RemoveLeftovers finds it.
        }
    }
}
