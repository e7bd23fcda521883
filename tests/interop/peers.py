# SPDX-License-Identifier: Apache-2.0
"""What the tests that compare numbers share: the program, its folder and the list of what differs."""
import subprocess
import sys
import warnings
from pathlib import Path

import transformers

FORGE, WORK = sys.argv[1], Path(sys.argv[2])
problems = []
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.simplefilter("ignore")


def forge(*arguments, stdin=None):
    done = subprocess.run([FORGE, *map(str, arguments)], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"forge {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def report(what, value, limit):
    good = value <= limit
    print(f"{'ok  ' if good else 'FAIL'} {what}: {value:.3g} (limit {limit:g})", flush=True)
    if not good:
        problems.append(what)
