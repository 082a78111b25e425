"""Interrupt the standard case at random moments, in a real kernel, and look at what is left behind.

    python tests/browser/interrupts.py 100

After each interrupt the next cell must work, nothing may be drawn once the cell is over, no thread may be left, and what is drawn must not
say that a run goes on. The last line counts what was found; the exit code is 1 where something is wrong.
"""
from __future__ import annotations
import ast, queue, random, re, sys, time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from kernel import Cell, Kernel

HERE = Path(__file__).resolve().parent
SET_UP = '''
import sys; sys.path.append(HERE)
import asyncio, builtins, signal, threading, time
import standard
import matplotlib.pyplot as plt
orders, notes = standard.tables()
rlm = standard.rlm(.05, .5)

def state():
    "What a run must leave as it was."
    return {"stdout": id(sys.stdout), "stderr": id(sys.stderr), "input": id(getattr(builtins.input, "__func__", builtins.input)), "SIGINT": str(signal.getsignal(signal.SIGINT)),
            "publisher": id(get_ipython().display_pub), "builtins": id(get_ipython().user_ns["__builtins__"]), "start": id(threading.Thread.start)}
def threads(): return sorted(t.name for t in threading.enumerate())
'''
RUNS = {"completion": "result = None\nresult = rlm.completion(standard.QUESTION)\n'it ended'",
        "await": "result = None\nresult = await rlm.acompletion(standard.QUESTION)\n'it ended'",
        "gather": "result = None\nresult = await asyncio.gather(*(rlm.acompletion(standard.QUESTION) for n in range(3)))\n'it ended'"}
LIVE = re.compile(r"<set |iteration \d+ of \d+|asking|running its code|waiting for|thinking", re.I)  # what only a run under way says

class Watched(Kernel):
    "A kernel whose messages are kept, whichever cell they belong to."
    late: list

    def drain(self, over: Cell, seconds: float):
        "What still comes for a cell that is over."
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try: m = self.client.get_iopub_msg(timeout=.1)
            except queue.Empty: continue
            if m["parent_header"].get("msg_id") == over.id: yield m["msg_type"], m["content"]

def text_of(data: dict) -> str:
    html = "".join(data.get("text/html") or data.get("text/plain") or "")
    return re.sub(r"<[^>]+>", " ", html)

def once(k: Kernel, code: str, moment: float, before, names) -> tuple[str, list[str]]:
    "Run, interrupt after `moment` seconds, look. How it ended, and what is wrong."
    wrong = []
    cell = k.start(code)
    time.sleep(moment)
    asked = time.monotonic()
    k.interrupt()
    try: k.finish(cell, timeout=20)
    except TimeoutError: return "did not stop", ["the cell went on for 20 s"]
    took = time.monotonic() - asked
    ended = "ended before" if cell.result else (cell.error or "neither").partition(":")[0]
    if ended not in ("ended before", "KeyboardInterrupt", "CancelledError"): wrong.append(f"the cell ended with {cell.error}, {cell.stdout}, {cell.stderr}")
    if ended != "ended before" and took > 3: wrong.append(f"it took {took:.1f} s to stop")
    wrong += [f"{kind} after the end: {str(content)[:200]}" for kind, content in k.drain(cell, .8)]
    nxt = k.run("print(6 * 7)")
    if (nxt.stdout, nxt.error, nxt.stderr) != ("42\n", None, "") or nxt.shown:
        wrong.append(f"the next cell: {nxt.stdout!r} {nxt.error} {nxt.stderr!r} {nxt.shown}")
    now = ast.literal_eval(k.ok("print((state(), threads()))").stdout)
    if now[0] != before: wrong.append(f"left changed: {[(n, before[n], now[0][n]) for n in before if before[n] != now[0][n]]}")
    if more := set(now[1]) - names: wrong.append(f"threads left: {more}")
    for data in cell.displays.values():
        seen = text_of({"text/html": "".join(data.values())} if "text/html" not in data else data)
        if LIVE.search("".join(data.get("text/html", "")) + seen): wrong.append(f"drawn as if it went on: {seen[:200]!r}")
    return ended, wrong

def main(times: int, kinds: list[str], seed: int = 0, part: float = 1.05) -> int:
    chance, found, bad = random.Random(seed), Counter(), 0
    with Watched() as k:
        k.ok(f"HERE = {str(HERE)!r}")
        k.ok(SET_UP)
        lasts = {}
        for kind in kinds:  # twice: what is made once, is made
            for _ in range(2):
                began = time.monotonic()
                k.ok(RUNS[kind])
                lasts[kind] = time.monotonic() - began
        time.sleep(1)
        before, names = ast.literal_eval(k.ok("print((state(), threads()))").stdout)
        names = set(names)
        print({kind: f"{s:.1f} s" for kind, s in lasts.items()}, "threads:", sorted(names), flush=True)
        for n in range(times):
            kind = kinds[n % len(kinds)]
            moment = chance.uniform(0, lasts[kind] * part)
            ended, wrong = once(k, RUNS[kind], moment, before, names)
            found[f"{kind}: {ended}"] += 1
            bad += bool(wrong)
            for what in wrong: print(f"{n}, {kind} after {moment:.2f} s: {what}", flush=True)
    print(f"{times} interrupts: {dict(found)}; {bad} left something wrong")
    return 1 if bad else 0

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2:] or list(RUNS)))
