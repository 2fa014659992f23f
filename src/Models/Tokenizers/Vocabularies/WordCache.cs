namespace Graft.Models.Tokenizers;

/// <summary>Remembers the tokens of words. A fixed number of places; a word replaces whatever was in its place. Safe for many threads without locks.</summary>
internal sealed class WordCache
{
    // 16384 places: prose has some ten thousand words in use; about 2 MB when full.
    private const int Places = 1 << 14;
    private const int LongestWord = 64;

    private readonly Entry?[] _entries = new Entry?[Places];

    /// <summary>The tokens of a word: ids and, one for one, how many bytes each covers.</summary>
    public sealed record Entry(string Word, int Hash, int[] Ids, int[] Lengths);

    public static int HashOf(ReadOnlySpan<char> word)
    {
        uint hash = 2166136261;
        foreach (char c in word)
        {
            hash = (hash ^ c) * 16777619;
        }

        return (int)(hash ^ (hash >> 15));
    }

    public Entry? Find(ReadOnlySpan<char> word, int hash)
    {
        // An entry is never changed after it is published, so a racing reader sees the old or the new one.
        Entry? entry = Volatile.Read(ref _entries[hash & (Places - 1)]);
        return entry is not null && entry.Hash == hash && word.SequenceEqual(entry.Word) ? entry : null;
    }

    public Entry Add(ReadOnlySpan<char> word, int hash, int[] ids, int[] lengths)
    {
        Entry entry = new(word.Length <= LongestWord ? word.ToString() : string.Empty, hash, ids, lengths);
        if (word.Length <= LongestWord)
        {
            Volatile.Write(ref _entries[hash & (Places - 1)], entry);
        }

        return entry;
    }
}
