#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# forge serve held against the openai package, every row of FORGE_SHARED/oracles/openai_client, the extras too; and, where
# lm-evaluation-harness is there, the log-likelihoods that it gets from the server against transformers on the same weights.
# usage: openai.sh FORGE     FORGE is the built program
#   FORGE_ORACLES  a folder made by FORGE_SHARED/oracles/setup
#   FORGE_SHARED   default: ../shared beside the source tree
# exit: 0 all equal, 1 something differs, 77 skipped because a peer is missing (it says which)
source "$(dirname "$0")/peers.bash"
need_python FORGE_ORACLES "make it with FORGE_SHARED/oracles/setup" openai httpx
oracles=$FORGE_SHARED/oracles
gguf=$FORGE_SHARED/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$oracles/openai_client" ] || skip "$oracles/openai_client is not there"
[ -f "$gguf" ] || skip "$gguf is not there"
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

# Sets $port and $server. Arguments: the model, more flags.
serve() {
  : >"$work/serve.json" # there before the server, which opens it in the background
  "$forge" serve "$1" --port 0 --json "${@:2}" >"$work/serve.json" 2>"$work/serve.log" &
  server=$!
  for _ in $(seq 300); do
    port=$(sed -n 's/^ *"port": \([0-9]*\).*/\1/p' "$work/serve.json")
    [ -z "$port" ] || return 0
    kill -0 "$server" 2>/dev/null || { cat "$work/serve.log"; exit 1; }
    sleep 0.1
  done
  echo "the server does not start"
  exit 1
}
stop() { kill "$server"; wait "$server"; server=""; } # its exit code must be 0

serve "$gguf" --api-key k
"$python" "$oracles/openai_client" --base-url "http://127.0.0.1:$port/v1" --api-key k --json "$work/rows.json"
"$python" - "$work/rows.json" <<'EOF'
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
missing = [row["check"] for row in rows if row["verdict"] != "pass"]
sys.exit(f"not passed: {missing}" if missing else 0)
EOF
stop

"$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('lm_eval') is None)" || exit 0
"$forge" convert "$gguf" "$work/model" --type f32 >/dev/null 2>&1
serve "$work/model"
name=$(sed -n 's/^ *"model": "\(.*\)",*$/\1/p' "$work/serve.json")
"$python" "$oracles/lm_eval_run" --base-url "http://127.0.0.1:$port/v1" --tokenizer "$work/model" --model-name "$name" \
  --tasks forge_arc_easy --limit 12 --items "$work/served.json"
stop
"$python" "$oracles/lm_eval_run" --hf "$work/model" --tasks forge_arc_easy --limit 12 --items "$work/transformers.json"
"$python" - "$work/served.json" "$work/transformers.json" <<'EOF'
import json, sys
ours, theirs = (json.load(open(name)) for name in sys.argv[1:])
assert len(ours) == len(theirs) == 12
worst = max(abs(x - y) for a, b in zip(ours, theirs) for x, y in zip(a["loglikelihood"], b["loglikelihood"]))
print(f"largest difference of a log-likelihood: {worst:.2g}")
# Sums of up to 40 float32 log-probabilities, each within 1e-4 (Engines.GiveTheSameLogProbs).
sys.exit(worst > 4e-3 or any(a["acc"] != b["acc"] or a["acc_norm"] != b["acc_norm"] for a, b in zip(ours, theirs)))
EOF
