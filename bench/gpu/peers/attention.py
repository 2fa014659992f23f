"""Causal attention in bf16, D = 128, 16 heads, 16,384 tokens: PyTorch's scaled_dot_product_attention, FlashAttention-2 path."""
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from common import Rows, Timer, options, version

args = options()
rows, timer = Rows("attention", args), Timer(torch, args)
tokens, heads, size = (64, 2, 128) if args.tiny else (16384, 16, 128)
for length in [32] if args.tiny else [1024, 4096, 16384]:
    for name, backend in [("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)]:
        if args.tiny:
            backend = SDPBackend.MATH
        try:
            # (B, H, T, D) as views of (B, T, H, D): where our side keeps it.
            q, k, v, dy = (torch.randn(tokens // length, length, heads, size, device=timer.device, dtype=torch.bfloat16).transpose(1, 2) for _ in range(4))
            leaves = [t.detach().requires_grad_() for t in (q, k, v)]
            flop = 2.0 * tokens // length * heads * length * length * size
            kind = "sdpa" if name == "flash" else "cudnn"
            peer = f"{version(torch, 'SDPA')}, {name}"
            with sdpa_kernel(backend):
                with torch.no_grad():
                    ms = timer.measure(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
                rows.add(f"attention: forward T={length}", "ms", ms, kind, peer, f"{flop / ms / 1e9:.1f} TFLOP/s")
                ms = timer.measure(
                    lambda y: torch.autograd.grad(y, leaves, dy), lambda: F.scaled_dot_product_attention(*leaves, is_causal=True))
                rows.add(f"attention: backward T={length}", "ms", ms, kind, peer, f"{2.5 * flop / ms / 1e9:.1f} TFLOP/s")
        except Exception:
            rows.fail(f"T={length} {name}")
