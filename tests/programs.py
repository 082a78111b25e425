"""Random programs, run by `RLM` in every environment and sync mode, and replayed in another process.

    python tests/programs.py record FOLDER FIRST LAST   # one log for each seed
    python tests/programs.py replay FOLDER              # what came out different, and must not have

Give the two a PYTHONHASHSEED of their own, so that what depends on it comes out different. `CODE` depends on nothing but what a
log holds, so it comes out the same, up to the first line of `OUTSIDE`, or the first name that the log does not have.
"""
import random, sys
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from rlm import RLM
from rlm.logger import RLMLogger, read_log
from rlm.replay import Replay, ReplayDivergenceError

MODES = [None, {}, dict(sync_to_user_ns=True), dict(sync_from_user_ns=True, sync_vars=["xs", "table"]), dict(sync_from_user_ns=True),
         dict(sync_from_user_ns=True, sync_to_user_ns=True), dict(sync_from_user_ns=True, sync_to_user_ns=True, sync_vars=["xs"])]

CODE = r'''
x = 1
x += 1; print(x)
import random; print(random.random())
random.shuffle(xs); print(xs)
print(random.sample(range(100), 3), random.Random(4).random())
import numpy as np; print(np.random.rand(2))
print(np.random.randint(0, 100, 3))
import numpy.random as nr; nr.seed(1); print(nr.rand())
import pandas as pd; print(pd.DataFrame({"a": range(99)}).sample(2))
xs.append(len(xs)); print(xs)
xs += [7]
ys = xs
ys.append("y"); print(xs)
del xs
xs = sorted(xs, key=str)
print(len(xs), table)
table["new"] = 1
table = {"mine": 2}
def f(n=1): return xs[:n]
print(f(2))
class A: pass
print(A); a = A()
a
display(xs)
display({"b": [1] * 40, "a": (3, 1)}, 1, "two")
context
context.append(5) if isinstance(context, list) else print("no list")
context["k"] = 1
print(context)
context = 3
print(rlm_context)
session_context_0
print(session_context_0, context_history, session_history)
session_context_0.append(9)
context_history.append(1)
1 / 0
raise KeyError("SURROGATE")
"lone SURROGATE"; len("SURROGATE")
print(undefined)
FINAL_VAR("nothing")
print(llm_query("same"), llm_query("same"))
llm_query_batched(["a", "b", "a"])
llm_query("x", model="other")
llm_query("x", model="scripted")
llm_query("SURROGATE")
import math; math.sqrt(2)
print(math.pi)
print(sorted({"a", "b"}), len(set("abc")), "a" in {"a", "b"})
print(__name__)
print("never"); x = (1,
exit()
import traceback; print(traceback.format_exc())
print("z" * 5_000)
answer["content"] = "done"; answer["ready"] = True
answer = "no"; print(answer)
exit = 3; display = 5; llm_query = 3
name_of_yours += 1; print(name_of_yours)
print(fn(3), fn)
print(list(range(3)))
list = [1]
(1, float("nan"), b"x")
print(obj)
import sys; print("e", file=sys.stderr); sys.exit(3)
lambda: 0
print(lambda: 0, object())
'''.replace("SURROGATE", "\ud800").strip("\n").split("\n")

OUTSIDE = r'''
random.seed(); print(random.random())
print(sorted(globals()), dir())
SHOW_VARS()
print({"a", "b", "c"}, {"a": 1, "b": 2, "c": 3}.keys() - {"a"})
print([w for w in set("a b c d".split())])
%timeit -n1 -r1 1
!echo hi
import time; print(time.time())
import uuid, secrets, os; print(uuid.uuid4(), secrets.token_hex(), os.urandom(3))
print(random.SystemRandom().random(), hash("a"), id(x))
_ = 5; print(_)
print(_)
print(Out)
from datetime import datetime; print(datetime(2026, 1, 1), datetime.now())
print(eval("x"), exec("y = 2"))
'''.strip("\n").split("\n")

ANSWERS = ["FINAL(x)", "FINAL_VAR(xs)", "FINAL(done now)", "```repl\nFINAL(xs)\n```", "FINAL(len(xs))", "FINAL_VAR(x)", "```repl\nFINAL([x, context])\n```",
           "FINAL(llm_query('hm'))", "FINAL(f(2))"]

