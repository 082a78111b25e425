"""Thousands of short runs, and everything that can go wrong with one. Nothing must be lost, and nothing left behind.

    make soak SECONDS=300 SEED=1     # a seed brings the same runs again
    make soak SEED=1 ONLY=17         # one of them, or ONLY=40-59, looked at one by one

Each run is drawn from the seed and its number: where its code runs, how it is asked, what the model says (code that works, raises, floods,
hangs, exits, or leaves threads and tasks behind; replies that are hardly any), which of the server's answers go wrong, and what comes over
it: Ctrl-C, cancellation, `close()`, another hour, the garbage collector, SIGKILL, a disk with no room. `soak_replies.py` has what the server
says, `soaking.py` a run and what must be true of it. Here are the server, the processes in which runs happen, and the accounts:

- a run ends with a result, or an error that the documentation has, with its `.result`;
- each log can be read, and says of a run what its result says;
- the server has answered as many requests as the usages count, and no more than those and the unanswered where a run was stopped;
- after each batch no thread, socket, file, process, module, object or name is there that was not there before.
"""
from __future__ import annotations
import argparse, collections, itertools, json, os, queue, random, shutil, signal, subprocess, sys, tempfile, threading, time
from importlib.util import find_spec
from pathlib import Path

import soak_replies as replies
from kernel import Kernel
from rlm.types import ConfigurationError
from server import ChatServer, Http, task_at
from soaking import Plan, Report

HERE = Path(__file__).resolve().parent
BATCH = 20
MODES = [   # of the environment `jupyter`
         {}, {"sync_to_user_ns": True}, {"sync_from_user_ns": True, "sync_vars": ["orders"]}, {"sync_from_user_ns": True}, {"sync_from_user_ns": True, "sync_to_user_ns": True},
         {"sync_from_user_ns": True, "sync_to_user_ns": True, "sync_vars": ["orders"]}]

def environments() -> list[str]:
    "Where runs happen, batch after batch."
    from rlm.environments.confine import check_sandbox
    there = ["local", "monty"] if find_spec("pydantic_monty") else ["local"]
    there += ["local", "jupyter"]
    if not find_spec("zmq"): return there
    try: check_sandbox("bwrap")
    except ConfigurationError: OPTIONS["kernel"] = [{"sandbox": None}]
    return [*there, "kernel"]

OPTIONS = {"local": [{}, {}, {"preview": "schema"}], "monty": [{}], "jupyter": MODES, "kernel": [{}]}

class Model:
    "What the server says to run number `n`, and how often it was asked."
    def __init__(self, seed):
        self.seed, self.lock = seed, threading.Lock()
        self.asked = collections.Counter()     # (run, kind of request) -> how many there were
        self.good, self.faults = collections.Counter(), collections.Counter()   # by run; by name
        self.said = collections.defaultdict(list)   # by run, in a few words

    def __call__(self, body: dict):
        n = int(body["model"].partition("-")[2])
        plan, messages = Plan(self.seed, n), body["messages"]
        task = task_at(body)
        number = 1 + sum(m["role"] == "assistant" for m in messages[task:]) if messages[0]["role"] == "system" else 0
        with self.lock:
            self.asked[n, number] += 1
            chance = random.Random(f"{self.seed}:{n}:{number}:{self.asked[n, number]}")
        text = replies.step(chance, number, plan.last, plan.kinds) if number else f"said {chance.random():.3f}"
        sent = replies.whole(text, body, chance)
        self.said[n].append(f"{number}{'s' * bool(body.get('stream'))} {text[:30]!r} {sent['choices'][0]['finish_reason']}")
        if chance.random() < plan.faults:
            name, answer = replies.fault(chance, sent, plan.hangs)
            self.said[n].append(name)
            if plan.n >= 0: self.faults[name] += 1
            return answer
        with self.lock: self.good[n] += 1
        drawn = chance.random()
        if drawn < .04: return replies.slowly(sent)
        if drawn < .06: return replies.uncounted(sent, chance)
        return sent

