"""How many of the tasks does a system solve, with one model behind one server? Run with `--help` for the options.

The system runs in a process of its own, one per worker. Every request it makes passes through a recorder that fixes the
sampling options and writes down messages, reply and tokens, so all systems are asked for and measured the same way.
"""
import argparse, contextlib, hashlib, json, os, queue, signal, socket, subprocess, sys, threading, time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import report
from tasks import check, tasks

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

SAMPLING = dict(temperature=0, max_tokens=1024)


def serve(gguf, slots, threads, window=8192):
    "Serve a GGUF file through xllamacpp, one slot per worker: the base URL."
    import xllamacpp
    p = xllamacpp.CommonParams()
    p.model.path, p.n_ctx, p.n_parallel, p.hostnames, p.port = str(gguf), window * slots, slots, ["127.0.0.1"], 0
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    p.verbosity = 1
    serve.server = xllamacpp.Server(p)  # it lives as long as this process
    return serve.server.listening_address + "/v1"

def listed(base_url):
    "The name of the first model that a server lists."
    with urlopen(f"{base_url.rstrip('/')}/models", timeout=30) as response: return json.load(response)["data"][0]["id"]

def merged(messages):
    "The messages with neighbours of one role made one, as many servers do by themselves and llama.cpp does not."
    out = []
    for m in messages:
        if out and out[-1]["role"] == m["role"]: out[-1] = m | dict(content=f"{out[-1]['content']}\n\n{m['content']}")
        else: out.append(m)
    return out


class Recorder(BaseHTTPRequestHandler):
    "Passes chat requests on to `server.upstream` and keeps what went both ways in `server.calls`."
    def log_message(self, *args): pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body.pop("max_completion_tokens", None)
        if self.server.merge: body["messages"] = merged(body["messages"])
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
        if status == 503: call.update(unreachable="it is not ready")
        reply = json.loads(data)
        if status == 200: call.update(reply=reply["choices"][0]["message"]["content"], usage=reply.get("usage") or {})
        else: call.update(error=reply.get("error", reply), usage={})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class NoStart(Exception): "The system is not there."

class ServerLost(Exception): "No server, no score: what was solved before stays on file."


class Worker:
    "One process of the system with a recorder of its own; a task that takes too long ends the process."
    def __init__(self, o):
        self.o = o
        self.recorder = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        self.recorder.upstream, self.recorder.merge = urlsplit(o.base_url or ""), o.merge
        self.recorder.calls, self.recorder.waiting = [], set()
        threading.Thread(target=self.recorder.serve_forever, daemon=True).start()
        self.start()

    def start(self):
        url = f"http://127.0.0.1:{self.recorder.server_port}/v1"
        command = [self.o.python, HERE/"systems.py", self.o.system, json.dumps(vars(self.o) | dict(url=url))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        read = lambda process, lines: [lines.put(line) for line in process.stdout] + [lines.put(None)]
        threading.Thread(target=read, args=(self.process, self.lines), daemon=True).start()
        if (said := self.lines.get()) is None: raise NoStart(f"{self.o.system} does not start with {self.o.python}.")
        self.run_of = dict(model=self.o.model, system=self.o.system, merged=self.o.merge) | json.loads(said)

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
        calls = result.get("calls") or calls
        spent = lambda key: sum(c.get("usage", {}).get(key, 0) for c in calls)
        row = dict(id=task.id, kind=task.kind, split=task.split, level=task.level) | self.run_of | dict(question=task.question,
            answer=task.answer, reply=result["reply"], solved=check(task, result["reply"]), error=result.get("error"),
            calls=len(calls), input_tokens=spent("prompt_tokens"), output_tokens=spent("completion_tokens"),
            seconds=round(seconds, 2), transcript=news(calls))
        return row | dict(failed=report.failed(row))


def news(calls):
    "The calls, each with only those messages that the call before had not sent."
    seen, out = [], []
    for c in calls:
        grown = seen and c["messages"][:len(seen)] == seen
        out.append(c | dict(messages=c["messages"][len(seen):] if grown else c["messages"]))
        seen = c["messages"]
    return out


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--system", choices=["rlm", "local", "rlms", "dspy"], default="rlm",
                   help="this package; this package with its own server, as RLM('local') has it; or another")
    p.add_argument("--python", default=sys.executable, help="the interpreter that has the system installed")
    p.add_argument("--rlm", default=str(ROOT), help="a checkout of this package; default this one")
    p.add_argument("--base-url", help="a server with the OpenAI protocol")
    p.add_argument("--gguf", help="or a model file to serve with xllamacpp; for local also a name that RLM('local') knows")
    p.add_argument("--threads", type=int, help="threads for the --gguf; default one for each core but one")
    p.add_argument("--model", help="its name; default that of the file, or the first that the server lists")
    p.add_argument("--prompts", help="a prompt profile of this package; default the one that it takes by itself")
    p.add_argument("--label", help="what tables call the prompt; default the name of the profile")
    p.add_argument("--merge", action="store_true", help="make neighbouring messages of one role one message")
    p.add_argument("--split", choices=["dev", "test", "all"], default="dev", help="tune on dev, report test")
    p.add_argument("--n", type=int, help="a fixed sample of so many tasks, as many of each kind; default all")
    p.add_argument("--ids", nargs="*", help="only these tasks")
    p.add_argument("--max-iterations", type=int, default=8)
    p.add_argument("--timeout", type=float, default=120, help="seconds for one task")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--out", help="a file for the records; what is in it already is not asked again")
    p.add_argument("--again", action="store_true", help="ask what failed otherwise again: no time, no server, no room")
    p.add_argument("--report", nargs="+", metavar="FILE", help="only print the tables of these files")
    p.add_argument("--plot", metavar="PICTURE", help="with --report: draw them, too")
    p.add_argument("--compare", nargs=2, metavar=("BEFORE", "AFTER"), help="only compare two files, task by task")
    p.add_argument("--publish", action="store_true",
                   help="with --report: put the records and their pictures where the page of the docs shows them")
    o = p.parse_args()
    if o.report or o.compare: return o
    if not o.out: p.error("--out FILE is missing")
    if not (o.base_url or o.gguf): p.error("give a server (--base-url) or a model to serve (--gguf)")
    if o.system == "local" and not o.gguf: p.error("--system local wants a --gguf")
    return o

