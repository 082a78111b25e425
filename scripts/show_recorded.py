"""Replay a recorded run in a terminal, step by step: its code runs again, and what models said comes from the log.

    python scripts/show_recorded.py [LOG.jsonl]
"""
import sys, time
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from rlm.logger import LoggedRun, read_log
from rlm.replay import Replay
from rlm.text import plain
from rlm.types import CodeResult, Iteration, SubCall

TRACES = Path(__file__).resolve().parents[1] / "nbs" / "traces"

PAUSE = 0.15  # seconds between two steps

def say(text: str, mark: str = "", lines: int = 12) -> None:
    "Print a text behind a margin: its first lines, and those cut at the width of the page."
    shown = [shorter(line) for line in plain(text.strip("\n")).split("\n")]
    left_out = [f"… {len(shown) - lines} more lines"] if len(shown) > lines + 1 else []
    print(indent("\n".join(shown[:lines + (not left_out)] + left_out), mark, lambda line: True), flush=True)
    time.sleep(PAUSE)

def shorter(text: str) -> str: return text if len(text) <= 160 else text[:157] + " …"

def show_calls(calls: Sequence[SubCall], margin: str) -> None:
    "What code asked of models: a line for a plain sub-call; of a child, what it did."
    for n, call in enumerate(calls, 1):
        say(f"── {'child' if call.run else 'sub-call'} {n} of {len(calls)}: {' '.join(call.prompt.split())}", margin)
        for i, iteration in enumerate(call.run.iterations if call.run else (), 1): show_reply(i, iteration, margin + "     ")
        say(call.error or call.response, f"{margin}   ← ", 1)

def show_reply(number: int, iteration: Iteration, margin: str, results: Sequence[CodeResult] = ()) -> None:
    "A reply, and what its code did: these results, or the recorded ones."
    say(f"── iteration {number}", margin)
    say(iteration.response, f"{margin}  | ")
    for block, result in zip(iteration.code_blocks, results or [b.result for b in iteration.code_blocks]):
        show_calls(block.result.rlm_calls, margin + "  ")
        if result.text: say(result.text, f"{margin}  > ", 6)

def replay_steps(log: Path, run: LoggedRun) -> None:
    "Run the code of a run again and show each step."
    again, blocks = Replay(log, run.id), iter(range(1, 1_000))
    print(f"── {run.prompt}  [{run.result.root_model}]")
    for number, iteration in enumerate(run.result.iterations, 1):
        show_reply(number, iteration, "", [again.block(next(blocks), block.code) for block in iteration.code_blocks])
    say(f"── {again.end()}\n── {run.result.usage}", lines=100)

def show(log: Path = TRACES / "a_child_per_document.jsonl") -> None:
    for run in read_log(log): replay_steps(log, run)

if __name__ == "__main__": show(*map(Path, sys.argv[1:]))
