"""What this library adds to the work of a model and of Python, beside `rlms` and `dspy.RLM`, as ratios within one run.

    python scripts/bench.py                       # everything; about ten minutes on two quiet cores
    python scripts/bench.py iterations batch      # some of it: the figures of the others stay in the file

The figures go to `nbs/data/bench.json`, which the page *Benchmarks* draws. The other systems get environments of their own, made with
`pip` the first time. A machine is never quiet: the systems take turns, and each figure has its quartiles.
"""
import argparse, json, math, multiprocessing as mp, os, platform, subprocess, sys, tempfile, time, venv
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
from server import ChatServer, Http, completion

FIGURES = ROOT / "nbs" / "data" / "bench.json"
PEERS = {"rlms": ["rlms==0.1.3", "ipykernel", "jupyter_client"], "dspy": ["dspy==3.4.1", "deno==2.9.8"]}
MB = 1_000_000

# The other systems, each in an environment of its own

def python_of(system: str) -> str:
    "The interpreter that has a system."
    if system not in PEERS: return sys.executable
    from rlm.weights import cache_dir
    folder = cache_dir() / "bench" / "-".join(PEERS[system][:1]) / f"{sys.version_info.major}.{sys.version_info.minor}"
    if not (done := folder / "done").exists():
        print(f"Installing {' '.join(PEERS[system])} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "-q", "--disable-pip-version-check", "install", *PEERS[system]], check=True,
                       stderr=subprocess.DEVNULL)
        done.touch()
    return str(folder / "bin" / "python")

def measure(system: str, what: str, timeout: float = 150, **options):
    "What `bench_systems.py` found; a text that says why it found nothing."
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ({} if system in PEERS else {"PYTHONPATH": str(ROOT)})
    command = [python_of(system), str(ROOT / "scripts" / "bench_systems.py"), system, what, json.dumps(options)]
    try: done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired: return f"not done in {timeout:.0f} s"
    if done.returncode or not done.stdout.strip(): return (done.stderr.strip().splitlines() or ["it died"])[-1][:200]
    return json.loads(done.stdout.splitlines()[-1])

# The server: it reads no request, so that its time does not grow with theirs

BLOCK = "print('" + "x" * 180 + "')"   # a message of about 200 bytes
FAN_OUT = ("import time\nbegan = time.perf_counter()\nreplies = llm_query_batched(['x'] * {n})\nassert len(replies) == {n}\n"
           "seconds = str(time.perf_counter() - began)")

def code(system: str, source: str) -> str:
    "A reply that has this code run, in the form that a system asks for."
    if system == "dspy":
        return f"[[ ## reasoning ## ]]\nNone.\n\n[[ ## code ## ]]\n```python\n{source}\n```\n\n[[ ## completed ## ]]"
    return f"```repl\n{source}\n```"

def answer(system: str, value: str) -> str:
    "A reply that ends a run with the value of an expression."
    return code(system, f"SUBMIT({value})" if system == "dspy" else f"answer['content'] = {value}\nanswer['ready'] = True")

