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

for tool in apt-get dpkg-deb awk; do
    command -v "$tool" >/dev/null || [[ -e $dir/libnvrtc.so.12 ]] || cannot "$tool is missing: this is not Debian or one of its relatives."
done

# One at a time: test projects run side by side.
if command -v flock >/dev/null; then
    exec 9>"$dir/.lock"
    flock 9
fi

[[ -e $dir/libnvrtc.so.12 ]] && exit 0
[[ $(dpkg --print-architecture) == amd64 ]] || cannot "the packages are for x86-64, this is $(dpkg --print-architecture)."

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/debs" "$state/root"

# The machine's own Debian entry (it has the suite that the system itself is of), with its address, proxy and key, but another suite and component.
# Both formats of apt are read.
suite=$(. /etc/os-release && [[ ${ID:-} == debian ]] && echo "${VERSION_CODENAME:-}") || cannot "this is not Debian."
for file in /etc/apt/sources.list.d/*.sources; do
    [[ -e $file ]] || continue
    awk -v suite="$suite" 'BEGIN { RS = ""; ORS = "\n\n" } $0 ~ "(^|\n)Suites:[^\n]* " suite "( |\n|$)" && !/(^|\n)Enabled: *no/ { print; exit }' "$file" |
        sed -e 's/^Suites:.*/Suites: trixie/' -e 's/^Components:.*/Components: non-free/' -e 's/^Types:.*/Types: deb/' >"$state/nvrtc.sources"
    [[ -s $state/nvrtc.sources ]] && break
done

if [[ ! -s $state/nvrtc.sources ]]; then
    rm -f "$state/nvrtc.sources"
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        awk -v suite="$suite" '$1 == "deb" {
            address = 2
            options = ""
            if ($2 ~ /^\[/) {
                while (address < NF && $address !~ /\]$/) { options = options " " $address; address += 1 }
                options = options " " $address
                address += 1
            }
            if ($(address + 1) == suite) { print "deb" options, $address, "trixie non-free"; exit }
        }' >"$state/nvrtc.list"
    [[ -s $state/nvrtc.list ]] || cannot "apt has no source of $suite to take the address from."
fi

sources=("$state"/nvrtc.*)
apt=(apt-get -qq
    -o "Dir::Etc::sourcelist=${sources[0]}" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::Lists=$state/lists" -o "Dir::Cache::archives=$state/archives" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    -o APT::Update::Error-Mode=any -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30)
[[ $(id -u) -ne 0 ]] || apt+=(-o APT::Sandbox::User=root)

"${apt[@]}" update >"$state/log" 2>&1 || cannot "the package list cannot be fetched: $(tail -n 3 "$state/log" | tr '\n' ' ')"
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
