#!/usr/bin/env bash
# Puts NVIDIA's run-time compiler (NVRTC 12.4: libnvrtc.so.12 and its builtins) into a folder, so that kernels can be compiled for every card on a machine without one.
# usage: build/fetch-nvrtc.sh [DIR]        default: artifacts/nvrtc; does nothing where it is there already
# Nothing is installed: the packages of Debian 13 are unpacked into DIR, fetched from where this machine gets its Debian packages, with package lists of their own.
# exit: 0 it is there; 3 it cannot be had here (no Debian, no x86-64, no package source, no network), the reason is on stderr
set -euo pipefail

cannot() {
    echo "fetch-nvrtc: $*" >&2
    echo "fetch-nvrtc: put libnvrtc.so.12 and libnvrtc-builtins.so.12.4 of a CUDA 12.4 toolkit into a folder and name it in GRAFT_NVRTC_PATH instead." >&2
    exit 3
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${1:-$root/artifacts/nvrtc}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# One at a time: test projects run side by side.
if command -v flock >/dev/null; then
    exec 9>"$dir/.lock"
    flock 9
fi

[[ -e $dir/libnvrtc.so.12 ]] && exit 0

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state/debs" "$state/root"
. "$root/build/debian.sh"
debian_apt "$state" trixie non-free || cannot "$debian_reason"
(cd "$state/debs" && "${apt[@]}" download libnvrtc12 libnvrtc-builtins12.4) >"$state/log" 2>&1 ||
    cannot "the packages cannot be fetched: $(tail -n 3 "$state/log" | tr '\n' ' ')"
for deb in "$state"/debs/*.deb; do
    dpkg-deb -x "$deb" "$state/root"
done

# The name that says it is all there comes last.
from=$state/root/usr/lib/x86_64-linux-gnu
cp -a "$from"/libnvrtc-builtins.so.* "$dir/"
cp -a "$from"/libnvrtc.so.12.* "$dir/"
cp -a "$from"/libnvrtc.so.12 "$dir/"
echo "fetch-nvrtc: $(readlink -f "$dir/libnvrtc.so.12")"
