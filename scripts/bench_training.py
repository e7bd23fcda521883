# SPDX-License-Identifier: Apache-2.0
"""What bench_training.sh runs. Every round starts the plain loop and forge in f32 and bf16, each as a process of its
own that trains 2 x 256 tokens a step on THREADS (default 2) threads; reported are medians over the rounds, and the ratio of each round,
because other programs may use the same cores. A step's time is the median of its run, without the first step.

  plain loop   transformers' model in float32, loss on every token, torch.optim.AdamW, defaults
  gemm         2 m k n / time of the best of 30 products 512 x 576 x 1536, by torch.mm and by oneDNN
  share        of the products of a step (6 * weights * tokens and the attention) at that rate
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROWS, LENGTH, STEPS = 2, 256, 4
THREADS = int(os.environ.get("THREADS", "2"))


def plain_loop(model_folder, data):
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    rates = {}
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        x, w = torch.randn(512, 576, dtype=dtype), torch.randn(1536, 576, dtype=dtype)
        products = [lambda: torch.mm(x, w.t())]
        if dtype == torch.float32 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            products.append(lambda: torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], ""))
        for label, product in zip(("mm", "onednn"), products):
            times = []
            for _ in range(30):
                start = time.perf_counter()
                product()
                times.append(time.perf_counter() - start)
            rates[f"{name} {label}"] = 2 * 512 * 576 * 1536 / min(times) / 1e9
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    model.train()
    ids = torch.tensor(tokenizer(open(data).read()[:200_000])["input_ids"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    times = []
    for step in range(STEPS):
        start = time.perf_counter()
        first = step * ROWS * LENGTH
        batch = ids[first : first + ROWS * LENGTH].view(ROWS, LENGTH)
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    config = model.config
    weights = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    attention = 12 * config.num_hidden_layers * config.hidden_size * LENGTH  # each token sees LENGTH / 2, 6 products
    print(
        json.dumps(
            {
                "tokens_per_second": ROWS * LENGTH / statistics.median(times[1:]),
                "gemm": rates,
                "flops_per_token": 6 * weights + attention // 2,
                "loss": loss.item(),
            }
        )
    )


def run(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "FORGE_THREADS": str(THREADS)})
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(done.stdout)
    result["cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result


def main(forge, model, data, rounds):
    runs = {"plain": [], "f32": [], "bf16": []}
    for number in range(rounds):
        for name in runs:
            with tempfile.TemporaryDirectory() as folder:
                command = [forge, "train", model, "--data", data, "--out", folder + "/out", "--full", "--json"]
                command += ["--steps", str(STEPS), "--batch-tokens", str(ROWS * LENGTH), "--precision", name]
                command += ["--sequence-length", str(LENGTH), "--device", "cpu"]
                if name == "plain":
                    command = [sys.executable, __file__, "--plain", model, data]
                runs[name].append(run(command))
        load = os.getloadavg()[0]
        print(f"round {number + 1}: load {load:.1f}", *(f"{name} {runs[name][-1]['tokens_per_second']:.0f}" for name in runs),
              flush=True)
    flops = runs["plain"][0]["flops_per_token"]
    gemm = {key: max(r["gemm"][key] for r in runs["plain"]) for key in runs["plain"][0]["gemm"]}
    print(f"gemm, GFLOP/s on {THREADS} threads:", ", ".join(f"{key} {value:.0f}" for key, value in gemm.items()))
    for name, results in runs.items():
        speeds = [r["tokens_per_second"] for r in results]
        ratios = [mine / other["tokens_per_second"] for mine, other in zip(speeds, runs["plain"])]
        best = max(value for key, value in gemm.items() if key.startswith("bf16" if name == "bf16" else "f32"))
        print(
            f"{name}: {statistics.median(speeds):.1f} tokens/s (median), {statistics.median(ratios):.2f}x the plain loop "
            f"({min(ratios):.2f} to {max(ratios):.2f}), fastest {max(speeds):.1f} = "
            f"{100 * max(speeds) * flops / best / 1e9:.0f} % of the gemm rate"
        )


if __name__ == "__main__":
    if sys.argv[1] == "--plain":
        plain_loop(sys.argv[2], sys.argv[3])
    else:
        main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
