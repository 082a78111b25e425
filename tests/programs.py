"""Random programs, run by `RLM` in every environment and sync mode, and replayed in another process.

    python tests/programs.py record FOLDER FIRST LAST   # one log for each seed
    python tests/programs.py replay FOLDER              # a trace that says `full` must end equal

Give the two a PYTHONHASHSEED of their own, so that what depends on it comes out different.
"""
import random, sys
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from rlm import RLM
from rlm.logger import RLMLogger, read_log
from rlm.replay import Replay, missing
from rlm.types import ConfigurationError

MODES = [None, {}, dict(sync_to_user_ns=True), dict(sync_from_user_ns=True, sync_vars=["xs", "table"]), dict(sync_from_user_ns=True),
         dict(sync_from_user_ns=True, sync_to_user_ns=True), dict(sync_from_user_ns=True, sync_to_user_ns=True, sync_vars=["xs"])]

CODE = r'''
x = 1
x += 1; print(x)
import random; print(random.random())
random.shuffle(xs); print(xs)
print(random.sample(range(100), 3), random.Random(4).random())
random.seed(); print(random.random())
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
SHOW_VARS()
print(sorted(globals()), dir())
print(llm_query("same"), llm_query("same"))
llm_query_batched(["a", "b", "a"])
llm_query("x", model="other")
llm_query("x", model="scripted")
llm_query("SURROGATE")
import math; math.sqrt(2)
print(math.pi)
print({"a", "b", "c"}, {"a": 1, "b": 2, "c": 3}.keys() - {"a"})
print([w for w in set("a b c d".split())])
print(sorted({"a", "b"}), len(set("abc")), "a" in {"a", "b"})
print(__name__)
%timeit -n1 -r1 1
!echo hi
print("never"); x = (1,
exit()
import time; print(time.time())
import uuid, secrets, os; print(uuid.uuid4(), secrets.token_hex(), os.urandom(3))
print(random.SystemRandom().random(), hash("a"), id(x))
import traceback; print(traceback.format_exc())
print("z" * 100_000)
answer["content"] = "done"; answer["ready"] = True
answer = "no"; print(answer)
exit = 3; display = 5; llm_query = 3
name_of_yours += 1; print(name_of_yours)
print(fn(3), fn)
print(list(range(3)))
list = [1]
(1, float("nan"), b"x")
print(obj)
_ = 5; print(_)
print(_)
print(Out)
import sys; print("e", file=sys.stderr); sys.exit(3)
from datetime import datetime; print(datetime(2026, 1, 1), datetime.now())
lambda: 0
print(lambda: 0, object())
shared[0].append(1); print(shared)
alias.append(1); print(xs)
print(eval("x"), exec("y = 2"))
'''.replace("SURROGATE", "\ud800").strip("\n").split("\n")

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
        return "\n".join("```repl\n" + "\n".join(rnd.sample(CODE, rnd.randint(1, 3))) + "\n```" for _ in range(rnd.randint(1, 2)))

def record(folder: Path, seed: int):
    "The log of a few runs in one REPL."
    rnd, yours = random.Random(seed), InteractiveShell.instance().user_ns
    hidden = InteractiveShell.instance().user_ns_hidden
    for name in [n for n in yours if n[:1] != "_" and n not in hidden]: del yours[name]
    yours.update(xs=[3, 1, 2], table={"col": [1, 2]}, name_of_yours=5)
    more = dict(fn=lambda n: n, obj=object(), context=["my own"], alias=yours["xs"], shared=[[1]] * 3, list=[9], math=__import__("math"), time=__import__("time"))
    yours.update({n: v for n, v in more.items() if rnd.random() < .2})
    mode = rnd.choice(MODES)
    where = {} if mode is None else dict(environment="jupyter", environment_kwargs=dict(mode))
    if rnd.random() < .2: where.setdefault("environment_kwargs", {})["preview"] = "schema"
    rlm = RLM(Writes(rnd), logger=RLMLogger(folder, f"{seed:05}"), verbose=False, persistent=rnd.random() < .3, max_iterations=5, **where)
    ask, same = rlm.start_session().chat if rnd.random() < .5 else rlm.completion, [1, 2]
    for _ in range(rnd.randint(1, 3)):
        context = rnd.choice([None, same, {"k": [1, 2]}, "text " * 3, [[0]] * 2, {"x", "y", "z"}, {"t": (1, 2)}, yours.get("xs")])
        try: ask("Question?") if context is None else ask("Question?", context=context)
        except (Exception, KeyboardInterrupt): pass
        if rnd.random() < .3: yours["name_of_yours"] = rnd.random()
        if rnd.random() < .2 and isinstance(yours.get("xs"), list): yours["xs"].append("between")
        if rnd.random() < .1: yours.pop("name_of_yours", None)
    rlm.close()

def differs(log: Path, run, full: bool) -> str:
    "What came out different in a replay; empty if nothing."
    again, blocks = Replay(log, run.id), [b for i in run.result.iterations for b in i.code_blocks]
    for number, b in enumerate(blocks, 1):
        if b.result.interrupted: continue
        now = again.block(number, b.code.encode("utf-8", "replace").decode())
        if full and again.differs: return f"block {number}:\n{b.code}\nthen: {b.result}\nnow: {now}"
    try: said = again.end()
    except Exception as e: said = f"{type(e).__name__}: {e}"
    again.close()
    return "" if said.startswith("The same as then.") else said

if __name__ == "__main__":
    InteractiveShell.instance()
    command, folder, *seeds = sys.argv[1:]
    if command == "record":
        for seed in range(*map(int, seeds)): record(Path(folder), seed)
    else:
        full = partial = wrong = 0
        for log in sorted(Path(folder).glob("*.jsonl")):
            runs = read_log(log)
            for run in runs:
                gaps = missing(run, runs)
                full, partial = full + (not gaps), partial + bool(gaps)
                said = differs(log, run, not gaps)
                if gaps or not said: continue
                wrong += 1
                print(f"{log.name} {run.metadata['settings']}\n{said}\n")
        print(f"{full} full, {partial} partial, {wrong} wrong")
