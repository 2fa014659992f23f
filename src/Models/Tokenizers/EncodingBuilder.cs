namespace Graft.Models.Tokenizers;

/// <summary>Gives the tokens of pieces their places in the original text.</summary>
internal static class EncodingBuilder
{
    public static EncodingPart Build(PreTokenizedText pieces, TokenModel model, int sequence)
    {
        EncodingPart part = new();
        List<ModelToken> tokens = [];
        List<int> unitOfByte = [];
        foreach (Piece piece in pieces.Pieces)
        {
            if (piece.IsAdded)
            {
                part.Add(piece.AddedId, piece.Span.ToString(), piece.OriginalStart, piece.OriginalEnd, sequence, special: false, sequence, sequence);
                continue;
            }

            tokens.Clear();
            model.Tokenize(piece.Span, pieces.BytesPending, tokens);
            MapBytes(piece.Span, unitOfByte);
            foreach (ModelToken token in tokens)
            {
                (int start, int end) = Locate(piece, token, unitOfByte);
                part.Add(token.Id, token.Text ?? model.Vocabulary.TokenOf(token.Id)!, start, end, sequence, special: false, sequence, sequence);
            }
        }

        return part;
    }

    /// <summary>A token's code points in the original: from those under its first byte to those under its last.</summary>
    private static (int Start, int End) Locate(Piece piece, ModelToken token, List<int> unitOfByte)
    {
        int count = unitOfByte.Count == 0 ? piece.Length : unitOfByte.Count;
        if (token.Start >= token.End || token.End > count)
        {
            // An affix made of bytes can count more bytes than the piece has.
            return (piece.OriginalStart, piece.OriginalEnd);
        }

        int first = unitOfByte.Count == 0 ? token.Start : unitOfByte[token.Start];
        int last = unitOfByte.Count == 0 ? token.End - 1 : unitOfByte[token.End - 1];
        return (piece.Source.StartAt(piece.Start + first), piece.Source.EndAt(piece.Start + last));
    }

    /// <summary>The unit of each byte of the text in UTF-8; left empty where bytes are units.</summary>
    private static void MapBytes(ReadOnlySpan<char> text, List<int> unitOfByte)
    {
        unitOfByte.Clear();
        if (System.Text.Ascii.IsValid(text))
        {
            return;
        }

        for (int at = 0; at < text.Length;)
        {
            int unit = at;
            int length = CodePoints.Utf8Length(CodePoints.Next(text, ref at));
            for (int i = 0; i < length; i++)
            {
                unitOfByte.Add(unit);
            }
        }
    }
}
