#!/usr/bin/env bash
# Writes what the libraries' public API is now into src/*/PublicAPI.Unshipped.txt, so that a change of it shows in review.
# usage: build/update-public-api.sh [PROJECT ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
projects=("${@:-}")
[[ -n ${projects[0]} ]] || projects=(Runtime Models Training Cli)
for project in "${projects[@]}"; do
    file=src/$project/PublicAPI.Unshipped.txt
    echo '#nullable enable' >"$file"
    log=$(mktemp)
    dotnet build "src/$project" -c Release --no-incremental -p:TreatWarningsAsErrors=false >"$log" 2>&1 || { cat "$log"; exit 1; }
    sed -nE "s/.*\/src\/$project\/.*(RS0016|RS0036|RS0037): Symbol '(.*)' is not part of the declared public API.*/\2/p" "$log" | LC_ALL=C sort -u >>"$file"
    echo "$file: $(($(wc -l <"$file") - 1)) entries"
    rm "$log"
done
