#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compressed models held against the programs they are for: llama.cpp's own quantiser and transformers
# (tests/interop/ternary.py says what is compared).
# usage: ternary.sh FORGE     FORGE is the built program
#   FORGE_ORACLES    a folder made by FORGE_SHARED/oracles/setup
#   FORGE_LLAMA_CPP  an environment with llama-cpp-python; default: FORGE_ORACLES (made without --no-build)
#   FORGE_SHARED     default: ../shared beside the source tree
# exit: 0 all equal, 1 something differs, 77 skipped because a peer is missing (it says which)
source "$(dirname "$0")/peers.bash"
export FORGE_LLAMA_CPP=${FORGE_LLAMA_CPP:-${FORGE_ORACLES:-}}
need_python FORGE_LLAMA_CPP "make it with FORGE_SHARED/oracles/setup" llama_cpp numpy
need_python FORGE_ORACLES "make it with FORGE_SHARED/oracles/setup" torch transformers
[ -f "$FORGE_SHARED/oracles/llama_cpp" ] || skip "$FORGE_SHARED/oracles/llama_cpp is not there"
HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "$python" "$here/ternary.py" "$forge" "$work"
