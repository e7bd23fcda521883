#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each device of forge evo saves, and what it costs in score, on starter suites of several seeds.

Usage: ablate_search.py FORGE FOLDER SEED...
FOLDER gets models<seed> (forge starter --seed) unless they are there, and the runs. Prints a table: test score and cost (in
evaluations of all search items by the task's metric) by setting and seed."""
import json
import pathlib
import subprocess
import sys
import tempfile

SETTINGS = [
    ("every proposal by the task", "--guide task"),
    ("likelihood of 64 items first", ""),
    ("+ race", "--race"),
    ("+ surrogate", "--surrogate"),
    ("+ ability", "--estimate ability"),
    ("+ ternary likelihood, weight 0.1", "--ternary-weight 0.1"),
    ("+ items by information", "--item-order information"),
    ("likelihood of 24 items, 60 proposals, 1 promoted", "--evaluations 60 --guide-items 24 --promoted 1"),
    ("random, likelihood first", "--algorithm random"),
    ("random + race", "--algorithm random --race"),
]


def run(forge, folder, seed, flags):
    models = folder / f"models{seed}"
    parents = ",".join(str(models / name) for name in ("math", "code", "structured"))
    with tempfile.TemporaryDirectory(dir=folder) as output:
        command = [forge, "evo", "--base-models", parents, "--seed", str(seed), "--output-dir", output, "--json"]
        done = subprocess.run(command + flags.split(), capture_output=True, text=True)
    if done.returncode > 1:  # 1: no gain
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    forge, folder, seeds = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        models = folder / f"models{seed}"
        if not (models / "structured").exists():
            subprocess.run([forge, "starter", "--seed", seed, "--out", str(models)], capture_output=True, check=False)
    print("| setting | " + " | ".join(f"seed {seed}" for seed in seeds) + " | cost | tokens |")
    print("|---|" + "---|" * (len(seeds) + 2))
    for name, flags in SETTINGS:
        results = [run(forge, folder, seed, flags) for seed in seeds]
        costs = [result["cost"]["full_evaluation_equivalents"] for result in results]
        tokens = [result["cost"]["tokens"] for result in results]
        scores = " | ".join(f"{result['champion_score']:.3f}" for result in results)
        print(f"| {name} | {scores} | {min(costs):.1f} to {max(costs):.1f} | {min(tokens):,} to {max(tokens):,} |", flush=True)


main()
