#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts a server of `forge serve` under mixed load and checks what it does. Needs Python alone.

  build/release/forge serve MODEL --port 8080 &
  scripts/load_serve.py --port 8080 --minutes 3 [--clients 32] [--seed 1] [--json FILE]

First each question of a set is asked alone (greedy). Then all clients ask at the same time, each one of these at random:
a question as a whole or as a stream, which must get the text it got alone; a stream or a whole answer that the client
leaves in the middle; a bad request, which must be refused with the right status. Meanwhile the memory of the server is
watched (/metrics). At the end nothing may run or be held any more.
Exit: 0 all as it must be, 1 something was not (it says what), 2 no server there.
"""
import argparse, http.client, json, random, socket, statistics, sys, threading, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=8080), parser.add_argument("--minutes", type=float, default=3)
parser.add_argument("--clients", type=int, default=32), parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--json", help="file for the figures")
arguments = parser.parse_args()

MIX = [("whole", 34), ("stream", 34), ("leave stream", 12), ("leave whole", 6), ("bad", 14)]
WORDS = "iron anvil hammer heat glow bend quench temper steel spark coal bellows tongs edge".split()


def connect(timeout=120):
    return http.client.HTTPConnection("127.0.0.1", arguments.port, timeout=timeout)


def get(path):
    connection = connect(10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def metrics():
    values = {}
    for line in get("/metrics")[1].splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values


def send(path, body):
    connection = connect()
    connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), {"Content-Type": "application/json"})
    return connection


def text_of(choice):
    if "text" in choice:
        return choice["text"]
    part = choice.get("message") or choice.get("delta") or {}
    return part.get("content") or ""


def ask_whole(path, body):
    connection = send(path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        return answer.status, text, 0
    parsed = json.loads(text)
    return 200, text_of(parsed["choices"][0]), parsed["usage"]["completion_tokens"]


def ask_stream(path, body, leave_after=None):
    """The text of a stream; with leave_after, the connection is closed after as many events."""
    connection = send(path, {**body, "stream": True, "stream_options": {"include_usage": True}})
    answer = connection.getresponse()
    if answer.status != 200:
        text = answer.read().decode()
        connection.close()
        return answer.status, text, 0
    text, tokens, events, ended = "", 0, 0, False
    for line in answer:
        if not line.startswith(b"data: "):
            continue
        if line.strip() == b"data: [DONE]":
            ended = True
            break
        event = json.loads(line[6:])
        if "error" in event:
            connection.close()
            return 500, line.decode(), 0
        text += "".join(text_of(choice) for choice in event["choices"])
        tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        events += 1
        if leave_after is not None and events >= leave_after:
            break
    connection.close()
    return (200, text, tokens) if ended or leave_after is not None else (0, text + " ... and no end", tokens)


def questions(has_template, context):
    generator = random.Random(arguments.seed)
    result = []
    for i in range(24):
        words = 2 + i * i % (120 if context >= 1024 else 24)
        text = " ".join(generator.choice(WORDS) for _ in range(words))[: context // 2]
        body = {"max_tokens": 4 + i * 7 % 60, "temperature": 0}
        if i % 5 == 0:
            body["stop"] = ["\n\n", " the"]
        if i % 4 == 1:
            body["logprobs"] = 2
        if has_template and i % 2 == 0:
            body.pop("logprobs", None)
            result.append(("/v1/chat/completions", {**body, "messages": [{"role": "user", "content": text}]}))
        else:
            result.append(("/v1/completions", {**body, "prompt": text}))
    return result


BAD = [
    ("/v1/completions", b'{"prompt": ', 400), ("/v1/completions", {"prompt": 7}, 400), ("/v1/completions", {"prompt": "x", "max_tokns": 1}, 400),
    ("/v1/completions", {"prompt": "x", "temperature": "hot"}, 400), ("/v1/completions", {"prompt": "word " * 60000}, 400),
    ("/v1/chat/completions", {"messages": "hello"}, 400), ("/v1/nothing", {}, 404), ("/v1/models", {}, 405),
    ("/v1/completions", {"prompt": "x", "model": "another"}, 400), ("/v1/completions", b" " * (5 << 20), 413),
]


class Client(threading.Thread):
    def __init__(self, number, known, end):
        super().__init__(daemon=True)
        self.random, self.known, self.end = random.Random(f"{arguments.seed} {number}"), known, end
        self.counts, self.problems, self.tokens, self.seconds = dict.fromkeys([name for name, _ in MIX] + ["refused 429"], 0), [], 0, []

    def run(self):
        while time.monotonic() < self.end:
            kind = self.random.choices([name for name, _ in MIX], [weight for _, weight in MIX])[0]
            try:
                self.once(kind)
            except Exception as error:
                self.problems.append(f"{kind}: {type(error).__name__}: {error}")

    def once(self, kind):
        self.counts[kind] += 1
        if kind == "bad":
            path, body, status = self.random.choice(BAD)
            connection = send(path, body)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            if answer.status != status or not json.loads(text)["error"]["message"]:
                self.problems.append(f"bad: status {answer.status} in place of {status}: {text[:200]}")
            return
        (path, body), expected = self.random.choice(self.known)
        if kind == "leave stream":
            ask_stream(path, {**body, "max_tokens": 150}, self.random.randrange(1, 12))
            return
        if kind == "leave whole":
            connection = send(path, {**body, "max_tokens": 150})
            time.sleep(self.random.random() * 0.3)
            connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()
            return
        started = time.monotonic()
        status, text, tokens = (ask_whole if kind == "whole" else ask_stream)(path, body)
        if status == 429:
            self.counts["refused 429"] += 1
            time.sleep(0.2)
        elif status != 200 or text != expected:
            self.problems.append(f"{kind}: status {status}: {text[:200]!r} in place of {expected[:200]!r}")
        else:
            self.tokens += tokens
            self.seconds.append(time.monotonic() - started)


def main():
    try:
        entry = json.loads(get("/v1/models")[1])["data"][0]
    except OSError as error:
        print(f"load_serve: no server on port {arguments.port}: {error}", file=sys.stderr)
        return 2
    known = []
    for path, body in questions(entry["has_chat_template"], entry["max_model_len"]):
        status, text, _ = ask_whole(path, body)
        assert status == 200, text
        known.append(((path, body), text))
    before = metrics()
    end = time.monotonic() + 60 * arguments.minutes
    clients = [Client(i, known, end) for i in range(arguments.clients)]
    started = time.monotonic()
    for client in clients:
        client.start()
    memory = []
    while time.monotonic() < end:
        time.sleep(1)
        memory.append(metrics()["process_resident_memory_bytes"] / 2**20)
    for client in clients:
        client.join(180)
    seconds = time.monotonic() - started
    problems = [problem for client in clients for problem in client.problems]
    problems += ["a client did not come to its end"] * sum(client.is_alive() for client in clients)
    for _ in range(100):
        after = metrics()
        left = {name: after[name] for name in ("forge_sequences_running", "forge_sequences_waiting", "forge_key_value_bytes")}
        if not any(left.values()):
            break
        time.sleep(0.05)
    else:
        problems.append(f"something is left at the end: {left}")
    third = max(1, len(memory) // 3)
    # Medians: what is held for a moment goes up and down. The first third fills caches.
    first, middle, last = (statistics.median(part or memory) for part in (memory[:third], memory[third:-third], memory[-third:]))
    if last > middle * 1.03 + 2:
        problems.append(f"memory grows: {middle:.1f} MiB in the middle third, {last:.1f} in the last (medians)")
    waits = sorted(second for client in clients for second in client.seconds)
    figures = {
        "model": entry["id"], "clients": arguments.clients, "seconds": round(seconds, 1),
        "counts": {name: sum(client.counts[name] for client in clients) for name in clients[0].counts},
        "equal_answers": len(waits), "tokens_per_second": round((after["forge_completion_tokens_total"] - before["forge_completion_tokens_total"]) / seconds, 1),
        "seconds_median": round(waits[len(waits) // 2], 2) if waits else None, "seconds_p95": round(waits[len(waits) * 95 // 100], 2) if waits else None,
        "cancelled": after["forge_sequences_cancelled_total"] - before["forge_sequences_cancelled_total"],
        "rss_mib": {"before": round(before["process_resident_memory_bytes"] / 2**20, 1), "first": round(first, 1), "middle": round(middle, 1), "last": round(last, 1), "most": round(max(memory), 1)},
        "problems": len(problems),
    }
    print(json.dumps(figures, indent=1))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({**figures, "problem_texts": problems, "rss_series_mib": [round(x, 1) for x in memory]}, file, indent=1)
    for problem in problems[:10]:
        print("load_serve:", problem, file=sys.stderr)
    print(f"load_serve: {'FAIL' if problems else 'ok'}: {len(waits)} answers equal to those given alone, {len(problems)} problems", file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
