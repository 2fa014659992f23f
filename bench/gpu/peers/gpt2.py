"""A full step of GPT-2 124M, 32 x 1024, bf16 autocast with F32 parameters, fused AdamW: PyTorch eager and compiled. The model is written out here: no package needed."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from common import Rows, Timer, compiled, modes, options, version
from steps import measure


class Block(nn.Module):
    def __init__(self, c, h):
        super().__init__()
        self.h = h
        self.ln_1, self.ln_2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.fc, self.out = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, self.h, c // self.h).transpose(1, 2) for z in self.qkv(self.ln_1(x)).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.out(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, v, p, c, layers, h):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(v, c), nn.Embedding(p, c)
        self.blocks = nn.ModuleList(Block(c, h) for _ in range(layers))
        self.ln_f = nn.LayerNorm(c)
        self.apply(self.draw)

    @staticmethod
    def draw(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, ids, targets):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.view(-1))


args = options()
rows, timer = Rows("gpt2", args), Timer(torch, args)
sizes = (257, 32, 64, 2, 4) if args.tiny else (50257, 1024, 768, 12, 12)
b, t = (2, 16) if args.tiny else (32, 1024)
torch.set_float32_matmul_precision("high")
for mode in modes(args):
    try:
        torch.manual_seed(1)
        model = Gpt2(*sizes).to(timer.device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=not args.tiny)
        ids, targets = (torch.randint(0, sizes[0], (b, t), device=timer.device) for _ in range(2))
        run = compiled(torch, model, mode)

        def step():
            with torch.autocast(timer.device, dtype=torch.bfloat16):
                loss = run(ids, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.detach()

        elements = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)) + model.wte.weight.numel()
        measure(torch, timer, args, rows, "gpt2: 124M", mode, version(torch, mode), step, b * t, 6 * elements)
        del model, optimizer, run
    except Exception:
        rows.fail(mode)
    torch.compiler.reset()
    if not args.tiny:
        torch.cuda.empty_cache()
