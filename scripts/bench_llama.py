#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of forge against llama.cpp on the same GGUF file, in turns, so that both meet the same load.

  scripts/bench_llama.py FORGE MODEL.gguf --python VENV/bin/python --oracle ../shared/oracles/llama_cpp [--rounds 5]

VENV holds llama-cpp-python, built for this machine (pip install --no-binary :all: llama-cpp-python). Prints tokens a
second of each round, and the median of the rounds' ratios with the lowest and the highest. Both use 2 threads' worth of
the machine: give --threads for another number.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def run_json(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("forge")
    parser.add_argument("model")
    parser.add_argument("--python", required=True)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=64)
    a = parser.parse_args()
    environment = dict(os.environ, FORGE_THREADS=str(a.threads))
    ratios = {"pp": [], "tg": []}
    for number in range(a.rounds):
        ours = run_json([a.forge, "bench", a.model, "--json", "--repetitions", "1", "--prompt-tokens",
                         str(a.prompt_tokens), "--new-tokens", str(a.new_tokens)], environment)
        theirs = run_json([a.python, a.oracle, a.model, "--bench", f"{a.prompt_tokens},{a.new_tokens}", "--threads",
                           str(a.threads)])["bench"]
        speeds = {test["test"]: test["tokens_per_second"] for test in ours["tests"]}
        peer = {"pp": theirs[f"pp{a.prompt_tokens}_tokens_per_s"], "tg": theirs[f"tg{a.new_tokens}_tokens_per_s"]}
        for test in ratios:
            ratios[test].append(speeds[test] / peer[test])
        print(f"round {number + 1}: " + ", ".join(
            f"{test} {speeds[test]:.1f} / {peer[test]:.1f} tokens/s" for test in ratios), flush=True)
    load = os.getloadavg()[0]
    for test, values in ratios.items():
        print(f"{test}: {statistics.median(values):.2f} times llama.cpp ({min(values):.2f} to {max(values):.2f}, "
              f"{a.rounds} rounds, {a.threads} threads, load {load:.1f}, kernels {ours['kernels']})")


if __name__ == "__main__":
    main()
