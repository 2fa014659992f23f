namespace Graft.Models.Tokenizers;

/// <summary>Tokens on their way through the post-processors. Offsets are code points of the text that Source names.</summary>
internal sealed class EncodingPart
{
    /// <summary>Stands for "no sequence" and "no text".</summary>
    public const int None = -1;

    public List<int> Ids { get; } = [];

    public List<string> Tokens { get; } = [];

    public List<int> Starts { get; } = [];

    public List<int> Ends { get; } = [];

    public List<int> TypeIds { get; } = [];

    public List<bool> Special { get; } = [];

    /// <summary>The number of the sequence, <see cref="None"/> for tokens of the template.</summary>
    public List<int> Sequences { get; } = [];

    /// <summary>The number of the text that the offsets count in.</summary>
    public List<int> Sources { get; } = [];

    public int Count => Ids.Count;

    /// <summary>Tokens that no text has.</summary>
    public static EncodingPart OfTemplate(IReadOnlyList<int> ids, IReadOnlyList<string> tokens, int typeId)
    {
        EncodingPart part = new();
        for (int i = 0; i < ids.Count; i++)
        {
            part.Add(ids[i], tokens[i], 0, 0, typeId, special: true, None, None);
        }

        return part;
    }

    public void Add(int id, string token, int start, int end, int typeId, bool special, int sequence, int source)
    {
        Ids.Add(id);
        Tokens.Add(token);
        Starts.Add(start);
        Ends.Add(end);
        TypeIds.Add(typeId);
        Special.Add(special);
        Sequences.Add(sequence);
        Sources.Add(source);
    }

    public void Append(EncodingPart other)
    {
        Ids.AddRange(other.Ids);
        Tokens.AddRange(other.Tokens);
        Starts.AddRange(other.Starts);
        Ends.AddRange(other.Ends);
        TypeIds.AddRange(other.TypeIds);
        Special.AddRange(other.Special);
        Sequences.AddRange(other.Sequences);
        Sources.AddRange(other.Sources);
    }

    /// <summary>A copy with one type for all tokens.</summary>
    public EncodingPart WithType(int typeId)
    {
        EncodingPart copy = new();
        copy.Append(this);
        copy.SetType(typeId);
        return copy;
    }

    public void SetType(int typeId)
    {
        for (int i = 0; i < TypeIds.Count; i++)
        {
            TypeIds[i] = typeId;
        }
    }
}
