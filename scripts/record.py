"""Record real runs for the docs: their logs, and a page of each that replays. Any endpoint that speaks OpenAI's protocol will do.

    python scripts/record.py --base-url URL --model NAME two_novels ...
    python scripts/record.py --pages      makes the pages again from the logs that are there

The user's code runs in a kernel, as it does in a notebook. `recordings.py` says what is asked, and who answered.
"""
import argparse, json, re, shutil, sys, tempfile
from datetime import datetime
from pathlib import Path

from recordings import BY, PAGES, RECORDINGS, SINCE
from rlm.logger import LoggedRun, read_log, replace_file
from rlm.types import Usage
from rlm.utils.trace_notebook import trace_notebook, verify

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
TRACES, RECORDED = NBS / "traces", NBS / "data" / "recorded"
sys.path.insert(0, str(ROOT / "tests"))

from kernel import Kernel

FIRST = """
import os
from rlm import RLM, RLMLogger
model = {{"model_name": {model!r}, "base_url": {url!r}, "timeout": 3600, "max_retries": 0}}
logger = RLMLogger({folder!r})
"""

# A page asks `replay(...)`, which is the model here, or a server that the environment names.
PAGE = """
import rlm.replay
from rlm.backends import create_lm
_large, _begin, _log, _of_a_log = create_lm("openai", model), RLM.__init__, logger, rlm.replay.replay
def _logged(self, *args, **kwargs):
    of_the_page = kwargs.get("backend_kwargs")
    if of_the_page and "base_url" not in of_the_page: kwargs["backend_kwargs"] = of_the_page | {{"timeout": 3600, "max_retries": 0}}
    _begin(self, *args, **kwargs)
    if self.lm is not _large and "base_url" in (of_the_page or {{"base_url": ""}}): return
    own = self.logger
    self.logger = lambda event: (_log(event), own and own(event))
RLM.__init__ = _logged
rlm.replay.replay = lambda log, checked=True: _of_a_log(log) if checked else _large
os.environ.update(OPENAI_BASE_URL={url!r}, OPENAI_API_KEY="any-key-will-do")
del model, logger, create_lm, rlm, os, RLM, RLMLogger  # what a page does not have
"""

def cells_of(page: Path) -> list[str]:
    "The code of a page, but for what the small model of the machine answers."
    sources = ["".join(c["source"]) for c in json.loads(page.read_text())["cells"] if c["cell_type"] == "code"]
    return [source for source in sources if not re.search(r"^#\| *slow", source, re.M)]

def record(name: str, model: str, url: str) -> None:
    "Ask, and keep the log under the name of the recording."
    folder = str(TRACES) if name in RECORDINGS else tempfile.mkdtemp()  # a log has paths relative to itself
    given = {"model": model, "url": url, "folder": folder}
    what, kept = RECORDINGS.get(name), {*TRACES.glob("context_*")}
    cells, cwd = [FIRST.format(**given)], TRACES
    if name in PAGES:
        page = NBS / f"{PAGES[name]}.ipynb"
        cells, cwd = [*cells, PAGE.format(**given), *cells_of(page)], page.parent
    else: cells += [what.data, what.ask]
    with Kernel(cwd=str(cwd)) as kernel:
        for cell in cells: kernel.ok(cell, timeout=100_000)
    log, = Path(folder).glob("rlm_*.jsonl")
    shutil.move(log, (TRACES if what else RECORDED) / f"{name}.jsonl")
    if what and not what.keeps_data:
        for beside in {*TRACES.glob("context_*")} - kept: beside.unlink()

def how_recorded(runs: list[LoggedRun], again: bool) -> str:
    "Who wrote the replies, when, and what it took."
    when = datetime.fromisoformat(runs[0].metadata["time"])
    usage = sum((run.result.usage for run in runs), start=Usage())
    iterations = sum(len(run.result.replies) for run in runs)
    return (f"Every word of the model is as it came: {BY} wrote the replies on {when.day} {when:%B %Y}. It read the messages that "
            f"`rlm` sent to an OpenAI-compatible endpoint, and nothing else. {f'{SINCE} ' * again}It took {iterations} iterations and {usage.calls} requests "
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
    cells = [markdown("about", f"# {what.title}\n\n> {what.summary}\n"), markdown("recorded", f"{what.about}\n\n{how_recorded(runs, what.again)}")]
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
    parser.add_argument("names", nargs="*", help=f"of {', '.join({**RECORDINGS, **PAGES})}; by default all")
    given = parser.parse_args()
    for name in given.names or {**RECORDINGS, **PAGES}:
        if not given.pages: record(name, given.model, given.base_url)
        if name not in RECORDINGS: continue
        notebook = page(name)
        outcomes = list(verify(notebook).values())
        print(notebook.relative_to(ROOT), *outcomes)
        if {*outcomes} != {"equal"}: sys.exit("A trace in the docs has to replay equal.")

if __name__ == "__main__": main()
