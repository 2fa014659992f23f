#!/usr/bin/env bash
# Builds the emulated CUDA driver into OUTDIR: libcuda.so.1, libnvrtc.so.12 and libcublasLt.so.12, three names of one library.
# Does nothing where it is already there for these sources and this compiler. Two calls at once do not harm each other. Exit code 3: no g++.
set -euo pipefail
out="${1:?usage: build.sh OUTDIR}"
cd "$(dirname "${BASH_SOURCE[0]}")"
cxx="${GRAFT_EMU_CXX:-g++}"
if ! command -v "$cxx" >/dev/null; then
    echo "CudaEmulator: $cxx is needed to build the emulated CUDA driver and to compile kernels for it; install g++ (Debian: apt-get install g++)" >&2
    exit 3
fi

flags=(-std=c++17 -O2 -g1 -fPIC -fvisibility=hidden -ffp-contract=off -fno-strict-aliasing -Wall -Wextra -Wno-missing-field-initializers -Werror=return-type)
hash="$({ cat build.sh src/*.h src/*.cpp shim/*.h check/*.h check/*.cpp; "$cxx" --version; uname -m; } | sha256sum | cut -c1-32)"
if [ -f "$out/stamp" ] && [ "$(cat "$out/stamp")" = "$hash" ]; then
    exit 0
fi

mkdir -p "$out"
work="$(mktemp -d "$out/build.XXXXXX")"
trap 'rm -rf "$work"' EXIT

# The text that every kernel is compiled behind.
{
    echo 'R"SHIM('
    cat shim/table.h shim/builtins.h shim/math.h shim/hardware.h
    echo ')SHIM"'
} >"$work/shim_text.inc"

# At most two compilers at a time.
printf '%s\n' src/*.cpp | xargs -P 2 -I{} bash -c 'source="$1"; shift; exec "$@" -c "$source" -o "'"$work"'/$(basename "$source" .cpp).o"' _ {} \
    "$cxx" "${flags[@]}" -I"$work" "-DEMU_BUILD_HASH=\"$hash\""
"$cxx" -shared -Wl,-soname,libcuda.so.1 -Wl,-Bsymbolic -Wl,-z,defs -o "$work/libcuda.so.1" "$work"/*.o -ldl -lpthread

# The programs that prove the emulator: EmulatorTests runs them.
for name in mutants host; do
    "$cxx" -std=c++17 -O1 -Wall -Wextra -o "$work/$name" "check/$name.cpp" "$work/libcuda.so.1" -Wl,-rpath,'$ORIGIN'
done

# Renames replace whole files, so that a process that has the old library open keeps it. The stamp comes last.
mv -f "$work/libcuda.so.1" "$out/libcuda.so.1"
mv -f "$work/mutants" "$work/host" "$out/"
for name in libnvrtc.so.12 libcublasLt.so.12; do
    ln -s libcuda.so.1 "$work/$name"
    mv -f "$work/$name" "$out/$name"
done
echo "$hash" >"$work/stamp"
mv -f "$work/stamp" "$out/stamp"