class Process:
    "A plain Python process in which runs happen."
    def __init__(self, env: dict, folder: Path):
        self.errors = folder / f"stderr{time.monotonic_ns()}.txt"
        self.process = subprocess.Popen([sys.executable, str(HERE / "soaking.py")], env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors.open("w"), text=True, preexec_fn=os.setsid)
        self.answers = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        for line in self.process.stdout: self.answers.put(line)
        self.answers.put("")

    def order(self, patience: float, **order) -> dict:
        "Its answer. Raises `RuntimeError` with what it was doing, where it has none."
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.answers.get(timeout=patience)
        except (OSError, queue.Empty): line = None
        if line: return json.loads(line)
        if line is None and self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(1)
        code = self.process.poll()
        raise RuntimeError(f"{'it hangs' if code is None else f'the process ended with {code}'}:\n{self.errors.read_text()[-6_000:]}")

    def run(self, n: int, environment: str, options: dict, plan: Plan) -> dict: return self.order(60, run=n, environment=environment, options=options)
    def look(self) -> dict: return self.order(60, look=True)["left"]
    def close(self) -> None:
        if self.process.poll() is None: os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

class Notebook:
    "A kernel in which runs happen, in cells; it is interrupted as a front end does it."
    SET_UP = "import sys; sys.path.append({here!r})\nimport soaking\norders, notes = {{'Lima': 30, 'Oslo': 10}}, ['a note']\nbefore = None\n"
    CELL = "_names = set(get_ipython().user_ns)\n_report = {call}\nsoaking.in_a_cell(_report, _names | {{'_report', '_names'}})"
    def __init__(self, env: dict, folder: Path):
        os.environ.update({k: v for k, v in env.items() if k.startswith("SOAK") or k == "TMPDIR"})
        self.kernel = Kernel(cwd=folder).__enter__()
        self.kernel.ok(self.SET_UP.format(here=str(HERE)))

    def run(self, n: int, environment: str, options: dict, plan: Plan) -> dict:
        call = f"{'await soaking.arun' if plan.awaits else 'soaking.run'}({n}, {environment!r}, {options!r})"
        cell = self.kernel.start(self.CELL.format(call=call))
        timer = threading.Timer(plan.when, self.kernel.interrupt)
        if plan.fate == "interrupt": timer.start()
        try: self.kernel.finish(cell, timeout=60)
        except TimeoutError as e: raise RuntimeError(f"it hangs: {str(e)[-3_000:]}") from None
        finally:
            timer.cancel()
            if timer.ident: timer.join()
        after = self.kernel.run("print(6 * 7)")
        if after.error and "KeyboardInterrupt" in after.error: after = self.kernel.run("print(6 * 7)")   # the interrupt came late
        found = [line[2:] for line in cell.stdout.split("\n") if line.startswith("@ ")]
        report = json.loads(found[0]) if found else vars(Report(n, environment, plan.way, plan.fate, ended=["the cell was interrupted"]))
        if not found and plan.fate != "interrupt": report["wrong"].append(f"the cell ended with {cell.error} {cell.stderr[-500:]}")
        if (after.stdout, after.error) != ("42\n", None): report["wrong"].append(f"the next cell: {after}")
        return report

    def look(self) -> dict:
        self.kernel.ok("before, _left = soaking.look(before)")
        return self.kernel.value("_left")
    def close(self) -> None: self.kernel.__exit__()

