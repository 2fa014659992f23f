using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>Counts of a tokenised data set.</summary>
/// <param name="Samples">Samples that are there.</param>
/// <param name="Tokens">Their tokens.</param>
/// <param name="LossTokens">Tokens that carry loss when predicted; a first token never does.</param>
/// <param name="Truncated">Samples that were cut to the maximal length.</param>
/// <param name="TooLong">Samples left out because they were longer.</param>
/// <param name="WithoutLoss">Samples left out because no token of theirs carries loss.</param>
/// <param name="LongestSample">Tokens of the longest sample.</param>
public sealed record TokenCounts(long Samples, long Tokens, long LossTokens, long Truncated, long TooLong, long WithoutLoss, int LongestSample);

/// <summary>The file of a tokenised data set, memory-mapped: header (256 bytes), one record a sample (ids i32, mask u8, padded to 8), table (offset i64, sample
/// id u64, length i64).</summary>
/// <remarks>Little-endian. The header ends with a checksum of everything else and holds the key of what it was made from. All offsets are 64-bit.</remarks>
internal sealed unsafe class TokenCacheFile : ITokenSamples, IDisposable
{
    internal const int HeaderBytes = 256;
    internal const int RowBytes = 24;
    internal const int KeyBytes = 32;
    private const uint Version = 1;
    private const int HashOffset = HeaderBytes - KeyBytes;
    private const int HashChunk = 1 << 26;

    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly string _path;
    private byte* _start;
    private long _table;

    private TokenCacheFile(string path, MemoryMappedFile file)
    {
        _path = path;
        _file = file;
        _view = file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
    }

    internal static ReadOnlySpan<byte> Magic => "GRAFTTOK"u8;

    public TokenCounts Counts { get; private set; } = new(0, 0, 0, 0, 0, 0, 0);

    public long Count => Counts.Samples;

    public int LongestSample => Counts.LongestSample;

    /// <summary>Opens a cache; everything is checked before the first sample is handed out.</summary>
    /// <exception cref="CheckpointException">The file is not a whole cache made from <paramref name="key"/>.</exception>
    public static TokenCacheFile Open(string path, ReadOnlySpan<byte> key, bool verifyHash = true)
    {
        long length = new FileInfo(path).Length;
        if (length < HeaderBytes)
        {
            throw new CheckpointException($"{path}: {length} bytes are too few for the header of a token cache.");
        }

        FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        MemoryMappedFile file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, false);
        TokenCacheFile cache = new(path, file);
        try
        {
            cache.Check(length, key, verifyHash);
            return cache;
        }
        catch
        {
            cache.Dispose();
            throw;
        }
    }

    public int LengthOf(long index) => (int)Row(index)[2];

    public ReadOnlySpan<int> Ids(long index)
    {
        ReadOnlySpan<long> row = Row(index);
        return new ReadOnlySpan<int>(_start + row[0], (int)row[2]);
    }

    public ReadOnlySpan<byte> LossMask(long index)
    {
        ReadOnlySpan<long> row = Row(index);
        return new ReadOnlySpan<byte>(_start + row[0] + (row[2] * sizeof(int)), (int)row[2]);
    }

    public ulong SampleId(long index) => (ulong)Row(index)[1];

    public void Dispose()
    {
        if (_start is not null)
        {
            _start = null;
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
            _file.Dispose();
        }
    }

    internal static void WriteHeader(Span<byte> header, ReadOnlySpan<byte> key, TokenCounts counts, long table, long length)
    {
        header.Clear();
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], HeaderBytes);
        key.CopyTo(header[16..]);
        (long samples, long tokens, long lossTokens, long truncated, long tooLong, long withoutLoss, int longest) = counts;
        long[] values = [samples, tokens, lossTokens, truncated, tooLong, withoutLoss, longest, table, length];
        for (int i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(header[(48 + (8 * i))..], values[i]);
        }
    }

    /// <summary>Puts the checksum into a header: SHA-256 of the header without it and of the SHA-256 of the rest of the file.</summary>
    internal static void Seal(Span<byte> header, ReadOnlySpan<byte> payloadHash)
    {
        Checksum(header, payloadHash).CopyTo(header[HashOffset..]);
    }

    private static byte[] Checksum(ReadOnlySpan<byte> header, ReadOnlySpan<byte> payloadHash) => SHA256.HashData([.. header[..HashOffset], .. payloadHash]);

    private ReadOnlySpan<long> Row(long index)
    {
        ObjectDisposedException.ThrowIf(_start is null, this);
        if ((ulong)index >= (ulong)Counts.Samples)
        {
            throw new ArgumentOutOfRangeException(nameof(index), index, $"There are {Counts.Samples} samples.");
        }

        return new ReadOnlySpan<long>(_start + _table + (index * RowBytes), RowBytes / sizeof(long));
    }

    private void Check(long length, ReadOnlySpan<byte> key, bool verifyHash)
    {
        ReadOnlySpan<byte> header = new(_start, HeaderBytes);
        if (!header.StartsWith(Magic) || MemoryMarshal.Read<uint>(header[8..]) != Version || MemoryMarshal.Read<uint>(header[12..]) != HeaderBytes)
        {
            throw new CheckpointException($"{_path}: not a token cache of version {Version}.");
        }

        if (!header.Slice(16, KeyBytes).SequenceEqual(key))
        {
            throw new CheckpointException($"{_path}: the cache was made from other data, another tokenizer or other options.");
        }

        ReadOnlySpan<long> values = MemoryMarshal.Cast<byte, long>(header[48..]);
        Counts = new TokenCounts(values[0], values[1], values[2], values[3], values[4], values[5], (int)values[6]);
        (_table, long stated) = (values[7], values[8]);
        bool isWhole = stated == length && Counts.Samples >= 0 && Counts.Samples <= length / RowBytes && _table == length - (Counts.Samples * RowBytes);
        if (!isWhole || _table < HeaderBytes || _table % 8 != 0)
        {
            throw new CheckpointException(
                $"{_path}: the file has {length} bytes, its header says {stated} with {Counts.Samples} samples: it is cut off or damaged.");
        }

        if (verifyHash)
        {
            CheckHash(header, length);
        }

        for (long i = 0; i < Counts.Samples; i++)
        {
            ReadOnlySpan<long> row = Row(i);
            if (row[2] < 1 || row[2] > Counts.LongestSample || row[0] < HeaderBytes || row[0] % 8 != 0 || row[0] > _table - (row[2] * 5))
            {
                throw new CheckpointException($"{_path}: sample {i} lies outside of the file.");
            }
        }
    }

    private void CheckHash(ReadOnlySpan<byte> header, long length)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (long at = HeaderBytes; at < length; at += HashChunk)
        {
            hash.AppendData(new ReadOnlySpan<byte>(_start + at, (int)Math.Min(HashChunk, length - at)));
        }

        if (!header[HashOffset..].SequenceEqual(Checksum(header, hash.GetHashAndReset())))
        {
            throw new CheckpointException($"{_path}: the checksum does not match: the file is damaged.");
        }
    }
}
