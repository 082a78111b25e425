"""What this library adds to the work of the model and of Python, as ratios against a baseline of the same run.

    python tests/benchmark.py [PYTHON]

With the Python of an environment that has `rlms` and `dspy`, those two are asked for the same fan-out in the same run.
Machines are noisy: the two sides of a ratio take turns, and the medians are compared. No test asserts these figures.
"""
import json, multiprocessing as mp, os, statistics as st, subprocess, sys, time
from pathlib import Path

import fan_out
from server import completion

MB = 1_000_000
BLOCK = "```repl\nprint('" + "x" * 180 + "')\n```"   # a message of about 200 bytes

def serve(pipe, replies, delay):
    "A server in a process of its own."
    from server import ChatServer
    with ChatServer(replies, delay=delay) as s:
        pipe.send(s.base_url)
        pipe.recv()

def block_then_answer(body):
    "A whole completion, so that the server does not count the words of every message."
    return completion("FINAL(done)" if len(body["messages"]) >= 6 + 2 * 99 else BLOCK)

class Serving:
    def __init__(self, replies, delay=0.0): self.replies, self.delay = replies, delay
    def __enter__(self):
        self.pipe, other = mp.Pipe()
        self.process = mp.Process(target=serve, args=(other, self.replies, self.delay))
        self.process.start()
        return self.pipe.recv()
    def __exit__(self, *_):
        self.pipe.send("stop")
        self.process.join()

def timed(f) -> float:
    began = time.perf_counter()
    f()
    return time.perf_counter() - began

def iterations(runs: int = 5):
    "One iteration of a 100-iteration run beside one bare `create()` of the openai package."
    import openai
    from rlm import RLM
    with Serving(block_then_answer) as url:
        client = openai.OpenAI(base_url=url, api_key="none", http_client=openai.DefaultHttpxClient(trust_env=False))
        message = [{"role": "user", "content": "x" * 200}]
        bare = lambda: client.chat.completions.create(model="m", messages=message)
        rlm = RLM(backend_kwargs={"model_name": "m", "base_url": url}, max_iterations=100, verbose=False)
        for _ in range(20): bare()
        rlm.completion("warm up", context="")
        per_create, per_iteration = [], []
        for _ in range(runs):
            per_create.append(timed(lambda: [bare() for _ in range(100)]) / 100)
            per_iteration.append(timed(lambda: rlm.completion("go", context="")) / 100)
        client_time, iteration = st.median(per_create), st.median(per_iteration)
        print(f"one iteration of 100           {iteration * 1e3:8.2f} ms   {iteration / client_time:5.2f} x one bare create() ({client_time * 1e3:.2f} ms)   bar 1.2")
        steps = growth(url)
        print(f"iteration 100 beside number 10 {steps[1] * 1e3:8.2f} ms   {steps[1] / steps[0]:5.2f} x ({steps[0] * 1e3:.2f} ms)   bar 1.5")

def growth(url: str, runs: int = 8) -> tuple[float, float]:
    "Seconds of an iteration around the 10th and around the 100th."
    from rlm import RLM
    from rlm.lm import OpenAILM
    class Clocked(OpenAILM):
        def complete(self, messages):
            clock.append(time.perf_counter())
            return super().complete(messages)
    early, late = [], []
    rlm = RLM(Clocked("m", url), max_iterations=100, verbose=False)
    for _ in range(runs):
        clock = []
        rlm.completion("go", context="")
        steps = [b - a for a, b in zip(clock, clock[1:])]
        early += steps[5:15]
        late += steps[-10:]
    return st.median(early), st.median(late)

