#!/usr/bin/env bash
# Writes src/text/unicode_ranges.inc: which code points are letters (L*), numbers (N*) and White_Space.
# Needs python3 and the package registry; run it only to move to another version of Unicode.
#   scripts/make_unicode_ranges.sh [unicodedata2 version, default 16.0.0]
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-16.0.0}
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet "unicodedata2==$version"
"$venv/bin/python" - >src/text/unicode_ranges.inc <<'PYTHON'
import unicodedata2 as unicode

# White_Space of PropList.txt: the separators and seven controls.
CONTROLS = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85}


def class_of(code):
    category = unicode.category(chr(code))
    if category[0] in "LN":
        return "kLetter" if category[0] == "L" else "kNumber"
    return "kSpace" if category[0] == "Z" or code in CONTROLS else None


print("// Unicode %s, written by scripts/make_unicode_ranges.sh: first, last, class." % unicode.unidata_version)
start = 0
for code in range(1, 0x110001):
    now = class_of(code) if code < 0x110000 else None
    if now == class_of(start):
        continue
    if class_of(start):
        print("{0x%x, 0x%x, CharacterClass::%s}," % (start, code - 1, class_of(start)))
    start = code
PYTHON
