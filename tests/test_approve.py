"""Asking the user before code runs: which blocks are asked about, what can be answered, and what the run makes of it."""
import ast, sys
from types import SimpleNamespace

import pytest
from rlm.environments.effects import effects

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
nested.get("a").append(2) :: changes nested.get
numbers += [4] :: changes numbers
numbers.sort() :: changes numbers
arr[0] = 7 :: changes arr
view = arr.reshape(3, 1)\nview[0] = 5 :: changes view
import numpy as np\nnp.multiply(arr, 2, out=arr) :: changes arr
import random\nrandom.shuffle(numbers) :: changes numbers
import heapq\nheapq.heapify(numbers) :: changes numbers
setattr(df, "x", 1) :: changes df
globals()["df"] = None :: changes globals()
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
