"""Row kernels at 8192 x 4096 in bf16: PyTorch eager and compiled, 8 launches per sample, as ours."""
import torch
import torch.nn.functional as F

from common import Rows, Timer, compiled, modes, options, version

LAUNCHES = 8
args = options()
rows, timer = Rows("memory", args), Timer(torch, args)
n, c, d = (16, 64, 32) if args.tiny else (8192, 4096, 128)
dev = timer.device
torch.manual_seed(1)


def normal(*shape, dtype=torch.bfloat16):
    return torch.randn(*shape, device=dev, dtype=dtype)


x, y = normal(n, c), normal(n, c)
w, b = normal(c), normal(c)
labels = torch.randint(0, c, (n,), device=dev)
heads = normal(n, c // d, d)
angles = torch.arange(n, device=dev)[:, None] * (10000.0 ** (-torch.arange(0, d, 2, device=dev) / d))[None]
cos, sin = angles.cos()[:, None], angles.sin()[:, None]


def rotary(h):
    a, b2 = h.float().chunk(2, -1)
    return torch.cat((a * cos - b2 * sin, b2 * cos + a * sin), -1).to(h.dtype)


one = 2.0 * n * c
works = {  # function, inputs, bytes forward, bytes backward: what must be read and written at least, as ours counts
    "add": (torch.add, (x, y), 3 * one, 0),
    "rms_norm": (lambda a: F.rms_norm(a, (c,), w, 1e-5), (x,), 2 * one, 3 * one),
    "layer_norm": (lambda a: F.layer_norm(a, (c,), w, b, 1e-5), (x,), 2 * one, 3 * one),
    "softmax": (lambda a: torch.softmax(a, -1), (x,), 2 * one, 3 * one),
    "swiglu": (lambda a, u: F.silu(a) * u, (x, y), 3 * one, 5 * one),
    "rotary": (rotary, (heads,), 2 * one, 2 * one),
    "cross_entropy": (lambda a: F.cross_entropy(a, labels, reduction="none"), (x,), one, 2 * one),
}
sizes = f"{n} x {c} bf16"
for mode in modes(args):
    for name, (function, inputs, forward_bytes, backward_bytes) in works.items():
        try:
            run = compiled(torch, function, mode)

            def forwards():
                return [run(*inputs) for _ in range(LAUNCHES)]

            with torch.no_grad():
                ms = timer.measure(forwards, per_sample=LAUNCHES)
            rows.add(f"memory: {name} forward {sizes}", "GB/s", forward_bytes / ms / 1e6, mode, version(torch, mode), f"{1e3 * ms:.1f} us")
            if backward_bytes:
                leaves = [t.detach().requires_grad_() for t in inputs]
                dy = torch.randn_like(function(*inputs))

                def record():
                    for leaf in leaves:
                        leaf.grad = None
                    return [run(*leaves) for _ in range(LAUNCHES)]

                def backwards(outputs):
                    for output in outputs:
                        torch.autograd.grad(output, leaves, dy)

                ms = timer.measure(backwards, record, per_sample=LAUNCHES)
                rows.add(f"memory: {name} backward {sizes}", "GB/s", backward_bytes / ms / 1e6, mode, version(torch, mode), f"{1e3 * ms:.1f} us")
        except Exception:
            rows.fail(f"{name} {mode}")

try:
    count = n * c
    p = torch.nn.Parameter(normal(count, dtype=torch.float32) * 0.02)
    p.grad = normal(count, dtype=torch.float32) * 1e-3
    optimizer = torch.optim.AdamW([p], lr=1e-4, fused=True)
    ms = timer.measure(optimizer.step)
    rows.add(f"memory: adamw {count} f32", "GB/s", 28.0 * count / ms / 1e6, "eager", f"PyTorch {torch.__version__.split('+')[0]} fused AdamW", f"{1e3 * ms:.1f} us")
except Exception:
    rows.fail("adamw")
