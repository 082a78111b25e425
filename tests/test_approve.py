"""Asking the user before code runs: which blocks are asked about, what can be answered, and what the run makes of it."""
import ast, os, pty, re, select, subprocess, sys, threading, time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rlm import RLM, Refuse, read_log
from rlm.environments.effects import effects
from rlm.environments.stopping import Stop
from rlm.events import BlockEnded, UserAnswered, UserAsked
from rlm.lm import ScriptedLM
from rlm.text import parse_python
from rlm.types import ConfigurationError, TimeoutExceededError

ROOT = Path(__file__).resolve().parents[1]

# -- which blocks may change something

class Connection:
    "What nobody here knows, as a connection to a database of the user's."

def clean(x): return x
clean.__module__ = "__main__"

def model_made(x): return x
model_made.__module__ = "rlm_repl_2"

def users_things():
    pd, np = pytest.importorskip("pandas"), pytest.importorskip("numpy")
    return dict(df=pd.DataFrame({"city": ["Lima", "Oslo"], "sales": [30, 10]}), rows=[{"x": 1}, {"x": 2}], texts=["a b", "c d"], numbers=[3, 1, 2],
                nested={"a": [1]}, arr=np.arange(3), conn=Connection(), clean=clean, text="some text", pd=pd, ax=SimpleNamespace())

def told(code, gives_back=False, **more):
    users = users_things()
    names = users | {"model_made": model_made, "os": __import__("os"), "requests": SimpleNamespace()} | more
    return effects(ast.parse(code), names, users, (), gives_back)

