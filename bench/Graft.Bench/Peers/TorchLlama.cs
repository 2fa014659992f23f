using TorchSharp;
using static TorchSharp.torch.nn.functional;
using TorchParameter = TorchSharp.Modules.Parameter;

namespace Graft.Bench.Peers;

/// <summary>Sizes of a Llama with tied embeddings.</summary>
internal sealed record LlamaSizes(int Vocabulary, int Width, int FeedForward, int Layers, int Heads, int KeyHeads, int HeadSize, double Theta, double Epsilon);

/// <summary>A Llama in the peer's own terms: frozen base, LoRA beside every linear layer but the head, fused attention, a cache for generation.</summary>
internal sealed class TorchLlama : ITorchModel
{
    private readonly LlamaSizes _sizes;
    private readonly TorchParameter _table;
    private readonly Block[] _blocks;
    private readonly TorchParameter _norm;
    private readonly torch.Tensor _cos;
    private readonly torch.Tensor _sin;

    /// <summary>A model; rank 0 leaves LoRA out.</summary>
    /// <param name="weights">Ours by name, the adapter's among them (`module.lora_A.weight`).</param>
    /// <param name="sizes">Its sizes.</param>
    /// <param name="positions">The longest sequence.</param>
    /// <param name="rank">R.</param>
    /// <param name="scale">alpha / R.</param>
    public TorchLlama(TorchWeights weights, LlamaSizes sizes, int positions, int rank, double scale)
    {
        _sizes = sizes;
        _table = weights.Take("model.embed_tokens.weight", [sizes.Vocabulary, sizes.Width], trained: false);
        _blocks = [.. Enumerable.Range(0, sizes.Layers).Select(i => new Block(weights, $"model.layers.{i}", sizes, rank, scale))];
        _norm = weights.Vector("model.norm.weight", sizes.Width, trained: false);
        (float[] cos, float[] sin) = Angles(sizes, positions);
        _cos = Torch.Create(cos, positions, sizes.HeadSize);
        _sin = Torch.Create(sin, positions, sizes.HeadSize);
    }

    /// <inheritdoc/>
    public torch.Tensor Logits(torch.Tensor ids) => linear(Hidden(ids, null, 0).view(-1, _sizes.Width), _table);

    /// <summary>ids (1, T) after <paramref name="past"/> cached tokens to the last token's logits (V).</summary>
    public torch.Tensor NextLogits(torch.Tensor ids, TorchCache cache, int past)
    {
        torch.Tensor hidden = Hidden(ids, cache, past);
        return linear(hidden.narrow(1, hidden.shape[1] - 1, 1).view(1, _sizes.Width), _table).view(-1);
    }

    private static (float[] Cos, float[] Sin) Angles(LlamaSizes s, int positions)
    {
        float[] cos = new float[positions * s.HeadSize];
        float[] sin = new float[positions * s.HeadSize];
        int half = s.HeadSize / 2;
        for (int position = 0; position < positions; position++)
        {
            for (int i = 0; i < s.HeadSize; i++)
            {
                double angle = position * Math.Pow(s.Theta, -2.0 * (i % half) / s.HeadSize);
                cos[(position * s.HeadSize) + i] = (float)Math.Cos(angle);
                sin[(position * s.HeadSize) + i] = (float)Math.Sin(angle);
            }
        }

        return (cos, sin);
    }

    private torch.Tensor Hidden(torch.Tensor ids, TorchCache? cache, int past)
    {
        long rows = ids.shape[0], length = ids.shape[1];
        torch.Tensor cos = _cos.narrow(0, past, length), sin = _sin.narrow(0, past, length);
        torch.Tensor x = _table.index_select(0, ids.view(-1)).view(rows, length, _sizes.Width);
        for (int i = 0; i < _blocks.Length; i++)
        {
            x = _blocks[i].Forward(x, cos, sin, cache, i, past);
        }

        return RmsNorm(x, _norm, _sizes.Epsilon);
    }

    private static torch.Tensor RmsNorm(torch.Tensor x, torch.Tensor weight, double epsilon)
    {
        return x * (x.square().mean([-1], keepdim: true) + epsilon).rsqrt() * weight;
    }

    private sealed class Layer
    {
        private readonly TorchParameter _weight;
        private readonly TorchParameter? _a;
        private readonly TorchParameter? _b;
        private readonly double _scale;

        public Layer(TorchWeights weights, string name, long inputs, long outputs, int rank, double scale)
        {
            _weight = weights.Take(name + ".weight", [outputs, inputs], trained: false);
            _scale = scale;
            if (rank > 0)
            {
                _a = weights.Take(name + ".lora_A.weight", [rank, inputs], trained: true);
                _b = weights.Take(name + ".lora_B.weight", [outputs, rank], trained: true);
            }
        }

        public torch.Tensor Forward(torch.Tensor x)
        {
            torch.Tensor y = linear(x, _weight);
            return _a is null ? y : y.add(linear(linear(x, _a), _b!), _scale);
        }
    }

