using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>The part of a `tokenizer_config.json` that concerns tokens and templates.</summary>
/// <param name="BosToken">Token that begins a text.</param>
/// <param name="EosToken">Token that ends a text.</param>
/// <param name="PadToken">Token that fills batches.</param>
/// <param name="UnknownToken">Token for what the vocabulary lacks.</param>
/// <param name="ChatTemplate">The chat template inside the configuration, if it is there: of several the one named "default".</param>
/// <param name="ModelMaxLength">The longest input in tokens that the model is meant for, null if the file says none or an absurd number.</param>
public sealed record TokenizerConfig(string? BosToken, string? EosToken, string? PadToken, string? UnknownToken, string? ChatTemplate, int? ModelMaxLength)
{
    private const int LargestFile = 64 << 20;

    /// <summary>A configuration that says nothing.</summary>
    public static TokenizerConfig Empty { get; } = new(null, null, null, null, null, null);

    /// <summary>Loads a configuration file. Throws <see cref="CheckpointException"/> that names file and field.</summary>
    public static TokenizerConfig Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return TokenizerReader.Guard(path, () => Parse(TokenizerReader.ReadFile(path, LargestFile), Path.GetFileName(path)));
    }

    /// <summary>Reads the bytes of a configuration; <paramref name="name"/> stands for the file in errors. Throws <see cref="CheckpointException"/>.</summary>
    public static TokenizerConfig Parse(ReadOnlyMemory<byte> json, string name)
    {
        return TokenizerReader.Guard(name, () =>
        {
            using JsonDocument document = TokenizerReader.Open(json, name);
            TokenizerField root = new(document.RootElement, name, string.Empty);
            root.Entries();
            TokenizerField length = root.Find("model_max_length");
            int? longest = length.Kind == JsonValueKind.Number && length.Number() is >= 1 and <= int.MaxValue ? (int)length.Number() : null;
            return new TokenizerConfig(
                Token(root.Find("bos_token")), Token(root.Find("eos_token")), Token(root.Find("pad_token")), Token(root.Find("unk_token")),
                    Template(root.Find("chat_template")), longest);
        });
    }

    /// <summary>A token as a string, or as an object with `content`.</summary>
    private static string? Token(TokenizerField field) => field.IsNull ? null : field.Kind == JsonValueKind.Object ? field.Get("content").Text() : field.Text();

    private static string? Template(TokenizerField field)
    {
        if (field.IsNull || field.Kind == JsonValueKind.String)
        {
            return field.OptionalText();
        }

        List<TokenizerField> named = field.Items();
        return named.Find(t => t.Get("name").Text() == "default") is { IsNull: false } found ? found.Get("template").Text() : null;
    }
}
