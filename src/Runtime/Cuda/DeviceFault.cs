namespace Graft.Runtime;

/// <summary>What a kernel found wrong with its data, as the number that it writes into the device's error flag. The largest of several stays.</summary>
internal enum DeviceFault
{
    None = 0,

    /// <summary>embedding, gather_rows, scatter_add_rows: a row that the table does not have.</summary>
    RowIndex = 1,

    /// <summary>gather, scatter_add: an element that the row does not have.</summary>
    ElementIndex = 2,

    /// <summary>rotary_embedding: a position that the table does not have.</summary>
    RotaryPosition = 3,

    /// <summary>selected_log_prob, cross_entropy: a class that the vocabulary does not have.</summary>
    ClassIndex = 4,
}

/// <summary>The exceptions of <see cref="DeviceFault"/>.</summary>
internal static class DeviceFaults
{
    public static GraftException ToException(int fault, string device) => (DeviceFault)fault switch
    {
        DeviceFault.RowIndex => new IndexException(
            $"{device}: an index is outside the rows that it picks from (embedding, gather_rows or scatter_add_rows); indices start at 0. The CPU device names the index."),
        DeviceFault.ElementIndex => new IndexException(
            $"{device}: an index is outside the elements of its row (gather or scatter_add); indices start at 0. The CPU device names the index."),
        DeviceFault.RotaryPosition => new GraftException($"{device}: a position of rotary_embedding is not in its table; make a longer table."),
        DeviceFault.ClassIndex => new IndexException(
            $"{device}: a target is not a class of the vocabulary (selected_log_prob or cross_entropy); negative ones are ignored. The CPU device names the target."),
        _ => new GraftException($"{device}: a kernel reported fault {fault}."),
    };
}
