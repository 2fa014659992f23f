namespace Graft.Training.Data;

/// <summary>Cuts a stream into lines of bytes without decoding them; a byte-order mark and the CR of CRLF are left out.</summary>
internal sealed class Utf8LineReader(Stream stream, string file, int maxLineBytes)
{
    private static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    private byte[] _buffer = new byte[64 << 10];
    private int _start;
    private int _end;
    private bool _done;

    /// <summary>The number of the line read last, counted from 1.</summary>
    public long Line { get; private set; }

    /// <summary>The next line, valid until the next call; false at the end.</summary>
    public bool TryRead(out ReadOnlyMemory<byte> line)
    {
        int searched = 0;
        while (true)
        {
            int found = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n');
            int length = found >= 0 ? searched + found : _end - _start;
            if (length > maxLineBytes)
            {
                throw new DatasetException(file, Line + 1, $"the line is longer than {maxLineBytes} bytes. Is it a file of JSON lines, one object a line?");
            }

            if (found >= 0 || (_done && length > 0))
            {
                line = Trim(_buffer.AsMemory(_start, length));
                _start += length + (found >= 0 ? 1 : 0);
                Line++;
                return true;
            }

            if (_done)
            {
                line = default;
                return false;
            }

            searched = length;
            Fill();
        }
    }

    private ReadOnlyMemory<byte> Trim(ReadOnlyMemory<byte> line)
    {
        if (Line == 0 && line.Span.StartsWith(ByteOrderMark))
        {
            line = line[ByteOrderMark.Length..];
        }

        return line.Span.EndsWith("\r"u8) ? line[..^1] : line;
    }

    private void Fill()
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }

        if (_end == _buffer.Length)
        {
            Array.Resize(ref _buffer, checked(_buffer.Length * 2));
        }

        int read = stream.Read(_buffer, _end, _buffer.Length - _end);
        _end += read;
        _done = read == 0;
    }
}
