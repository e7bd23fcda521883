# SPDX-License-Identifier: Apache-2.0
"""What ternary.sh runs: random models of arch llama and qwen2, compressed by forge in every form.

For Q2_0, TQ2_0 and TQ1_0:
  1 llama.cpp's quantiser makes of forge's F16 export the bytes that forge wrote, for every linear;
  2 llama.cpp loads forge's file: mean log-probability as forge's int8 runtime has it;
  3 the packed file gives the log-probabilities of the GGUF file, to the last digit.
For the bitnet folder:
  4 transformers_load finds every tensor, and the log-probabilities of forge on the same folder.
"""
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import torch
import transformers
from peers import WORK, forge, problems, report

ORACLES = Path(os.environ["FORGE_SHARED"]) / "oracles"
LLAMA_PYTHON = Path(os.environ["FORGE_LLAMA_CPP"]) / "bin" / "python"
IDS = [(7 * i + i * i) % 250 for i in range(200)]
SHAPE = dict(vocab_size=264, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=4096, initializer_range=0.08, tie_word_embeddings=True)


def make_model(name, config):
    """Random weights, and a tokenizer of single bytes."""
    torch.manual_seed(1)
    folder = WORK / name / "made"
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    document = {"version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None,
                "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(byte_characters())}, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def byte_characters():
    """The characters that stand for the 256 bytes in byte-level BPE (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    table = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [table[b] for b in range(256)]


def oracle(script, python, *arguments):
    done = subprocess.run([python, ORACLES / script, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        problems.append(f"{script} {arguments[0]}: {done.stderr.strip()[-300:]}")
    start = done.stdout.find("{")
    return json.loads(done.stdout[start:]) if start >= 0 else {}


def scores(path, *flags):
    return json.loads(forge("score", path, "--jsonl", *flags, stdin=json.dumps({"ids": IDS}) + "\n"))["logprobs"]


def linears(path):
    """name -> (type, bytes) of the 2-D tensors of the layers. The gguf package 0.19 does not know Q2_0 (42)."""
    data, at = path.read_bytes(), 4
    block = {35: (256, 66), 34: (256, 54), 42: (64, 18)}

    def number(form):
        nonlocal at
        at += struct.calcsize(form)
        return struct.unpack_from("<" + form, data, at - struct.calcsize(form))[0]

    def text():
        nonlocal at
        length = number("Q")
        at += length
        return data[at - length:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, count = number("I"), number("Q")
            return [value(kind) for _ in range(count)]
        return number("BbHhIif?..QqD"[kind].lower() if kind == 12 else "BbHhIif?..Qq"[kind])

    _, count, keys = number("I"), number("Q"), number("Q")
    for _ in range(keys):
        text(), value(number("I"))
    infos = [(text(), [number("Q") for _ in range(number("I"))], number("I"), number("Q")) for _ in range(count)]
    start, found = -(-at // 32) * 32, {}
    for name, shape, kind, offset in infos:
        if name.startswith("blk.") and len(shape) == 2 and kind in block:
            elements, size = block[kind]
            found[name] = (kind, data[start + offset:start + offset + shape[0] * shape[1] // elements * size])
    return found


def check_type(name, made, kind, text):
    out = WORK / name / kind
    forge("compress", "--input-model", made, "--training-steps", 0, "--method", "nearest", "--export-type", kind,
          "--also-export", "f16,hf-bitnet,packed", "--calibration-dataset", text, "--calibration-samples", 8,
          "--output-dir", out, "--output-model", out / "model.gguf")
    folder = next(out.glob("*/compress"))
    file, theirs = out / "model.gguf", out / "theirs.gguf"
    oracle("llama_cpp", LLAMA_PYTHON, folder / "model.f16.gguf", "--quantize", kind.upper(), "--out", theirs)
    ours, made_by_them = linears(file), linears(theirs)
    same = sum(made_by_them.get(name) == tensor for name, tensor in ours.items())
    report(f"{name} {kind}: linears of {len(ours)} that llama.cpp quantises to other bytes",
           len(ours) - same if len(ours) == 14 else 99, 0)
    int8 = scores(file, "--activations", "int8")
    found = oracle("llama_cpp", LLAMA_PYTHON, file, "--ids", ",".join(map(str, IDS))).get("logprobs", [])
    apart = abs(sum(found) / sum(int8) - 1) if len(found) == len(int8) else 99
    report(f"{name} {kind}: relative difference of llama.cpp's mean log-probability", apart, 2e-3)
    packed = scores(folder / "model.forge")
    report(f"{name} {kind}: packed file", max(abs(x - y) for x, y in zip(packed, int8, strict=True)), 0)
    return folder / "hf_bitnet"


def check_bitnet(name, folder):
    found = oracle("transformers_load", sys.executable, folder, "--ids", ",".join(map(str, IDS)))
    for what in ("missing_keys", "unexpected_keys"):
        if found.get(what):
            problems.append(f"{folder}: {what} {found[what]}")
    ours = sum(scores(folder))
    # transformers rounds activations to 8 bits for each token, and works in the folder's bfloat16
    report(f"{name}: transformers on the bitnet folder, relative difference of log-probability",
           abs(found.get("sum_logprob", 1e9) / ours - 1), 1e-2)


def main():
    text = WORK / "text.txt"
    text.write_text("".join(f"Once upon a time there were {i} models, and {i * i} people read number {i % 7}. " for i in range(400)))
    for name, config in {"llama": transformers.LlamaConfig(**SHAPE), "qwen2": transformers.Qwen2Config(**SHAPE)}.items():
        made = make_model(name, config)
        for kind in ("q2_0", "tq2_0", "tq1_0"):
            folder = check_type(name, made, kind, text)
        check_bitnet(name, folder)
    for problem in problems:
        print(f"FAIL {problem}", file=sys.stderr)
    print(f"tests/interop/ternary: {'FAIL' if problems else 'ok'} (transformers {transformers.__version__})")
    sys.exit(1 if problems else 0)


main()
