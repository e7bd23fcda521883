#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The cache held against huggingface_hub: each finds what the other pulled (tests/interop/hub.py says what is checked).
# usage: hub.sh FORGE     FORGE is the built program
#   FORGE_ORACLES  a folder whose bin/python has huggingface_hub (FORGE_SHARED/oracles/setup makes one)
# exit: 0 all well, 1 something differs, 77 skipped because a peer is missing (it says which)
source "$(dirname "$0")/peers.bash"
need_python FORGE_ORACLES "make it with FORGE_SHARED/oracles/setup" huggingface_hub
"$python" "$here/hub.py" "$forge" "$work"