QUIET = r"""
print(df.head(), df.shape, len(df))
df.groupby("city")["sales"].sum()
df["sales"].mean(), df.sales.max(), df.describe()
top = df.sort_values("sales", ascending=False).head(3)\nprint(top.to_string())
west = df[df["city"] == "Lima"].copy()\nwest["share"] = west["sales"] / west["sales"].sum()\nwest
big = df[df.sales > 5]\nbig["share"] = 1
df = df.dropna()\ndf["x"] = 1\ndf.drop(columns="x", inplace=True)
for name, group in df.groupby("city"):\n    print(name, group["sales"].sum())
by = {}\nfor row in rows:\n    by.setdefault(row["x"], []).append(row)\nprint(len(by))
hits = [row for row in rows if row["x"] > 1]\nhits.append(3)\nhits.sort(key=str)\nprint(hits[:3])
hits = []\nfor text in texts:\n    if "a" in text: hits.append(text.split())\nhits.sort()
import re\nfound = re.findall(r"\d+", text)\nfound.append("7")\nprint(len(found))
import matplotlib.pyplot as plt\nfig, axes = plt.subplots()\naxes.plot(df["sales"])\naxes.set_title("Sales")\nplt.show()
import numpy as np\nx = np.array(numbers)\nx[0] = 5\nx.sort()\nx.mean()
from collections import Counter, defaultdict\nc = Counter(texts)\nc.update(["z"])\nc.most_common(3)
import json\nprint(json.dumps(nested, indent=1)[:500])
with open("notes.txt") as f: lines = f.readlines()\nlines.pop(0)\nprint(len(lines))
from pathlib import Path\nprint(Path("notes.txt").read_text()[:100], sorted(Path(".").glob("*.csv")))
import os\nprint(os.listdir("."), os.path.exists("x"), os.environ.get("HOME"), os.getcwd())
replies = llm_query_batched(["Summarize: " + t for t in texts])\nprint(replies[0])
FINAL(rlm_query("Which city?", context=df))
def total(t): return sum(t["sales"])\nprint(total(df))
def mark(row):\n    row = dict(row)\n    row["seen"] = True\n    return row\nprint([mark(r) for r in rows])
class Node:\n    def __init__(self, x): self.x = x\n    def grow(self): self.x += 1\nNode(3).grow()
total = 0\nfor n in numbers: total += n\nprint(total)
sorted(numbers), max(numbers), sum(x * 2 for x in numbers)
copy = list(rows)\ncopy.append({})\ncopy.reverse()
merged = df.merge(other, on="city").assign(x=lambda d: d.sales * 2).reset_index(drop=True)\nmerged.loc[0, "x"] = 1\nmerged.columns = ["a", "b"]
print(df.to_csv(index=False), df.to_json(), df.to_markdown())
df.sales.apply(lambda s: s * 2).tolist()
text.replace("some", "any").upper().split(), "x".join(texts)
words = {}\nfor t in texts:\n    for w in t.split(): words[w] = words.get(w, 0) + 1\nprint(sorted(words.items()))
import pandas as pd\npd.DataFrame(rows).rename(columns={"x": "y"}).add(1)
df.add(df.sales, axis=0).sales.rename("amount")
try: print(undefined)\nexcept NameError as e: print(e)
from datetime import datetime\ndatetime.now().replace(hour=3)
result = [getattr(row, "x", None) for row in rows]\nprint(result, hasattr(df, "x"), vars().keys())
i = 0\nwhile i < len(texts):\n    chunk = texts[i:i + 10]\n    i += 10\n    print(chunk)
first, *others = numbers\nfirst += 1
import statistics as st, math, itertools as it\nprint(st.mean(numbers), math.sqrt(2), list(it.combinations(numbers, 2)))
SHOW_VARS()
x = numbers[0]\nx += 1
lens = [model_made(3) for t in texts]
"""
ASKED = r"""
df["share"] = df["sales"] / 2 :: changes df
df.loc[df.sales > 5, "city"] = "Rome" :: changes df
df.drop(columns="city", inplace=True) :: changes df
df.sales.fillna(0, inplace=True) :: changes df
del df["city"] :: changes df
df.columns = ["a", "b"] :: changes df
df.insert(0, "n", 1) :: changes df
df.at[0, "city"] = "x" :: changes df
x = df\nx["new"] = 1 :: changes x
s = df["city"]\ns[0] = "x" :: changes s
rows.append({}) :: changes rows
rows[0]["x"] = 5 :: changes rows
for row in rows: row["y"] = 1 :: changes row
for i, row in enumerate(rows):\n    row.update(y=i) :: changes row
[row.pop("x") for row in rows] :: changes row
hits = [r for r in rows if r["x"]]\nhits[0]["x"] = 9 :: changes hits
def mark(row): row["seen"] = True\nfor r in rows: mark(r) :: changes row
mark = lambda r: r.clear()\nmark(rows[0]) :: changes r
list(map(lambda r: r.update(x=1), rows)) :: changes r
nested["a"].append(2) :: changes nested
nested.get("a").append(2) :: changes nested
numbers += [4] :: changes numbers
numbers.sort() :: changes numbers
arr[0] = 7 :: changes arr
view = arr.reshape(3, 1)\nview[0] = 5 :: changes view
import numpy as np\nnp.multiply(arr, 2, out=arr) :: changes arr
import random\nrandom.shuffle(numbers) :: changes numbers
import heapq\nheapq.heapify(numbers) :: changes numbers
setattr(df, "x", 1) :: changes df
globals()["df"] = None :: changes globals
if rows:\n    rows.clear() :: changes rows
clean(3) :: calls clean
model_made(rows) :: hands rows to model_made
conn.execute("delete from t") :: calls conn.execute
ax.plot([1, 2]) :: calls ax.plot
open("out.txt", "w").write("x") :: opens
with open(path, mode) as f: f.write("x") :: opens
open("log", "a") :: opens
from pathlib import Path\nPath("x").write_text("y") :: calls
from pathlib import Path\n[p.unlink() for p in Path(".").glob("*")] :: calls p.unlink
from pathlib import Path\nPath("a").rename("b") :: calls
df.to_csv("out.csv") :: calls df.to_csv
df.to_csv(path_or_buf=p) :: calls df.to_csv
df.to_parquet("out.parquet") :: calls df.to_parquet
import matplotlib.pyplot as plt\nplt.savefig("x.png") :: uses matplotlib.pyplot.savefig
import matplotlib.pyplot as plt\nplt.rcParams["font.size"] = 20 :: changes plt
import os\nos.remove("x") :: uses os.remove
import os as o\no.system("ls") :: uses os.system
from os import remove as r\nr("x") :: imports os.remove
os.makedirs("x") :: uses os.makedirs
import os\nlist(map(os.remove, ["x"])) :: uses os.remove
import os\ngetattr(os, "remove")("x") :: uses os.remove
import os\nos.environ["KEY"] = "x" :: changes os
import sys\nsys.path.append("x") :: changes sys
import sys\nsys.modules["x"] :: uses sys.modules
import shutil\nshutil.rmtree("x") :: imports shutil
import subprocess as sp\nsp.run("ls") :: imports subprocess
import requests\nrequests.get("https://x") :: imports requests
from urllib.request import urlopen :: imports urllib.request.urlopen
import socket :: imports socket
import sqlite3\nsqlite3.connect("x.db") :: imports sqlite3
import pandas as pd\npd.read_csv("https://example.org/x.csv") :: opens https://example.org/x.csv
exec("x = 1") :: uses exec
eval(text) :: uses eval
__import__("os").remove("x") :: uses __import__
f = open\nf("x", "w") :: uses open
().__class__.__base__.__subclasses__() :: uses __subclasses__
get_ipython().run_line_magic("pip", "install x") :: uses get_ipython
import mylib :: imports mylib
"""
GIVEN_BACK = r"""
df = df.dropna() :: rebinds df
text = 5 :: rebinds text
del rows :: deletes rows
for text in "ab": pass :: rebinds text
def clean(x): return x :: rebinds clean
with open("x") as text: pass :: rebinds text
import json as text :: rebinds text
import pandas as pd\nnew = 3
def f():\n    df = 3\n    return df
"""
def cases(text): return [tuple(part.replace("\\n", "\n") for part in line.split(" :: ")) for line in text.strip().split("\n")]

