# SPDX-License-Identifier: Apache-2.0
"""The cache of `forge pull` held against huggingface_hub. Both pull from a hub that this script serves on localhost.

  1. What forge pulled, snapshot_download and hf_hub_download find offline, at the same paths and bytes;
     scan_cache_dir finds nothing wrong.
  2. What snapshot_download pulled, forge finds: offline, and online without fetching a byte.
  3. A lock that Python's filelock holds keeps forge waiting, and it goes on when the lock is let go.

usage: hub.py FORGE WORK
"""
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse

FORGE, WORK = sys.argv[1:3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "qwen2"}',
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 4000,
}
LARGE = {"model.safetensors"}
problems = []
fetched = []


def etag(name):
    content = FILES[name]
    if name in LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        api, files, large = "/api/models/owner/name", f"/owner/name/resolve/{COMMIT}/", "/large/"
        if path.startswith(f"{api}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": etag(name) if name not in LARGE else "1" * 40}
                | ({"lfs": {"oid": etag(name), "size": len(content), "pointerSize": 134}} if name in LARGE else {})
                for name, content in FILES.items()
            ]
            self.answer(200, json.dumps(tree).encode(), [("Content-Type", "application/json")])
        elif path == api or path.startswith(f"{api}/revision/"):
            info = {"id": "owner/name", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
            self.answer(200, json.dumps(info).encode(), [("Content-Type", "application/json")])
        elif path.startswith(files) and path[len(files):] in FILES:
            name = path[len(files):]
            commit = ("X-Repo-Commit", COMMIT)
            if name in LARGE:
                self.answer(302, b"", [commit, ("Location", f"http://localhost:{server.server_port}/large/{name}"), ("X-Linked-Etag", f'"{etag(name)}"'),
                                       ("X-Linked-Size", str(len(FILES[name])))])
            else:
                self.give(name, [commit, ("ETag", f'"{etag(name)}"')])
        elif path.startswith(large):
            self.give(path[len(large):], [])
        else:
            self.answer(404, b"{}", [("X-Error-Code", "EntryNotFound")])

    def give(self, name, headers):
        if self.command == "GET":
            fetched.append(name)
        content, wanted = FILES[name], self.headers.get("Range")
        if wanted:
            first, last = wanted.split("=")[1].split("-")
            last = min(int(last or len(content) - 1), len(content) - 1)
            part = content[int(first):last + 1]
            self.answer(206, part, [*headers, ("Content-Range", f"bytes {first}-{last}/{len(content)}")])
        else:
            self.answer(200, content, headers)


def check(condition, what):
    if not condition:
        problems.append(what)
        print(f"FAIL: {what}", file=sys.stderr)


def environment(home, offline):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "TRANSFORMERS"))}
    return kept | {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": f"{WORK}/{home}",
                   "HF_HUB_OFFLINE": "1" if offline else "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
                   "no_proxy": "127.0.0.1,localhost"}


def forge(*arguments, home, offline=False):
    return subprocess.run([FORGE, *arguments], env=environment(home, offline), capture_output=True, text=True, timeout=60)


def python(code, home, offline):
    done = subprocess.run([sys.executable, "-c", code], env=environment(home, offline), capture_output=True, text=True,
                          timeout=120)
    check(done.returncode == 0, f"python failed: {done.stderr[-500:]}")
    return done.stdout.strip()


def what_forge_pulled():
    pulled = forge("pull", "owner/name", home="forge")
    check(pulled.returncode == 0, f"forge pull: {pulled.stderr}")
    folder = pulled.stdout.strip()
    found = python("import huggingface_hub as h; print(h.snapshot_download('owner/name'))", "forge", True)
    check(found == folder, f"snapshot_download finds {found}, not {folder}")
    for name, content in FILES.items():
        path = python(f"import huggingface_hub as h; print(h.hf_hub_download('owner/name', '{name}'))", "forge", True)
        check(path == f"{folder}/{name}" and open(path, "rb").read() == content, f"hf_hub_download of {name}: {path}")
    scan = python("import huggingface_hub as h; i = h.scan_cache_dir(); r = list(i.repos)[0]\n"
                  "print(len(i.repos), r.repo_id, r.nb_files, list(r.refs), len(i.warnings))", "forge", True)
    check(scan == f"1 owner/name {len(FILES)} ['main'] 0", f"scan_cache_dir: {scan}")
    before = len(fetched)
    python("import huggingface_hub as h; print(h.snapshot_download('owner/name'))", "forge", False)
    check(len(fetched) == before, f"Python fetched again: {fetched[before:]}")


def what_python_pulled():
    folder = python("import huggingface_hub as h; print(h.snapshot_download('owner/name'))", "python", False)
    offline = forge("pull", "owner/name", "--offline", home="python")
    check(offline.stdout.strip() == folder, f"offline: {offline.stdout}{offline.stderr}, not {folder}")
    by_variable = forge("pull", "owner/name", home="python", offline=True)
    check(by_variable.stdout.strip() == folder, f"HF_HUB_OFFLINE: {by_variable.stderr}")
    before = len(fetched)
    online = forge("pull", "owner/name", home="python")
    check(online.stdout.strip() == folder and len(fetched) == before, f"online: {online.stderr} {fetched[before:]}")


def locks_of_python():
    lock = f"{WORK}/locked/hub/.locks/models--owner--name/{etag('model.safetensors')}.lock"
    os.makedirs(os.path.dirname(lock))
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import filelock, sys\nwith filelock.FileLock('{lock}'):\n  print('held', flush=True)\n"
         "  sys.stdin.readline()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check(holder.stdout.readline() == "held\n", "filelock did not lock")
    waiting = subprocess.Popen([FORGE, "pull", "owner/name"], env=environment("locked", False), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        waiting.wait(timeout=2)
        check(False, "forge did not wait for the lock of Python")
    except subprocess.TimeoutExpired:
        pass
    holder.communicate("\n")
    _, errors = waiting.communicate(timeout=60)
    check(waiting.returncode == 0, f"after the lock: {errors}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
what_forge_pulled()
what_python_pulled()
locks_of_python()
server.shutdown()
import huggingface_hub  # noqa: E402  (after the checks, for its version only)

print(f"tests/interop/hub: {'FAIL' if problems else 'ok'} (huggingface_hub {huggingface_hub.__version__})")
sys.exit(1 if problems else 0)
