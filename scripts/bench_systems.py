"""One measurement of one system, in the environment that has it. Part of `bench.py`.

    python bench_systems.py SYSTEM MEASUREMENT OPTIONS    (OPTIONS and what is printed are JSON)
"""
import json, os, resource, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

PEAK = 1 if sys.platform == "darwin" else 1024  # bytes in the unit of ru_maxrss

def timed(f) -> float:
    began = time.perf_counter()
    f()
    return time.perf_counter() - began

# The systems: what asks a question about a context; and an environment for code, ready, as a function of code

def rlm(url, n=30, at_once=256):
    from rlm import RLM
    it = RLM(backend_kwargs={"model_name": "m", "base_url": url}, max_iterations=n + 2, max_concurrent_subcalls=at_once, verbose=False)
    return lambda question, context: it.completion(question, context=context).response

def rlms(url, n=30, at_once=256, **more):
    from rlm import RLM
    def ask(question, context):
        it = RLM(backend="openai", backend_kwargs=dict(model_name="m", base_url=url, api_key="none"), environment="local",
                 max_iterations=n + 2, max_concurrent_subcalls=at_once, **more)
        return it.completion(context, root_prompt=question).response
    return ask

def deno():
    "The interpreter of DSPy, with a stand-in for the one module that it would fetch from deno.land."
    from dspy.primitives.python_interpreter import PythonInterpreter
    folder = Path(__file__).with_name("deno")
    first, run, *rest = PythonInterpreter().deno_command
    return PythonInterpreter(deno_command=[first, run, f"--import-map={folder / 'import_map.json'}", *rest])

def dspy(url, n=30, at_once=None):
    import dspy
    dspy.configure(lm=dspy.LM("openai/m", api_base=url, api_key="none", cache=False))
    sandbox = deno()  # one for all runs: it takes seconds to start
    sandbox.shutdown = lambda: None
    it = dspy.RLM("context, question -> answer", max_iters=n + 2, max_llm_calls=100_000, interpreter_factory=lambda: sandbox)
    return lambda question, context: it(question=question, context=context).answer

def bare(url, n=30, at_once=0):
    "The `openai` package alone: one message, again and again; or so many at once, from threads."
    import openai
    client = openai.OpenAI(base_url=url, api_key="none", http_client=openai.DefaultHttpxClient(trust_env=False))
    message = [{"role": "user", "content": "x" * 200}]
    def once(_=None): client.chat.completions.create(model="m", messages=message)
    def ask(question, context):
        if not at_once: return [once() for _ in range(n)]
        with ThreadPoolExecutor(at_once) as threads: return timed(lambda: list(threads.map(once, range(n))))
    return ask

SYSTEMS = dict(rlm=rlm, rlms=rlms, dspy=dspy, bare=bare)

# What is measured

def iterate(system, url, lengths):
    "Processor seconds of this process in runs of so many iterations; the server knows when they were asked for."
    found = []
    for n in lengths:
        ask, began = SYSTEMS[system](url, n), time.process_time()
        ask("go on", "some data")
        found.append(time.process_time() - began)
    return found

def batch(system, url, n, at_once):
    "Seconds of a batch of sub-calls, as the model's code sees them; threads and sockets at most; seconds of all of it."
    ask, most, over = SYSTEMS[system](url, n, at_once=at_once), [0, 0], threading.Event()
    def watch():
        while not over.wait(0.002):
            most[0] = max(most[0], threading.active_count() - 1)
            if os.path.isdir("/proc/self/fd"): most[1] = max(most[1], sockets())
    watching = threading.Thread(target=watch)
    watching.start()
    took = [float(ask("fan out", "some data")) for _ in range(4)][1:]  # the first one connects
    over.set()
    watching.join()
    return dict(seconds=took, threads=most[0], sockets=most[1])

def sockets():
    "Open sockets of this process."
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try: found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError: pass
    return found

