#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Kills a short pipeline run with SIGKILL at random moments, resumes it each time, and compares all that it made with
# what an unbroken run of the same seed made. The broken one searches with two worker processes, the unbroken one with
# none. Usage: check_resume.sh FORGE WORK_FOLDER [KILLS] [RANDOM_SEED]
set -euo pipefail
forge=$(realpath "$1")
work=$2
kills=${3:-10}
RANDOM=${4:-1}
mkdir -p "$work"
cd "$work"
settings="--seed 7 --models-dir models --evaluations 60 --search-items 40 --selection-items 40 --test-items 60 --eval-samples 200
  --thought-steps 12 --bake-steps 60 --compress-steps 40 --calibration-samples 60"

digest() { # of everything that must have the same bytes
  (cd "$1" && find . -name '*.safetensors' -o -name '*.gguf' -o -name 'config.json' | LC_ALL=C sort | xargs sha256sum
   python3 - <<'PYTHON'
import json
report = json.load(open("report.json"))
for key in ("seconds", "run", "final_model", "command", "artifacts"):
    report.pop(key, None)
print(json.dumps(report, sort_keys=True))
PYTHON
  )
}

"$forge" starter --out models/starter-seed7 --seed 7 >/dev/null 2>starter.log || true
start=$(date +%s%N)
# shellcheck disable=SC2086
"$forge" run-pipeline $settings --output-dir unbroken >/dev/null 2>unbroken.log
length=$(( ($(date +%s%N) - start) / 1000000 ))
echo "resume: the unbroken run took $length ms"

done_kills=0
resume=""
while :; do
  # shellcheck disable=SC2086
  if [ -z "$resume" ]; then "$forge" run-pipeline $settings --workers 2 --output-dir broken >/dev/null 2>>broken.log & else "$forge" run-pipeline --workers 2 --output-dir broken --resume "$resume" >/dev/null 2>>broken.log & fi
  process=$!
  if [ "$done_kills" -lt "$kills" ]; then
    wait_ms=$(( RANDOM * length / kills * 2 / 32768 + 200 ))
    sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
    if kill -KILL "$process" 2>/dev/null; then
      done_kills=$((done_kills + 1))
      wait "$process" 2>/dev/null || true
      handle=$(ls broken/unified_checkpoints/*.json 2>/dev/null | head -1 || true)
      [ -n "$handle" ] && resume=$handle
      continue
    fi
  fi
  wait "$process"
  break
done
echo "resume: killed $done_kills times"
digest unbroken/run-* >unbroken.digest
digest broken/run-* >broken.digest
if diff unbroken.digest broken.digest; then echo "resume: the same bytes"; else echo "resume: the results differ"; exit 1; fi
