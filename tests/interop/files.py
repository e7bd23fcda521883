# SPDX-License-Identifier: Apache-2.0
"""What files.sh runs: random models made by transformers and PEFT, converted by forge, read back by their programs.

For each architecture (Llama with llama3 and with linear positions, Mistral, Qwen2 tied and not, Qwen3):
  1 transformers loads the folder that forge writes (from shards, and from its own GGUF): equal logits, to the bit;
  2 llama.cpp loads the GGUF that forge writes: log-probabilities within 2e-3 (its cache is binary16);
  3 forge runs the folder: log-probabilities within 1e-4 of transformers';
  4 gguf-py reads each block type that forge writes: the values that forge reads, to the bit.
For adapters with rank and alpha patterns, rslora and saved modules:
  5 PEFT's merge_and_unload gives the weights of BASE+ADAPTER, to 2 roundings.
For GGUF files of other programs (below FORGE_SHARED; Llama 2 with SentencePiece, SmolLM2 in Q4_1):
  6 llama.cpp and forge agree with transformers on the folder made of them.
"""
import importlib.metadata
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import peft
import tokenizers
import torch
import transformers
from peers import WORK, forge, problems, report
from safetensors.torch import load_file

NODE = Path(os.environ["FORGE_SHARED"]) / "oracles" / "llama_node.mjs"
# Its keys and values are binary16: each is off by up to 2^-11 of itself, which moves scores of about 2 by 1e-3.
LLAMA_CPP_LIMIT = 2e-3
TEXT = "Once upon a time there was a model that could be read by everyone. "
LONGER = TEXT + "Its weights were 12,345 numbers (more or less); nobody asked how they came to be, and it wrote on & on."


def make_tokenizer():
    """Byte-level BPE as GPT-2's, of 300 tokens."""
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([TEXT * 20], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )


def configs():
    shape = dict(
        vocab_size=304,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.1,
    )
    llama3 = dict(
        rope_type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=64,  # so that the scaling shows in a short text
        rope_theta=500000.0,
    )
    yield "llama3", transformers.LlamaConfig(**shape, head_dim=32, rope_parameters=llama3)
    linear = dict(rope_type="linear", factor=4.0, rope_theta=10000.0)
    yield "linear", transformers.LlamaConfig(**shape, rope_parameters=linear, tie_word_embeddings=True)
    yield "mistral", transformers.MistralConfig(**shape, head_dim=32, sliding_window=None)
    yield "qwen2", transformers.Qwen2Config(**shape, tie_word_embeddings=True)
    yield "qwen2-untied", transformers.Qwen2Config(**shape)
    yield "qwen3", transformers.Qwen3Config(**shape, head_dim=32, tie_word_embeddings=True)


def make_model(config):
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():  # norms and biases that are not 1 and 0
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.5)
    return model


def load(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(what):
            problems.append(f"{folder}: {what} {sorted(map(str, info[what]))}")
    return model.eval()


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids])).logits[0].double()


def log_probabilities(logits, ids):
    return [float(torch.log_softmax(row, -1)[token]) for row, token in zip(logits, ids[1:])]


def largest_difference(a, b):
    if len(a) != len(b):
        return math.inf
    return max(abs(x - y) for x, y in zip(a, b))


