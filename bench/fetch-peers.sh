#!/usr/bin/env bash
# Puts the benchmarks' optional peers into a folder, without touching the system: llama.cpp, OpenBLAS and llm.c.
# usage: bench/fetch-peers.sh [DIR]        default: artifacts/peers; a peer that is there already is left alone
# then:  GRAFT_LLAMA_BENCH=DIR/llama-bench  GRAFT_OPENBLAS=DIR/openblas/libopenblas.so.0  GRAFT_LLM_C=DIR/llmc_step        (dotnet cake --target=Bench sets them)
# llama.cpp     Debian's current packages, unpacked with a C library and loader of their own
# OpenBLAS      the package of the Debian that runs here
# llm.c         its repository, or the checkout that LLM_C_SOURCE names; built with bench/peers/llmc_step.c by gcc for this processor
# exit: 0 all are there; 3 some cannot be had here, the reasons are on stderr, and the benchmarks' rows will say "no peer"
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:-$here/../artifacts/peers}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
. "$here/../build/debian.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
llmc_url=https://github.com/karpathy/llm.c

llama() {
    local state=$work/llama root=$dir/llama.cpp
    debian_apt "$state" sid main || { echo "$debian_reason" >&2; return 1; }
    : >"$state/status" # nothing is installed, so that everything comes along, the C library first of all
    "${apt[@]}" -o "Dir::State::status=$state/status" -o APT::Install-Recommends=false -y --download-only install llama.cpp-tools llama.cpp-tools-extra >"$state/log" 2>&1 ||
        { tail -n 3 "$state/log" >&2; return 1; }
    rm -rf "$root"
    mkdir -p "$root"
    for deb in "$state"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink
    done

    cat >"$dir/llama-bench" <<'RUN'
#!/usr/bin/env bash
# llama-bench of the packages beside, with their own loader and libraries.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/llama.cpp" && pwd)
for folder in usr/bin usr/libexec usr/lib/llama.cpp; do
    [[ -e $root/$folder/llama-bench ]] && program=$(readlink -f "$root/$folder/llama-bench") && break
done
libraries=$(find "$root/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | tr '\n' ':')
# It looks for its CPU backend in a fixed system folder: name the one that fits this processor instead.
kind=haswell
grep -q -m1 avx512vl /proc/cpuinfo && kind=icelake
grep -q -m1 avx512_bf16 /proc/cpuinfo && kind=zen4
export GGML_BACKEND_PATH=${GGML_BACKEND_PATH:-$(find "$root/usr/lib" -name "libggml-cpu-$kind.so" | head -n 1)}
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries" "$program" "$@"
RUN
    chmod +x "$dir/llama-bench"
}

openblas() {
    local state=$work/openblas
    debian_apt "$state" own main || { echo "$debian_reason" >&2; return 1; }
    mkdir -p "$state/debs" "$state/root" "$dir/openblas"
    (cd "$state/debs" && "${apt[@]}" download libopenblas0-pthread libgfortran5 libquadmath0) >"$state/log" 2>&1 || { tail -n 3 "$state/log" >&2; return 1; }
    for deb in "$state"/debs/*.deb; do
        dpkg-deb -x "$deb" "$state/root"
    done

    # Its Fortran libraries lie beside it. The name that says it is all there comes last.
    for library in libquadmath.so.0 libgfortran.so.5 libopenblas.so.0; do
        cp -L "$(find "$state/root" -name "$library" | head -n 1)" "$dir/openblas/$library"
    done
}

llmc() {
    local source=${LLM_C_SOURCE:-$dir/llm.c}
    command -v gcc >/dev/null || { echo "gcc is missing." >&2; return 1; }
    if [[ -n ${LLM_C_SOURCE:-} ]]; then
        [[ -e $source/train_gpt2.c ]] || { echo "LLM_C_SOURCE is $source, where no train_gpt2.c is; it must name a checkout of $llmc_url." >&2; return 1; }
    elif [[ ! -e $source/train_gpt2.c ]]; then
        clone "$source" || { echo "$llmc_url cannot be cloned (the reason is above); LLM_C_SOURCE=FOLDER names a checkout that is there already." >&2; return 1; }
    fi

    # The program gets its name when it is whole: the name says that it is there.
    gcc -Ofast -march=native -fopenmp -Wno-unused-result -I "$source" "$here/peers/llmc_step.c" -o "$work/llmc_step" -lm || return 1
    mv "$work/llmc_step" "$dir/llmc_step"
}

clone() { # TO: the whole checkout or nothing; never asks for a password, and gives up after two minutes
    local aside=$1.new
    command -v git >/dev/null || { echo "git is missing." >&2; return 1; }
    rm -rf "$aside"
    if GIT_TERMINAL_PROMPT=0 timeout 120 git clone -q --depth 1 "$llmc_url" "$aside"; then
        rm -rf "$1"
        mv "$aside" "$1"
    else
        rm -rf "$aside"
        return 1
    fi
}

missing=0
fetch() { # NAME, FUNCTION, FILE that says it is there
    [[ -e $dir/$3 ]] && return 0
    if ("$2") && [[ -e $dir/$3 ]]; then
        echo "fetch-peers: $1: $dir/$3"
    else
        echo "fetch-peers: $1 cannot be had here" >&2
        missing=3
    fi
}

fetch llama.cpp llama llama-bench
fetch OpenBLAS openblas openblas/libopenblas.so.0
fetch llm.c llmc llmc_step
exit "$missing"
