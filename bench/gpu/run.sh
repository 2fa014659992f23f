#!/usr/bin/env bash
# Graft on a machine with an NVIDIA card: correctness first, then benchmarks beside PyTorch. Needs the driver, NVRTC and cuBLASLt (CUDA 12 or 13); no .NET, no network.
# usage: run.sh [check|bench|all] OUT [--quick]
#   OUT/summary.txt     a line per stage: its end, seconds, figures
#   OUT/results.json    benchmark rows, ours beside the peers' (results.md: the same as a table)
#   OUT/all.tar.gz      logs, journals and rows of every stage
# Each stage has a time limit, and these files are written anew after each: a run that is killed leaves what it had. The whole takes at most 10 minutes, with --quick 4.
# GRAFT_GPU_SECONDS: another limit of the whole.  PYTHON: the Python that has PyTorch.  LLMC_DIR: a checkout of llm.c.  GRAFT_CUDA_PATH: folders of the CUDA libraries.
set -uo pipefail
mode=${1:-} out=${2:-} quick=
[[ ${3:-} == --quick ]] && quick=--quick
if [[ ! $mode =~ ^(check|bench|all)$ || -z $out ]]; then
  sed -n '3,8p' "${BASH_SOURCE[0]}" | cut -c3- >&2
  exit 2
fi

begun=$SECONDS
whole=${GRAFT_GPU_SECONDS:-$([[ $quick ]] && echo 235 || echo 585)}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$out" && out=$(cd "$out" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/graft-gpu-XXXXXX")
rows=$work/rows logs=$work/logs program=$work/program
mkdir -p "$rows" "$logs" "$program"
trap 'rm -rf "$program" "$work/data"' EXIT
: >"$out/summary.txt"
say() { echo "$*" | tee -a "$out/summary.txt"; }

unpack() { # ARCHIVE FOLDER: by xz, or by Python where there is none
  tar -xf "$1" -C "$2" 2>/dev/null || "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$1" "$2"
}
unpack "$here/program.tar.xz" "$program" && unpack "$here/data.tar.xz" "$work" || { say "the archives beside run.sh do not unpack"; exit 1; }
data=$work/data
graft=$program/graft-gpu

export GRAFT_FIXTURES=$data/Fixtures GRAFT_CACHE=${GRAFT_CACHE:-$work/kernels} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}
unset DOTNET_ROOT

# Where the system's search and /usr/local/cuda have no NVRTC or cuBLASLt, those that came with PyTorch do.
if [[ -z ${GRAFT_CUDA_PATH:-} ]]; then
  for library in libnvrtc libcublasLt; do
    if ! { ldconfig -p 2>/dev/null | grep -q "$library\.so\.1[123]"; } && ! compgen -G "/usr/local/cuda/lib64/$library.so.1[123]" >/dev/null; then
      found=$("$python" -c 'import glob,site,sys; p=[f for s in site.getsitepackages() for f in sorted(glob.glob(s+"/nvidia/**/"+sys.argv[1]+".so.1[123]",recursive=True))]; print(p[-1] if p else "")' "$library" 2>/dev/null)
      [[ $found ]] && GRAFT_CUDA_PATH=${GRAFT_CUDA_PATH:+$GRAFT_CUDA_PATH:}$(dirname "$found")
    fi
  done
  [[ ${GRAFT_CUDA_PATH:-} ]] && export GRAFT_CUDA_PATH && say "CUDA libraries: $GRAFT_CUDA_PATH"
fi

# What has been had so far goes to OUT.
keep() {
  if compgen -G "$rows/ours-*.json" >/dev/null; then
    timeout 20 "$graft" bench merge --out "$rows" >"$logs/merge.log" 2>&1
    cp -f "$rows"/results.json "$rows"/results.md "$rows"/limits.json "$out"/ 2>/dev/null
  fi
  tar -C "$work" -czf "$out/all.tar.gz.part" logs rows && mv -f "$out/all.tar.gz.part" "$out/all.tar.gz"
}

