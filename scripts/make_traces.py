"""Make the trace notebooks of the docs anew: real runs of the embedded model, as `enable_trace_notebook` writes them.

    make traces
"""
from pathlib import Path

from rlm import RLM
from rlm.logger import RLMLogger
from rlm.utils.trace_notebook import replace_file, trace_notebook

ROOT = Path(__file__).resolve().parents[1]
TRACES = ROOT / "nbs" / "traces"

def record(name: str, ask):
    "Log what `ask` does with an `RLM`, and make its notebook."
    for old in TRACES.glob(f"{name}*"): old.unlink()
    logger = RLMLogger(TRACES, name)
    with RLM("local", max_iterations=4, logger=logger, verbose=False) as rlm: ask(rlm)
    log = logger.path.rename(TRACES / f"{name}.jsonl")
    replace_file(log.with_suffix(".ipynb"), trace_notebook(log))
    print(log.with_suffix(".ipynb").relative_to(ROOT))

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
