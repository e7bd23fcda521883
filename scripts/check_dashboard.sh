#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Looks at the dashboard in Chromium, during a made-up run and during a real one, and at the chat page of forge serve with
# SmolLM2; installs Chromium, Node and npm with apt and playwright-core with npm where they are missing.
# Usage: check_dashboard.sh BUILD_FOLDER [MODELS_FOLDER]
# Ends with 77 and says so when they cannot be installed because there is no network (or no right to install).
set -euo pipefail
build=$(realpath "$1")
models=${2:-}
shared=$(realpath -m "${FORGE_SHARED:-$(dirname "$0")/../../shared}")
cd "$(dirname "$0")/../tests/dashboard"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

skip() { echo "SKIPPED: the dashboard in Chromium: $1" >&2; exit 77; }
fail() { cat "$log" >&2; echo "error: $1" >&2; exit 4; }

missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
if [ -n "$missing" ]; then
  root=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || skip "cannot install$missing: not root, and there is no sudo"
    root=sudo
  fi
  echo "dashboard: installing$missing"
  reachable=yes
  $root apt-get update -q -o APT::Update::Error-Mode=any >"$log" 2>&1 || reachable=no
  # shellcheck disable=SC2086
  if ! $root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >>"$log" 2>&1; then
    [ "$reachable" = yes ] || skip "cannot install$missing: apt-get reaches no package archive"
    fail "apt-get could not install$missing"
  fi
fi
if ! PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund >"$log" 2>&1; then
  npm ping >/dev/null 2>&1 || skip "cannot install playwright-core: npm reaches no registry"
  fail "npm ci failed in tests/dashboard"
fi
FORGE_DASHBOARD_DEMO="$build/forge_dashboard_demo" node --test dashboard_test.mjs
if [ -n "$models" ]; then FORGE_MODELS_DIR=$(realpath "$models"); export FORGE_MODELS_DIR; fi
FORGE="$build/forge" node --test real_run_test.mjs
chat_model=$shared/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$chat_model" ] || skip "the chat page was not looked at: $chat_model is not there (the dashboard was)"
FORGE="$build/forge" FORGE_CHAT_MODEL="$chat_model" node --test chat_test.mjs
