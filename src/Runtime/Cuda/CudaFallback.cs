namespace Graft.Runtime;

/// <summary>The way of an op without CUDA kernels: its reference, made of ops that have some.</summary>
internal static class CudaFallback
{
    public static void Run<TOp>(in TOp op, CudaCall c)
        where TOp : struct, IForwardOp<TOp>
    {
        string name = OpInfoOf<TOp>.Value.Name;
        if (c.Outputs.Length != 1 || c.SavedCount != 0 || !Reentry<TOp>.Enter())
        {
            throw new GraftException($"{name} has no CUDA kernel, and its reference cannot take its place: give it a Forward for CudaCall.");
        }

        try
        {
            using Scope scope = c.Arena.Enter(name);
            c.Output.CopyFrom(TOp.Reference(in op, Tape.None(c.Arena), c.Inputs));
        }
        finally
        {
            Reentry<TOp>.Leave();
        }
    }

    /// <summary>A reference that runs its own op would never end.</summary>
    private static class Reentry<TOp>
    {
        [ThreadStatic]
        private static bool s_inside;

        public static bool Enter()
        {
            bool free = !s_inside;
            s_inside = true;
            return free;
        }

        public static void Leave() => s_inside = false;
    }
}
