#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and memory of forge merge against the real mergekit on the same models and configs, in turns, from files to files.

  scripts/bench_merge.py FORGE --python VENV/bin/python --work FOLDER [--shape smollm2-135m|qwen2.5-1.5b]
                         [--methods linear,slerp,ties,dare_ties,della] [--rounds 3] [--forge-rounds N] [--flags "..."]

VENV holds mergekit (pip install torch==2.13.0 mergekit). FOLDER gets a base and three fine-tunes with random bfloat16
weights of the shape (1.1 or 12.4 GB), once. Both programs use two threads and read the models from the page cache where
the machine's memory allows it. The files are dropped from it first and read from the disk again: a file that was just
written lies there in pages of 4 KiB, one that was read, like a model that a user has had for a while, in large folios. Printed for each method: seconds and peak resident memory of each
round, and the ratio of the medians. With --forge-rounds the slower program may run less often.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

SHAPES = {
    "smollm2-135m": {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                     "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152},
    "qwen2.5-1.5b": {"model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
                     "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936},
}
MAKE = r"""
import json, os, sys
import torch
from safetensors.torch import save_file
config, folder, seed, base = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
kv = config["num_key_value_heads"] * (hidden // heads)
shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
for layer in range(config["num_hidden_layers"]):
    p = f"model.layers.{layer}."
    for name, shape in {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
                        "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
                        "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}.items():
        shapes[p + name + ".weight"] = shape
    if config["model_type"] == "qwen2":
        for name, size in {"q_proj": hidden, "k_proj": kv, "v_proj": kv}.items():
            shapes[p + f"self_attn.{name}.bias"] = (size,)
def draw(generator, shape):
    return torch.randn(shape, generator=generator) * 0.02 + (1 if len(shape) == 1 else 0)
first, own = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed)
tensors = {}
for name, shape in sorted(shapes.items()):
    value = draw(first, shape)
    if seed > 1:
        value += torch.randn(shape, generator=own) * 0.002
    tensors[name] = value.to(torch.bfloat16)
os.makedirs(folder)
save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
architecture = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[config["model_type"]]
json.dump(config | {"architectures": [architecture], "hidden_act": "silu", "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
                    "rope_theta": 1000000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "bos_token_id": 1,
                    "eos_token_id": 2}, open(os.path.join(folder, "config.json"), "w"))
"""


def recipe(method, models):
    base, *others = models
    def listed(items, **parameters):
        return [{"model": m, "parameters": {k: v for k, v in parameters.items()}} for m in items]
    if method == "linear":
        return {"models": listed(others, weight=0.33)}
    if method == "slerp":
        return {"base_model": base, "models": [{"model": base}, {"model": others[0]}], "parameters": {"t": 0.4}}
    if method in ("model_stock",):
        return {"base_model": base, "models": [{"model": m} for m in others]}
    if method in ("karcher",):
        return {"models": [{"model": m} for m in others]}
    if method == "task_arithmetic":
        return {"base_model": base, "models": listed(others, weight=0.4)}
    if method.startswith("della"):
        return {"base_model": base, "models": listed(others, weight=0.4, density=0.5, epsilon=0.1)}
    return {"base_model": base, "models": listed(others, weight=0.4, density=0.3)}


def read_from_disk(models):
    """Brings the models into the page cache by reading them, not by having written them."""
    for model in models:
        descriptor = os.open(os.path.join(model, "model.safetensors"), os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while os.read(descriptor, 1 << 24):
            pass
        os.close(descriptor)


def timed(command, environment):
    """Seconds and peak resident MB of one process."""
    start = time.perf_counter()
    with open("bench_merge.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {process.returncode}\n" + open("bench_merge.log").read()[-2000:])
    return seconds, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forge")
    parser.add_argument("--python", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--shape", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--methods", default="linear,slerp,ties,dare_ties,della")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forge-rounds", type=int, default=0)
    parser.add_argument("--flags", default="", help="more flags for forge merge")
    a = parser.parse_args()
    forge, python = os.path.abspath(a.forge), os.path.abspath(a.python)
    mergekit = os.path.join(os.path.dirname(python), "mergekit-yaml")
    os.makedirs(os.path.join(a.work, a.shape), exist_ok=True)
    os.chdir(os.path.join(a.work, a.shape))
    models = ["base", "math", "code", "stories"]
    for seed, name in enumerate(models, 1):
        if not os.path.exists(os.path.join(name, "config.json")):
            shutil.rmtree(name, ignore_errors=True)
            subprocess.run([python, "-c", MAKE, json.dumps(SHAPES[a.shape]), name, str(seed), "base"], check=True)
    read_from_disk(models)
    environment = dict(os.environ, HF_HUB_OFFLINE="1", FORGE_THREADS="2", OMP_NUM_THREADS="2")
    for method in a.methods.split(","):
        config = {"merge_method": method, "dtype": "bfloat16"} | recipe(method, models)
        with open("config.yml", "w") as out:
            json.dump(config, out)  # JSON is YAML
        ours, theirs = [], []
        for number in range(max(a.rounds, a.forge_rounds)):
            shutil.rmtree("out-forge", ignore_errors=True)
            ours.append(timed([forge, "merge", "config.yml", "out-forge", *a.flags.split()], environment))
            text = f"{method} round {number + 1}: forge {ours[-1][0]:.2f} s, {ours[-1][1]:.0f} MB"
            if number < a.rounds:
                shutil.rmtree("out-mergekit", ignore_errors=True)
                theirs.append(timed([mergekit, "config.yml", "out-mergekit", "--no-copy-tokenizer", "--no-write-model-card",
                                     "--quiet", "-j", "2"], environment))
                text += f"; mergekit {theirs[-1][0]:.2f} s, {theirs[-1][1]:.0f} MB"
            print(text, flush=True)
        fast, slow = (statistics.median(run[0] for run in runs) for runs in (ours, theirs))
        print(f"{method}: {slow / fast:.1f} times as fast ({slow:.1f} s / {fast:.2f} s), peak "
              f"{max(run[1] for run in ours):.0f} MB against {max(run[1] for run in theirs):.0f} MB, {a.shape}, "
              f"load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