class Writes:
    "A backend that writes programs at random."
    model = "scripted"
    def __init__(self, rnd): self.rnd, self.left = rnd, 3
    def complete(self, messages):
        rnd = self.rnd
        if len(messages) == 1:
            if rnd.random() < .1: raise ValueError("refused")
            return f"sub {rnd.random()}"
        self.left -= 1
        if self.left < 0:
            self.left = rnd.randint(1, 4)
            return rnd.choice(ANSWERS)
        if rnd.random() < .04: raise rnd.choice([KeyboardInterrupt, ValueError])("from the model")
        return "\n".join("```repl\n" + "\n".join(rnd.sample(CODE * 5 + OUTSIDE, rnd.randint(1, 3))) + "\n```" for _ in range(rnd.randint(1, 2)))

def record(folder: Path, seed: int):
    "The log of a few runs in one REPL."
    rnd, yours = random.Random(seed), InteractiveShell.instance().user_ns
    hidden = InteractiveShell.instance().user_ns_hidden
    for name in [n for n in yours if n[:1] != "_" and n not in hidden]: del yours[name]
    yours.update(xs=[3, 1, 2], table={"col": [1, 2]}, name_of_yours=5)
    more = dict(fn=lambda n: n, obj=object(), context=["my own"], list=[9], math=__import__("math"), time=__import__("time"))
    yours.update({n: v for n, v in more.items() if rnd.random() < .2})
    mode = rnd.choice(MODES)
    where = {} if mode is None else dict(environment="jupyter", environment_kwargs=dict(mode))
    if rnd.random() < .2: where.setdefault("environment_kwargs", {})["preview"] = "schema"
    rlm = RLM(Writes(rnd), logger=RLMLogger(folder, f"{seed:05}"), verbose=False, persistent=rnd.random() < .3, max_iterations=5, **where)
    ask = rlm.start_session().chat if rnd.random() < .5 else rlm.completion
    for _ in range(rnd.randint(1, 3)):
        context = rnd.choice([None, [1, 2], {"k": [1, 2]}, "text " * 3, [[0], [0]], {"x"}, {"t": (1, 2)}, object()])
        try: ask("Question?") if context is None else ask("Question?", context=context)
        except (Exception, KeyboardInterrupt): pass
        if rnd.random() < .3: yours["name_of_yours"] = rnd.random()
        if rnd.random() < .2 and isinstance(yours.get("xs"), list): yours["xs"] = [*yours["xs"], "between"]
        if rnd.random() < .1: yours.pop("name_of_yours", None)
    rlm.close()

def replayed(log: Path, run) -> tuple[Replay, dict]:
    "The replay of a run, at its end, and what its blocks did."
    again, now = Replay(log, run.id), {}
    for number, (block, _) in again.blocks.items(): now[number] = again.block(number, block.code.encode("utf-8", "replace").decode())
    try: again.end()
    except ReplayDivergenceError: pass
    return again, now

def wrong(again: Replay) -> bool:
    "Whether it came out different where it had no reason to."
    if again.outcome == "equal" or "needs" in again.outcome: return False
    first = int(again.outcome.split()[1]) if again.outcome.startswith("block") else len(again.blocks)
    ran = [block.code for n, (block, _) in again.blocks.items() if n <= first]
    return not again.repl.missing and not any(line in code.split("\n") for code in ran for line in OUTSIDE)

if __name__ == "__main__":
    InteractiveShell.instance()
    command, folder, *seeds = sys.argv[1:]
    if command == "record":
        for seed in range(*map(int, seeds)): record(Path(folder), seed)
    else:
        outcomes, tainted = [], set()  # REPLs in which something from outside has happened
        for log in sorted(Path(folder).glob("*.jsonl")):
            for run in read_log(log):
                again, now = replayed(log, run)
                outcomes.append("equal" if again.outcome == "equal" else "needs" if "needs" in again.outcome else "differs")
                repl = run.settings.repl
                if wrong(again) and repl not in tainted:
                    then = {n: block for n, (block, _) in again.blocks.items()}
                    print(f"{log.name} {run.settings} {again.outcome}\n{then}\n{now}\n")
                if again.outcome != "equal" or any(line in b.code for b, _ in again.blocks.values() for line in OUTSIDE): tainted.add(repl)
        print(*(f"{outcomes.count(kind)} {kind}" for kind in ("equal", "needs", "differs")), sep=", ")
