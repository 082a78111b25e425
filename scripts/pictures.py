"""The pictures of the pages, taken in JupyterLab: `make pictures`, or `python scripts/pictures.py live result` for some of them.

They show the standard case of `tests/browser/`, whose model is a script. `at_work` is asked of the embedded model.
"""
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "tests")]
from lab import Lab
from standard import tables

IMAGES = ROOT / "nbs" / "images"
LARGEST = 150_000  # bytes of a picture
SET_UP = "import standard\norders, notes = standard.tables()\nrlm = standard.rlm(1.5, 8)\nquestion = standard.QUESTION"
RUN = "result = rlm.completion(question)"

def keep(notebook, name: str, *numbers: int):
    "Take a picture of some cells, with few colours."
    if not notebook.page.locator(".jp-Stdin-input:not([disabled])").count(): notebook.leave(*numbers)
    path = notebook.picture(IMAGES / f"{name}.png", *numbers)
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size / 1000:.0f} kB")
    assert size < LARGEST, f"{path.name} is larger than {LARGEST / 1000:.0f} kB"

def live(lab):
    "A run under way, in the light and in the dark, and what it comes to."
    notebook = lab.open("live.ipynb", [SET_UP, RUN, "result", "result.timeline()"]).run(0).start(1)
    notebook.see(1, re.compile(r"(2\d|3\d) of 40"), timeout=90)
    keep(notebook, "live", 1)
    notebook.see(1, "Sum up this complaint", timeout=30).dark()
    keep(notebook, "live_dark", 1)
    notebook.dark(False).wait(1, timeout=90).run(2, 3)
    notebook.outputs(2).locator("summary", has_text="2 · The revenue").click()
    keep(notebook, "result", 2)
    keep(notebook, "timeline", 3)

def magics(lab):
    cells = ["import standard\norders, notes = standard.tables()\nanalyst = standard.Analyst(.1, 1.)\n%load_ext rlm\n%rlm analyst",
             "%%rlm --vars orders,notes --as report\nWhat do the {len(notes)} notes say about deliveries, and which city brings the most revenue?",
             "%rlm"]
    keep(lab.open("magics.ipynb", cells).run(0, 1, 2), "magics", 1, 2)

def approve(lab):
    code = 'late = orders[orders["city"] == "Lima"]\\norders.drop(columns="amount", inplace=True)\\nlate.to_csv("late.csv")'
    cells = ["import standard\nfrom rlm import RLM\nfrom rlm.lm import ScriptedLM\norders, notes = standard.tables()\n"
             f"lm = ScriptedLM(['I keep the orders of Lima.\\n```repl\\n{code}\\n```', 'FINAL(Kept.)'])\n"
             "shared = {'sync_from_user_ns': True, 'sync_vars': ['orders']}\n"
             "rlm = RLM(lm, environment='jupyter', environment_kwargs=shared | {'approve': 'changes'})",
             'rlm.completion("Keep the orders of Lima in a file.")']
    notebook = lab.open("approve.ipynb", cells).run(0).start(1)
    notebook.question(1)
    notebook.cell(1).locator(".jp-Stdin-input").last.fill("no, leave my table as it is")
    keep(notebook, "approve", 1)
    notebook.answer(1, "stop").wait(1)

def at_work(lab):
    tables()[0].head(40).to_csv(lab.work / "orders.csv", index=False)
    cells = ['import pandas as pd\nfrom rlm import RLM\norders = pd.read_csv("orders.csv")\nrlm = RLM("local", environment="jupyter",\n'
             '          environment_kwargs={"sync_from_user_ns": True, "sync_vars": ["orders"]})',
             'rlm.completion("Add a column tax to orders, 20 % of the amount. Which city has the largest total amount?")', "orders.head(2)"]
    notebook = lab.open("work.ipynb", cells).run(0).run(1, timeout=300).run(2)
    keep(notebook, "at_work", 0, 1, 2)

if __name__ == "__main__":
    wanted = sys.argv[1:] or ["live", "magics", "approve", "at_work"]
    with Lab(tempfile.mkdtemp(), width=1150, height=1500, scale=2) as lab:
        for name in wanted: globals()[name](lab)
