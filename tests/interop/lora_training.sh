#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An adapter that forge train writes, loaded by PEFT (tests/interop/lora_training.py says what is compared).
# usage: lora_training.sh FORGE     FORGE is the built program, with its training engine
#   FORGE_ORACLES  a folder made by FORGE_SHARED/oracles/setup, with peft beside it (bin/python -m pip install peft)
# exit: 0 all equal, 1 something differs, 77 skipped because a peer is missing (it says which)
source "$(dirname "$0")/peers.bash"
need_python FORGE_ORACLES "make it with FORGE_SHARED/oracles/setup" torch transformers peft tokenizers
HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "$python" "$here/lora_training.py" "$forge" "$work"
