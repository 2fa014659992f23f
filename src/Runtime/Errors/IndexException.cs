namespace Graft.Runtime;

/// <summary>An element of an index tensor that points outside what it indexes. Names the op, the position and the bound.</summary>
public sealed class IndexException(string message) : GraftException(message);