# stage NAME SECONDS COMMAND...: runs it within its time and what is left of the whole; its output goes to a log, its last lines to the summary.
failures=0
stage() {
  local name=$1 limit=$2 left start=$SECONDS code
  shift 2
  [[ $quick ]] && limit=$((limit * 2 / 5 + 4))
  left=$((whole - (SECONDS - begun)))
  if ((left < 8)); then say "$name: left out, the time of the whole is up"; return 1; fi
  ((limit > left)) && limit=$left
  timeout -k 5 "$limit" "$@" >"$logs/$name.log" 2>&1
  code=$?
  local end="done"
  ((code == 124 || code == 137)) && end="STOPPED after its $limit s"
  ((code != 0 && code != 124 && code != 137)) && end="FAILED ($code)"
  ((code != 0)) && failures=$((failures + 1))
  say "$name: $end, $((SECONDS - start)) s. $(grep -av '^ *$' "$logs/$name.log" | tail -n 1 | cut -c1-220)"
  keep
  return "$code"
}

tests() { # NAME SECONDS [arguments of tests]
  local name=$1 seconds=$2
  shift 2
  [[ $quick ]] && seconds=$((seconds * 2 / 5 + 4))
  GRAFT_TEST_GPU=1 stage "$name" "$((seconds + 5))" "$graft" tests "$@" --seconds "$seconds" --idle 40 --out "$logs/$name"
}

machine() {
  nvidia-smi || true
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit --format=csv || true
  uname -a; nproc; grep -m1 'model name' /proc/cpuinfo
  "$python" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name(0))' || true
  "$graft" graft doctor
}
export -f machine
export python graft

check_tests() {
  tests tests-hardware 30 Graft.Runtime.Tests --category CudaEmulator --match HardwareTests
  tests tests-runtime 90 Graft.Runtime.Tests --category CudaEmulator
  tests tests-models 50 Graft.Models.Tests --category CudaEmulator
  tests tests-training 30 Graft.Training.Tests --category CudaEmulator
  stage train 40 "$graft" graft train "$data/samples/e2e-nlg/run.yaml" --device cuda
}

# The tools of compute-sanitizer over a few kernels, each tensor an allocation of its own so that its bounds are seen.
sanitize() {
  command -v compute-sanitizer >/dev/null || { say "compute-sanitizer: not installed, left out"; return; }
  local tool folder
  for tool in memcheck racecheck initcheck; do
    folder=$logs/sanitizer-$tool
    mkdir -p "$folder"
    GRAFT_TEST_GPU=1 GRAFT_GUARD=1 stage "sanitizer-$tool" 45 compute-sanitizer --tool "$tool" --error-exitcode 9 --launch-timeout 0 \
      "$graft" tests-child Graft.Runtime.Tests --category CudaEmulator --match "HardwareTests,RowsCudaTests,AttentionCudaTests" --out "$folder"
  done
}

ours() { local item; for item in "$@"; do stage "bench-$item" "$([[ $item == lora ]] && echo 75 || echo 40)" "$graft" bench "$item" --out "$rows" $quick; done; }

peers() {
  if ! "$python" -c 'import torch; assert torch.cuda.is_available()' 2>"$logs/torch.log"; then
    say "peers: left out, no PyTorch with CUDA: $(tail -n 1 "$logs/torch.log")"
    return
  fi
  local peer
  for peer in "$@"; do
    stage "peer-$peer" "$(case $peer in lora) echo 110 ;; gpt2 | memory) echo 70 ;; *) echo 45 ;; esac)" "$python" "$here/peers/$peer.py" --out "$rows" $quick
  done
}

stage machine 40 bash -c machine
ours limits
[[ $mode != bench ]] && check_tests
[[ $mode == check ]] && sanitize
if [[ $mode != check ]]; then
  ours memory attention head launch gpt2 lora
  peers attention head gpt2 lora memory
  [[ ${LLMC_DIR:-} ]] && stage peer-llmc 120 "$python" "$here/peers/llmc.py" --out "$rows"
fi
[[ $mode == all ]] && sanitize # last: what time is left
say "all: $((SECONDS - begun)) s, $failures stages not in order"
keep
exit $((failures > 0))