@pytest.mark.parametrize("code", [code for code, in cases(QUIET)])
def test_a_block_that_changes_nothing_needs_no_question(code): assert told(code) == []

@pytest.mark.parametrize("code, why", cases(ASKED))
def test_a_block_that_may_change_something_is_asked_about(code, why):
    assert any(found.split(" ", 2)[2].startswith(why) for found in told(code)), told(code)

@pytest.mark.parametrize("code, why", [(*case, None)[:2] for case in cases(GIVEN_BACK)])
def test_names_that_become_the_users(code, why):
    assert [found.split(" ", 2)[2] for found in told(code, gives_back=True)] == ([why] if why else [])
    assert told(code) == []

@pytest.mark.parametrize("code, found", [
    ("x = " + "f(" * 60 + "rows" + ")" * 60, 0), ("x = rows" + ".a()" * 60, 0), ("x = " + "+".join(["rows"] * 900), 1),
    ("\n".join(f"def f{i}(x): " + "; ".join([f"f{i + 1}(x)"] * 20) for i in range(20)) + "\ndef f20(x): x.clear()\nf0(rows)", 1)])
def test_code_that_is_hard_to_read_takes_no_time(code, found):
    begun = time.monotonic()
    assert len(effects(ast.parse(code), {}, {"rows": [[]]})) == found
    assert time.monotonic() - begun < 20

def test_of_recorded_runs_only_what_changes_a_table_is_asked_about():
    logs = [*ROOT.glob("nbs/traces/*.jsonl"), *ROOT.glob("nbs/data/recorded/*.jsonl")]
    blocks = [b.code for log in logs for run in read_log(log) for i in run.result.iterations for b in i.code_blocks]
    users = {name: [{}] for name in ("context", "df", "orders")}
    asked = {code: found for code in blocks if (tree := parse_python(code)) and (found := effects(tree, users, users))}
    assert len(blocks) > 20 and len(asked) <= len(blocks) / 8
    assert all(re.fullmatch(r"line \d+ changes (df|orders)", what) for found in asked.values() for what in found), asked

# -- a function that decides

def block(code): return f"```repl\n{code}\n```"

def scripted(*replies, approve, **more):
    return RLM(ScriptedLM([r if r.startswith("FINAL") else block(r) for r in replies]), environment_kwargs={"approve": approve}, verbose=False, **more)

def blocks(result): return [b.result for i in result.iterations for b in i.code_blocks]

@pytest.mark.parametrize("refusal, told", [
    (None, "The user did not allow this code to run.\n"), ("  ", "The user did not allow this code to run.\n"),
    (Refuse(), "The user did not allow this code to run.\n"), (Refuse("work on a copy"), "The user did not allow this code to run: work on a copy\n")])
