#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An adapter that forge train writes, loaded by PEFT (tests/interop/lora_training.py says what is compared).
# usage: lora_training.sh FORGE     FORGE is the built program, with its training engine
#   FORGE_ORACLES  a folder made by FORGE_SHARED/oracles/setup, with peft beside it (bin/python -m pip install peft)
# exit: 0 all equal, 1 something differs, 77 skipped because a peer is missing (it says which)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 2; }
skip() {
  echo "SKIPPED: tests/interop/lora_training.sh: $1" >&2
  exit 77
}
[ -n "${FORGE_ORACLES:-}" ] || skip "FORGE_ORACLES is not set; make it with FORGE_SHARED/oracles/setup"
python=$FORGE_ORACLES/bin/python
[ -x "$python" ] || skip "$python is not there"
for module in torch transformers peft tokenizers; do
  "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" ||
    skip "$python has no $module"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "$python" "$here/lora_training.py" "$(realpath "$1")" "$work"
