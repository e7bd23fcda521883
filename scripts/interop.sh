#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tests that hold forge against the programs its files and figures are for: transformers, PEFT, gguf-py, llama.cpp,
# huggingface_hub, lm-evaluation-harness, openai. Installs them by pip and npm into FORGE_ORACLES (default .oracles), where they are
# kept for the next time (2.4 GB).
# usage: scripts/interop.sh FORGE
# exit: 0 all agree, 1 something differs, 77 skipped: the peers or the data cannot be had here (it says which)
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 1 ] || { sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 2; }
forge=$(realpath "$1")
export FORGE_SHARED=${FORGE_SHARED:-$PWD/../shared} FORGE_ORACLES=${FORGE_ORACLES:-$PWD/.oracles}
if [ ! -x "$FORGE_SHARED/oracles/setup" ]; then
  echo "SKIPPED: interop: $FORGE_SHARED/oracles/setup is not there; set FORGE_SHARED" >&2
  exit 77
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# --no-build: the prebuilt llama.cpp of npm judges as well as one that is compiled here, and ten minutes sooner.
if ! [ -f "$FORGE_ORACLES/ready" ] && ! timeout 900 "$FORGE_SHARED/oracles/setup" --no-build >"$log" 2>&1; then
  tail -5 "$log" >&2
  echo "SKIPPED: interop: the peers could not be installed (see above)" >&2
  exit 77
fi
"$FORGE_ORACLES/bin/python" -c 'import peft' 2>/dev/null ||
  "$FORGE_ORACLES/bin/python" -m pip install -q --disable-pip-version-check peft >"$log" 2>&1 || tail -3 "$log" >&2
export FORGE_LM_EVAL=${FORGE_LM_EVAL:-$FORGE_ORACLES}
worst=0
last=$((SECONDS + 1200))  # all of them together; a machine that others use may not get to the end
for test in tests/interop/*.sh; do
  code=0
  timeout $((last > SECONDS ? last - SECONDS : 1)) "$test" "$forge" >"$log" 2>&1 || code=$?
  case $code in
    0) echo "interop: $(basename "$test" .sh): agrees" ;;
    77) tail -1 "$log" ;;
    124) echo "SKIPPED: $test: no time was left, 20 minutes for all are over" >&2 ;;
    *)
      cat "$log"
      echo "interop: $(basename "$test" .sh): FAILED ($code)"
      worst=1
      ;;
  esac
done
exit $worst