def test_the_model_is_told_why_it_was_refused(refusal, told):
    result = scripted("print(1)", "FINAL(no)", approve=lambda code: refusal).completion("Go.")
    assert result.messages[-2]["content"].startswith(f"Output:\n{told}") and "Do it in another way" in result.messages[-2]["content"]
    assert [(r.ran, r.stdout) for r in blocks(result)] == [("", "")] and blocks(result)[0].error == told.strip()

def test_an_answer_outside_code_can_be_refused():
    result = scripted("x = 5; print(x)", "FINAL(x + 1)", "FINAL(none)", approve=lambda code: Refuse("no sums") if "+" in code else code).completion("Go.")
    assert "no sums" in result.messages[-2]["content"] and result.response == "none"

def test_a_log_a_replay_and_a_trace_keep_what_was_refused_and_why(tmp_path):
    from rlm import RLMLogger
    from rlm.replay import Replay
    from rlm.utils.trace_notebook import enable_trace_notebook
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = scripted("open('x', 'w')", "print(1)", "FINAL(no)", approve=lambda code: Refuse("no *files*") if "open" in code else code, logger=logger)
    result = rlm.completion("Go.")
    logged = read_log(logger.path)[0].result
    assert [(r.ran, r.error) for r in blocks(logged)] == [("", f"{REFUSED}: no *files*"), (None, None)]
    assert "no *files*" in Path(trace.path).read_text() and "no *files*" in result.trace_markdown
    here = Replay(logger.path, result.id)
    here.block(2, "print(1)")
    assert here.end().startswith("The same as then")

async def asked_later(code): return code
class AskedLater:
    async def __call__(self, code): return code

@pytest.mark.parametrize("environment", ["local", "jupyter"])
@pytest.mark.parametrize("given", ["yes", "", 1, True, ["ask"], asked_later, AskedLater()])
def test_what_is_no_approval_is_refused_before_anything_is_asked(given, environment):
    with pytest.raises(ConfigurationError, match='must be "ask", "changes", or a function'):
        RLM(ScriptedLM([]), environment=environment, environment_kwargs={"approve": given})

@pytest.mark.parametrize("given", [7, ["print(1)"], b"print(1)"])
def test_a_function_that_returns_something_else(given):
    with pytest.raises(ConfigurationError, match="approve must return the code to run"):
        scripted("print(1)", "FINAL(no)", approve=lambda code: given).completion("Go.")

def test_nobody_can_be_asked_without_a_terminal_and_that_is_said_before_the_model_is_asked():
    for approve in ("ask", "changes"):
        rlm = scripted("print(1)", "FINAL(no)", approve=approve)
        with pytest.raises(ConfigurationError, match="Nobody can be asked here"): rlm.completion("Go.")
        assert "0 given" in repr(rlm.lm)

# -- the clock

def test_no_time_runs_down_while_the_user_thinks():
    heard = []
    def approve(code):
        time.sleep(1.5)
        return code
    result = scripted("print(1)", "FINAL(done)", "FINAL(done)", approve=approve, max_timeout=1.2, logger=heard.append).completion("Go.")
    assert result.response == "done" and blocks(result)[0].stdout == "1\n" and blocks(result)[0].execution_time < 1.2
    assert [type(e) for e in heard if isinstance(e, (UserAsked, UserAnswered, BlockEnded))] == [UserAsked, UserAnswered, BlockEnded]
    assert next(e for e in heard if isinstance(e, UserAsked)).code == "print(1)"

def test_the_time_of_the_block_itself_counts():
    with pytest.raises(TimeoutExceededError): scripted("while True: pass", approve=lambda code: time.sleep(0.5) or code, max_timeout=0.4).completion("Go.")

class Family:
    "A root that asks a child for each of some tasks; a child runs the code that is its task."
    model = "family"
    def __init__(self, *tasks): self.tasks = tasks
    def complete(self, messages):
        task = messages[5]["content"].partition("Task: ")[2]
        if len(messages) > 6: return "FINAL(done)"
        return block(f"print(rlm_query_batched({list(self.tasks)!r}))") if task == "Go." else block(task)

