#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of forge against llama.cpp on the same GGUF file, in turns, so that both meet the same load.

  scripts/bench_llama.py FORGE MODEL.gguf --python VENV/bin/python --oracle ../shared/oracles/llama_cpp [--rounds 5]

VENV holds llama-cpp-python, built for this machine (pip install --no-binary :all: llama-cpp-python). Prints tokens a
second of each round, and the median of the rounds' ratios with the lowest and the highest. Both use 2 threads' worth of
the machine: give --threads for another number. scripts/bench_shapes.py makes a table of several models.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


class Failed(Exception):
    """A program that ended with an error."""


def run_json(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def add_flags(parser):
    """What every comparison needs."""
    parser.add_argument("--python", required=True, help="interpreter that has llama-cpp-python")
    parser.add_argument("--oracle", required=True, help="the script shared/oracles/llama_cpp")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=512)


def run_forge(a, model, target=None):
    """What forge bench measures, as its JSON."""
    environment = dict(os.environ, FORGE_THREADS=str(a.threads))
    if target:
        environment["FORGE_FORCE_TARGET"] = target
    return run_json([a.forge, "bench", model, "--json", "--repetitions", "1", "--prompt-tokens", str(a.prompt_tokens),
                     "--new-tokens", str(a.new_tokens)], environment)


def run_llama(a, model, keys_and_values="f32"):
    """Tokens a second of llama.cpp: {"pp": prefill, "tg": decode}."""
    speeds = run_json([a.python, a.oracle, model, "--bench", f"{a.prompt_tokens},{a.new_tokens}", "--threads",
                       str(a.threads), "--kv", keys_and_values])["bench"]
    return {"pp": speeds[f"pp{a.prompt_tokens}_tokens_per_s"], "tg": speeds[f"tg{a.new_tokens}_tokens_per_s"]}


def speeds_of(ours):
    """The same of forge bench's JSON, and "tg by 16, "."""
    return {test["test"]: test["tokens_per_second"] for test in ours["tests"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("forge")
    parser.add_argument("model")
    add_flags(parser)
    parser.add_argument("--new-tokens", type=int, default=64)
    a = parser.parse_args()
    ratios = {"pp": [], "tg": []}
    for number in range(a.rounds):
        ours = run_forge(a, a.model)
        peer, speeds = run_llama(a, a.model), speeds_of(ours)
        for test in ratios:
            ratios[test].append(speeds[test] / peer[test])
        print(f"round {number + 1}: " + ", ".join(
            f"{test} {speeds[test]:.1f} / {peer[test]:.1f} tokens/s" for test in ratios), flush=True)
    load = os.getloadavg()[0]
    for test, values in ratios.items():
        print(f"{test}: {statistics.median(values):.2f} times llama.cpp ({min(values):.2f} to {max(values):.2f}, "
              f"{a.rounds} rounds, {a.threads} threads, load {load:.1f}, kernels {ours['kernels']})")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"error: {failed}")
