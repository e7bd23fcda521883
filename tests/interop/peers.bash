# SPDX-License-Identifier: Apache-2.0
# What the tests here share; each is called with the built program and leaves $work, a folder that is removed at the end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

skip() { # the reason
  echo "SKIPPED: tests/interop/$(basename "$0"): $1" >&2
  exit 77
}

# Sets $python to the interpreter of an environment: the name of its variable, how to get one, modules it must have.
need_python() {
  local module
  [ -n "${!1:-}" ] || skip "$1 is not set; $2"
  python=${!1}/bin/python
  [ -x "$python" ] || skip "$python is not there"
  for module in "${@:3}"; do
    "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" ||
      skip "$python has no $module"
  done
}

if [ $# != 1 ]; then # the comment at the head of the test
  sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"
  exit 2
fi
forge=$(realpath "$1")
export FORGE_SHARED=${FORGE_SHARED:-$here/../../../shared}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
