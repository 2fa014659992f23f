using Graft.Models.Tokenizers;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>A GGUF file of a Llama-like model under Hugging Face names, with rows in Hugging Face order, and with the config.json, vocabulary and chat template that its metadata give.</summary>
/// <remarks>The converter of the `llama` family stores the rows of q and k for neighbouring rotary pairs: row 2i+j of a head (half j, index i) is row j·D/2+i here.</remarks>
public sealed class GgufCheckpoint : ICheckpoint
{
    private readonly OrderedDictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Source> _sources = new(StringComparer.Ordinal);

    private GgufCheckpoint(GgufFile file) => File = file;

    /// <summary>The file itself, with names and row order as stored.</summary>
    public GgufFile File { get; }

    /// <inheritdoc/>
    public string Path => File.Path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    /// <summary>The config.json that the metadata give.</summary>
    public HuggingFaceConfig Config { get; private set; } = null!;

    /// <summary>The vocabulary, null where the file has none.</summary>
    public GgufVocabulary? Vocabulary { get; private set; }

    /// <summary>The chat template (Jinja), null where the file has none.</summary>
    public string? ChatTemplate { get; private set; }

    /// <summary>Opens a file of the architectures llama, qwen2 or qwen3.</summary>
    /// <exception cref="CheckpointException">The file is broken, or asks for what is not implemented: all of it is named.</exception>
    public static GgufCheckpoint Open(string path)
    {
        GgufCheckpoint checkpoint = new(GgufFile.Open(path));
        try
        {
            checkpoint.Load();
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Read(string name, long firstElement, Span<float> destination)
    {
        Source source = Check(name, firstElement, destination.Length, out TensorEntry entry);
        if (source.HeadRows == 0)
        {
            File.Read(source.Name, firstElement, destination);
            return;
        }

        int width = RowWidth(entry);
        for (int done = 0; done < destination.Length;)
        {
            (long row, long column) = Math.DivRem(firstElement + done, width);
            int count = (int)Math.Min(width - column, destination.Length - done);
            File.Read(source.Name, (source.StoredRow(row) * width) + column, destination.Slice(done, count));
            done += count;
        }
    }

    /// <inheritdoc/>
    public void Read(string name, long firstElement, Span<BFloat16> destination)
    {
        Source source = Check(name, firstElement, destination.Length, out TensorEntry entry);
        if (source.HeadRows == 0)
        {
            File.Read(source.Name, firstElement, destination);
            return;
        }

        int width = RowWidth(entry);
        for (int done = 0; done < destination.Length;)
        {
            (long row, long column) = Math.DivRem(firstElement + done, width);
            int count = (int)Math.Min(width - column, destination.Length - done);
            File.Read(source.Name, (source.StoredRow(row) * width) + column, destination.Slice(done, count));
            done += count;
        }
    }

    /// <summary>Copies stored bytes, rows in Hugging Face order: whole rows of blocks, for weights that are used as they are quantised.</summary>
    /// <exception cref="CheckpointException">No such tensor, or a range outside of it.</exception>
    public void ReadRaw(string name, long firstByte, Span<byte> destination)
    {
        TensorEntry entry = this.Entry(name);
        Source source = _sources[name];
        if (source.HeadRows == 0 || firstByte < 0 || destination.Length > entry.ByteCount - firstByte)
        {
            File.ReadRaw(source.Name, firstByte, destination);
            return;
        }

        GgmlType type = File.TypeOf(source.Name);
        long width = (long)RowWidth(entry) / type.BlockElements * type.BlockBytes;
        for (int done = 0; done < destination.Length;)
        {
            (long row, long column) = Math.DivRem(firstByte + done, width);
            int count = (int)Math.Min(width - column, destination.Length - done);
            File.ReadRaw(source.Name, (source.StoredRow(row) * width) + column, destination.Slice(done, count));
            done += count;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => File.Dispose();

    /// <summary>A bias of q or k has one element a row.</summary>
    private static int RowWidth(TensorEntry entry) => entry.Shape.Rank == 1 ? 1 : entry.Shape.Last;

    private Source Check(string name, long first, int count, out TensorEntry entry)
    {
        entry = this.Entry(name);
        return first >= 0 && count <= entry.Shape.Count - first
            ? _sources[name]
            : throw new CheckpointException($"{Path}: {count} elements from {first} were asked of tensor '{name}' {entry.Shape}, which has {entry.Shape.Count}.");
    }

    private void Load()
    {
        bool reordered = GgufConfig.Architecture(File) == "llama";
        Config = GgufConfig.Derive(File);
        ConfigReader config = new(Config.Root, Path);
        int headDim = config.Int("head_dim");
        int queryRows = config.Int("num_attention_heads") * headDim;
        int keyRows = config.Int("num_key_value_heads") * headDim;
        List<string> unknown = [];
        foreach ((string name, TensorEntry entry) in File.Tensors)
        {
            if (GgufNames.HuggingFace(name) is not { } target)
            {
                if (name != "rope_freqs.weight")
                {
                    unknown.Add($"'{name}' {entry.Shape}");
                }

                continue;
            }

            bool rotated = GgufNames.IsRotated(name, out bool isKey);
            if (rotated && (entry.Shape.Rank == 0 || entry.Shape[0] != (isKey ? keyRows : queryRows)))
            {
                throw new CheckpointException($"{Path}: tensor '{name}' {entry.Shape} must have {(isKey ? keyRows : queryRows)} rows by the metadata.");
            }

            _tensors.Add(target, entry with { Name = target });
            _sources.Add(target, new Source(name, rotated && reordered ? headDim : 0));
        }

        if (unknown.Count > 0)
        {
            throw new CheckpointException($"{Path}: holds tensors that no supported model has: {MessageList.Join(unknown)}.");
        }

        GgufMetadata metadata = new(File);
        ChatTemplate = metadata.OptionalText("tokenizer.chat_template");
        Vocabulary = ReadVocabulary(metadata);
    }

    private static GgufVocabulary? ReadVocabulary(GgufMetadata m)
    {
        return m.OptionalText("tokenizer.ggml.model") is not { } model || m.OptionalList<string>("tokenizer.ggml.tokens") is not { } tokens ? null
            : new GgufVocabulary(
                model,
                m.OptionalText("tokenizer.ggml.pre"),
                tokens,
                m.OptionalList<float>("tokenizer.ggml.scores"),
                m.OptionalList<int>("tokenizer.ggml.token_type"),
                m.OptionalList<string>("tokenizer.ggml.merges"),
                m.OptionalInt("tokenizer.ggml.bos_token_id"),
                m.OptionalInt("tokenizer.ggml.eos_token_id"),
                m.OptionalInt("tokenizer.ggml.padding_token_id"),
                m.OptionalInt("tokenizer.ggml.unknown_token_id"),
                m.OptionalFlag("tokenizer.ggml.add_bos_token"),
                m.OptionalFlag("tokenizer.ggml.add_eos_token"));
    }

    /// <summary>Where a tensor is stored; HeadRows is D where rows were reordered head by head, else 0.</summary>
    private sealed record Source(string Name, int HeadRows)
    {
        public long StoredRow(long row)
        {
            (long head, long within) = Math.DivRem(row, HeadRows);
            (long half, long index) = Math.DivRem(within, HeadRows / 2);
            return (head * HeadRows) + (2 * index) + half;
        }
    }
}
