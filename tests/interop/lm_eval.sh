#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# forge eval held against lm-evaluation-harness: the same task files, the same data, the same model
# (tests/interop/lm_eval_peer.py says what is compared).
# usage: lm_eval.sh FORGE     FORGE is the built program
#   FORGE_LM_EVAL  a Python environment with lm_eval, torch and transformers (pip install lm_eval)
#   FORGE_SHARED   default: ../shared beside the source tree
# exit: 0 all equal, 1 something differs, 77 skipped because a peer is missing (it says which)
source "$(dirname "$0")/peers.bash"
need_python FORGE_LM_EVAL "make one with python3 -m venv and pip install lm_eval" lm_eval torch transformers datasets
model=$FORGE_SHARED/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$model" ] || skip "$model is not there"
[ -d "$FORGE_SHARED/data/eval/choice" ] || skip "$FORGE_SHARED/data/eval is not there"
HF_HOME=$work/hf HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false \
  "$python" "$here/lm_eval_peer.py" "$forge" "$model" "$FORGE_SHARED/data" "$work"
