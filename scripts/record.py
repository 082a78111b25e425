"""Record real runs for the docs: their logs, and a page of each that replays. Any endpoint that speaks OpenAI's protocol will do.

    python scripts/record.py --base-url URL --model NAME two_novels ...
    python scripts/record.py --pages      makes the pages again from the logs that are there

The user's code runs in a kernel, as it does in a notebook. `recordings.py` says what is asked, and who answered.
"""
import argparse, json, re, shutil, sys, tempfile
from datetime import date, datetime
from pathlib import Path

from recordings import BY, RECORDINGS, WORKING_DOCUMENTATION
from rlm.logger import LoggedRun, read_log, replace_file
from rlm.types import Usage
from rlm.utils.trace_notebook import trace_notebook, verify

ROOT = Path(__file__).resolve().parents[1]
TRACES, PAGE = ROOT / "nbs" / "traces", ROOT / "nbs" / "tutorials" / "working_documentation.ipynb"
sys.path.insert(0, str(ROOT / "tests"))

from kernel import Kernel

FIRST = """
import os
from rlm import RLM, RLMLogger
import rlm
model = {{"model_name": {model!r}, "base_url": {url!r}, "timeout": 3600, "max_retries": 0}}
logger = RLMLogger({folder!r})
"""

# The page makes an `RLM` without a logger too, and takes its server from the environment
EVERY_RUN = """
os.environ.update(OPENAI_BASE_URL={url!r}, OPENAI_API_KEY="none")
os.chdir({folder!r})
begin = rlm.RLM.__init__
def logged(self, *args, backend_kwargs=None, **kwargs):
    begin(self, *args, backend_kwargs=backend_kwargs | {{"timeout": 3600, "max_retries": 0}}, **kwargs | {{"logger": logger}})
rlm.RLM.__init__ = logged
"""

def shown_cells(page: Path) -> list[str]:
    "The code of a page that a reader sees."
    sources = ["".join(c["source"]) for c in json.loads(page.read_text())["cells"] if c["cell_type"] == "code"]
    return [source for source in sources if "#| hide" not in source]

def record(name: str, model: str, url: str) -> None:
    "Ask, and keep the log under the name of the recording."
    folder = tempfile.mkdtemp()
    given = {"model": model, "url": url, "folder": folder}
    cells = [FIRST.format(**given)]
    if RECORDINGS[name] is WORKING_DOCUMENTATION: cells += [EVERY_RUN.format(**given), *shown_cells(PAGE)]
    else: cells += [RECORDINGS[name].data, RECORDINGS[name].ask]
    with Kernel(cwd=str(TRACES)) as kernel:
        for cell in cells: kernel.ok(cell, timeout=100_000)
    keep(name, Path(folder))

def keep(name: str, folder: Path) -> None:
    "Take a log, and the data beside it, among the traces."
    log, = folder.glob("rlm_*.jsonl")
    shutil.move(log, TRACES / f"{name}.jsonl")
    for beside in folder.glob("context_*"):
        if RECORDINGS[name].keeps_data: shutil.move(beside, TRACES / beside.name)

def how_recorded(runs: list[LoggedRun]) -> str:
    "Who wrote the replies, when, and what it took."
    when = datetime.fromisoformat(runs[0].metadata["time"])
    usage = sum((run.result.usage for run in runs), start=Usage())
    iterations = sum(len(run.result.replies) for run in runs)
    return (f"Every word of the model is as it came: {BY} wrote the replies on {when.day} {when:%B %Y}, from nothing but the messages "
            f"that `rlm` sent to an OpenAI-compatible endpoint. It took {iterations} iterations and {usage.calls} requests "
            f"in all: {usage.input_tokens:,} tokens in and {usage.output_tokens:,} out, as that endpoint counts them (four characters "
            "a token). "
            "Run this notebook from top to bottom to replay it: no model is asked, and the last cell compares the answer.")

def markdown(id: str, source: str) -> dict: return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source.splitlines(True)}
def code(id: str, source: str) -> dict:
    return {"cell_type": "code", "id": id, "metadata": {}, "execution_count": None, "outputs": [], "source": source.splitlines(True)}

def page(name: str) -> Path:
    "Make the page of a recording from its log, and replay it."
    log, notebook = TRACES / f"{name}.jsonl", TRACES / f"{name}.ipynb"
    what, runs = RECORDINGS[name], read_log(log)
    nb = json.loads(trace_notebook(log))
    cells = [markdown("about", f"# {what.title}\n\n> {what.summary}\n"), markdown("recorded", f"{what.about}\n\n{how_recorded(runs)}")]
    if what.data: cells += [markdown("the-data", "The data:"), code("data", what.data.strip("\n"))]
    if what.ask: cells += [markdown("asked", f"And this asked, with `logger = RLMLogger(…)`:\n\n```python\n{what.ask.strip()}\n```")]
    missing = {f"start-{run.id}": [name for name in run.missing if name.isidentifier()] for run in runs}
    for cell in nb["cells"][1:]:
        given = "".join(f", {name}={what.variable(name)}" for name in missing.get(cell["id"], ()))
        if given: cell["source"][-1] = cell["source"][-1].removesuffix(")") + given + ")"
        cells.append(cell)
    replace_file(notebook, json.dumps(nb | {"cells": cells}, indent=1, ensure_ascii=False) + "\n")
    return notebook

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url")
    parser.add_argument("--model", default="large")
    parser.add_argument("--pages", action="store_true", help="record nothing, make the pages again")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(RECORDINGS)}; by default all")
    given = parser.parse_args()
    for name in given.names or RECORDINGS:
        if not given.pages: record(name, given.model, given.base_url)
        notebook = page(name)
        outcomes = list(verify(notebook).values())
        print(notebook.relative_to(ROOT), *outcomes)
        if {*outcomes} != {"equal"}: sys.exit("A trace in the docs has to replay equal.")

if __name__ == "__main__": main()
