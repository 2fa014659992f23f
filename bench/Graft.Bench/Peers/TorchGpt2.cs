using TorchSharp;
using static TorchSharp.torch.nn.functional;
using TorchParameter = TorchSharp.Modules.Parameter;

namespace Graft.Bench.Peers;

/// <summary>Sizes of a GPT-2.</summary>
internal sealed record Gpt2Sizes(int Vocabulary, int Positions, int Width, int Layers, int Heads);

/// <summary>GPT-2 in the peer's own terms: fused attention and layer norms, weights stored (out, in) as its linear layers want them.</summary>
internal sealed class TorchGpt2 : ITorchModel
{
    private const double Epsilon = 1e-5;

    private readonly TorchParameter _wte;
    private readonly TorchParameter _wpe;
    private readonly Block[] _blocks;
    private readonly Norm _last;
    private readonly long _width;

    /// <summary>A model of the given sizes, F32, all trained.</summary>
    public TorchGpt2(TorchWeights weights, Gpt2Sizes sizes)
    {
        _width = sizes.Width;
        _wte = weights.Take("transformer.wte.weight", [sizes.Vocabulary, _width], trained: true);
        _wpe = weights.Take("transformer.wpe.weight", [sizes.Positions, _width], trained: true);
        _blocks = [.. Enumerable.Range(0, sizes.Layers).Select(i => new Block(weights, $"transformer.h.{i}", _width, sizes.Heads))];
        _last = new Norm(weights, "transformer.ln_f", _width);
    }

    /// <inheritdoc/>
    public torch.Tensor Logits(torch.Tensor ids)
    {
        torch.Tensor x = Lookup(ids, _wte) + _wpe.narrow(0, 0, ids.shape[1]);
        foreach (Block block in _blocks)
        {
            x = block.Forward(x);
        }

        return linear(_last.Forward(x).view(-1, _width), _wte);
    }

    // The peer has embeddings as modules only; index_select on the table is what they come down to, with the same gradient.
    private static torch.Tensor Lookup(torch.Tensor ids, torch.Tensor table) => table.index_select(0, ids.view(-1)).view(ids.shape[0], ids.shape[1], -1);

    private sealed class Norm(TorchWeights weights, string name, long width)
    {
        private readonly TorchParameter _weight = weights.Vector(name + ".weight", width, trained: true);
        private readonly TorchParameter _bias = weights.Vector(name + ".bias", width, trained: true);

        public torch.Tensor Forward(torch.Tensor x) => layer_norm(x, [x.shape[^1]], _weight, _bias, Epsilon);
    }

    private sealed class Layer(TorchWeights weights, string name, long inputs, long outputs)
    {
        private readonly TorchParameter _weight = weights.Take(name + ".weight", [inputs, outputs], trained: true, transpose: true);
        private readonly TorchParameter _bias = weights.Vector(name + ".bias", outputs, trained: true);

        public torch.Tensor Forward(torch.Tensor x) => linear(x, _weight, _bias);
    }

    private sealed class Block
    {
        private readonly int _heads;
        private readonly long _width;
        private readonly Norm _ln1;
        private readonly Norm _ln2;
        private readonly Layer _attention;
        private readonly Layer _attentionOut;
        private readonly Layer _up;
        private readonly Layer _down;

        public Block(TorchWeights weights, string name, long width, int heads)
        {
            (_heads, _width) = (heads, width);
            _ln1 = new Norm(weights, name + ".ln_1", width);
            _attention = new Layer(weights, name + ".attn.c_attn", width, 3 * width);
            _attentionOut = new Layer(weights, name + ".attn.c_proj", width, width);
            _ln2 = new Norm(weights, name + ".ln_2", width);
            _up = new Layer(weights, name + ".mlp.c_fc", width, 4 * width);
            _down = new Layer(weights, name + ".mlp.c_proj", 4 * width, width);
        }

        public torch.Tensor Forward(torch.Tensor x)
        {
            x += _attentionOut.Forward(Attention(_attention.Forward(_ln1.Forward(x))));
            return x + _down.Forward(gelu(_up.Forward(_ln2.Forward(x)), TorchSharp.Modules.GELU.Approximate.tanh));
        }

        private torch.Tensor Attention(torch.Tensor qkv)
        {
            long rows = qkv.shape[0], length = qkv.shape[1];
            torch.Tensor[] parts = qkv.split(_width, 2);
            torch.Tensor Heads(torch.Tensor t) => t.view(rows, length, _heads, _width / _heads).transpose(1, 2);
            torch.Tensor y = scaled_dot_product_attention(Heads(parts[0]), Heads(parts[1]), Heads(parts[2]), is_casual: true);
            return y.transpose(1, 2).reshape(rows, length, _width);
        }
    }
}