def context(system, url, size):
    "What a context adds to the memory at its peak, and when the model was asked (the server knows when it was)."
    ask = SYSTEMS[system](url)
    ask("go on", "x")
    data = "a line of text that is not very long\n" * max(1, size // 37)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK, time.perf_counter()
    ask("go on", data)
    return dict(began=began, memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK - before)

def logged(system, url, lengths, folder):
    "Processor seconds that logs add to runs of so many iterations, and their bytes."
    found = []
    for n in lengths:
        for log in (True, False):
            there = Path(folder, str(len(found)))
            there.mkdir()
            ask = with_log(system, url, n, there) if log else SYSTEMS[system](url, n)
            began = time.process_time()
            ask("go on", "some data")
            found.append((n, log, time.process_time() - began, sum(p.stat().st_size for p in there.rglob("*") if p.is_file())))
    return found

def with_log(system, url, n, folder):
    if system == "rlms":
        from rlm.logger import RLMLogger
        return rlms(url, n, logger=RLMLogger(log_dir=str(folder)))
    from rlm import RLM
    from rlm.utils.trace_notebook import enable_trace_notebook
    it = RLM(backend_kwargs={"model_name": "m", "base_url": url}, max_iterations=n + 2, verbose=False,
             logger=enable_trace_notebook(folder)[0])
    return lambda question, context: it.completion(question, context=context)

# Environments: seconds until the first block has run, and for each one after it

def ours(name):
    from rlm.configuration import named_environment
    from rlm.environments.base import Task
    if name == "jupyter":
        from IPython.core.interactiveshell import InteractiveShell
        InteractiveShell.instance()
    environment = named_environment(name, {}, True)()
    environment.begin(Task(data={"context": "some data"}, label="bench"))
    return lambda code: environment.run(code, "iteration 1"), environment.close

def theirs(name):
    if name in ("deno", "worker"):
        from dspy.primitives.local_interpreter import LocalInterpreter
        it = deno() if name == "deno" else LocalInterpreter()
        return it.execute, it.shutdown
    from rlm.environments import get_environment
    it = get_environment("local" if name == "local" else "ipython", {} if name == "local" else dict(kernel_mode=name))
    return it.execute_code, it.cleanup

def environment(system, name, n=100):
    make = ours if system == "rlm" else theirs
    make(name)[1]()  # imports what it needs
    began = time.perf_counter()
    run, close = make(name)
    run("x = 1\nprint(x + 1)")
    first = time.perf_counter() - began
    rounds = [timed(lambda: run("x = 1\nprint(x + 1)")) for _ in range(n)]
    close()
    return dict(first=first, block=median(rounds))

READ, BACK, LISTED = dict(sync_from_user_ns=True), dict(sync_to_user_ns=True), dict(sync_vars=["df"])
MODES = {"private": {}, "publish": BACK, "read listed": READ | LISTED, "read all": READ, "share all": READ | BACK,
         "share listed": READ | BACK | LISTED}

def namespace(system, names, blocks=60):
    "Seconds of a block in each sync mode, in a user's namespace with so many names."
    from IPython.core.interactiveshell import InteractiveShell
    from rlm.environments.base import Task
    from rlm.environments.jupyter import configure
    shell = InteractiveShell.instance()
    shell.user_ns.update({"df": 1} | {f"name_{i}": i for i in range(names)})
    def per_block(kw):
        environment = configure(**kw)(True)
        environment.begin(Task(data={"context": "a question"}))
        times = [timed(lambda: environment.run(f"total_{i % 3} = {i}", f"iteration {i}")) for i in range(blocks)]
        environment.close()
        return median(times)
    return {mode: per_block(kw) for mode, kw in MODES.items()}

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

def live(system):
    "What the live view takes of a run in a kernel: the processor's time of its thread, beside the seconds of the run."
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from kernel import Kernel, SET_UP
    with Kernel() as k:
        k.ok(SET_UP)
        k.ok(WATCHED)  # the first one imports what highlights code
        cell = k.ok(WATCHED.replace("work, spent, n = View.work, [], 0", "spent, n = [], 0"))
        return list(map(float, cell.stdout.split()))

if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")  # what a system prints goes to stderr
    os.dup2(2, 1)
    _, system, measurement, options = sys.argv
    print(json.dumps(globals()[measurement](system, **json.loads(options))), file=out, flush=True)
    os._exit(0)  # some leave threads or servers behind
