using System.Globalization;
using System.Text;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>A file that appears under its name whole or not at all: written aside in the same folder, fsynced, renamed, the folder fsynced.</summary>
/// <remarks>Use: `using AtomicFile file = AtomicFile.Create(path); write to file.Stream; file.Commit();`. Dispose without Commit removes what was written.</remarks>
public sealed class AtomicFile : IDisposable
{
    private static int s_counter;
    private readonly string _temporary;
    private Stream? _stream;
    private FileStream? _file;
    private bool _committed;

    private AtomicFile(string path, string temporary, FileStream file, Stream stream)
    {
        Path = path;
        _temporary = temporary;
        _file = file;
        _stream = stream;
    }

    /// <summary>The name under which the file will appear.</summary>
    public string Path { get; }

    /// <summary>Where to write; closed by <see cref="Seal"/>.</summary>
    public Stream Stream => _stream ?? throw new InvalidOperationException($"{Path}: the file is sealed, nothing can be written any more.");

    /// <summary>Opens a temporary file beside <paramref name="path"/>; missing folders are made.</summary>
    /// <exception cref="CheckpointException">The folder cannot be written.</exception>
    public static AtomicFile Create(string path) => Create(path, null);

    /// <summary>The same with a stream around the file, by which tests fill the disk.</summary>
    internal static AtomicFile Create(string path, Func<Stream, Stream>? wrap)
    {
        string full = System.IO.Path.GetFullPath(path);
        string temporary = TemporaryName(full);
        try
        {
            _ = Directory.CreateDirectory(System.IO.Path.GetDirectoryName(full)!);
            FileStream file = new(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1 << 16);
            return new AtomicFile(full, temporary, file, wrap is null ? file : wrap(file));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{full}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Writes a whole file by a callback.</summary>
    /// <exception cref="CheckpointException">It could not be written; what was there before is untouched and nothing else is left.</exception>
    public static void Write(string path, Action<Stream> write) => Write(path, write, null);

    /// <summary>Writes a whole text file in UTF-8 without byte order mark.</summary>
    /// <exception cref="CheckpointException">It could not be written; what was there before is untouched and nothing else is left.</exception>
    public static void WriteText(string path, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Write(path, stream => stream.Write(bytes));
    }

    internal static void Write(string path, Action<Stream> write, Func<Stream, Stream>? wrap)
    {
        ArgumentNullException.ThrowIfNull(write);
        using AtomicFile file = Create(path, wrap);
        try
        {
            write(file.Stream);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CannotWrite(file.Path, e);
        }

        file.Commit();
    }

    /// <summary>Flushes to the disk and closes; the file does not yet have its name. For several files that shall appear together.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed.</exception>
    public void Seal()
    {
        if (_file is null)
        {
            return;
        }

        try
        {
            _stream!.Flush();
            _file.Flush(flushToDisk: true);
            _file.Dispose();
            (_file, _stream) = (null, null);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CannotWrite(Path, e);
        }
    }

    /// <summary>Seals, gives the file its name (replacing what was there) and makes the name durable.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed.</exception>
    public void Commit()
    {
        Seal();
        try
        {
            File.Move(_temporary, Path, overwrite: true);
            _committed = true;
            FileSync.Directory(System.IO.Path.GetDirectoryName(Path)!);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CannotWrite(Path, e);
        }
    }

    /// <summary>Removes what was written unless it was committed; never throws.</summary>
    public void Dispose()
    {
        if (_committed)
        {
            return;
        }

        try
        {
            _file?.Dispose();
        }
        catch (IOException)
        {
            // The last buffer found no room; the file is removed anyway.
        }

        (_file, _stream) = (null, null);
        try
        {
            File.Delete(_temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Nothing better can be done than leave it; RemoveLeftovers finds it by its name.
        }
    }

    /// <summary>Removes temporary files that killed processes left beside <paramref name="path"/>. Only for the single owner of that path.</summary>
    public static void RemoveLeftovers(string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        string folder = System.IO.Path.GetDirectoryName(full)!;
        if (Directory.Exists(folder))
        {
            foreach (string leftover in Directory.EnumerateFiles(folder, TemporaryPrefix(full) + "*.tmp"))
            {
                File.Delete(leftover);
            }
        }
    }

    /// <summary>A name beside <paramref name="full"/> that nobody else uses now: hidden, with the process and a running number.</summary>
    internal static string TemporaryName(string full)
    {
        int number = Interlocked.Increment(ref s_counter);
        string name = string.Create(CultureInfo.InvariantCulture, $"{TemporaryPrefix(full)}{Environment.ProcessId}-{Environment.TickCount64:x}-{number}.tmp");
        return System.IO.Path.Combine(System.IO.Path.GetDirectoryName(full)!, name);
    }

    internal static string TemporaryPrefix(string full) => $".{System.IO.Path.GetFileName(full)}.";

    private static CheckpointException CannotWrite(string path, Exception e)
    {
        return new CheckpointException($"{path}: could not be written, nothing was changed: {e.Message} Free space on the disk or choose another folder.", e);
    }
}
