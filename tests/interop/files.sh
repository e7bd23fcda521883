#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Model files held against the programs they are for: transformers, PEFT, gguf-py and llama.cpp (tests/interop/files.py
# says what is compared).
# usage: files.sh FORGE     FORGE is the built program
#   FORGE_ORACLES  a folder made by FORGE_SHARED/oracles/setup, with peft beside it (bin/python -m pip install peft)
#   FORGE_SHARED   default: ../shared beside the source tree
# exit: 0 all equal, 1 something differs, 77 skipped because a peer is missing (it says which)
source "$(dirname "$0")/peers.bash"
need_python FORGE_ORACLES "make it with FORGE_SHARED/oracles/setup" torch transformers peft gguf safetensors
[ -f "$FORGE_SHARED/oracles/llama_node.mjs" ] || skip "$FORGE_SHARED/oracles/llama_node.mjs is not there"
[ -d "$FORGE_ORACLES/npm/node_modules/node-llama-cpp" ] || skip "$FORGE_ORACLES has no node-llama-cpp"
command -v node >/dev/null || skip "there is no node"
HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "$python" "$here/files.py" "$forge" "$work"
