#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether forge and llama.cpp continue texts with the same tokens on the same GGUF file.

  scripts/compare_greedy.py FORGE MODEL.gguf --python VENV/bin/python --oracle ../shared/oracles/llama_cpp \\
      [--tokens 64] [--prompt TEXT]...

VENV holds llama-cpp-python. llama.cpp writes --tokens greedy tokens after each prompt; forge reads prompt and
continuation and says which token it would have written at each place. Where they differ, it prints by how many nats forge
prefers its own: llama.cpp rounds activations to 8 bits for quantized weights, so two tokens that are nearly as likely
may change places. Exit 1 if they differ by more than --tie anywhere.
"""
import argparse
import json
import subprocess
import sys

PROMPTS = ["Once upon a time", "Question: Tom has 3 apples and buys 4 more. How many apples does he have?\nAnswer:",
           '"""\nWrite a function to add two numbers.\nassert add(1, 2) == 3\n"""\n', "The capital of France is",
           "Lily and Ben went to the park. They saw a big", "def fibonacci(n):", "My favourite thing about the sea is",
           "Question: What is 12 times 4?\nAnswer: 12 times 4 is"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forge")
    parser.add_argument("model")
    parser.add_argument("--python", required=True)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--tie", type=float, default=0.15)
    a = parser.parse_args()
    same = compared = 0
    widest = 0.0
    for prompt in a.prompt or PROMPTS:
        theirs = json.loads(subprocess.run(
            [a.python, a.oracle, a.model, "--text", prompt, "--generate", str(a.tokens)], capture_output=True,
            text=True, check=True).stdout)
        start, written = theirs["tokens"], theirs["greedy_ids"]
        line = json.dumps({"ids": start + written})
        ours = json.loads(subprocess.run([a.forge, "score", a.model, "--jsonl", "--top", "1"], input=line + "\n",
                                         capture_output=True, text=True, check=True).stdout)
        first = None
        equal = 0
        for i, token in enumerate(written):
            place = len(start) - 1 + i
            best, log_prob = ours["top"][place][0]
            if best == token:
                equal += 1
                continue
            gap = log_prob - ours["logprobs"][place]
            widest = max(widest, gap)
            if first is None:
                first = f"first difference at token {i}: {gap:.3f} nats"
        same += equal
        compared += len(written)
        print(f"{equal} of {len(written)} the same after {prompt[:40]!r}" + (f"; {first}" if first else ""), flush=True)
    print(f"{same} of {compared} tokens the same; where they differ, forge prefers its own by at most {widest:.3f} nats")
    return 0 if widest <= a.tie else 1


if __name__ == "__main__":
    sys.exit(main())
