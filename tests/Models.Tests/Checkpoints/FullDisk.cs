namespace Graft.Models.Tests.Checkpoints;

/// <summary>A stream that has room for some bytes and then fails as a full disk does.</summary>
internal sealed class FullDisk(Stream inner, long room) : Stream
{
    private long _left = room;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => inner.Length;

    public override long Position { get => inner.Position; set => inner.Position = value; }

    public override void Write(byte[] buffer, int offset, int count)
    {
        if (count > _left)
        {
            inner.Write(buffer, offset, (int)_left);
            throw new IOException("No space left on device.");
        }

        _left -= count;
        inner.Write(buffer, offset, count);
    }

    public override void Flush() => inner.Flush();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
