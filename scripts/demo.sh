#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The main job on the starter suite: train base and specialists, evolve, teach to think, compress, report.
set -eu
forge=${1:-build/release/forge}
started=$(date +%s)
"$forge" run-pipeline --output-dir output --models-dir models --seed "${SEED:-1}"
echo "demo: the pipeline took $(( $(date +%s) - started )) s; look again with: $forge dashboard"
