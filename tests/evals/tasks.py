"""Questions with one right answer about texts too long to print, made from seeds: the same ones on every machine.

Eighteen *worlds* make data (a log, a table, a novel, a dict, ...) and ask ten questions about it, two of each kind in
`KINDS` but `arithmetic`, which has questions of its own. Twelve write `long` texts, six have `plain` data of a few lines.
Half of each are for tuning (`dev`), the other half for reporting (`test`), so a score on `test` is a score on formats and
questions that no one tuned for.

    python tests/evals/tasks.py          # list them all
    python tests/evals/tasks.py ID       # one of them, with the head of its context
"""
import re, sys
from dataclasses import dataclass
from itertools import zip_longest
from random import Random

import dev_worlds, held_out_worlds, plain_worlds
from arithmetic import arithmetic
from making import Tie
from rlm.evals import LONGEST, same_number, same_text

KINDS = "count", "find", "sum", "look up", "follow-up", "arithmetic"
ORDER = [kind for kind in KINDS[:5] for _ in range(2)]  # a world's ten questions, in this order


@dataclass(frozen=True)
class Task:
    "One question, what it is about, and what counts as an answer."
    id: str         # world and number, e.g. `orders-3`
    kind: str       # one of `KINDS`
    split: str      # "dev" or "test"
    level: str      # "long", "plain" or "arithmetic"
    question: str   # one or two sentences
    context: object # `long`: a str of 20,000 to 300,000 characters, a list or a dict; `plain`: up to 6,000; else None or tiny
    answer: object  # a number, a str, or a (str, number) pair
    others: tuple   # the values that would be wrong answers, so a reply that lists several is not one


# What counts as an answer

def check(task, reply):
    "Whether `reply` gives the answer to `task`, and no other beside it."
    if reply is None or len(reply) > LONGEST: return False
    def text(reply, answer): return same_text(reply, answer, task.question, task.others)
    def number(reply, answer):
        return same_number(reply, answer, task.question, 0.0051 if isinstance(answer, float) else 1e-6)
    if isinstance(task.answer, tuple):
        name, much = task.answer
        return text(reply, name) and number(re.sub(re.escape(name), " ", reply, flags=re.I), much)
    if isinstance(task.answer, str): return text(reply, task.answer)
    return number(reply, task.answer)


# The tasks

def make(world, j, split, level):
    "Question `j` of a world, with a text of its own; drawn again while a superlative is tied."
    for draw in range(100):
        r = Random(f"{world.__name__} {j} {draw}")
        try: context, asked = world(r, size=int(20_000 * 15 ** r.random()))
        except Tie: continue
        answer, others, *wordings = asked[j]
        return Task(f"{world.__name__}-{j}", ORDER[j], split, level, r.choice(wordings), context, answer, tuple(others))

def sums():
    for i, (question, context, answer) in enumerate(arithmetic(Random("arithmetic"))):
        yield Task(f"arithmetic-{i}", "arithmetic", "test" if i % 2 else "dev", "arithmetic", question, context, answer, ())

def tasks(split="all", n=None):
    "The tasks of one split (`dev`, `test` or `all`); with `n`, a fixed sample with as many of each kind as can be."
    worlds = [("dev", "long", dev_worlds.WORLDS), ("test", "long", held_out_worlds.WORLDS),
              ("dev", "plain", plain_worlds.DEV), ("test", "plain", plain_worlds.TEST)]
    found = [make(w, j, s, level) for s, level, of in worlds for w in of for j in range(len(ORDER))] + list(sums())
    found = [t for t in found if split in (t.split, "all")]
    if n is None: return found
    Random("sample").shuffle(found)
    return [t for row in zip_longest(*([t for t in found if t.kind == k] for k in KINDS)) for t in row if t][:n]


if __name__ == "__main__":
    for t in tasks():
        size = len(str(t.context or ""))
        if len(sys.argv) == 1: print(f"{t.id:14}{t.split:6}{t.level:11}{t.kind:11}{size:7}  {t.question}  -> {t.answer}")
        elif t.id in sys.argv: print(f"{t.question} -> {t.answer}\n\n{str(t.context)[:1000]}")