def main():
    o = arguments()
    if o.compare: return print(report.comparison(*map(report.read, o.compare)))
    if o.report:
        show(rows := report.read(*o.report))
        if o.plot: report.plot(rows).savefig(o.plot, dpi=150)
        return publish(rows, ROOT/"nbs") if o.publish else None
    if o.system != "local" and o.gguf:
        o.base_url = serve(o.gguf, o.workers, o.threads or max(1, (os.cpu_count() or 2) - 1))
    o.model = o.model or (Path(o.gguf).stem if o.gguf else listed(o.base_url))
    chosen = [t for t in tasks(o.split, o.n) if not o.ids or t.id in o.ids]
    there = [r for r in whole(Path(o.out)) if not (o.again and r["failed"])]
    todo = queue.SimpleQueue()
    for t in chosen:
        if t.id not in {r["id"] for r in there}: todo.put(t)
    signal.signal(signal.SIGTERM, lambda *args: sys.exit("Stopped. The same command goes on."))
    workers, o.stopping = [], False
    try:
        with open(o.out, "a", encoding="utf-8") as out:
            threads = [threading.Thread(target=work, args=(o, todo, there, out, workers), daemon=True) for _ in range(o.workers)]
            for t in threads: t.start()
            for t in threads: t.join()
    finally:
        o.stopping = True
        for w in workers: w.stop()
    rows = report.read(o.out)
    if rows: show(rows)
    left = {t.id for t in chosen} - {r["id"] for r in rows}
    if left: sys.exit(f"{len(left)} of {len(chosen)} tasks are left. The same command goes on with them.")

def whole(path):
    "The rows of a file from an earlier start, without a last line that was cut off."
    if not path.exists(): return []
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"): path.write_bytes(b"".join(lines[:-1]))
    return report.read(path)

def show(rows):
    "Print the table of all runs and that of each."
    print(f"\n{report.overview(rows)}")
    for run, of in report.runs(rows).items(): print(f"\n{run.model}: {report.name(run)}\n\n{report.table(of)}")

def publish(rows, nbs):
    "Write the records without the conversations, and the pictures that are made of them."
    kept = "".join(json.dumps(report.published(r)) + "\n" for of in report.runs(rows).values() for r in of)
    (nbs/"data"/"evals.jsonl").write_text(kept, "utf-8")
    about = dict(Description=hashlib.sha256(kept.encode()).hexdigest(), Date=None)
    ours = [r for r in rows if r["system"] in ("rlm", "local")]
    for by, of in dict(level=rows, kind=ours).items():
        with report.drawing(): report.plot(of, by).savefig(nbs/"images"/f"evals_by_{by}.svg", metadata=about)

def work(o, todo, there, out, workers):
    try: worker = Worker(o)
    except NoStart as e: return print(e, file=sys.stderr)
    workers.append(worker)
    try:
        if others := [r for r in there if any(r[k] != v for k, v in worker.run_of.items())]:
            is_, was = (", ".join(f"{k} {r[k]}" for k in report.Run._fields) for r in (worker.run_of, others[0]))
            return print(f"{o.out} is of another run ({was}; this is {is_}). Give another --out.", file=sys.stderr)
        while True:
            try: task = todo.get_nowait()
            except queue.Empty: return
            row = worker.run(task)
            if o.stopping: return  # it was cut short
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()
            print("solved" if row["solved"] else "  -   ", f"{task.id:14} {row['seconds']:6.1f} s {row['calls']:2} calls  "
                f"{task.answer!r} <- {(row['reply'] or row['error'] or '')[:80]!r}", flush=True)
    except (ServerLost, NoStart) as e: print(f"Stopped: {e}", file=sys.stderr)

if __name__ == "__main__": main()
