# SPDX-License-Identifier: Apache-2.0
"""Runs forge eval and lm-evaluation-harness on the same task files, documents and weights, and compares every total.

Four tasks, one for each output type, with the first documents of the shared data written as the harness reads them:
choices by likelihood (zero-shot, with two examples, and in the chat template), the last word of LAMBADA, WikiText by
documents, and GSM8K by generation with strict and lenient extraction. Shares must be equal; perplexities may differ by
1e-4 of their size (float32 on both sides, summed in other orders).
usage: lm_eval_peer.py FORGE MODEL.gguf DATA WORK
"""
import json
import pathlib
import re
import subprocess
import sys

import lm_eval
from lm_eval.tasks import TaskManager

# No num_fewshot: the harness ignores the caller's where a file says 0.
CHOICE = """
task: peer_choice
dataset_path: json
dataset_kwargs: {data_files: {test: DATA/peer_choice/test.jsonl, train: DATA/peer_choice/train.jsonl}}
output_type: multiple_choice
training_split: train
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{choices.label.index(answerKey)}}"
doc_to_choice: "{{choices.text}}"
fewshot_config: {sampler: first_n}
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
LAST_WORD = """
task: peer_word
dataset_path: json
dataset_kwargs: {data_files: {test: DATA/peer_word/test.jsonl}}
output_type: loglikelihood
test_split: test
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
PAGES = """
task: peer_pages
dataset_path: json
dataset_kwargs: {data_files: {test: DATA/peer_pages/test.jsonl}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{page|replace(' , ', ', ')}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
"""
WRITTEN = """
task: peer_written
dataset_path: json
dataset_kwargs: {data_files: {test: DATA/peer_written/test.jsonl, train: DATA/peer_written/train.jsonl}}
output_type: generate_until
training_split: train
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
fewshot_config: {sampler: first_n}
num_fewshot: 2
generation_kwargs: {until: ["Question:", "</s>", "<|im_end|>"], do_sample: false, temperature: 0.0, max_gen_toks: 64}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: [",", "\\\\$", "(?s).*#### ", "\\\\.$"]
filter_list:
  - name: strict-match
    filter: [{function: regex, regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"}, {function: take_first}]
  - name: flexible-extract
    filter: [{function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}, {function: take_first}]
"""


def write_lines(path, documents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(d) + "\n" for d in documents))


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_data(shared, data):
    arc = [
        {"question": d["query"].removeprefix("Question: "), "choices": {"text": d["choices"], "label": list("ABCD")},
         "answerKey": "ABCD"[d["gold"]]}
        for d in read_lines(shared / "eval/choice/arc_easy_test.jsonl")]
    write_lines(data / "peer_choice/test.jsonl", arc[:32])
    write_lines(data / "peer_choice/train.jsonl", arc[-5:])
    word = [{"text": d["context"] + " " + d["continuation"]} for d in read_lines(shared / "eval/choice/lambada_openai_test.jsonl")]
    write_lines(data / "peer_word/test.jsonl", word[:24])
    text = (shared / "text/wikitext2_tok_valid.txt").read_text()
    pages = re.split(r"(?m)^ (?=\n = [^=\n][^\n]* = \n)", text)
    write_lines(data / "peer_pages/test.jsonl", [{"page": page} for page in sorted(pages[1:], key=len)[:2]])
    gsm8k = read_lines(shared / "eval/gsm8k/train.jsonl")
    write_lines(data / "peer_written/test.jsonl", gsm8k[:4])
    write_lines(data / "peer_written/train.jsonl", gsm8k[-3:])


def forge_totals(forge, model, tasks, data, work, more):
    command = [forge, "eval", model, "--tasks", ",".join(map(str, tasks)), "--data", data, "--cache", work / "cache", "--weights",
               "f32", "--json", *more]
    out = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout
    return {(r["domain"], r["metric"], r["filter"]): r["value"] for r in json.loads(out)["results"]}


def harness_totals(model, names, tasks, **more):
    results = lm_eval.simple_evaluate(model=model, tasks=names, task_manager=TaskManager(include_path=str(tasks)),
                                      bootstrap_iters=0, **more)["results"]
    return {(task, *key.split(",")): value for task, metrics in results.items() for key, value in metrics.items()
            if "," in key and "stderr" not in key}


def compare(title, ours, theirs):
    assert theirs, title
    failures = 0
    for key, value in theirs.items():
        is_share = key[1] in ("acc", "acc_norm", "exact_match")
        good = key in ours and abs(ours[key] - value) <= (1e-9 if is_share else 1e-4 * abs(value))
        failures += not good
        print(f"{'ok' if good else 'DIFFERS':8}{title:14}{key[0]:14}{key[1]:16}{key[2]:18}forge {ours.get(key)}  lm_eval {value}")
    sys.stdout.flush()
    return failures


def main():
    forge, gguf, shared, work = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
    data, tasks = work / "data", work / "tasks"
    tasks.mkdir()
    write_data(shared, data)
    files = {"peer_choice": CHOICE, "peer_word": LAST_WORD, "peer_pages": PAGES, "peer_written": WRITTEN}
    for name, text in files.items():
        (tasks / f"{name}.yaml").write_text(text.replace("DATA", str(data)))
    folder = work / "model"  # float32, so that both sides have the same weights
    subprocess.run([forge, "convert", gguf, folder, "--type", "f32"], check=True, capture_output=True)
    from lm_eval.models.huggingface import HFLM
    model = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=8)
    paths = {name: tasks / f"{name}.yaml" for name in files}
    failures = compare("", forge_totals(forge, folder, paths.values(), data, work, []),
                       harness_totals(model, list(files), tasks))
    choice = [paths["peer_choice"]]
    failures += compare("2 examples", forge_totals(forge, folder, choice, data, work, ["--few-shot", 2]),
                        harness_totals(model, ["peer_choice"], tasks, num_fewshot=2))
    failures += compare("chat template", forge_totals(forge, folder, choice, data, work, ["--apply-chat-template"]),
                        harness_totals(model, ["peer_choice"], tasks, apply_chat_template=True))
    print(f"lm_eval {lm_eval.__version__}: {failures} differences")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
