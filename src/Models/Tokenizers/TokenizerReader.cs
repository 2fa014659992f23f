using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>Reads tokenizer files.</summary>
internal static class TokenizerReader
{
    private const int LargestFile = 256 << 20;

    private static readonly JsonDocumentOptions s_options = new() { MaxDepth = 64 };

    /// <summary>Parses a file that must be UTF-8, with a bound on its depth.</summary>
    public static JsonDocument Open(ReadOnlyMemory<byte> json, string name) => System.Text.Unicode.Utf8.IsValid(json.Span)
        ? JsonDocument.Parse(json, s_options)
        : throw new CheckpointException($"{name}: not a valid JSON file: it is not UTF-8");

    public static Tokenizer Load(string path)
    {
        string file = Directory.Exists(path) ? Path.Combine(path, "tokenizer.json") : path;
        string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(file))!, "tokenizer_config.json");
        TokenizerConfig config = File.Exists(beside) ? TokenizerConfig.Load(beside) : TokenizerConfig.Empty;
        byte[] json = Guard(file, () => ReadFile(file, LargestFile));
        return Parse(json, file, config);
    }

    public static Tokenizer Parse(ReadOnlySpan<byte> json, string name, TokenizerConfig config)
    {
        if (json.StartsWith("\uFEFF"u8))
        {
            json = json[3..];
        }

        // The document needs memory that stays; one copy of the file is small beside the vocabulary.
        byte[] bytes = json.ToArray();
        return Guard(name, () =>
        {
            using JsonDocument document = Open(bytes, name);
            return Build(new TokenizerField(document.RootElement, name, string.Empty), config);
        });
    }

    /// <summary>Turns what files and their syntax can raise into a <see cref="CheckpointException"/>.</summary>
    public static T Guard<T>(string name, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{name}: not a valid JSON file: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new CheckpointException($"{name}: cannot be read: {e.Message}", e);
        }
    }

    public static byte[] ReadFile(string path, int largest)
    {
        long length = new FileInfo(path).Length;
        return length <= largest ? File.ReadAllBytes(path) : throw new CheckpointException($"{path}: the file has {length} bytes, at most {largest} are read");
    }

    private static Tokenizer Build(TokenizerField root, TokenizerConfig config)
    {
        TokenizerField version = root.Find("version");
        if (!version.IsNull && version.Text() != "1.0")
        {
            throw version.Error($"the version is '{version.Text()}', only 1.0 is known");
        }

        TokenizerField normalizer = root.Find("normalizer");
        TokenizerField preTokenizer = root.Find("pre_tokenizer");
        TokenizerField postProcessor = root.Find("post_processor");
        TokenizerField decoder = root.Find("decoder");
        TokenizerField added = root.Find("added_tokens");
        return new Tokenizer(new TokenizerParts(TokenModel.Read(root.Get("model")))
        {
            Normalizer = normalizer.IsNull ? null : Normalizer.Read(normalizer),
            PreTokenizer = preTokenizer.IsNull ? null : PreTokenizer.Read(preTokenizer),
            PostProcessor = postProcessor.IsNull ? null : PostProcessor.Read(postProcessor),
            Decoder = decoder.IsNull ? null : Decoder.Read(decoder),
            Added = added.IsNull ? [] : [.. added.Items().Select(ReadAdded)],
            Config = config,
        });
    }

    private static AddedToken ReadAdded(TokenizerField field)
    {
        bool special = field.Find("special").Boolean(false);
        return new AddedToken(
            field.Get("id").Integer(),
            field.Get("content").Text(),
            special,
            field.Find("normalized").Boolean(!special),
            field.Find("single_word").Boolean(false),
            field.Find("lstrip").Boolean(false),
            field.Find("rstrip").Boolean(false));
    }
}