class Soak:
    "The runs, and what is known of them."
    def __init__(self, seed, only: str = "", verbose: bool = False):
        self.seed, self.verbose = seed, verbose
        first, _, last = only.partition("-")
        self.only = range(int(first), int(last or first) + 1) if only else None
        self.ended, self.where, self.ways, self.fates = (collections.Counter() for _ in range(4))
        self.runs = self.logs = self.calls = self.looks = 0
        self.wrong = []

    def tell(self, what: str, runs) -> None:
        self.wrong.append(what)
        first, last = min(runs), max(runs)
        print(f"\n== run {first}{f' to {last}' if last > first else ''}: {what}\n   again: make soak SEED={self.seed} ONLY={first}{f'-{last}' if last > first else ''}", flush=True)

    def take(self, report: dict, model: Model) -> None:
        "Enter a run's report into the accounts."
        n = report["n"]
        if self.verbose: print(json.dumps(report), flush=True)
        report["ended"] = report["ended"] or ["?"] * bool(report["wrong"])
        for what in report["wrong"]: self.tell(f"{report['kind']}, {report['way']}{', ' * bool(report['fate'])}{report['fate']}: {what}", [n])
        if n < 0: return
        self.runs += 1
        self.logs += report["logs"]
        self.calls += report["calls"]
        self.ended.update(report["ended"])
        self.where[report["kind"]] += 1
        self.ways[report["way"]] += 1
        self.fates[report["fate"]] += bool(report["fate"])
        self.fates["full disk"] += report["log"] == "full disk"
        if not report["ended"]: self.tell("nothing came of it", [n])
        told = f"the usages have {report['calls']:,} calls and {report['unanswered']} unanswered, and the server gave {model.good[n]:,} good answers: {'; '.join(model.said[n][-30:])}"
        counted = report["way"] not in ("resume",)    # a run that goes on counts what was asked before it
        most = report["calls"] + report["unanswered"] if report["exact"] else 10 ** 9
        if counted and not report["calls"] <= model.good[n] <= most: self.tell(told, [n])

    def batches(self, where: list[str]):
        "The numbers of the runs of each batch, and where they happen."
        for n in itertools.count(0, BATCH):
            numbers = [i for i in range(n, n + BATCH) if not self.only or i in self.only]
            if numbers: yield numbers, where[n // BATCH % len(where)]
            elif n > self.only[-1]: return

    def batch(self, place, environment: str, numbers, model: Model) -> None:
        "Some runs, one after the other, and a look at what they have left."
        done = []
        for n in numbers:
            plan = Plan(self.seed, n)
            done.append(n)
            began = time.monotonic()
            report = place.run(n, environment, plan.chance.choice(OPTIONS[environment]), plan)
            self.take(report | {"seconds": round(time.monotonic() - began, 2)}, model)
            if self.only and n >= 0 and (left := self.look(place)): self.tell(f"left behind: {left}", [n])
        if (left := self.look(place)) and min(done) >= 0: self.tell(f"left behind: {left}", done)

    def look(self, place) -> dict:
        self.looks += 1
        return place.look()

    def report(self, seconds: float, model: Model) -> str:
        listed = lambda counter: ", ".join(f"{n:,} {name}" for name, n in counter.most_common() if n)
        return "\n".join([f"{self.runs:,} runs in {seconds:.0f} s, seed {self.seed}: {listed(self.where)}", f"asked by: {listed(self.ways)}", f"ended with: {listed(self.ended)}",
                          f"what came over them: {listed(self.fates)}", f"{model.faults.total() if hasattr(model.faults, 'total') else sum(model.faults.values()):,} of the server's answers went wrong: {listed(model.faults)}",
                          f"{self.logs:,} logs read, {self.calls:,} answered requests accounted for, {self.looks:,} looks at what was left",
                          f"{len(self.wrong)} found wrong" if self.wrong else "Lost: none. Left behind: nothing."])

def with_small_disk() -> None:
    "Start again where this process may mount a disk of a few pages, if there is such a place."
    if os.environ.get("SOAK_MOUNTED") or not sys.platform.startswith("linux") or not shutil.which("unshare"): return
    how = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*how, "true"], capture_output=True).returncode: return
    os.environ["SOAK_MOUNTED"] = "1"
    os.execvp("unshare", [*how, sys.executable, *sys.argv])

def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="one run's number, or the first and the last: 40-59")
    parser.add_argument("--verbose", action="store_true", help="print each run's report")
    given = parser.parse_args()
    with_small_disk()
    soak, model, began, places = Soak(given.seed, given.only, given.verbose), Model(given.seed), time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="soak") as name, ChatServer(model, streams=True) as server:
        folder = Path(name)
        for sub in ("logs", "tmp"): (folder / sub).mkdir()
        if os.environ.get("SOAK_MOUNTED"):
            (folder / "small").mkdir()
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder / "small")]).returncode: (folder / "small").rmdir()
        env = {**os.environ, "SOAK_SEED": str(given.seed), "SOAK_SERVER": server.base_url, "SOAK_FOLDER": name, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
        where = environments()
        def place(environment):
            kind = Notebook if environment == "jupyter" else Process
            if kind not in places:
                places[kind] = kind(env, folder)
                for one in [e for e in dict.fromkeys(where) if (e == "jupyter") == (kind is Notebook)]:
                    soak.batch(places[kind], one, range(-40 if one in ("local", "jupyter") else -10, 0), model)   # what is made once, is made
            return places[kind]
        try:
            for numbers, environment in soak.batches(where):
                if time.monotonic() - began > given.seconds and not given.only: break
                try: soak.batch(place(environment), environment, numbers, model)
                except (RuntimeError, AssertionError) as e:
                    soak.tell(f"{environment}: {e}", numbers)
                    places.pop(Notebook if environment == "jupyter" else Process).close()
                for file in (folder / "logs").iterdir(): shutil.rmtree(file, ignore_errors=True) if file.is_dir() else file.unlink()
                server.requests.clear()
        finally:
            for p in places.values(): p.close()
            if os.path.ismount(folder / "small"): subprocess.run(["umount", str(folder / "small")])
    print(soak.report(time.monotonic() - began, model))
    return 1 if soak.wrong else 0

if __name__ == "__main__": sys.exit(main())
