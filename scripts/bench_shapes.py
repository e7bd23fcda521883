#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The speed table: forge against llama.cpp on random ternary models of real shapes and on real GGUF files.

  scripts/bench_shapes.py FORGE --python VENV/bin/python --oracle ../shared/oracles/llama_cpp \\
      [--gguf MODEL.gguf ...] [--pack="--codes base-27 --embeddings q8_rotated"] [--work-dir DIR] [--out TABLE.json]

For each shape forge writes the GGUF file (TQ2_0 where rows fill blocks of 256, else Q4_0) and packs it; a real file is
packed as it is, or as --pack says. Then, in each round, in an order that turns, run llama.cpp on the GGUF file (keys
and values in F16, its own choice) and forge on the packed one, with each of --targets: a prompt of 512 tokens, 32
tokens one by one, and 16 sequences of 32 at once (forge only). Prints a table in Markdown: medians over the rounds, of
forge / llama.cpp the median of the rounds' ratios with the lowest and the highest; --out gets everything as JSON.
Files are kept in the work folder and used again; --fresh writes them anew. Needs 3 GB of disk and 3 GB of memory; five
rounds take about half an hour on two idle cores. VENV: see bench_llama.py.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

from bench_llama import Failed, add_flags, run_forge, run_json, run_llama, speeds_of

SHAPES = ["qwen2.5-1.5b", "bitnet-2b4t", "smollm2-135m"]


def machine_targets():
    """Those of forge's targets that this processor has, the fastest first."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return [target for target, flag in (("avx512", "avx512_vnni"), ("avx2", "avx2")) if flag in flags]


def make_files(a):
    """[(name, GGUF file, packed file)]"""
    folder = pathlib.Path(a.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    for shape in a.shapes:
        gguf = folder / f"{shape}-{a.random_embeddings}.gguf"
        if a.fresh or not gguf.exists():
            gguf.unlink(missing_ok=True)
            run_json([a.forge, "bench", "--random-shape", shape, "--random-embeddings", a.random_embeddings,
                      "--write-gguf", str(gguf), "--json"])
        models.append((f"{shape}, {a.random_embeddings.upper()} head", gguf))
    models += [(pathlib.Path(path).name, pathlib.Path(path)) for path in a.gguf]
    packed = []
    for name, gguf in models:
        forge_file = folder / ("".join([gguf.stem, *a.pack.split()]) + ".forge")
        if a.fresh or not forge_file.exists() or forge_file.stat().st_mtime < gguf.stat().st_mtime:
            forge_file.unlink(missing_ok=True)
            run_json([a.forge, "pack", str(gguf), str(forge_file), *a.pack.split(), "--json"])
        packed.append((" ".join([name, *a.pack.split()]), str(gguf), str(forge_file)))
    return packed


def measure(a, name, gguf, packed):
    """The rounds of one model: {"llama.cpp": [speeds], target: [JSON of forge bench]}"""
    rounds = {"llama.cpp": [], **{target: [] for target in a.targets}}
    for number in range(a.rounds):
        programs = list(rounds)
        for program in programs[number % len(programs):] + programs[:number % len(programs)]:
            if program == "llama.cpp":
                rounds[program].append(run_llama(a, gguf, "f16"))
            else:
                rounds[program].append(run_forge(a, packed, program))
        latest = {program: speeds_of(runs[-1]) if program != "llama.cpp" else runs[-1]
                  for program, runs in rounds.items()}
        print(f"{name}, round {number + 1}: " + "; ".join(
            f"{program} pp {speeds['pp']:.1f}, tg {speeds['tg']:.1f}" for program, speeds in latest.items()),
            file=sys.stderr, flush=True)
    return rounds


def summarize(name, rounds):
    """One row for each program."""
    peers = rounds["llama.cpp"]
    rows = [{"model": name, "program": "llama.cpp", **{
        test: {"median": statistics.median(speeds[test] for speeds in peers)} for test in ("pp", "tg")}}]
    for target, runs in rounds.items():
        if target == "llama.cpp":
            continue
        row = {"model": name, "program": f"forge, {runs[0]['kernels']}"}
        for test in ("pp", "tg"):
            speeds = [speeds_of(run)[test] for run in runs]
            ratios = [ours / theirs[test] for ours, theirs in zip(speeds, peers)]
            row[test] = {"median": statistics.median(speeds), "ratio": statistics.median(ratios),
                         "lowest_ratio": min(ratios), "highest_ratio": max(ratios)}
        for key in ("prefill_peak_share", "decode_bandwidth_share", "batch16_tokens_per_second", "batch16_peak_share",
                    "rss_mb"):
            row[key] = statistics.median(run[key] for run in runs)
        row["weights_mb"] = runs[0]["weight_bytes"] * 1e-6
        rows.append(row)
    return rows


def as_markdown(rows):
    def speed(cell):
        text = f"{cell['median']:.1f}"
        if "ratio" in cell:
            text += f" ({cell['ratio']:.2f}x, {cell['lowest_ratio']:.2f} to {cell['highest_ratio']:.2f})"
        return text

    lines = ["| model | program | prefill, tokens/s | of the int8 peak | decode, tokens/s | of the bandwidth "
             "| batch of 16, tokens/s | of the peak | MB in memory (weights) |",
             "|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row["model"], row["program"], speed(row["pp"]), "", speed(row["tg"]), "", "", "", ""]
        if "rss_mb" in row:
            cells[3] = f"{100 * row['prefill_peak_share']:.0f} %"
            cells[5] = f"{100 * row['decode_bandwidth_share']:.0f} %"
            cells[6] = f"{row['batch16_tokens_per_second']:.1f}"
            cells[7] = f"{100 * row['batch16_peak_share']:.0f} %"
            cells[8] = f"{row['rss_mb']:.0f} ({row['weights_mb']:.0f})"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forge")
    add_flags(parser)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--shapes", nargs="*", default=SHAPES)
    parser.add_argument("--random-embeddings", default="q8_0", choices=["f16", "q8_0", "q4_0"])
    parser.add_argument("--gguf", nargs="*", default=[], help="real files, measured too")
    parser.add_argument("--targets", nargs="+", default=machine_targets(), choices=["avx512", "avx2", "scalar"])
    parser.add_argument("--pack", default="", help="flags of forge pack, as one argument")
    parser.add_argument("--work-dir", default="/tmp/forge-bench-shapes")
    parser.add_argument("--fresh", action="store_true", help="write the random models and packed files anew")
    parser.add_argument("--out", help="file for everything that was measured, as JSON")
    return parser.parse_args()


def main():
    a = parse_arguments()
    rows, everything = [], {}
    for name, gguf, packed in make_files(a):
        everything[name] = measure(a, name, gguf, packed)
        rows += summarize(name, everything[name])
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(as_markdown(rows))
    print(f"\n{a.rounds} rounds in turns, {a.threads} threads, load at the end {os.getloadavg()[0]:.1f}, revision "
          f"{revision}; prompt {a.prompt_tokens}, {a.new_tokens} new tokens; llama.cpp with keys and values in F16.")
    if a.out:
        pathlib.Path(a.out).write_text(json.dumps({"rows": rows, "rounds": everything, "revision": revision}, indent=1))


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"error: {failed}")
