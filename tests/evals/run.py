"""How many of the tasks does a system solve, with one model behind one server? Run with `--help` for the options.

The system runs in a process of its own, one per worker. Every request it makes passes through a recorder that fixes the
sampling options and writes down messages, reply and tokens, so all systems are asked for and measured the same way.
"""
import argparse, collections, contextlib, json, math, queue, socket, subprocess, sys, threading, time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tasks import KINDS, check, tasks

HERE = Path(__file__).parent
SAMPLING = dict(temperature=0, max_tokens=1024)


def serve(gguf, slots, window=8192):
    "Serve a GGUF file through xllamacpp, one slot per worker: the base URL."
    import xllamacpp
    p = xllamacpp.CommonParams()
    p.model.path, p.n_ctx, p.n_parallel, p.hostnames, p.port = str(gguf), window * slots, slots, ["127.0.0.1"], 0
    serve.server = xllamacpp.Server(p)  # it lives as long as this process
    return serve.server.listening_address + "/v1"


class Recorder(BaseHTTPRequestHandler):
    "Passes chat requests on to `server.upstream` and keeps what went both ways in `server.calls`."
    def log_message(self, *args): pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body.pop("max_completion_tokens", None)
        call = dict(messages=body["messages"])
        self.server.calls.append(call)
        upstream = HTTPConnection(self.server.upstream.netloc)
        path = self.server.upstream.path.rstrip("/") + self.path.removeprefix("/v1")
        sock = None
        try:
            upstream.request("POST", path, json.dumps(body | SAMPLING), {"Content-Type": "application/json"})
            self.server.waiting.add(sock := upstream.sock)
            response = upstream.getresponse()
            status, data = response.status, response.read()
        except (OSError, HTTPException) as e:  # the server is gone, or `Worker.stop` cut this short
            call.update(unreachable=repr(e))
            return
        finally: self.server.waiting.discard(sock)
        reply = json.loads(data)
        if status == 200: call.update(reply=reply["choices"][0]["message"]["content"], usage=reply.get("usage") or {})
        else: call.update(error=reply.get("error", reply), usage={})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class ServerLost(Exception): "No server, no score: what was solved before stays on file."