    private sealed class Block
    {
        private readonly LlamaSizes _s;
        private readonly TorchParameter _inputNorm;
        private readonly TorchParameter _postNorm;
        private readonly Layer _q;
        private readonly Layer _k;
        private readonly Layer _v;
        private readonly Layer _o;
        private readonly Layer _gate;
        private readonly Layer _up;
        private readonly Layer _down;

        public Block(TorchWeights weights, string name, LlamaSizes s, int rank, double scale)
        {
            _s = s;
            Layer Make(string module, long inputs, long outputs) => new(weights, $"{name}.{module}", inputs, outputs, rank, scale);
            _inputNorm = weights.Vector(name + ".input_layernorm.weight", s.Width, trained: false);
            _postNorm = weights.Vector(name + ".post_attention_layernorm.weight", s.Width, trained: false);
            _q = Make("self_attn.q_proj", s.Width, s.Heads * s.HeadSize);
            _k = Make("self_attn.k_proj", s.Width, s.KeyHeads * s.HeadSize);
            _v = Make("self_attn.v_proj", s.Width, s.KeyHeads * s.HeadSize);
            _o = Make("self_attn.o_proj", s.Heads * s.HeadSize, s.Width);
            _gate = Make("mlp.gate_proj", s.Width, s.FeedForward);
            _up = Make("mlp.up_proj", s.Width, s.FeedForward);
            _down = Make("mlp.down_proj", s.FeedForward, s.Width);
        }

        public torch.Tensor Forward(torch.Tensor x, torch.Tensor cos, torch.Tensor sin, TorchCache? cache, int layer, int past)
        {
            x += _o.Forward(Attention(RmsNorm(x, _inputNorm, _s.Epsilon), cos, sin, cache, layer, past));
            torch.Tensor n = RmsNorm(x, _postNorm, _s.Epsilon);
            return x + _down.Forward(silu(_gate.Forward(n)) * _up.Forward(n));
        }

        private torch.Tensor Attention(torch.Tensor x, torch.Tensor cos, torch.Tensor sin, TorchCache? cache, int layer, int past)
        {
            long rows = x.shape[0], length = x.shape[1];
            torch.Tensor q = Rotated(Heads(_q.Forward(x), _s.Heads), cos, sin);
            torch.Tensor k = Rotated(Heads(_k.Forward(x), _s.KeyHeads), cos, sin);
            torch.Tensor v = Heads(_v.Forward(x), _s.KeyHeads);
            if (cache is not null)
            {
                (k, v) = cache.Append(layer, k, v, past);
            }

            torch.Tensor y = scaled_dot_product_attention(q, Repeated(k), Repeated(v), is_casual: length > 1);
            return y.transpose(1, 2).reshape(rows, length, _s.Heads * _s.HeadSize);
        }

        private torch.Tensor Heads(torch.Tensor x, int heads) => x.view(x.shape[0], x.shape[1], heads, _s.HeadSize).transpose(1, 2);

        private torch.Tensor Rotated(torch.Tensor x, torch.Tensor cos, torch.Tensor sin)
        {
            int half = _s.HeadSize / 2;
            torch.Tensor turned = torch.cat([x.narrow(3, half, half).neg(), x.narrow(3, 0, half)], 3);
            return (x * cos) + (turned * sin);
        }

        // (B, K, T, D) to (B, H, T, D): the fused attention wants as many key heads as query heads.
        private torch.Tensor Repeated(torch.Tensor x)
        {
            long rows = x.shape[0], length = x.shape[2];
            return x.unsqueeze(2).expand(rows, _s.KeyHeads, _s.Heads / _s.KeyHeads, length, _s.HeadSize).reshape(rows, _s.Heads, length, _s.HeadSize);
        }
    }
}

/// <summary>Keys and values of one row, in memory taken once.</summary>
internal sealed class TorchCache : IDisposable
{
    private readonly torch.Tensor[] _keys;
    private readonly torch.Tensor[] _values;

    /// <summary>An empty cache of (1, K, capacity, D) per layer.</summary>
    public TorchCache(LlamaSizes s, int capacity)
    {
        _keys = [.. Enumerable.Range(0, s.Layers).Select(_ => torch.zeros(1, s.KeyHeads, capacity, s.HeadSize).DetachFromDisposeScope())];
        _values = [.. Enumerable.Range(0, s.Layers).Select(_ => torch.zeros(1, s.KeyHeads, capacity, s.HeadSize).DetachFromDisposeScope())];
    }

    /// <summary>Writes new keys and values behind the past ones; views of all of them.</summary>
    public (torch.Tensor Keys, torch.Tensor Values) Append(int layer, torch.Tensor k, torch.Tensor v, int past)
    {
        long length = k.shape[2];
        _ = _keys[layer].narrow(2, past, length).copy_(k);
        _ = _values[layer].narrow(2, past, length).copy_(v);
        return (_keys[layer].narrow(2, 0, past + length), _values[layer].narrow(2, 0, past + length));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (torch.Tensor tensor in (torch.Tensor[])[.. _keys, .. _values])
        {
            tensor.Dispose();
        }
    }
}
