"""What `rlm.map` costs: seconds for an item beside a plain loop of `completion`, and the memory that thousands of them add.

    python many.py [ITEMS]           prints a line for each measurement
    measure(items) -> dict           the same figures, for a page; each in a process of its own
"""
import json, os, subprocess, sys, time

class Says:
    "Answers at once, after one block; keeps nothing."
    model = "says"
    def complete(self, messages): return "```repl\nFINAL(len(context))\n```"

def memory() -> float:
    "MB that this process has in memory now."
    with open("/proc/self/statm") as f: return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

def prompts(n):
    for i in range(n): yield f"What is number {i}?"

def loop(n: int) -> dict:
    "Seconds for an item in a loop of `completion`."
    from rlm import RLM
    rlm = RLM(Says(), verbose=False)
    rlm.completion("warm up", context="x")
    began = time.perf_counter()
    for prompt in prompts(n): rlm.completion(prompt, context="some data")
    return {"seconds": (time.perf_counter() - began) / n}

def mapped(n: int, executor=None, **options) -> dict:
    "Seconds for an item in a map; MB after a fifth of the items, and how many more at the end."
    from rlm import RLM
    rlm = RLM(Says(), verbose=False)
    list(rlm.map(prompts(50), context="some data", executor=executor, **options))
    began, early = time.perf_counter(), 0.0
    for item in rlm.map(prompts(n), context="some data", executor=executor, **options):
        if item.index == n // 5: early = memory()
        assert item.value == 9
    return {"seconds": (time.perf_counter() - began) / n, "early": early, "added": memory() - early}

def one_at_a_time(n: int) -> dict: return mapped(n, max_concurrent=1)

def logged(n: int) -> dict:
    "The same with a folder of logs, and how long it takes to read it again."
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        first = mapped(n, log_dir=folder)
        return first | {"again": mapped(n, log_dir=folder)["seconds"]}

def processes(n: int) -> dict:
    "The same in two processes."
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool: return mapped(n, pool)

def cluster(n: int) -> dict:
    "The same on a Dask cluster of two processes."
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as there, Client(there) as client: return mapped(n, client)

PARTS = {f.__name__: f for f in (loop, one_at_a_time, mapped, logged, processes, cluster)}

def measure(n: int = 10_000, parts=tuple(PARTS)) -> dict[str, dict]:
    "The figures of each part, by name. All seconds are for one item."
    found = {}
    for part in parts:
        done = subprocess.run([sys.executable, __file__, part, str(n)], capture_output=True, text=True, timeout=3_600)
        found[part] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr[-500:]}
    return found

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PARTS: print(json.dumps(PARTS[sys.argv[1]](int(sys.argv[2]))))
    else:
        n = int(sys.argv[1]) if sys.argv[1:] else 10_000
        found = measure(n)
        base = found["loop"]["seconds"]
        for part, x in found.items():
            if "failed" in x: print(f"{part:14} failed: {x['failed']}")
            else: print(f"{part:14} {x['seconds'] * 1e3:7.2f} ms an item  {x['seconds'] / base:5.2f} x the loop" +
                        (f"   {x['added']:+6.1f} MB from item {n // 5:,} to {n:,}" if "added" in x else "") +
                        (f"   read again: {x['again'] * 1e3:.2f} ms" if "again" in x else ""))
