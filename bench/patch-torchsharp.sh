#!/usr/bin/env bash
# Lets TorchSharp, the peer of the benchmarks, load where the C++ library is GCC 12's (Debian 12). Newer systems need nothing.
# Run it once, after 'dotnet restore'.
# TorchSharp's native half names one version of libstdc++ that GCC 13 brought (GLIBCXX_3.4.32), for a symbol that no code refers to: <iostream> of GCC 13 only
# mentions it. So the version's entry in the library's table of needs is marked weak, which makes the loader go on without it. Two bytes change, in the restored
# package and in what was already copied beside the benchmarks. Needs grep and coreutils.
set -euo pipefail
cd "$(dirname "$0")"
entry='\x42\xf8\x97\x02\x00\x00' # the version name's ELF hash, then its flags: none
found=0
while IFS= read -r -d '' library; do
    found=1
    offset=$(LC_ALL=C grep -obUaP "$entry" "$library" | cut -d: -f1 || true)
    case $(wc -w <<<"$offset") in
        0) echo "$library: nothing to do" ;;
        1)
            # A new file takes the old one's place: whoever has it open keeps what he has.
            cp "$library" "$library.patched"
            printf '\x02' | dd of="$library.patched" bs=1 seek=$((offset + 4)) conv=notrunc status=none
            mv "$library.patched" "$library"
            echo "$library: patched"
            ;;
        *) echo "$library: the entry was found more than once; left as it is" >&2; exit 1 ;;
    esac
done < <(find "${NUGET_PACKAGES:-$HOME/.nuget/packages}"/torchsharp/*/runtimes/linux-x64/native . -name libLibTorchSharp.so -print0 2>/dev/null)
if [[ $found == 0 ]]; then
    echo "There is no restored TorchSharp: run 'dotnet restore bench/Graft.Bench' first." >&2
    exit 1
fi
