"""Output head and cross-entropy, H = 4096, V = 128,256, 8192 rows, bf16: plain PyTorch, which makes the logits, eager and compiled."""
import torch
import torch.nn.functional as F

from common import Rows, Timer, compiled, modes, options, version

args = options()
rows, timer = Rows("head", args), Timer(torch, args)
n, c, v = (16, 64, 257) if args.tiny else (8192, 4096, 128256)
torch.manual_seed(1)
hidden = torch.randn(n, c, device=timer.device, dtype=torch.bfloat16)
weight = (torch.randn(v, c, device=timer.device, dtype=torch.float32) * 0.02).to(torch.bfloat16)
targets = torch.randint(0, v, (n,), device=timer.device)


def loss_of(h, w):
    return F.cross_entropy((h @ w.T).float(), targets)


for mode in modes(args):
    for what, backward, full in [("forward", False, False), ("forward and backward to hidden", True, False), ("forward and backward to both", True, True)]:
        try:
            run = compiled(torch, loss_of, mode)
            h = hidden.detach().requires_grad_(backward)
            w = weight.detach().requires_grad_(full)

            def once():
                with torch.set_grad_enabled(backward):
                    loss = run(h, w)
                    if backward:
                        torch.autograd.grad(loss, [h, w] if full else [h])

            once()
            timer.sync()
            held = timer.reset_peak()
            once()
            peak = timer.peak_mib(held)
            if full:
                peak -= weight.numel() * 2 / (1 << 20)  # the weight's own gradient, which our side does not count either
            ms = timer.measure(once)
            rows.add(f"head: {what}", "ms", ms, mode, version(torch, mode))
            rows.add(f"head: {what}, peak memory", "MiB", peak, mode, version(torch, mode), "max_memory_allocated above inputs")
        except Exception:
            rows.fail(f"{what} {mode}")
    torch.compiler.reset()
    if not args.tiny:
        torch.cuda.empty_cache()
