using System.Runtime.CompilerServices;
using Graft.Runtime;
using TorchSharp;

namespace Graft.Bench.Peers;

/// <summary>One op of the peer, on copies of our inputs; null where there is no peer.</summary>
internal static class TorchOp
{
    /// <summary>The op without a graph.</summary>
    public static Func<torch.Tensor>? Forward(Func<torch.Tensor[], torch.Tensor> op, out Action? end, params Tensor[] inputs)
    {
        end = null;
        return Torch.IsAvailable ? MakeForward(op, inputs, out end) : null;
    }

    /// <summary>Gradients of the first <paramref name="wanted"/> inputs alone, by a graph that was recorded once; the result is the first input's.</summary>
    public static Func<torch.Tensor>? Backward(Func<torch.Tensor[], torch.Tensor> op, Tensor dy, int wanted, out Action? end, params Tensor[] inputs)
    {
        end = null;
        return Torch.IsAvailable ? MakeBackward(op, dy, wanted, inputs, out end) : null;
    }

    /// <summary>The op and the gradient of its sum to the first input, both in each call.</summary>
    public static Func<torch.Tensor>? Both(Func<torch.Tensor[], torch.Tensor> op, out Action? end, params Tensor[] inputs)
    {
        end = null;
        return Torch.IsAvailable ? MakeBoth(op, inputs, out end) : null;
    }

    /// <summary>An op that also takes whole numbers.</summary>
    public static Func<torch.Tensor[], torch.Tensor> WithIds(int[] ids, Func<torch.Tensor[], torch.Tensor, torch.Tensor> op)
    {
        object? tensor = null; // kept as an object: where there is no peer, its types are not touched
        return inputs => op(inputs, (torch.Tensor)(tensor ??= Torch.Create(ids, ids.Length).DetachFromDisposeScope()));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Func<torch.Tensor> MakeForward(Func<torch.Tensor[], torch.Tensor> op, Tensor[] inputs, out Action end)
    {
        torch.Tensor[] copies = Copies(inputs);
        end = () => Free(copies);
        return () =>
        {
            using IDisposable off = torch.no_grad();
            return op(copies);
        };
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Func<torch.Tensor> MakeBackward(Func<torch.Tensor[], torch.Tensor> op, Tensor dy, int wanted, Tensor[] inputs, out Action end)
    {
        torch.Tensor[] copies = Copies(inputs), from = copies[..wanted];
        foreach (torch.Tensor input in from)
        {
            input.requires_grad = true;
        }

        torch.Tensor y = op(copies), seed = Copies([dy])[0];
        end = () => Free([.. copies, y, seed]);
        return () => torch.autograd.grad([y], from, [seed], retain_graph: true)[0];
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Func<torch.Tensor> MakeBoth(Func<torch.Tensor[], torch.Tensor> op, Tensor[] inputs, out Action end)
    {
        torch.Tensor[] copies = Copies(inputs);
        copies[0].requires_grad = true;
        end = () => Free(copies);
        return () => torch.autograd.grad([op(copies).sum()], [copies[0]])[0];
    }

    private static torch.Tensor[] Copies(Tensor[] inputs)
        => [.. inputs.Select(t => Torch.Create(t.AsReadOnlySpan<float>(), [.. Enumerable.Range(0, t.Shape.Rank).Select(i => (long)t.Shape[i])]))];

    private static void Free(torch.Tensor[] tensors)
    {
        foreach (torch.Tensor tensor in tensors)
        {
            tensor.Dispose();
        }
    }
}