class Worker:
    "One process of the system with a recorder of its own; a task that takes too long ends the process."
    def __init__(self, o):
        self.o = o
        self.recorder = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        self.recorder.upstream, self.recorder.calls, self.recorder.waiting = urlsplit(o.base_url), [], set()
        threading.Thread(target=self.recorder.serve_forever, daemon=True).start()
        self.start()

    def start(self):
        url = f"http://127.0.0.1:{self.recorder.server_port}/v1"
        command = [self.o.python, HERE/"systems.py", self.o.system, url, str(self.o.max_iterations)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        read = lambda process, lines: [lines.put(line) for line in process.stdout] + [lines.put(None)]
        threading.Thread(target=read, args=(self.process, self.lines), daemon=True).start()
        if self.lines.get() is None: raise SystemExit(f"{self.o.system} does not start with {self.o.python}")

    def stop(self):
        self.process.terminate()
        try: self.process.wait(timeout=5)
        except subprocess.TimeoutExpired: self.process.kill()
        for sock in list(self.recorder.waiting):  # or the model goes on writing
            with contextlib.suppress(OSError): sock.shutdown(socket.SHUT_RDWR)

    def run(self, task):
        "The record of one task."
        self.recorder.calls = calls = []
        print(json.dumps(dict(question=task.question, context=task.context)), file=self.process.stdin, flush=True)
        began = time.monotonic()
        try: line = self.lines.get(timeout=self.o.timeout)
        except queue.Empty: line = json.dumps(dict(reply=None, error=f"no answer within {self.o.timeout:g} s"))
        seconds = time.monotonic() - began
        lost = next((c["unreachable"] for c in calls if "unreachable" in c), None)
        if lost: raise ServerLost(f"{self.o.base_url}: {lost}")
        result = json.loads(line) if line else dict(reply=None, error="the process died")
        if self.process.poll() is not None or seconds >= self.o.timeout:
            self.stop()
            self.start()
        spent = lambda key: sum(c.get("usage", {}).get(key, 0) for c in calls)
        return dict(id=task.id, kind=task.kind, split=task.split, level=task.level, system=self.o.system, question=task.question,
            answer=task.answer, reply=result["reply"], solved=check(task, result["reply"]), error=result.get("error"),
            calls=len(calls), input_tokens=spent("prompt_tokens"), output_tokens=spent("completion_tokens"),
            seconds=round(seconds, 2), transcript=news(calls))


def news(calls):
    "The calls, each with only those messages that the call before had not sent."
    seen, out = [], []
    for c in calls:
        grown = seen and c["messages"][:len(seen)] == seen
        out.append(c | dict(messages=c["messages"][len(seen):] if grown else c["messages"]))
        seen = c["messages"]
    return out


def wilson(k, n, z=1.96):
    "The 95 % interval of a share of `k` in `n`."
    mid, half = k / n + z * z / (2 * n), z * math.sqrt(k * (n - k) / n ** 3 + z * z / (4 * n * n))
    return max(0, mid - half) / (1 + z * z / n), min(1 + z * z / n, mid + half) / (1 + z * z / n)

def table(rows):
    "A Markdown table of records: a line for each kind, and one for all."
    def line(name, rows):
        k, n, avg = sum(r["solved"] for r in rows), len(rows), lambda key: sum(r[key] for r in rows) / len(rows)
        lo, hi = wilson(k, n)
        return (f"| {name} | {k} of {n} | {k / n:.0%} | {lo:.0%}–{hi:.0%} | {avg('calls'):.1f} "
                f"| {avg('input_tokens'):,.0f} | {avg('output_tokens'):,.0f} | {avg('seconds'):.1f} |")
    head = ["| kind | solved | share | 95 % interval | model calls | tokens in | tokens out | seconds |",
            "|---|" + "---:|" * 7]
    kinds = [line(k, of) for k in KINDS if (of := [r for r in rows if r["kind"] == k])]
    levels = [line(f"*{x}*", of) for x in ("plain", "long", "arithmetic") if (of := [r for r in rows if r["level"] == x])]
    return "\n".join(head + kinds + levels + [line("**all**", rows)])

def report(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    errors = collections.Counter((r["error"] or "").split("\n")[0][:90] for r in rows if r["error"])
    print(f"\n{path}: {rows[0]['system']}\n\n{table(rows)}")
    for error, n in errors.most_common(5): print(f"{n:4} × {error}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--system", choices=["rlm", "rlms", "dspy"], default="rlm", help="this package or another")
    p.add_argument("--python", default=sys.executable, help="the interpreter that has the system installed")
    p.add_argument("--base-url", help="a server with the OpenAI protocol")
    p.add_argument("--gguf", help="or a model file to serve with xllamacpp")
    p.add_argument("--split", choices=["dev", "test", "all"], default="dev", help="tune on dev, report test")
    p.add_argument("--n", type=int, help="a fixed sample of so many tasks, as many of each kind; default all")
    p.add_argument("--ids", nargs="*", help="only these tasks")
    p.add_argument("--max-iterations", type=int, default=8)
    p.add_argument("--timeout", type=float, default=120, help="seconds for one task")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--out", help="a file for the records, one JSON object a line")
    p.add_argument("--report", nargs="+", metavar="FILE", help="only print the tables of these files")
    o = p.parse_args()
    if o.report: return [report(f) for f in o.report]
    if not o.out: p.error("--out FILE is missing")
    if not (o.base_url or o.gguf): p.error("give a server (--base-url) or a model to serve (--gguf)")
    if o.gguf: o.base_url = serve(o.gguf, o.workers)
    todo = queue.SimpleQueue()
    chosen = [t for t in tasks(o.split, o.n) if not o.ids or t.id in o.ids]
    for t in chosen: todo.put(t)
    with open(o.out, "w", encoding="utf-8") as out:
        threads = [threading.Thread(target=work, args=(o, todo, out)) for _ in range(o.workers)]
        for t in threads: t.start()
        for t in threads: t.join()
    done = len(Path(o.out).read_text(encoding="utf-8").splitlines())
    if done: report(o.out)
    if done < len(chosen): sys.exit(f"Only {done} of {len(chosen)} tasks were run.")

def work(o, todo, out):
    worker = Worker(o)
    while True:
        try: task = todo.get_nowait()
        except queue.Empty: return worker.stop()
        try: row = worker.run(task)
        except ServerLost as e:
            print(f"Stopped at {task.id}: {e}", file=sys.stderr)
            return worker.stop()
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
        out.flush()
        print("solved" if row["solved"] else "  -   ", f"{task.id:14} {row['seconds']:6.1f} s {row['calls']:2} calls  "
            f"{task.answer!r} <- {(row['reply'] or row['error'] or '')[:80]!r}", flush=True)

if __name__ == "__main__": main()