def test_the_clock_of_parallel_children_stands_still_too():
    def approve(code):
        if "asked about" in code and "child" in code.split("\n")[0]: time.sleep(2)
        return code
    sleeps = "import time; time.sleep(0.3); print('slept')"
    result = RLM(Family("print('asked about')", sleeps, sleeps), environment_kwargs={"approve": approve}, max_depth=2, max_timeout=1.8,
                 verbose=False).completion("Go.")
    calls = blocks(result)[0].rlm_calls
    assert [c.error for c in calls] == [None] * 3 and result.response == "done"
    assert blocks(result)[0].execution_time < 1.8

def test_the_user_is_asked_about_one_child_at_a_time_and_the_root_hears_of_it():
    now, most, heard = [0], [0], []
    def approve(code):
        now[0] += 1; most[0] = max(most[0], now[0])
        time.sleep(0.02)
        now[0] -= 1
        return code
    RLM(Family("print(1)", "print(2)", "print(3)"), environment_kwargs={"approve": approve}, max_depth=2, verbose=False, logger=heard.append).completion("Go.")
    assert most == [1] and sum(isinstance(e, UserAsked) for e in heard) == sum(isinstance(e, UserAnswered) for e in heard) == 4

def test_a_run_that_approve_starts_has_its_own_time():
    def approve(code):
        with pytest.raises(TimeoutExceededError):
            scripted("while True: pass", approve=None, max_timeout=0.3).completion("Is that code safe?")
        return code
    assert scripted("print(1)", "FINAL(done)", approve=approve, max_timeout=20).completion("Go.").response == "done"

def test_a_question_ends_when_the_run_is_cancelled():
    import asyncio
    asked = threading.Event()
    def approve(code):
        asked.set()
        while True: time.sleep(0.01)
    async def go():
        rlm = scripted("print(1)", "FINAL(done)", approve=approve)
        task = asyncio.create_task(rlm.acompletion("Go."))
        while not asked.is_set(): await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
        return rlm
    rlm = asyncio.run(go())
    end = time.monotonic() + 20
    while rlm.last_result is None and time.monotonic() < end: time.sleep(0.01)
    assert rlm.last_result.stop_reason == "cancelled"

def test_ctrl_c_in_a_function_of_the_users_stops_the_run_and_keeps_the_block():
    def approve(code): raise KeyboardInterrupt
    rlm = scripted("print(1)", "FINAL(done)", approve=approve)
    with pytest.raises(KeyboardInterrupt) as e: rlm.completion("Go.")
    assert e.value.result.stop_reason == "interrupted" and [(r.ran, r.interrupted) for r in blocks(e.value.result)] == [("", True)]

def test_stop_at_the_question_of_a_child_ends_the_whole_run():
    def approve(code):
        if "child" in code.split("\n")[0]: raise KeyboardInterrupt
        return code
    rlm = RLM(Family("print(1)", "print(2)", "import time; time.sleep(60)"), environment_kwargs={"approve": approve}, max_depth=2, verbose=False)
    with pytest.raises(KeyboardInterrupt) as e: rlm.completion("Go.")
    assert e.value.result.stop_reason == "interrupted" and len(e.value.result.iterations) == 1 and e.value.result.execution_time < 30

# -- a notebook

def asked(k, *typed, replies=("print(1)", "print(2)", "FINAL(done it)"), approve="ask", how="rlm.completion('Go.')", **more):
    "What was asked while somebody typed these lines; the cell, and each block's `ran` and output."
    k.ok(f"rlm = scripted(*{list(replies)!r}, approve={approve!r}, **{more!r})")
    cell, questions = k.dialog(f"result = {how}", *typed)
    return cell, questions, k.value("[(b.result.ran, b.result.stdout, b.result.error) for i in rlm.last_result.iterations for b in i.code_blocks]")

QUESTION = "May it run? yes, no (and why), edit, always, stop: "
REFUSED = "The user did not allow this code to run"

