"""What the scripts of whole steps share: time and memory of a step, the loss must fall."""
import statistics
import time


def measure(torch, timer, args, rows, work, kind, peer, step, tokens, tflop_factor, note=""):
    losses, samples = [], []
    begun = time.perf_counter()
    timer.reset_peak()
    warm_ups, count, seconds = (1, 2, 5) if args.tiny else (3, 8, 15) if args.quick else (4, 15, 40)
    for i in range(warm_ups + count):
        if i == warm_ups:
            begun = time.perf_counter()
        if len(samples) >= 3 and time.perf_counter() - begun > seconds:
            break
        timer.sync()
        start = time.perf_counter()
        losses.append(float(step()))  # read, as a trainer does and as our side does
        timer.sync()
        if i >= warm_ups:
            samples.append(time.perf_counter() - start)
    median = statistics.median(samples)
    falls = losses[-1] < losses[0]
    rate = tokens / median
    text = f"loss {losses[0]:.3f} to {losses[-1]:.3f}{'' if falls else ' DOES NOT FALL'}; {tflop_factor * rate / 1e12:.1f} TFLOP/s; {1e3 * median:.1f} ms a step"
    rows.add(f"{work}: tokens", "tokens/s", rate, kind, peer, f"{text}{'; ' + note if note else ''}")
    rows.add(f"{work}: peak memory", "MiB", timer.peak_mib(), kind, peer, "max_memory_allocated")
