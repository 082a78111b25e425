"""Make the trace notebooks of the docs anew: real runs of the embedded model, as `enable_trace_notebook` writes them, verified.

    make traces
"""
import sys
from pathlib import Path

from rlm import RLM
from rlm.logger import RLMLogger, replace_file
from rlm.utils.trace_notebook import trace_notebook, verify

ROOT = Path(__file__).resolve().parents[1]
TRACES = ROOT / "nbs" / "traces"

def record(name: str, ask):
    "Log what `ask` does with an `RLM`, make its notebook, and replay that."
    for old in TRACES.glob(f"{name}*"): old.unlink()
    logger = RLMLogger(TRACES, name)
    with RLM("local", {"model_name": "small"}, max_iterations=4, logger=logger, verbose=False) as rlm: ask(rlm)
    log = logger.path.rename(TRACES / f"{name}.jsonl")
    notebook = log.with_suffix(".ipynb")
    replace_file(notebook, trace_notebook(log))
    outcomes = list(verify(notebook).values())
    print(notebook.relative_to(ROOT), *outcomes)
    if {*outcomes} != {"equal"}: sys.exit("A trace in the docs has to replay equal.")

def count_a_name(rlm):
    text = (ROOT / "nbs" / "data" / "two_novels.txt").read_text()
    start = text.index("CHAPTER", len(text) // 4)
    rlm.completion("How many times does the name Willoughby occur?", context=text[start:start + 60_000])

def a_conversation(rlm):
    session = rlm.start_session()
    session.chat("What is 12 times 34?")
    session.chat("And what is that plus 1000?")

if __name__ == "__main__":
    for old in TRACES.glob("context_*"): old.unlink()
    for ask in (count_a_name, a_conversation): record(ask.__name__, ask)
