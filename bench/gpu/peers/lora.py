"""A LoRA step (r = 16, all linear layers) of Llama-3-8B shapes with drawn weights, 2 x 4096, bf16: transformers and PEFT, eager and compiled; where they are missing,
the same maths by hand."""
import gc

import torch
import torch.nn as nn
import torch.nn.functional as F

from common import Rows, Timer, compiled, modes, options, version
from steps import measure

args = options()
rows, timer = Rows("lora", args), Timer(torch, args)
TINY = dict(v=257, c=64, f=96, layers=2, h=4, k=2, d=16)
FULL = dict(v=128256, c=4096, f=14336, layers=32, h=32, k=8, d=128)
S = TINY if args.tiny else FULL
RANK, ALPHA = 4 if args.tiny else 16, 32
b, t = (2, 16) if args.tiny else (2, 4096)


def with_peft():
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=S["v"], hidden_size=S["c"], intermediate_size=S["f"], num_hidden_layers=S["layers"], num_attention_heads=S["h"],
        num_key_value_heads=S["k"], head_dim=S["d"], max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=False,
        attn_implementation="sdpa", use_cache=False)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(timer.device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=names, task_type="CAUSAL_LM"), autocast_adapter_dtype=False)
    return model, lambda ids, targets: F.cross_entropy(model(input_ids=ids).logits.float().view(-1, S["v"]), targets.view(-1))


class LoraLinear(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(o, i, device=timer.device, dtype=torch.bfloat16) * 0.02, requires_grad=False)
        self.a = nn.Parameter(torch.randn(RANK, i, device=timer.device, dtype=torch.bfloat16) / i**0.5)
        self.b = nn.Parameter(torch.zeros(o, RANK, device=timer.device, dtype=torch.bfloat16))

    def forward(self, x):
        return F.linear(x, self.weight) + F.linear(F.linear(x, self.a), self.b) * (ALPHA / RANK)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        c, q, kv = S["c"], S["h"] * S["d"], S["k"] * S["d"]
        self.q, self.k, self.v, self.o = LoraLinear(c, q), LoraLinear(c, kv), LoraLinear(c, kv), LoraLinear(q, c)
        self.gate, self.up, self.down = LoraLinear(c, S["f"]), LoraLinear(c, S["f"]), LoraLinear(S["f"], c)
        self.norms = nn.ParameterList(nn.Parameter(torch.ones(c, device=timer.device, dtype=torch.bfloat16), requires_grad=False) for _ in range(2))

    def forward(self, x, cos, sin):
        def heads(z, n):
            return z.view(*x.shape[:2], n, S["d"]).transpose(1, 2)

        def turn(z):
            a, e = z.chunk(2, -1)
            return z * cos + torch.cat((-e, a), -1) * sin

        y = F.rms_norm(x, x.shape[-1:], self.norms[0], 1e-5)
        q, k, v = turn(heads(self.q(y), S["h"])), turn(heads(self.k(y), S["k"])), heads(self.v(y), S["k"])
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(y.transpose(1, 2).reshape(*x.shape[:2], -1))
        y = F.rms_norm(x, x.shape[-1:], self.norms[1], 1e-5)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        def table():
            return nn.Parameter(torch.randn(S["v"], S["c"], device=timer.device, dtype=torch.bfloat16) * 0.02, requires_grad=False)
        self.embed, self.head = table(), table()
        self.layers = nn.ModuleList(Layer() for _ in range(S["layers"]))
        angles = torch.arange(t, device=timer.device)[:, None] * (500000.0 ** (-torch.arange(0, S["d"], 2, device=timer.device) / S["d"]))
        angles = torch.cat((angles, angles), -1)
        self.cos, self.sin = angles.cos().bfloat16(), angles.sin().bfloat16()

    def forward(self, ids, targets):
        x = F.embedding(ids, self.embed)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        logits = F.linear(F.rms_norm(x, x.shape[-1:], None, 1e-5), self.head)
        return F.cross_entropy(logits.float().view(-1, S["v"]), targets.view(-1))


def by_hand():
    model = Llama()
    return model, model


def build():
    try:
        model, loss_of = with_peft()
        import peft
        import transformers

        return model, loss_of, f"transformers {transformers.__version__}, PEFT {peft.__version__}"
    except ImportError as error:
        model, loss_of = by_hand()
        return model, loss_of, f"by hand ({error})"


for mode in modes(args):
    try:
        torch.manual_seed(1)
        model, loss_of, how = build()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=3e-4, fused=not args.tiny)
        ids, targets = (torch.randint(0, S["v"], (b, t), device=timer.device) for _ in range(2))
        run = compiled(torch, loss_of, mode)

        def step():
            loss = run(ids, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.detach()

        elements = S["layers"] * S["c"] * (2 * S["h"] * S["d"] + 2 * S["k"] * S["d"] + 3 * S["f"]) + S["v"] * S["c"]
        measure(torch, timer, args, rows, "lora: Llama-3-8B r=16", mode, version(torch, mode), step, b * t, 4 * elements, how)
    except Exception:
        rows.fail(mode)
    model = loss_of = optimizer = run = trained = None
    gc.collect()
    torch.compiler.reset()
    if not args.tiny:
        torch.cuda.empty_cache()
