#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzzers with ASan and UBSan and runs each for SECONDS, two at a time, from inputs that forge_fuzz_corpus
# makes. An input that crashes, hangs for 5 s or takes 1 GiB is left in build/fuzz/crashes. Exit 77: no clang here.
# FORGE_FUZZ_SEED (default: another one each time) makes the inputs of a fresh build folder the same each time.
# usage: scripts/fuzz.sh [SECONDS] [FUZZER...]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
if ! command -v clang++ >/dev/null || ! echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
  clang++ -x c++ -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null; then
  echo "SKIPPED: the fuzzers need clang++ with libFuzzer (Debian: clang libclang-rt-14-dev)" >&2
  exit 77
fi
mkdir -p build
cmake --preset fuzz >build/fuzz.configure.log 2>&1 || { cat build/fuzz.configure.log; exit 1; }
fuzzers=("$@")
if [ ${#fuzzers[@]} = 0 ]; then
  for source in tests/fuzz/*_fuzzer.cc; do
    name=$(basename "$source" _fuzzer.cc)
    fuzzers+=("$name")
  done
fi
targets=(forge_fuzz_corpus)
for name in "${fuzzers[@]}"; do targets+=("forge_${name}_fuzzer"); done
cmake --build build/fuzz --target "${targets[@]}"
cd build/fuzz
rm -rf seeds && ./forge_fuzz_corpus seeds
mkdir -p corpus crashes
run() {
  mkdir -p "corpus/$1" "seeds/$1"
  local log=$1.log
  if ./forge_"$1"_fuzzer -max_total_time="$2" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
    -seed="${FORGE_FUZZ_SEED:-0}" -artifact_prefix="crashes/$1-" "corpus/$1" "seeds/$1" >"$log" 2>&1; then
    echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $2 s, none failed"
  else
    echo "$1: FAILED"
    tail -40 "$log"
    return 1
  fi
}
export -f run
printf '%s\n' "${fuzzers[@]}" | xargs -P 2 -I{} bash -c 'run {} '"$seconds"