def memory():
    "What a context of 200 MB adds to the process, and how long until the model is asked. In a process of its own."
    import resource
    from rlm import RLM
    from rlm.lm import ScriptedLM
    asked = []
    def note(messages):
        asked.append(time.perf_counter())
        return "```repl\nFINAL(len(context))\n```"
    RLM(ScriptedLM(["FINAL(warm)"]), verbose=False).completion("warm up", context="x")
    context = "a line of text that is not very long\n" * (200 * MB // 37)
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    before, began = peak(), time.perf_counter()
    RLM(ScriptedLM([note]), verbose=False).completion("How long is it?", context=context)
    print(f"a context of {len(context) / MB:.0f} MB           {(peak() - before) / MB:8.2f} MB added (bar 5), the model was asked after "
          f"{(asked[0] - began) * 1e3:.1f} ms (bar 50)")

def importing(runs: int = 15):
    "`import rlm`, and the command `rlm --help`, beside an empty program."
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONPYCACHEPREFIX": folder}  # compiled once, as where it is installed
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = Path(folder, "rlm")  # what the installer of a wheel writes
        command.write_text("import sys\nfrom rlm.cli import main\nsys.exit(main())\n")
        programs = {"empty": ["-c", "pass"], "import rlm": ["-c", "import rlm"], "rlm --help": [str(command), "--help"]}
        def start(name): return timed(lambda: subprocess.run([sys.executable, *programs[name]], env=env, check=True, stdout=subprocess.DEVNULL))
        for name in programs: start(name)
        times = [{name: start(name) for name in programs} for _ in range(runs)]
    empty, *ours = [(name, st.median(t[name] for t in times)) for name in programs]
    for (name, seconds), bar in zip(ours, (12, 3)):
        print(f"{name}                     {seconds * 1e3:8.2f} ms   {seconds / empty[1]:5.2f} x an empty program ({empty[1] * 1e3:.1f} ms)   bar {bar}")

def traces():
    "A log with its trace notebook: 1,000 iterations beside 100."
    import tempfile
    from pathlib import Path
    from rlm import RLM
    from rlm.utils.trace_notebook import enable_trace_notebook
    class Says:  # keeps nothing of what it is told
        def __init__(self, n): self.model, self.left = "says", n
        def complete(self, messages):
            self.left -= 1
            return "FINAL(done)" if self.left < 0 else BLOCK
    def cost(n, logged=True):
        with tempfile.TemporaryDirectory() as folder:
            logger, trace = enable_trace_notebook(folder) if logged else (None, None)
            rlm = RLM(Says(n), max_iterations=n + 1, logger=logger, verbose=False)
            began = time.process_time()  # nothing here waits for anything but the disk
            rlm.completion("go", context="")
            seconds = time.process_time() - began
            assert len(rlm.last_result.iterations) == n + 1
            return seconds, sum(p.stat().st_size for p in Path(folder).iterdir())
    cost(20)
    rounds = [[cost(100), cost(100, False), cost(1_000), cost(1_000, False)] for _ in range(9)]
    few, many = (st.median(r[i][0] - r[i + 1][0] for r in rounds) for i in (0, 2))
    size = rounds[0][2][1] / rounds[0][0][1]
    print(f"log and trace, 1,000 iterations beside 100: {size:.1f} x the bytes, {many / few:.1f} x the time that they add   bar 12")

def fanning_out(peers: str | None):
    "200 sub-calls of 50 ms in one batch, 64 at once, and fifty runs at once beside one; in processes of their own."
    pythons = {"rlm": sys.executable, **({"rlms": peers, "dspy": peers} if peers else {})}
    for name, python in pythons.items():
        path = {"PYTHONPATH": str(Path(__file__).parents[1])} if name == "rlm" else {}
        with Serving(fan_out.script, delay=0.05) as url:
            done = subprocess.run([python, str(Path(__file__).with_name("fan_out.py")), name, url], env=os.environ | path, capture_output=True, text=True, timeout=300)
        if done.returncode:
            print(f"{name}: failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        t = json.loads(done.stdout)
        print(f"{name:5} 200 sub-calls of 50 ms   {t['batch'] * 1e3:8.0f} ms   {t['batch'] / 0.2:5.2f} x the ideal 200 ms" + "   bar 1.6" * (name == "rlm"))
        print(f"{name:5} fifty runs at once       {t['fifty'] * 1e3:8.0f} ms   {t['fifty'] / t['one']:5.2f} x one run ({t['one'] * 1e3:.0f} ms)")

READ, BACK, LISTED = dict(sync_from_user_ns=True), dict(sync_to_user_ns=True), dict(sync_vars=["df"])
MODES = {"private": {}, "publish": BACK, "read listed": READ | LISTED, "read all": READ, "share all": READ | BACK,
         "share listed": READ | BACK | LISTED}

def namespaces(names: int = 100_000, blocks: int = 200):
    "A block in each sync mode, in a user's namespace of 100,000 names and in an empty one. In a process of its own."
    from IPython.core.interactiveshell import InteractiveShell
    from rlm.environments.base import Task
    from rlm.environments.jupyter import configure
    shell = InteractiveShell.instance()
    def per_block(kw):
        environment = configure(**kw)(True)
        environment.begin(Task(data={"context": "a question"}))
        times = [timed(lambda: environment.run(f"total_{i % 3} = {i}", f"iteration {i}")) for i in range(blocks)]
        environment.close()
        return st.median(times)
    shell.user_ns["df"] = 1
    empty = {mode: per_block(kw) for mode, kw in MODES.items()}
    shell.user_ns.update({f"name_{i}": i for i in range(names)})
    for mode, small in empty.items():
        large = per_block(MODES[mode])
        print(f"a block among {names:,} names, {mode:12}   {small * 1e3:5.2f} ms in an empty namespace, {(large - small) * 1e3:+5.2f} ms   bar 2")

def blocks(runs: int = 5, n: int = 300):
    "A small block among 100,000 names beside one in an empty namespace, and how long large values take to be shown."
    from rlm.environments.base import Task
    from rlm.environments.local import LocalEnvironment
    environment = LocalEnvironment()
    environment.begin(Task(data={"context": "x" * MB}, label="benchmark"))
    def per_block(): return min(timed(lambda: [environment.run("x = 1\nx + 1", f"iteration {i}") for i in range(n)]) for _ in range(runs)) / n
    small = per_block()
    environment.run("globals().update({f'name_{i}': i for i in range(100_000)})", "names")
    large = per_block()
    print(f"a block among 100,000 names    {large * 1e3:8.3f} ms   {large / small:5.2f} x one in an empty namespace ({small * 1e3:.3f} ms, bar 1)   bar 3")
    environment.run(f"big = 'x' * {50 * MB}\nnumbers = list(range({2 * MB}))\nnested = [[numbers] * 3, big]", "large values")
    shown = timed(lambda: [environment.run(name, name) for name in ("big", "numbers", "nested")])
    print(f"three values of 50 MB shown    {shown * 1e3:8.2f} ms   bar 1000")
    environment.close()

WATCHED = """
import time, rlm.display
from rlm.live import View
block = lambda code: f"A sentence about what comes next.\\n```repl\\n{code}\\n```"
work, spent, n = View.work, [], 0
def timed(self):
    work(self)
    spent.append(time.thread_time())
View.work = timed
class Model:
    model = "scripted"
    def complete(self, messages):
        global n
        time.sleep(.3)
        if len(messages) == 1: return "an answer"
        n += 1
        code = "import time\\nfor i in range(30): print('line', i); time.sleep(.1)" if n % 2 else "print(llm_query_batched(['q'] * 40))"
        return block(code) if n < 7 else "FINAL(done)"
began = time.perf_counter()
result = RLM(Model(), environment="jupyter", max_concurrent_subcalls=8).completion("Go.", context="x" * 1000)
seconds = time.perf_counter() - began
print(spent[0], seconds)
"""

def live():
    "What the live view takes of a run in a kernel: the processor's time of its thread, beside the seconds of the run."
    from kernel import Kernel, SET_UP
    with Kernel() as k:
        k.ok(SET_UP)
        k.ok(WATCHED)  # the first one imports what highlights code
        cell = k.ok(WATCHED.replace("work, spent, n = View.work, [], 0", "spent, n = [], 0"))
        spent, seconds = map(float, cell.stdout.split())
        print(f"the live view of a run         {spent * 1e3:8.1f} ms of {seconds:.1f} s {spent / seconds:7.2%}   bar 1%")

if __name__ == "__main__":
    if sys.argv[1:] == ["live"]: sys.exit(live())
    if sys.argv[1:] == ["memory"]: memory()
    elif sys.argv[1:] == ["blocks"]: blocks()
    elif sys.argv[1:] == ["namespaces"]: namespaces()
    elif sys.argv[1:] == ["traces"]: traces()
    elif sys.argv[1:2] == ["fan-out"]: fanning_out(*sys.argv[2:3] or [None])
    else:
        importing()
        for part in "memory", "blocks", "namespaces", "traces", "live": subprocess.run([sys.executable, __file__, part], check=True)
        iterations()
        fanning_out(sys.argv[1] if sys.argv[1:] else None)
