#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Speed of forge train against a plain loop of transformers and torch: the same model, rows and optimizer, in turns.
# usage: bench_training.sh FORGE MODEL DATA [ROUNDS]
#   FORGE   the built program            MODEL   a model folder (forge convert makes one of a GGUF file)
#   DATA    a .txt or .jsonl file        ROUNDS  default 5
#   FORGE_ORACLES  a folder with bin/python that has torch 2.13 and transformers (FORGE_SHARED/oracles/setup makes it)
#   THREADS        default 2. With other programs on the cores, 1 is the fairer comparison: OpenMP's threads, which the
#                  plain loop has, wait for each other inside every product
# exit: 0, 1 when a run failed, 2 usage, 77 skipped because a peer is missing
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 3 ] || [ $# = 4 ] || { sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 2; }
skip() {
  echo "SKIPPED: scripts/bench_training.sh: $1" >&2
  exit 77
}
[ -n "${FORGE_ORACLES:-}" ] || skip "FORGE_ORACLES is not set"
python=$FORGE_ORACLES/bin/python
for module in torch transformers; do
  "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" ||
    skip "$python has no $module"
done
HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 exec "$python" "$here/bench_training.py" "$(realpath "$1")" "$2" "$3" "${4:-5}"
