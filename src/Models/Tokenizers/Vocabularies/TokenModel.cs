namespace Graft.Models.Tokenizers;

/// <summary>A token of a piece: its id, its bytes of the piece in UTF-8, and its text where that is not the vocabulary's.</summary>
internal readonly record struct ModelToken(int Id, int Start, int End, string? Text = null);

/// <summary>A vocabulary with the rule that cuts pieces into its tokens.</summary>
internal abstract class TokenModel
{
    private protected TokenModel(Vocabulary vocabulary)
    {
        Vocabulary = vocabulary;
    }

    public Vocabulary Vocabulary { get; }

    /// <summary>True: the model can take a piece's bytes for characters by itself.</summary>
    public virtual bool TakesBytes => false;

    /// <summary>Appends the ids of a piece.</summary>
    public abstract void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<int> ids);

    /// <summary>Appends the tokens of a piece with their ranges.</summary>
    public abstract void Tokenize(ReadOnlySpan<char> piece, bool bytes, List<ModelToken> tokens);

    /// <summary>Reads a model; a type that is not known is refused by name. Old files have no type: then the fields tell.</summary>
    public static TokenModel Read(TokenizerField field)
    {
        TokenizerField type = field.Find("type");
        string name = type.IsNull ? Guess(field) : type.Text();
        return name switch
        {
            "BPE" => BpeModel.FromField(field),
            "Unigram" => UnigramModel.FromField(field),
            "WordPiece" => WordPieceModel.FromField(field),
            "WordLevel" => WordLevelModel.FromField(field),
            _ => throw type.Error($"the model '{name}' is not known"),
        };
    }

    private static string Guess(TokenizerField field)
    {
        if (field.Has("merges"))
        {
            return "BPE";
        }

        if (field.Get("vocab").Kind == System.Text.Json.JsonValueKind.Array)
        {
            return "Unigram";
        }

        return field.Has("continuing_subword_prefix") && field.Has("max_input_chars_per_word") ? "WordPiece"
            : field.Has("unk_token") ? "WordLevel"
            : throw field.Find("merges").Error("the field is missing");
    }
}
