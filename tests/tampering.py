"""A real log, changed in many ways, read and replayed: nothing comes of it but a result or the house's own errors.

    python tests/tampering.py FOLDER [NUMBER]   # prints the changes after which something else came; all of them without NUMBER
"""
import faulthandler, json, random, sys
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.logger import RLMLogger, read_log
from rlm.replay import Replay, ReplayDivergenceError, replay
from rlm.types import RLMError
from rlm.utils.trace_notebook import trace_notebook

def record(folder):
    "The lines of a log that has something of everything."
    shell = InteractiveShell.instance()
    shell.user_ns |= {"xs": [3, 1], "table": {"a": (1, 2)}, "fn": len, "json": json}
    code = ["import random, json\nx = random.random()\nprint(x, xs, table, json.dumps(xs))", "display({'text/plain': 'shown'}, raw=True)\nllm_query('Hm?')", "fn(xs)\n1 / 0",
            "rlm_query('Count.')", "FINAL((x, context))"]
    blocks = [f"```repl\n{c}\n```" for c in code]
    lm = ScriptedLM([blocks[0], blocks[1], "yes", blocks[2], blocks[3], "```repl\nprint(context)\n```", "FINAL(3)", blocks[4], "FINAL(len(xs))"])
    logger = RLMLogger(folder)
    kw = dict(environment="jupyter", environment_kwargs=dict(sync_from_user_ns=True, sync_vars=["xs", "table", "fn", "json"]))
    session = RLM(lm, logger=logger, verbose=False, max_depth=2, **kw).start_session()
    session.chat("What is there?", context={"rows": ["x" * 100] * 300})
    session.chat("How many?")
    return logger.path

OTHERS = [None, True, -1, 1.5, 10 ** 30, 2 ** 62, "", "x", "../../outside.txt", "/etc/passwd", "__builtins__", "\ud800", "x" * 100_000, [], {}, [1], ["x"], [[]], {"x": 1}, {"": None}, [{}],
          {"$int": "0x" + "f" * 5_000}, {"$Fraction": "1e999999999"}, {"$Decimal": "1e999999999"}, {"$complex": None}, {"$date": "x"}, {"$missing": 5}, {"$set": [[]]}, {"$timedelta": [10 ** 12, 0, 0]},
          {"file": "../../outside.txt"}, {"file": "context_0123456789abcdef.txt"}, {"missing": True}, {"missing": True, "type": "x"}, {"gone": False}, {"module": ".x"}, {"module": "no_such"}, {"value": None},
          "DEEP", "DIGITS"]

def places(x, above=()):
    "The way to every field."
    yield above
    items = x.items() if isinstance(x, dict) else enumerate(x[:3]) if isinstance(x, list) else ()
    for key, value in items: yield from places(value, (*above, key))

def changes(lines):
    "Logs, each with what was done to it."
    for n, line in enumerate(lines):
        entry = json.loads(line)
        for place in places(entry):
            for other in [*OTHERS, ...]:
                if not place and other is ...: continue
                new, (*way, last) = json.loads(json.dumps({"": entry})), ("", *place)
                at = new
                for key in way: at = at[key]
                if other is ...: del at[last]
                else: at[last] = other
                text = json.dumps(new[""]).replace('"DEEP"', "[" * 900 + "]" * 900).replace('"DIGITS"', "9" * 5_000)
                yield f"line {n + 1}, {'.'.join(map(str, place))}: {str(other)[:60]}", [*lines[:n], text, *lines[n + 1:]]
        for cut in range(0, len(line), max(1, len(line) // 20)): yield f"line {n + 1} cut at {cut}", [*lines[:n], line[:cut], *lines[n + 1:]]
        yield f"line {n + 1} missing", [*lines[:n], *lines[n + 1:]]
        yield f"line {n + 1} twice", [*lines[:n], line, *lines[n:]]
        yield f"line {n + 1} is deep", [*lines[:n], "[" * 100_000, *lines[n + 1:]]
        for m in range(n): yield f"lines {m + 1} and {n + 1} exchanged", [line if i == m else lines[m] if i == n else x for i, x in enumerate(lines)]
    one, two = (json.loads(lines[i])["run"] for i in (0, -1))
    yield "a turn continues itself", [line.replace(f'"continues": "{one}"', f'"continues": "{two}"') for line in lines]
    yield "turns continue each other", [line.replace('"continues": ""', f'"continues": "{two}"') for line in lines]

def play(log):
    "Everything that can be done with a log."
    runs = read_log(log)
    trace_notebook(log)
    for run in runs:
        run.result.trace_markdown, run.result._repr_html_(), repr(run.result)
        here = Replay(log, run.id)
        for number, (block, _) in here.blocks.items(): here.block(number, block.code)
        try: here.end()
        except ReplayDivergenceError: pass
    if runs and runs[0].prompt.strip(): RLM(replay(log), verbose=False).completion(runs[0].prompt)

if __name__ == "__main__":
    log = record(sys.argv[1])
    beside = log.with_name("tampered.jsonl")
    todo = list(changes(log.read_text().splitlines()))
    if len(sys.argv) > 2: todo = random.Random(16).sample(todo, int(sys.argv[2]))
    for what, lines in [("nothing", log.read_text().splitlines()), *todo]:
        beside.write_text("".join(line + "\n" for line in lines))
        faulthandler.dump_traceback_later(60, exit=True)
        try: play(beside)
        except RLMError as e:
            if isinstance(e, ReplayDivergenceError): continue
            if not (str(beside) in str(e) or str(beside.with_name("context_")) in str(e)): print(f"{what}: names no file: {str(e)[:200]}", flush=True)
        except Exception as e: print(f"{what}: {type(e).__name__}: {str(e)[:200]}", flush=True)
        finally: faulthandler.cancel_dump_traceback_later()
    print(f"{len(todo)} changes")
