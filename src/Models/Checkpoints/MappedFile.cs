using System.IO.MemoryMappedFiles;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>A whole file mapped into memory for reading. Each access holds a reference on the mapping, so Dispose on another thread cannot pull it away.</summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;

    private MappedFile(string path, long length, MemoryMappedFile file, MemoryMappedViewAccessor view)
    {
        Path = path;
        Length = length;
        _file = file;
        _view = view;
    }

    internal delegate void SpanReader(ReadOnlySpan<byte> bytes);

    public string Path { get; }

    public long Length { get; }

    /// <summary>Maps a file of at least <paramref name="minimum"/> bytes (at least 1: an empty file has no mapping).</summary>
    public static MappedFile Open(string path, long minimum)
    {
        FileStream? stream = null;
        MemoryMappedFile? file = null;
        try
        {
            stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1);
            long length = stream.Length;
            if (length < minimum)
            {
                throw new CheckpointException($"{path}: the file has {length} bytes, fewer than the {minimum} of the smallest valid one; it is empty or truncated.");
            }

            file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            MemoryMappedViewAccessor view = file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            return new MappedFile(path, length, file, view);
        }
        catch (Exception e)
        {
            file?.Dispose();
            stream?.Dispose();
            if (e is IOException or UnauthorizedAccessException or NotSupportedException)
            {
                throw new CheckpointException($"{path}: cannot be read: {e.Message}", e);
            }

            throw;
        }
    }

    /// <summary>Hands bytes of the mapping to <paramref name="reader"/>; the range must have been checked to lie in the file.</summary>
    public void Use(long offset, int count, SpanReader reader)
    {
        byte* start = Acquire();
        try
        {
            reader(new ReadOnlySpan<byte>(start + offset, count));
        }
        finally
        {
            Release();
        }
    }

    /// <summary>The address of the file's first byte; a <see cref="Release"/> must follow.</summary>
    public byte* Acquire()
    {
        byte* pointer = null;
        ObjectDisposedException.ThrowIf(_view.SafeMemoryMappedViewHandle.IsClosed, this);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
        return pointer + _view.PointerOffset;
    }

    public void Release() => _view.SafeMemoryMappedViewHandle.ReleasePointer();

    public void Dispose()
    {
        _view.Dispose();
        _file.Dispose();
    }
}
