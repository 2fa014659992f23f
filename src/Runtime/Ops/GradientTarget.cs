namespace Graft.Runtime;

/// <summary>For kernels that overwrite: the gradient's own memory where it is the first contribution, else a temporary that is added.</summary>
internal static class GradientTarget
{
    /// <summary>The memory to write; hand it to <see cref="Close"/> afterwards.</summary>
    public static Tensor Open(BackwardCall c, int input, out bool add)
    {
        Tensor target = c.Target(input, out add);
        return add ? c.Temporary(target.Shape, target.DType) : target;
    }

    public static void Close(BackwardCall c, int input, Tensor gradient, bool add)
    {
        if (add)
        {
            c.Accumulate(input, gradient);
        }
    }
}
