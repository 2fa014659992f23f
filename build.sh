#!/usr/bin/env bash
# The project's tasks without a global tool: ./build.sh --target=Ci
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
dotnet tool restore
exec dotnet cake "$@"
