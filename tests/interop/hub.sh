#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The cache held against huggingface_hub: each finds what the other pulled (tests/interop/hub.py says what is checked).
# usage: hub.sh FORGE     FORGE is the built program
#   FORGE_ORACLES  a folder whose bin/python has huggingface_hub (FORGE_SHARED/oracles/setup makes one)
# exit: 0 all well, 1 something differs, 77 skipped because a peer is missing (it says which)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 2; }
skip() {
  echo "SKIPPED: tests/interop/hub.sh: $1" >&2
  exit 77
}
[ -n "${FORGE_ORACLES:-}" ] || skip "FORGE_ORACLES is not set; make it with FORGE_SHARED/oracles/setup"
python=$FORGE_ORACLES/bin/python
[ -x "$python" ] || skip "$python is not there"
"$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('huggingface_hub') is None)" ||
  skip "$python has no huggingface_hub"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" "$here/hub.py" "$(realpath "$1")" "$work"