@pytest.mark.parametrize("how", ["rlm.completion('Go.')", "await rlm.acompletion('Go.')", "list(rlm.stream('Go.'))"])
def test_yes_and_no_in_a_notebook(k, how):
    cell, questions, ran = asked(k, "y", "no, print three instead", how=how)
    assert cell.error is None and questions == [QUESTION] * 2
    assert ran == [(None, "1\n", None), ("", "", f"{REFUSED}: print three instead")]
    first, second = cell.displays.values()
    assert "<details>" in first["text/html"] and "You allowed this: print(1)" in first["text/html"]
    assert "You refused this (print three instead): print(2)" in second["text/html"]

def test_a_reason_is_asked_for_and_an_empty_line_is_no_answer(k):
    cell, questions, ran = asked(k, "", "maybe", "NO", " it is late ", "n", "")
    why = "Why? The model is told; Enter gives no reason: "
    assert questions == [QUESTION] * 3 + [why, QUESTION, why]
    assert [r[2] for r in ran] == [f"{REFUSED}: it is late", f"{REFUSED}."]

def test_always_holds_for_this_run(k):
    _, questions, ran = asked(k, "always")
    assert len(questions) == 1 and [r[1] for r in ran] == ["1\n", "2\n"]
    k.ok("rlm.lm = ScriptedLM([block('print(1)'), 'FINAL(done it)'])")
    cell, questions = k.dialog("rlm.completion('Again.')", "y")
    assert questions == [QUESTION] and cell.error is None

def test_edit_line_by_line(k):
    code = "for i in range(3):\n    print(i)"
    cell, questions, ran = asked(k, "edit", "2: print(i * i)", "2+: print('-')", "9: x", "1: for i in [5]:", "", "yes", replies=(code, "FINAL(done it)"))
    new = "for i in [5]:\n    print(i * i)\n    print('-')"
    assert ran == [(new, "25\n-\n", None)] and questions[0] == questions[-1] == QUESTION
    assert k.value("result.iterations[0].code_blocks[0].code") == new
    assert "You changed this" in next(iter(cell.displays.values()))["text/html"]

def test_stop_and_ctrl_c_at_the_question(k):
    for typed in ("stop", k.interrupt):
        for how in ("rlm.completion('Go.')", "await rlm.acompletion('Go.')"):
            cell, _, ran = asked(k, "y", typed, how=how)
            assert cell.error.startswith("KeyboardInterrupt"), how
            assert ran == [(None, "1\n", None), ("", "", "The user stopped the run here.")], how
            assert k.value("rlm.last_result.stop_reason") == "interrupted"
            assert k.ok("print('fine')").stdout == "fine\n"

def test_changes_asks_only_where_something_may_change_and_says_what(k):
    k.ok("df = pd.DataFrame({'x': [1, 2]})")
    cell, questions, ran = asked(k, "n", "", replies=("print(df.x.sum())", "df['y'] = 1", "z = df.copy(); z['y'] = 1; print(len(z.columns))", "FINAL(done it)"),
                                 approve="changes", sync_from_user_ns=True)
    assert len(questions) == 2 and [r[1] for r in ran] == ["3\n", "", "2\n"] and k.value("list(df)") == ["x"]
    shown = [o for o in cell.shown if "May change something: line 1 changes df." in o["text/plain"]]
    assert len(shown) == 1

def test_a_name_of_the_users_that_is_bound_anew(k):
    k.ok("total = 5; import json")
    replies = "import json; mine = 1", "total = 6", "mine = 2", "FINAL(done it)"
    for mode, asks in ((dict(sync_from_user_ns=True, sync_to_user_ns=True), 1), (dict(sync_from_user_ns=True), 0)):
        k.ok("globals().pop('mine', None)")
        _, questions, ran = asked(k, *["n", ""] * asks, replies=replies, approve="changes", **mode)
        assert len(questions) == 2 * asks and k.value("total") == 5

def test_an_alias_of_the_users_object_from_an_earlier_block(k):
    k.ok("rows = [1, 2]")
    _, questions, _ = asked(k, "n", "", replies=("mine = rows; print(len(mine))", "mine.append(3)", "FINAL(done it)"), approve="changes", sync_from_user_ns=True)
    assert len(questions) == 2 and k.value("rows") == [1, 2]