def llama_cpp(path, ids):
    command = ["node", NODE, path, "--ids", ",".join(map(str, ids)), "--threads", "1"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        problems.append(f"{path}: {done.stderr.strip()}")
        return []
    return json.loads(done.stdout)["logprobs"]


def check_architecture(name, config, tokenizer):
    model = make_model(config)
    made, ids = WORK / name / "made", tokenizer(LONGER).input_ids
    model.save_pretrained(made, max_shard_size="100KB")
    tokenizer.save_pretrained(made)
    expected = logits_of(model, ids)
    wanted = log_probabilities(expected, ids)

    folder, file, back = WORK / name / "folder", WORK / name / "model.gguf", WORK / name / "back"
    forge("convert", made, folder, "--max-shard-gb", "0.0002")
    report(f"{name}: transformers on forge's folder", float((logits_of(load(folder), ids) - expected).abs().max()), 0)
    forge("convert", made, file)
    forge("convert", file, back)
    report(f"{name}: transformers on forge's GGUF made a folder", float((logits_of(load(back), ids) - expected).abs().max()), 0)
    if config.rope_parameters["rope_type"] != "default":  # else llama.cpp below could not tell it from none
        plain = type(config)(**(config.to_dict() | dict(rope_parameters=dict(rope_type="default", rope_theta=config.rope_parameters["rope_theta"]))))
        unscaled = transformers.AutoModelForCausalLM.from_config(plain, dtype=torch.float32).eval()
        unscaled.load_state_dict(model.state_dict())
        effect = largest_difference(log_probabilities(logits_of(unscaled, ids), ids), wanted)
        report(f"{name}: 1 / effect of the scaling", 1 / effect, 1 / (10 * LLAMA_CPP_LIMIT))
    report(f"{name}: llama.cpp on forge's GGUF", largest_difference(llama_cpp(file, ids), wanted), LLAMA_CPP_LIMIT)
    scored = json.loads(forge("score", made, "--jsonl", stdin=json.dumps({"ids": ids}) + "\n"))
    ours = scored["logprobs"]
    report(f"{name}: forge on the folder", largest_difference(ours, wanted), 1e-4)


def check_block_types(tokenizer):
    made = WORK / "llama3" / "made"
    for kind in ("bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"):
        file, folder = WORK / f"{kind}.gguf", WORK / kind
        forge("convert", made, file, "--type", kind)
        forge("convert", file, folder, "--type", "f32")
        values = load_file(folder / "model.safetensors")
        worst, seen = 0.0, 0
        for tensor in gguf.GGUFReader(file).tensors:
            if not tensor.name.startswith("blk.") or not tensor.name.endswith(("ffn_up.weight", "ffn_down.weight")):
                continue
            theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            layer, part = tensor.name.split(".")[1], "up_proj" if "up" in tensor.name else "down_proj"
            ours = values[f"model.layers.{layer}.mlp.{part}.weight"].numpy()
            worst = max(worst, float(np.abs(theirs.reshape(ours.shape) - ours).max()))
            seen += 1
        report(f"gguf-py on {kind} ({seen} tensors)", worst if seen else math.inf, 0)
        ids = tokenizer(LONGER).input_ids
        wanted = log_probabilities(logits_of(load(folder), ids), ids)
        # llama.cpp rounds activations to 8 bits where weights are blocks: compared by the mean, not by each token
        found = llama_cpp(file, ids)
        mean = abs(sum(found) - sum(wanted)) / len(wanted) if len(found) == len(wanted) else math.inf
        report(f"llama.cpp on {kind}, mean of log-probabilities", mean, 2e-3 if kind == "bf16" else 0.1)


def check_adapters(tokenizer):
    base = WORK / "llama3" / "made"
    cases = {
        "plain": dict(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]),
        "rslora": dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj"], use_rslora=True),
        "patterns": dict(
            r=4,
            lora_alpha=8,
            target_modules=["q_proj", "up_proj", "o_proj"],
            rank_pattern={"layers.1.mlp.up_proj": 6, "up_proj": 2},
            alpha_pattern={"o_proj": 3, "model.layers.0.mlp.up_proj": 5},
        ),
        "saved": dict(r=2, lora_alpha=2, target_modules=["v_proj"], modules_to_save=["lm_head", "norm"]),
    }
    for name, settings in cases.items():
        torch.manual_seed(2)
        model = peft.get_peft_model(load(base), peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_" in parameter_name or "modules_to_save" in parameter_name:
                    parameter.normal_(0, 0.2)
        adapter, merged, ours = WORK / f"{name}-adapter", WORK / f"{name}-merged", WORK / f"{name}-ours"
        model.save_pretrained(adapter)
        model.merge_and_unload().save_pretrained(merged)
        forge("convert", f"{base}+{adapter}", ours, "--type", "f32")
        expected, found = load_file(merged / "model.safetensors"), load_file(ours / "model.safetensors")
        if expected.keys() != found.keys():
            problems.append(f"{name}: other tensors")
        difference = max(float((expected[key] - found[key]).abs().max()) for key in expected)
        largest = max(float(tensor.abs().max()) for tensor in expected.values())
        report(f"PEFT on {name}", difference, 2 * 2**-23 * largest)


def check_foreign_files():
    """GGUF files of other programs: a Llama 2 with SentencePiece vocabulary, and one of karpathy's with its logits."""
    data = Path(os.environ["FORGE_SHARED"]) / "data"
    ids = [1, 403, 407, 261, 378]
    for name, file in {
        "Ollama's llama-2-tiny-random": data / "models/llama2_tiny_random/llama-2-tiny-random.gguf",
        "SmolLM2-135M Q4_1": next((data / "models/smollm2-135m-instruct").glob("*.gguf"), data / "none"),
    }.items():
        if not file.exists():
            print(f"SKIPPED: {file} is not there")
            continue
        folder, copy = WORK / name, WORK / f"{name}.gguf"
        forge("convert", file, folder, "--type", "f32")
        forge("convert", folder, copy, "--type", "f32")
        transformers.AutoTokenizer.from_pretrained(folder)
        wanted = log_probabilities(logits_of(load(folder), ids), ids)
        report(f"{name}: llama.cpp on it made a folder and F32 GGUF", largest_difference(llama_cpp(copy, ids), wanted), 2e-2)
        scored = json.loads(forge("score", file, "--jsonl", "--weights", "f32", stdin=json.dumps({"ids": ids}) + "\n"))
        report(f"{name}: forge on the file", largest_difference(scored["logprobs"], wanted), 2e-4)


def main():
    tokenizer = make_tokenizer()
    print(f"{len(tokenizer(LONGER).input_ids)} tokens each", flush=True)
    for name, config in configs():
        check_architecture(name, config, tokenizer)
    check_block_types(tokenizer)
    check_adapters(tokenizer)
    check_foreign_files()
    for problem in problems:
        print(f"FAIL {problem}", file=sys.stderr)
    print(
        f"tests/interop/files: {'FAIL' if problems else 'ok'} (transformers {transformers.__version__}, "
        f"peft {peft.__version__}, gguf {importlib.metadata.version('gguf')}, torch {torch.__version__})"
    )
    sys.exit(1 if problems else 0)


main()
