using System.Security.Cryptography;
using System.Text;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>Where a tokenised data set came from.</summary>
public enum CacheOutcome
{
    /// <summary>There was no cache: it was made.</summary>
    Built,

    /// <summary>The cache was there and whole.</summary>
    Reused,

    /// <summary>The cache was there but damaged: it was made again.</summary>
    Rebuilt,
}

/// <summary>How a data file becomes a <see cref="TokenizedDataset"/>.</summary>
public sealed record DatasetOptions
{
    /// <summary>How lines are read.</summary>
    public JsonlOptions Jsonl { get; init; } = new();

    /// <summary>How samples become tokens.</summary>
    public FramingOptions Framing { get; init; } = new();

    /// <summary>The folder of cache files; null: `.graft-cache` beside the data file.</summary>
    public string? CacheFolder { get; init; }

    /// <summary>Threads that tokenise; 0 for every core. The result does not depend on it.</summary>
    public int Threads { get; init; }
}

/// <summary>A data file as tokens, memory-mapped from a cache on disk that is made once per data, tokenizer and options.</summary>
/// <remarks>
/// The cache is named by SHA-256 of the data's bytes, the tokenizer's fingerprint and every option, written aside and renamed, verified whenever it is opened
/// and made again when damaged.
/// Sample ids are hashes of the content; a content that occurs again gets further ids in the order of occurrence, so that ids do not depend on tokenizer,
/// framing or other lines.
/// </remarks>
public sealed class TokenizedDataset : ITokenSamples, IDisposable
{
    // Raise when reading, framing or sample ids change: older caches are then not found any more.
    private const string Recipe = "graft tokens 2";

    private readonly TokenCacheFile _cache;

    private TokenizedDataset(TokenCacheFile cache, string cachePath, CacheOutcome outcome)
    {
        _cache = cache;
        CachePath = cachePath;
        Outcome = outcome;
    }

    /// <summary>The cache file.</summary>
    public string CachePath { get; }

    /// <summary>Whether the cache was there.</summary>
    public CacheOutcome Outcome { get; }

    /// <summary>What the data set holds and what was left out.</summary>
    public TokenCounts Counts => _cache.Counts;

    /// <inheritdoc/>
    public long Count => _cache.Count;

    /// <inheritdoc/>
    public int LongestSample => _cache.LongestSample;

    /// <summary>Opens the tokens of a data file, from the cache if that is there and whole.</summary>
    /// <exception cref="DatasetException">The data cannot be read: file, line and reason.</exception>
    /// <exception cref="ConfigurationException">The options do not fit the tokenizer or each other.</exception>
    /// <exception cref="CheckpointException">The cache cannot be written.</exception>
    public static TokenizedDataset Open(string dataFile, ITextEncoder encoder, DatasetOptions? options = null, CancellationToken cancel = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(dataFile);
        ArgumentNullException.ThrowIfNull(encoder);
        options ??= new DatasetOptions();
        var framer = new SampleFramer(encoder, options.Framing);
        using FileStream data = JsonlReader.Open(dataFile);
        byte[] key = KeyOf(data, encoder.Fingerprint, options);
        string folder = options.CacheFolder ?? Path.Combine(Path.GetDirectoryName(Path.GetFullPath(dataFile))!, ".graft-cache");
        string path = Path.Combine(folder, $"{Path.GetFileNameWithoutExtension(dataFile)}-{Convert.ToHexStringLower(key.AsSpan(0, 12))}.tokens");
        CacheOutcome outcome = CacheOutcome.Built;
        if (File.Exists(path))
        {
            try
            {
                return new TokenizedDataset(TokenCacheFile.Open(path, key), path, CacheOutcome.Reused);
            }
            catch (CheckpointException)
            {
                // A cache is only a copy of what can be made again; the outcome tells the caller.
                outcome = CacheOutcome.Rebuilt;
            }
        }

        data.Position = 0;
        var builder = new TokenCacheBuilder(framer, dataFile, options.Framing.LongSamples, options.Framing.MaxLength);
        int threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount;
        AtomicFile.Write(path, target => builder.Write(target, JsonlReader.Read(data, dataFile, options.Jsonl), key, threads, cancel));
        return new TokenizedDataset(TokenCacheFile.Open(path, key), path, outcome);
    }

    /// <inheritdoc/>
    public int LengthOf(long index) => _cache.LengthOf(index);

    /// <inheritdoc/>
    public ReadOnlySpan<int> Ids(long index) => _cache.Ids(index);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> LossMask(long index) => _cache.LossMask(index);

    /// <inheritdoc/>
    public ulong SampleId(long index) => _cache.SampleId(index);

    /// <summary>Unmaps the cache; spans that were handed out must not be used any more.</summary>
    public void Dispose() => _cache.Dispose();

    private static byte[] KeyOf(FileStream data, string fingerprint, DatasetOptions options)
    {
        JsonlOptions jsonl = options.Jsonl;
        string[] parts = [Recipe, fingerprint, options.Framing.Canonical(), jsonl.Format.ToString(), jsonl.PromptField, jsonl.CompletionField, jsonl.TextField];
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(SHA256.HashData(data));
        foreach (string part in parts)
        {
            hash.AppendData(SHA256.HashData(Encoding.UTF8.GetBytes(part)));
        }

        return hash.GetHashAndReset();
    }
}
