# SPDX-License-Identifier: Apache-2.0
"""The timing of scripts/bench_tokenizer.sh, which says what is compared: bench_tokenizer.py FORGE FOLDER"""
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402 (reads the environment)

TARGET_BYTES = 20_000_000
GENERATED_BYTES = 3_500_000  # of letters that the English texts lack
TEXTS = """text/tinyshakespeare.txt text/tinystories_train_2MiB.txt text/wikitext2_tok_valid.txt
text/cs336_corpus_en.txt eval/gsm8k/train.jsonl eval/math/test.jsonl eval/code/humaneval_cpp.jsonl
eval/code/mbpp.jsonl eval/choice/arc_easy_test.jsonl eval/choice/boolq_val.jsonl""".split()
# First and last letter, longest word: Cyrillic, Chinese, Hiragana, Arabic, Devanagari, Hangul, Thai, Greek, accents.
SCRIPTS = [(0x430, 0x44F, 6), (0x4E00, 0x9FFF, 12), (0x3041, 0x3096, 8), (0x620, 0x64A, 5), (0x905, 0x939, 4),
           (0xAC00, 0xD7A3, 3), (0xE01, 0xE2E, 8), (0x3B1, 0x3C9, 6), (0xE0, 0xFF, 5)]


def generated_line(rng):
    first, last, longest = rng.choice(SCRIPTS)
    word = lambda: "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, longest)))
    return " ".join(word() for _ in range(rng.randint(3, 20)))


def mixed_lines(data):
    rng = random.Random(7)
    lines = []
    for name in TEXTS:
        if (data / name).exists():
            lines += (data / name).read_text(encoding="utf-8").split("\n")
        else:
            print(f"bench_tokenizer: {data / name} is not there; left out", file=sys.stderr)
    size = 0
    wanted = max(GENERATED_BYTES, TARGET_BYTES - sum(len(line.encode()) for line in lines))
    while size < wanted:
        lines.append(generated_line(rng))
        size += len(lines[-1].encode())
    rng.shuffle(lines)
    return lines


def tokenizer_files(data, bench):
    """Name, what forge reads, what Hugging Face reads."""
    shared = data / "tokenizers"
    files = [("Qwen2.5", shared / "qwen2.5/tokenizer.json", shared / "qwen2.5/tokenizer.json"),
             ("SmolLM2", shared / "smollm2/tokenizer.json", shared / "smollm2/tokenizer.json"),
             ("Llama-3", bench / "llama3/tokenizer.json", bench / "llama3/tokenizer.json")]
    if (shared / "gpt2/vocab.json").exists():
        gpt2 = Tokenizer(models.BPE.from_file(str(shared / "gpt2/vocab.json"), str(shared / "gpt2/merges.txt")))
        gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        gpt2.decoder = decoders.ByteLevel()
        gpt2.add_special_tokens(["<|endoftext|>"])
        gpt2.save(str(bench / "gpt2.json"))
    files.append(("GPT-2", shared / "gpt2", bench / "gpt2.json"))
    if (shared / "llama2/tokenizer.json").exists():
        # Hugging Face refuses three merges of this file, of tokens of plain spaces, which no text can have.
        llama2 = json.loads((shared / "llama2/tokenizer.json").read_text(encoding="utf-8"))
        llama2["model"]["merges"] = [m for m in llama2["model"]["merges"] if m.count(" ") == 1]
        (bench / "llama2.json").write_text(json.dumps(llama2), encoding="utf-8")
    files.append(("Llama-2", shared / "llama2/tokenizer.json", bench / "llama2.json"))
    return files


def run_forge(forge, tokenizer, jsonl, answers):
    """Seconds of the whole command."""
    with open(jsonl, "rb") as source, open(answers, "wb") as target:
        start = time.perf_counter()
        subprocess.run([forge, "tokenize", str(tokenizer), "--jsonl"], stdin=source, stdout=target, check=True)
        return time.perf_counter() - start


def main():
    forge, bench = sys.argv[1], Path(sys.argv[2])
    data = Path(os.environ["FORGE_SHARED"]) / "data"
    rounds = int(os.environ.get("ROUNDS", "3"))
    lines = mixed_lines(data)
    size = sum(len(line.encode()) for line in lines) / 1e6
    jsonl, answers = bench / "text.jsonl", bench / "answers.jsonl"
    jsonl.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"{size:.1f} MB in {len(lines)} lines, {rounds} rounds, medians")
    print(f"{'tokenizer':10} {'forge MB/s':>11} {'tokenizers MB/s':>16} {'ratio':>7}   ids")
    failed = False
    for name, ours, theirs in tokenizer_files(data, bench):
        if not ours.exists() or not theirs.exists():
            print(f"{name:10} left out: {ours} is not there")
            continue
        reference = Tokenizer.from_file(str(theirs))
        seconds, ratios = [], []
        for _ in range(rounds):
            own = run_forge(forge, ours, jsonl, answers)
            start = time.perf_counter()
            encodings = reference.encode_batch(lines, add_special_tokens=False)
            other = time.perf_counter() - start
            seconds.append((own, other))
            ratios.append(other / own)
        with open(answers, encoding="utf-8") as file:
            wrong = sum(json.loads(line) != encoding.ids for line, encoding in zip(file, encodings, strict=True))
        failed = failed or wrong > 0
        own, other = (statistics.median(column) for column in zip(*seconds))
        verdict = "all equal" if wrong == 0 else f"{wrong} lines differ"
        print(f"{name:10} {size / own:11.1f} {size / other:16.2f} {statistics.median(ratios):7.1f}   {verdict}",
              flush=True)
    sys.exit(1 if failed else 0)


main()