def test_magics_are_asked_about(k):
    _, questions, ran = asked(k, "n", "", "n", "", replies=("!echo hello", "%time print(3)", "%pip list", "FINAL(done it)"), approve="changes")
    assert len(questions) == 4 and [r[1].split("\n")[0] for r in ran] == ["", "3", ""]

def test_children_are_asked_about_one_after_the_other(k):
    k.ok("""class Family:
    model = "family"
    def complete(self, messages):
        task = messages[5]["content"].partition("Task: ")[2]
        if len(messages) > 6: return "FINAL(done it)"
        return block("print(rlm_query_batched(['print(1)', 'print(2)']))") if task == "Go." else block(task)
rlm = RLM(Family(), environment="jupyter", environment_kwargs=dict(approve="ask"), max_depth=2, verbose=False)""")
    cell, questions = k.dialog("result = rlm.completion('Go.')", "y", "y", "n", "not this")
    assert cell.error is None and len(questions) == 4
    assert sum(o["text/plain"].startswith("The code of a child.") for o in cell.shown) == 2
    assert sorted(k.value("[str(c.run.iterations[0].code_blocks[0].result.error) for c in result.iterations[0].code_blocks[0].result.rlm_calls]")) == [
        "None", f"{REFUSED}: not this"]
    cell, questions = k.dialog("result = rlm.completion('Go.')", "always")
    assert cell.error is None and len(questions) == 1
    for typed in ("stop", k.interrupt):
        cell, questions = k.dialog("result = rlm.completion('Go.')", "y", typed)
        assert cell.error.startswith("KeyboardInterrupt") and k.value("rlm.last_result.stop_reason") == "interrupted"
        assert k.dialog("print(input('still mine? '))", "yes")[0].stdout == "yes\n"

def test_runs_side_by_side_ask_one_after_the_other(k):
    k.ok("""import asyncio
def local(): return RLM(ScriptedLM([block('print(1)'), 'FINAL(done it)']), environment_kwargs=dict(approve='ask'), verbose=False)
async def both(): return await asyncio.gather(*[rlm.acompletion('Go.') for rlm in rlms])""")
    k.ok("rlms = local(), local()")
    cell, questions = k.dialog("results = await both()", "y", "no, thanks")
    assert len(questions) == 2 and cell.error is None
    k.ok("rlms = local(), local()")
    cell, questions = k.dialog("results = await both()", "no, later", "always")
    assert cell.error is None and sorted(k.value("[str(r.iterations[0].code_blocks[0].result.error) for r in results]")) == ["None", f"{REFUSED}: later"]
    k.ok("rlms = local(), local()")
    cell, questions = k.dialog("results = await both()", k.interrupt)
    assert cell.error.startswith("KeyboardInterrupt") or cell.error.startswith("CancelledError")
    assert k.dialog("print(input('still mine? '))", "yes")[0].stdout == "yes\n"

def test_a_front_end_where_nobody_types(k):
    k.ok("rlm = scripted('print(1)', 'FINAL(no)', approve='ask')")
    from kernel import Cell
    cell = k.finish(Cell(k.client.execute("rlm.completion('Go.')", allow_stdin=False)))
    assert "Nobody can be asked here" in cell.error and "0 given" in k.value("repr(rlm.lm)")

def test_what_the_model_writes_stays_text(k):
    cell, _, _ = asked(k, "y", replies=('x = "<script>alert(1)</script>\u202e $$x$$"', "FINAL(done it)"))
    pages = [o["data"]["text/html"] for o in cell.outputs if "text/html" in o.get("data", {})]
    assert pages and all("<script" not in page and "\u202e" not in page for page in pages) and "\\u202e" in pages[0]

# -- a terminal

TERMINAL = """
from rlm import RLM
from rlm.lm import ScriptedLM
lm = ScriptedLM([f"```repl\\n{code}\\n```" for code in %r] + ["FINAL(done it)"])
rlm = RLM(lm, environment_kwargs={"approve": %r}, verbose=%r)
try: print("answer:", rlm.completion("Go.").response)
except KeyboardInterrupt as e: print("stopped:", e.result.stop_reason)
print("ran:", [(b.result.ran, b.result.stdout) for i in rlm.last_result.iterations for b in i.code_blocks])
"""

