"""What the peers' scripts share: options, timing like ours, and the file of rows that the benchmark merges."""
import argparse
import json
import os
import statistics
import sys
import time
import traceback


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, help="folder of the rows")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--tiny", action="store_true", help="small sizes on the CPU: shows that the script runs, measures nothing")
    parser.add_argument("--only", choices=["eager", "compile"], help="one of the two alone")
    return parser.parse_args()


class Rows:
    """Rows of one script; written after each, so that a run that is killed leaves what it had."""

    def __init__(self, name, args):
        self.name, self.args, self.rows, self.errors = name, args, [], []
        self.write()

    def add(self, work, unit, value, kind, peer, note=""):
        row = {"work": work, "unit": unit, "theirs": value, "kind": kind, "peer": peer, "note": note}
        print(f"{'TINY ' if self.args.tiny else ''}{work}: {value:.5g} {unit}, {peer}. {note}", flush=True)
        self.rows.append(row)
        self.write()

    def fail(self, what):
        """A peer that cannot be measured is a line with its reason, and the next one goes on."""
        lines = traceback.format_exc().strip().splitlines()
        self.errors.append(f"{what}: {lines[-1]}")
        traceback.print_exc(file=sys.stdout)
        self.write()

    def write(self):
        os.makedirs(self.args.out, exist_ok=True)
        path = os.path.join(self.args.out, f"peer-{self.name}.json")
        with open(path + ".part", "w") as file:
            json.dump({"source": f"peer {self.name}", "tiny": self.args.tiny, "rows": self.rows, "error": "; ".join(self.errors) or None}, file, indent=2)
        os.replace(path + ".part", path)


def modes(args):
    return [args.only] if args.only else ["eager", "compile"]


def compiled(torch, function, mode):
    return torch.compile(function) if mode == "compile" else function


class Timer:
    """Median milliseconds of samples, after warm-up; before each, a block larger than the card's cache is written, as on our side."""

    def __init__(self, torch, args):
        self.torch, self.tiny = torch, args.tiny
        self.device = "cpu" if args.tiny else "cuda"
        self.rounds = 2 if args.tiny else 20 if args.quick else 50
        self.seconds = 1 if args.tiny else 1.5 if args.quick else 4
        self.flush = torch.empty(1 << 12 if args.tiny else 64 << 20, device=self.device)

    def sync(self):
        if not self.tiny:
            self.torch.cuda.synchronize()

    def measure(self, work, prepare=None, per_sample=1, flush=True, warm_ups=3):
        samples, begun = [], None
        for i in range(warm_ups + self.rounds):
            if i == warm_ups:
                begun = time.perf_counter()
            if begun is not None and len(samples) >= 3 and time.perf_counter() - begun > self.seconds:
                break
            given = prepare() if prepare else None
            if flush:
                self.flush.fill_(i)
            if self.tiny:
                start = time.perf_counter()
                work(given) if prepare else work()
                taken = 1e3 * (time.perf_counter() - start)
            else:
                start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                work(given) if prepare else work()
                end.record()
                end.synchronize()
                taken = start.elapsed_time(end)
            if i >= warm_ups:
                samples.append(taken / per_sample)
        return statistics.median(samples)

    def reset_peak(self):
        """Bytes held now; the peak is counted from here."""
        if self.tiny:
            return 0
        self.torch.cuda.synchronize()
        self.torch.cuda.reset_peak_memory_stats()
        return self.torch.cuda.memory_allocated()

    def peak_mib(self, held=0):
        return 0.0 if self.tiny else (self.torch.cuda.max_memory_allocated() - held) / (1 << 20)


def version(torch, mode):
    return f"PyTorch {torch.__version__.split('+')[0]} {mode}"
