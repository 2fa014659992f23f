using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Passes writes on, counts them and refuses more than expected.</summary>
internal sealed class CountingStream(Stream inner, string path, TensorSource source) : Stream
{
    private long _written;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => _written;

    public override long Position
    {
        get => _written;
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (buffer.Length > source.ByteCount - _written)
        {
            throw Wrong("more");
        }

        inner.Write(buffer);
        _written += buffer.Length;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush() => inner.Flush();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public void RequireComplete()
    {
        if (_written != source.ByteCount)
        {
            throw Wrong("fewer");
        }
    }

    private CheckpointException Wrong(string how)
    {
        return new($"{path}: {how} bytes were written for tensor '{source.Name}' than the {source.ByteCount} that {source.Type.Name()} {source.Shape} needs.");
    }
}
