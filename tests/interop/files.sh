#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Model files held against the programs they are for: transformers, PEFT, gguf-py and llama.cpp (tests/interop/files.py
# says what is compared).
# usage: files.sh FORGE     FORGE is the built program
#   FORGE_ORACLES  a folder made by FORGE_SHARED/oracles/setup, with peft beside it (bin/python -m pip install peft)
#   FORGE_SHARED   default: ../shared beside the source tree
# exit: 0 all equal, 1 something differs, 77 skipped because a peer is missing (it says which)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || { sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 2; }
skip() {
  echo "SKIPPED: tests/interop/files.sh: $1" >&2
  exit 77
}
[ -n "${FORGE_ORACLES:-}" ] || skip "FORGE_ORACLES is not set; make it with FORGE_SHARED/oracles/setup"
export FORGE_SHARED=${FORGE_SHARED:-$here/../../../shared}
python=$FORGE_ORACLES/bin/python
[ -x "$python" ] || skip "$python is not there"
[ -f "$FORGE_SHARED/oracles/llama_node.mjs" ] || skip "$FORGE_SHARED/oracles/llama_node.mjs is not there"
for module in torch transformers peft gguf safetensors; do
  "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" ||
    skip "$python has no $module"
done
[ -d "$FORGE_ORACLES/npm/node_modules/node-llama-cpp" ] || skip "$FORGE_ORACLES has no node-llama-cpp"
command -v node >/dev/null || skip "there is no node"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "$python" "$here/files.py" "$(realpath "$1")" "$work"
