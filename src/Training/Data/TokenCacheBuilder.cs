using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>Tokenises samples in parallel and writes them in their order.</summary>
internal sealed class TokenCacheBuilder(SampleFramer framer, string dataFile, LongSamplePolicy longSamples, int maxLength)
{
    // Large enough to keep every core busy between two writes, small enough that texts of a block are megabytes at most.
    private const int Block = 1024;

    private readonly List<(long Offset, ulong Id, long Length)> _table = [];
    private readonly Dictionary<ulong, long> _occurrences = [];
    private readonly HashSet<ulong> _ids = [];
    private long _tokens;
    private long _lossTokens;
    private long _truncated;
    private long _tooLong;
    private long _withoutLoss;
    private int _longest;

    /// <summary>Writes a whole cache file to an empty stream.</summary>
    public void Write(Stream target, IEnumerable<DataSample> samples, ReadOnlySpan<byte> key, int threads, CancellationToken cancel)
    {
        target.Write(new byte[TokenCacheFile.HeaderBytes]);
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var payload = new Payload(target, hash);
        ParallelOptions parallel = new() { MaxDegreeOfParallelism = threads, CancellationToken = cancel };
        foreach (DataSample[] block in samples.Chunk(Block))
        {
            Framed[] framed = new Framed[block.Length];
            Parallel.For(0, block.Length, parallel, i => framed[i] = Frame(block[i]));
            for (int i = 0; i < block.Length; i++)
            {
                Append(payload, block[i], framed[i]);
            }
        }

        long table = payload.Position;
        foreach ((long offset, ulong id, long length) in _table)
        {
            payload.Write(MemoryMarshal.AsBytes<long>([offset, (long)id, length]));
        }

        var counts = new TokenCounts(_table.Count, _tokens, _lossTokens, _truncated, _tooLong, _withoutLoss, _longest);
        byte[] header = new byte[TokenCacheFile.HeaderBytes];
        TokenCacheFile.WriteHeader(header, key, counts, table, payload.Position);
        TokenCacheFile.Seal(header, hash.GetHashAndReset());
        target.Position = 0;
        target.Write(header);
    }

    /// <summary>A 64-bit hash of what a sample says, independent of tokenizer and framing.</summary>
    internal static ulong ContentHash(DataSample sample)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        string[] texts = sample is PromptSample pair ? [pair.Prompt, pair.Completion] : [((TextSample)sample).Text];
        foreach (string text in texts)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            hash.AppendData(BitConverter.GetBytes((long)bytes.Length));
            hash.AppendData(bytes);
        }

        return BitConverter.ToUInt64(hash.GetHashAndReset());
    }

    private Framed Frame(DataSample sample)
    {
        List<int> ids = [];
        List<byte> mask = [];
        try
        {
            FramingOutcome outcome = framer.Frame(sample, ids, mask);
            return new Framed(outcome, ContentHash(sample), [.. ids], [.. mask], null);
        }
        catch (GraftException e)
        {
            // Kept until its turn, so that the first bad line is reported whichever thread met one first.
            return new Framed(FramingOutcome.Kept, 0, [], [], e);
        }
    }

    private void Append(Payload payload, DataSample sample, Framed framed)
    {
        if (framed.Error is not null)
        {
            throw new DatasetException(dataFile, sample.Line, $"the sample cannot be tokenised: {framed.Error.Message}", framed.Error);
        }

        // The id is taken even if the sample is left out, so that ids do not depend on framing.
        ulong id = NextId(framed.ContentHash);
        switch (framed.Outcome)
        {
            case FramingOutcome.TooLong when longSamples == LongSamplePolicy.Error:
                throw new DatasetException(
                    dataFile,
                    sample.Line,
                    $"the sample has {framed.Ids.Length} tokens, allowed are {maxLength} (max_length). Truncate or drop long samples, or raise the limit.");
            case FramingOutcome.TooLong:
                _tooLong++;
                return;
            case FramingOutcome.WithoutLoss:
                _withoutLoss++;
                return;
            case FramingOutcome.Truncated:
                _truncated++;
                break;
            default:
                break;
        }

        int length = framed.Ids.Length;
        _table.Add((payload.Position, id, length));
        payload.Write(MemoryMarshal.AsBytes<int>(framed.Ids));
        payload.Write(framed.Mask);
        payload.Write(stackalloc byte[-(length * 5) & 7]);
        _tokens += length;
        _longest = Math.Max(_longest, length);
        for (int i = 1; i < length; i++)
        {
            _lossTokens += framed.Mask[i];
        }
    }

    /// <summary>The first sample of a content has its hash, every repetition the next free number of a chain from it.</summary>
    private ulong NextId(ulong content)
    {
        long occurrence = _occurrences.GetValueOrDefault(content);
        ulong id;
        do
        {
            id = content ^ ((ulong)occurrence * 0x9E3779B97F4A7C15);
            occurrence++;
        }
        while (!_ids.Add(id));
        _occurrences[content] = occurrence;
        return id;
    }

    private readonly record struct Framed(FramingOutcome Outcome, ulong ContentHash, int[] Ids, byte[] Mask, GraftException? Error);

    /// <summary>Everything after the header: written and hashed in one pass.</summary>
    private sealed class Payload(Stream target, IncrementalHash hash)
    {
        public long Position { get; private set; } = TokenCacheFile.HeaderBytes;

        public void Write(ReadOnlySpan<byte> bytes)
        {
            target.Write(bytes);
            hash.AppendData(bytes);
            Position += bytes.Length;
        }
    }
}