class Terminal:
    "A Python program in a terminal of its own."
    def __init__(self, program: str):
        self.mine, theirs = pty.openpty()
        env = os.environ | {"PYTHONPATH": os.getcwd(), "TERM": "xterm"}
        self.process = subprocess.Popen([sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
                                        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(theirs)
        self.seen = ""

    def until(self, *texts: str, timeout: float = 60) -> str:
        "What it shows until it has shown these texts, one after the other; from the last time on."
        end, before = time.monotonic() + timeout, len(self.seen)
        at = before
        for text in texts:
            while (found := self.seen.find(text, at)) < 0:
                assert time.monotonic() < end, f"{text!r} did not come: {self.seen}"
                if not select.select([self.mine], [], [], 0.5)[0]: continue
                try: self.seen += os.read(self.mine, 10_000).decode("utf-8", "replace")
                except OSError: raise AssertionError(f"{text!r} did not come: {self.seen}") from None
            at = found + len(text)
        return self.seen[before:]

    def type(self, text: str) -> None: os.write(self.mine, text.encode())

def ran_in_a_terminal(*typed, codes=("print(1)", "print(2)"), approve="ask", verbose=False):
    "What is seen while somebody types these lines at questions, and `ran` at the end."
    t = Terminal(TERMINAL % (list(codes), approve, verbose))
    for expected, line in typed:
        t.until(expected)
        t.type(line)
    t.until("ran: ", "]")
    t.process.wait(30)
    return t.seen, ast.literal_eval(t.seen.rpartition("ran: ")[2].partition("\r\n")[0])

def test_yes_and_no_in_a_terminal():
    seen, ran = ran_in_a_terminal((QUESTION, "y\n"), (QUESTION, "no, print three\n"))
    assert ran == [(None, "1\n"), ("", "")] and "answer: done it" in seen and "── A block of code." in seen
    assert "print" in seen and "\x1b[" in seen, "in colour"

def test_stop_and_ctrl_c_in_a_terminal():
    for typed in ("stop\n", "\x03", "\x04"):
        seen, ran = ran_in_a_terminal((QUESTION, "y\n"), (QUESTION, typed))
        assert "stopped: interrupted" in seen and ran == [(None, "1\n"), ("", "")]

def test_edit_in_a_terminal():
    seen, ran = ran_in_a_terminal((QUESTION, "e\n"), ("then Esc, and Enter:", " + 1\x1b\r"), (QUESTION, "a\n"), codes=("1", "print(2)"))
    assert ran[0][0] == "1 + 1" and ran[1] == (None, "2\n")

@pytest.mark.parametrize("asks", ["rlm.completion('Go.')", "await rlm.acompletion('Go.')"])
def test_in_ipython(asks):
    code = (TERMINAL % (["mine = 1", "total = 5"], "changes", None)).replace("RLM(lm, environment_kwargs={", "RLM(lm, environment='jupyter', environment_kwargs={"
        "'sync_from_user_ns': True, 'sync_to_user_ns': True, ").replace('rlm.completion("Go.")', f"({asks})")
    t = Terminal(f"from IPython import start_ipython\nstart_ipython(argv=['--no-banner', '-c', {'total = 3' + code!r} + 'print(total)'])")
    t.until("line 1 rebinds total", QUESTION)
    t.type("edit\n")
    t.until("then Esc, and Enter:")
    t.type(" + 2\x1b\r")
    t.until(QUESTION)
    t.type("y\n")
    t.until("ran: [(None, ''), ('total = 5 + 2', '')]", "7")
    t.process.wait(30)

def test_the_live_view_leaves_a_question_alone():
    codes = ["import time; time.sleep(1.5)", "x = 1"]
    t = Terminal(TERMINAL % (codes, "ask", None))
    t.until(QUESTION)
    t.type("y\n")
    t.until(QUESTION)
    time.sleep(2.5)
    t.type("y\n")
    t.until("ran: ", "]")
    between = t.seen.rpartition(QUESTION)[2].partition("\n")[0]
    assert between.strip() == "y", repr(between)

def test_a_programs_input_is_no_terminal():
    done = subprocess.run([sys.executable, "-c", TERMINAL % (["print(1)"], "ask", False)], input="y\n", capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()})
    assert "Nobody can be asked here" in done.stderr
