#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether forge's int8 runtime and llama.cpp say the same on the same ternary GGUF file (Q2_0, TQ2_0, TQ1_0).

  scripts/compare_ternary.py FORGE MODEL.gguf --python VENV/bin/python --oracle ../shared/oracles/llama_cpp \\
      [--tokens 32] [--prompt TEXT]... [--text FILE]

VENV holds llama-cpp-python. After each of 20 prompts llama.cpp writes --tokens greedy tokens. Two figures:
  teacher-forced  places where forge, after llama.cpp's own tokens so far, likes the same next token best
  free-running    places where forge's own continuation has the same token; after the first other one the texts part
and the mean negative log-likelihood of a text (one of 2000 tokens or more, so that roundings average out) by both. Both programs round activations to 8 bits, but over other blocks,
so tokens that are nearly as likely may change places: `gap` is by how many nats forge prefers its own, at most.
Exit 1 if fewer than --min-equal of the places agree (teacher-forced), or the likelihoods differ by more than --max-nll.
"""
import argparse
import json
import subprocess
import sys

PROMPTS = ["Once upon a time", "Question: Tom has 3 apples and buys 4 more. How many apples does he have?\nAnswer:",
           '"""\nWrite a function to add two numbers.\nassert add(1, 2) == 3\n"""\n', "The capital of France is",
           "Lily and Ben went to the park. They saw a big", "def fibonacci(n):", "My favourite thing about the sea is",
           "Question: What is 12 times 4?\nAnswer: 12 times 4 is", "In 1969, two men", "Dear Sir or Madam,\n",
           "The three most important rules of cooking are", "import numpy as np\n", "Photosynthesis is the process by which",
           "She opened the door and", "A triangle has three sides. A square has", "The weather tomorrow will be",
           "List of planets: Mercury, Venus,", "He was born in London in", "To install the program, first",
           "The opposite of hot is"]
TEXT = ("The history of the lighthouse begins with a fire on a hill. People who lived by the sea wanted their boats to come home, "
        "so they burned wood through the night. Later the fire moved into a tower, and glass kept the wind away from it. In 1822 a "
        "French engineer cut lenses into rings, and the light could be seen for twenty miles. Keepers wound the clockwork every four "
        "hours, trimmed the wick, and wrote the weather into a book. Today most towers are empty: a lamp, a sensor and a radio do the "
        "work. Yet visitors still climb the stairs, count the steps, and look out at the water, where ships now steer by satellites. ") * 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forge")
    parser.add_argument("model")
    parser.add_argument("--python", required=True)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--text", help="file whose likelihood is compared; a text of its own without it")
    parser.add_argument("--min-equal", type=float, default=0.95)
    parser.add_argument("--max-nll", type=float, default=0.002)
    a = parser.parse_args()

    def theirs(*arguments):
        return json.loads(subprocess.run([a.python, a.oracle, a.model, *map(str, arguments)], capture_output=True, text=True,
                                         check=True).stdout)

    def scored(ids, activations="int8"):
        done = subprocess.run([a.forge, "score", a.model, "--jsonl", "--top", "1", "--activations", activations],
                              input=json.dumps({"ids": ids}) + "\n", capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    forced = free = compared = whole = 0
    widest = 0.0
    prompts = a.prompt or PROMPTS
    for prompt in prompts:
        answer = theirs("--text", prompt, "--generate", a.tokens)
        start, written = answer["tokens"], answer["greedy_ids"]
        ours = scored(start + written)
        equal = 0
        for i, token in enumerate(written):
            best, log_prob = ours["top"][len(start) - 1 + i][0]
            equal += best == token
            if best != token:
                widest = max(widest, log_prob - ours["logprobs"][len(start) - 1 + i])
        own = json.loads(subprocess.run([a.forge, "generate", a.model, "--prompt", prompt, "--max-new-tokens", str(a.tokens),
                                         "--activations", "int8", "--json"], capture_output=True, text=True, check=True).stdout)
        if own["prompt_tokens"] != len(start):
            sys.exit(f"{prompt!r} has {own['prompt_tokens']} tokens for forge, {len(start)} for llama.cpp")
        same = sum(x == y for x, y in zip(own["token_ids"], written))
        forced, free, compared, whole = forced + equal, free + same, compared + len(written), whole + (same == len(written))
        print(f"{equal} teacher-forced, {same} free-running of {len(written)} after {prompt[:40]!r}", flush=True)
    text = open(a.text, encoding="utf8").read() if a.text else TEXT
    answer = theirs("--text", text)
    their_nll = -answer["sum_logprob"] / len(answer["logprobs"])
    our_nll, exact_nll = (-sum(scored(answer["tokens"], activations)["logprobs"]) / len(answer["logprobs"])
                          for activations in ("int8", "float32"))
    apart = abs(our_nll / their_nll - 1)
    print(f"{forced} of {compared} ({forced / compared:.1%}) teacher-forced, gap at most {widest:.3f} nats; "
          f"{free} ({free / compared:.1%}) free-running, {whole} of {len(prompts)} continuations the same throughout; "
          f"NLL {our_nll:.5f} against {their_nll:.5f} over {len(answer['logprobs'])} tokens, {apart:.3%} apart "
          f"(without rounded activations {exact_nll:.5f})")
    return 0 if forced >= a.min_equal * compared and apart <= a.max_nll else 1


if __name__ == "__main__":
    sys.exit(main())
