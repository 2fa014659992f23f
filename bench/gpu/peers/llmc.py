"""GPT-2 124M by llm.c: builds and times a checkout named by LLMC_DIR; without one, a line that says so. No part of llm.c is carried along."""
import os
import re
import statistics
import subprocess

from common import Rows, options

args = options()
rows = Rows("llmc", args)
folder = os.environ.get("LLMC_DIR")
try:
    if not folder:
        raise RuntimeError("LLMC_DIR names no checkout of llm.c")
    subprocess.run(["make", "train_gpt2cu", "NO_MULTI_GPU=1", "USE_CUDNN=0"], cwd=folder, check=True, timeout=240)
    # -e d12: drawn weights of the 124M model; -b 32 -t 1024; gradients of the whole batch in one step; -x steps.
    data = sorted(name for name in os.listdir(os.path.join(folder, "dev/data/tinyshakespeare")) if name.endswith("train.bin"))
    path = os.path.join("dev/data/tinyshakespeare", data[0])
    output = subprocess.run(
        ["./train_gpt2cu", "-i", path, "-j", path, "-e", "d12", "-b", "32", "-t", "1024", "-d", "32768", "-x", "20", "-v", "0", "-s", "0"],
        cwd=folder, check=True, capture_output=True, text=True, timeout=120).stdout
    times = [float(ms) for ms in re.findall(r"\|\s*([\d.]+) ms\s*\|", output)][5:]
    ms = statistics.median(times)
    rows.add("gpt2: 124M: tokens", "tokens/s", 1e3 * 32 * 1024 / ms, "llm.c", "llm.c", f"{ms:.1f} ms a step, median of {len(times)}")
except Exception:
    rows.fail("llm.c")