class Script(ChatServer):
    "Gives replies in order, then the last one again and again, and notes when they were asked for."
    def answer(self, method, path, headers, raw):
        if method == "GET": return super().answer(method, path, headers, raw)
        (self.briefly if len(raw) < 600 else self.asked).append(time.perf_counter())
        if len(raw) < 600: return Http(body=completion("yes", usage={"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}), delay=self.delay)  # a sub-call
        return self.replies[min(len(self.asked), len(self.replies)) - 1]

def serve(pipe, replies, delay):
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    with Script([Http(body=completion(r, usage=usage)) for r in replies], delay=delay) as s:
        s.asked, s.briefly = [], []
        pipe.send(s.base_url)
        pipe.recv()
        pipe.send((s.asked, s.briefly))

class Serving:
    "A `Script` in a process of its own. In the end it has the times at which it was asked, and asked briefly."
    def __init__(self, replies, delay=0.0): self.replies, self.delay = replies, delay
    def __enter__(self):
        self.pipe, other = mp.Pipe()
        self.process = mp.get_context("spawn").Process(target=serve, args=(other, self.replies, self.delay))
        self.process.start()
        other.close()  # so that its end is noticed
        self.url = self.pipe.recv()
        return self
    def __exit__(self, *_):
        self.pipe.send("stop")
        self.asked, self.briefly = self.pipe.recv()
        self.process.join()

def spread(values) -> dict:
    "Median and quartiles."
    values = list(values)
    low, middle, high = quantiles(values, n=4) if len(values) > 1 else values * 3
    return dict(value=middle, low=low, high=high)

def figure(system, x, values, unit="", **more): return dict(system=system, x=x, unit=unit, **spread(values), **more)

def missing(system, x, why): return dict(system=system, x=x, missing=why)

# The measurements

def bare_calls() -> tuple[list[float], float]:
    "The seconds between calls of the `openai` package with one short message, and those of the processor for one."
    with Serving([]) as s: took = measure("bare", "iterate", url=s.url, lengths=[20, 200])
    return [b - a for a, b in zip(s.briefly[20:], s.briefly[21:])], took[1] / 200

def iterations(systems, rounds=3):
    "An iteration around the 10th, the 100th and the 1,000th, beside a bare call just before and after; and the processor's time of one."
    found, cpu, missed = {}, {}, {}
    for _ in range(rounds):
        before = bare_calls()
        for system, lengths in [(system, lengths) for system in systems for lengths in ([3, 10, 100], [3, 1_000])]:
            if (system, lengths[-1]) in missed: continue
            replies = [reply for n in lengths for reply in [code(system, BLOCK)] * n + [answer(system, "'done'")]]
            with Serving(replies) as s: took = measure(system, "iterate", 75, url=s.url, lengths=lengths)
            after = bare_calls()
            create, processor = median(before[0] + after[0]), (before[1] + after[1]) / 2
            before = after
            asked = s.asked[sum(lengths[:-1]) + len(lengths) - 1:]
            steps = [(b - a) / create for a, b in zip(asked, asked[1:])]
            if isinstance(took, str): missed[system, lengths[-1]] = f"{took}, iteration {len(steps):,} was reached"
            else:
                for n, seconds in zip(lengths[1:], took[1:]): cpu.setdefault((system, n), []).append(seconds / n / processor)
            parts = ((10, 5, 15), (100, 85, 99)) if lengths[-1] == 100 else ((1_000, 975, 999),)
            for x, start, stop in parts:
                if len(steps) >= stop: found.setdefault((system, x), []).extend(steps[start:stop])
    made = [figure(*at, values, "× one create()", **({"cpu": median(cpu[at])} if at in cpu else {})) for at, values in found.items()]
    return made + [missing(*at, why) for at, why in missed.items() if at not in found]

BATCHES = (1, 1), (4, 4), (16, 16), (64, 64), (256, 256), (200, 64)

def batch(systems, rounds=1):
    "Sub-calls of 50 ms in one batch, beside as many whole rounds of 50 ms; threads and sockets of the process at their peak."
    found = {}
    for _ in range(rounds):
        for n, at_once in BATCHES:
            for system in ["bare", *systems]:
                replies = [code(system, FAN_OUT.format(n=n)), answer(system, "seconds")] * 4
                with Serving(replies, 0.05) as s: took = measure(system, "batch", url=s.url, n=n, at_once=at_once)
                found.setdefault((system, n), []).append(took)
    made = []
    for (system, n), runs in found.items():
        good = [r for r in runs if isinstance(r, dict)]
        if not good: made.append(missing(system, n, runs[0]))
        else: made.append(figure(system, n, [t / (0.05 * math.ceil(n / dict(BATCHES)[n])) for r in good for t in r["seconds"]], "× the ideal", sockets=max(r["sockets"] for r in good),
                                 threads=max(r["threads"] for r in good)))
    return made

def contexts(systems):
    "What a context adds to the memory of the process, and when the model is asked for the first time."
    made = []
    for size in (1_000, MB, 100 * MB, 1_000 * MB):
        for system in systems:
            if size > 100 * MB and system != "rlm":
                made.append(missing(system, size, "not tried"))
                continue
            with Serving([answer(system, "'done'")]) as s: took = measure(system, "context", url=s.url, size=size)
            if isinstance(took, dict): made.append(dict(system=system, x=size, unit="s", value=s.asked[-1] - took["began"], memory=took["memory"]))
            else: made.append(missing(system, size, took))
    return made

def namespaces(systems):
    "What a block takes longer in a notebook with so many names than in one with none, by sync mode. The others have no such modes."
    empty, made = measure("rlm", "namespace", names=0), []
    for names in (10, 1_000, 100_000, 1_000_000):
        took = measure("rlm", "namespace", names=names)
        if isinstance(took, str) or isinstance(empty, str): made.append(missing("private", names, took if isinstance(took, str) else empty))
        else: made += [dict(system=mode, x=names, unit="ms", value=1e3 * (seconds - empty[mode])) for mode, seconds in took.items()]
    return made

def traces(systems, rounds=3):
    "What a log (here with its trace notebook) adds to a run of 100 and of 1,000 iterations, beside the run without one."
    found = {}
    for _ in range(rounds):
        for system in [s for s in systems if s != "dspy"]:
            lengths = [20, *[100] * 5, 1_000] if system == "rlm" else [20, 100]
            replies = [reply for n in lengths for reply in 2 * ([code(system, BLOCK)] * n + [answer(system, "'done'")])]
            with Serving(replies) as s, tempfile.TemporaryDirectory() as folder: took = measure(system, "logged", url=s.url, lengths=lengths, folder=folder)
            if isinstance(took, str): return [missing(system, 100, took)]
            for (n, _, with_log, size), (*_, without, _) in zip(took[2::2], took[3::2]):
                found.setdefault((system, n), []).append((1e3 * (with_log - without) / n, size / n))
    return [figure(system, n, [t for t, _ in both], "ms an iteration", bytes=median(b for _, b in both)) for (system, n), both in found.items()]

def imports(systems, rounds=9):
    "`import` of each package beside an empty program of the same Python."
    programs = {"rlm": "import rlm", "rlms": "import rlm", "dspy": "import dspy"}
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONPYCACHEPREFIX": folder, "PYTHONPATH": str(ROOT)}  # compiled once, as where it is installed
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        def start(system, program):
            more = {} if system == "rlm" else {"PYTHONPATH": ""}
            began = time.perf_counter()
            subprocess.run([python_of(system), "-c", program], env=env | more, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return time.perf_counter() - began
        for system in systems: start(system, programs[system])
        found = {system: [start(system, programs[system]) / start(system, "pass") for _ in range(rounds)] for system in systems}
    return [figure(system, "import", values, "× an empty program") for system, values in found.items()]

def environments(systems, rounds=3):
    "Seconds until a first block has run, and for a block after that."
    from rlm.configuration import ENVIRONMENTS
    wanted = [("rlm", name) for name in ENVIRONMENTS] + [("rlms", n) for n in ("local", "in_process", "subprocess")] + [("dspy", n) for n in ("worker", "deno")]
    wanted = [(system, name) for system, name in wanted if system in systems]
    found = {}
    for _ in range(rounds):
        for system, name in wanted: found.setdefault((system, name), []).append(measure(system, "environment", name=name))
    made = []
    for (system, name), runs in found.items():
        good = [r for r in runs if isinstance(r, dict)]
        if good: made.append(figure(system, name, [1e3 * r["block"] for r in good], "ms a block", first=median(r["first"] for r in good)))
        else: made.append(missing(system, name, runs[0]))
    return made

def mapping(systems, items=10_000):
    "An item of a map, with a model that answers at once, beside one in a loop of `completion`, and what the last 8,000 add to the memory."
    import many
    found = many.measure(2_000, ["loop"]) | many.measure(items, ["mapped", "processes"])
    if "failed" in found["loop"]: return [missing("rlm", "loop", found["loop"]["failed"])]
    names = {"mapped": "threads", "processes": "two processes"}
    return [missing("rlm", names[part], x["failed"]) if "failed" in x else
            dict(system="rlm", x=names[part], unit="× the loop", value=x["seconds"] / found["loop"]["seconds"], memory=x["added"] * MB)
            for part, x in found.items() if part in names]

def live(systems):
    "The share of a run in a notebook that goes into its live view."
    took = measure("rlm", "live")
    return [missing("rlm", "live", took) if isinstance(took, str) else dict(system="rlm", x="live", unit="share", value=took[0] / took[1])]

MEASUREMENTS = {f.__name__: f for f in (imports, iterations, batch, contexts, environments, namespaces, traces, mapping, live)}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="MEASUREMENT", help=f"some of {', '.join(MEASUREMENTS)}; default all")
    p.add_argument("--alone", action="store_true", help="without the other systems")
    o = p.parse_args()
    for name in o.names:
        if name not in MEASUREMENTS: p.error(f"There is no measurement {name!r}. There are {', '.join(MEASUREMENTS)}.")
    systems = ["rlm"] if o.alone else ["rlm", *PEERS]
    for system in systems: python_of(system)
    there = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for name in o.names or MEASUREMENTS:
        began = time.perf_counter()
        there[name] = MEASUREMENTS[name](systems)
        there["about"] = dict(load=there.get("about", {}).get("load", {}) | {name: round(os.getloadavg()[0] / os.cpu_count(), 1)},
                              python=platform.python_version(), cores=os.cpu_count(), system=platform.system(), peers={s: PEERS[s][0] for s in systems[1:]})
        FIGURES.write_text(json.dumps(there, indent=1) + "\n")
        print(f"{name}: {time.perf_counter() - began:.0f} s")
        for f in there[name]: print("  ", *(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in f.items()))

if __name__ == "__main__": main()
