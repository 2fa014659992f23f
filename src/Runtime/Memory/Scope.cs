namespace Graft.Runtime;

/// <summary>A region of an arena: what was allocated inside ends with it, unless it was kept or a tape retains it for backward.</summary>
/// <remarks>A ref struct, so it cannot cross an await, a lambda or a field; the compiler checks it. Scopes of one arena nest.</remarks>
public readonly ref struct Scope
{
    private readonly Arena _arena;
    private readonly int _depth;

    internal Scope(Arena arena, int depth)
    {
        _arena = arena;
        _depth = depth;
    }

    /// <summary>Hands a tensor to the enclosing scope and returns it. A tensor that no open scope of the arena made (a weight, a view of one) is returned as it is.</summary>
    public Tensor Keep(Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        _arena.Keep(tensor, _depth);
        return tensor;
    }

    /// <summary>Ends the scope.</summary>
    /// <exception cref="InvalidOperationException">A scope inside it is still open.</exception>
    public void Dispose() => _arena?.Leave(_depth);
}
