"What a notebook and terminal IPython show of an error, and that nobody else sees a difference."
import re, subprocess, sys, textwrap, time

import pytest
from kernel import SET_UP

SLOW = """
import time
class Slow:
    model = "slow"
    def __init__(self): self.replies = ["```repl\\nprint(1)\\n```"]
    def complete(self, messages):
        if self.replies: return self.replies.pop()
        print("waiting", flush=True)
        time.sleep(60)
"""

def shown(cell) -> list[str]:
    "The lines of a cell's traceback."
    text = "\n".join(line for o in cell.outputs for line in o.get("traceback", []))
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()

def interrupted(k, code: str):
    cell = k.start(code)
    k.listen(cell, lambda c: "waiting" in c.stdout)
    time.sleep(0.2)
    k.interrupt()
    return k.finish(cell)

def test_an_error_of_a_run(k):
    k.ok("asker = scripted('print(1)')")
    cell = k.run("'a cell'\nasker.completion('And now?')")
    error, place, until, whole = shown(cell)
    assert error.startswith("LMError: The script holds 1 reply") and cell.error.startswith("LMError: The script")
    assert re.fullmatch(r"Cell In\[\d+\], line 2: asker.completion\('And now\?'\)", place)
    assert re.fullmatch(r"Until then: 1 iteration, .* tokens, .* in asker\.last_result\.", until)
    assert whole == "%tb shows the whole traceback."
    assert len(shown(k.run("%tb"))) > 50 and any("/rlm/run.py" in line for line in shown(k.run("%tb Verbose")))
    assert shown(k.run("asker.completion('And now?')"))[0].startswith("LMError")  # short again
    k.ok("%xmode Verbose")
    assert len(shown(k.run("asker.completion('And now?')"))) > 50
    k.ok("%xmode Context")

def test_bad_input(k):
    lines = shown(k.run("RLM('olama/llama3')"))
    assert "Did you mean 'ollama/llama3'?" in lines[0] and "line 1: RLM('olama/llama3')" in lines[-2] and len(lines) < 6

def test_functions_of_yours_are_shown(k, tmp_path):
    (tmp_path / "analysis.py").write_text("def ask(rlm):\n    return rlm.completion('And now?')\n")
    k.ok(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport analysis\ndef go(): return analysis.ask(scripted('print(1)'))")
    lines = shown(k.run("go()"))
    assert [line.partition(": ")[2] for line in lines[1:4]] == [
        "go()", "def go(): return analysis.ask(scripted('print(1)'))", "return rlm.completion('And now?')"]
    assert str(tmp_path / "analysis.py") in lines[3] and lines[4].endswith(" in sys.last_value.result.")
    assert k.value("len(sys.last_value.result.iterations)") == 1

def test_ctrl_c(k):
    k.ok(SLOW)
    cell = interrupted(k, "asker = RLM(Slow(), verbose=False)\nasker.completion('Go.')")
    lines = shown(cell)
    assert cell.error.startswith("KeyboardInterrupt") and lines[0] == "KeyboardInterrupt: The run was stopped."
    assert "asker.completion('Go.')" in lines[1] and "1 iteration" in lines[-2] and "in asker.last_result." in lines[-2] and len(lines) < 6
    assert len(shown(k.run("%tb"))) > 40
    cell = interrupted(k, "asker = RLM(Slow(), verbose=False)\ntry: asker.completion('Go.')\nexcept KeyboardInterrupt as e: print(e.result.stop_reason, type(e) is KeyboardInterrupt)")
    assert cell.error is None and "interrupted True" in cell.stdout

BLOCKING = """
import asyncio, threading
class Blocking:
    model = "blocking"
    def complete(self, messages): return "```repl\\nimport time\\ntime.sleep(30)\\n```"
threading.Timer(0.5, print, ["waiting"]).start()
"""

@pytest.mark.parametrize("model, ask", [
    ("Slow", "await asker.acompletion('Go.')"), ("Slow", "await asker.start_session().achat('Go.')"),
    ("Slow", "async for event in asker.stream('Go.'): pass"), ("Slow", "await asyncio.gather(asker.acompletion('Go.'))"),
    ("Blocking", "await asyncio.gather(asker.acompletion('Go.'))"), ("Slow", "%time asker.completion('Go.')")])
def test_ctrl_c_in_other_ways_to_ask(k, model, ask):
    k.ok(SLOW)
    lines = shown(interrupted(k, f"{BLOCKING}\nasker = RLM({model}(), verbose=False, environment='jupyter')\n{ask}"))
    assert lines[0].endswith(": The run was stopped.") and lines[1].endswith(ask) and len(lines) < 6
    assert "Until then: 1 iteration" in lines[-2]

def test_your_own_errors_keep_their_traceback(k):
    k.ok("class Broken:\n    model = 'broken'\n    def complete(self, messages): return {}['reply']")
    lines = shown(k.run("RLM(Broken(), verbose=False).completion('Go.')"))
    assert lines[-1] == "KeyError: 'reply'" and any("----> 3" in line for line in lines) and len(lines) > 20
    k.ok("import rlm\nclass Mine(rlm.RLMError): pass\ndef fail():\n    try: {}['reply']\n    except KeyError as e: raise Mine('no reply') from e")
    lines = shown(k.run("fail()"))
    assert [line.partition(":")[0] for line in lines if "Cell" not in line] == ["Mine", "KeyError", "%tb shows the whole traceback."]
    assert any(line.endswith("try: {}['reply']") for line in lines)

def in_process(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr

RUN = textwrap.dedent(SET_UP.replace("import pandas as pd", "")) + "\nasker = RLM(ScriptedLM([block('print(1)')]), verbose=False)\nasker.completion('And now?')\n"

@pytest.mark.slow
def test_terminal_ipython():
    lines = in_process("-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "-c", RUN).splitlines()
    assert lines[-4].startswith("LMError: ") and "asker.completion('And now?')" in lines[-3]
    assert "in asker.last_result." in lines[-2] and lines[-1] == "%tb shows the whole traceback." and len(lines) < 8

@pytest.mark.slow
def test_a_script_has_pythons_traceback(tmp_path):
    (tmp_path / "script.py").write_text(RUN)
    shown = in_process(str(tmp_path / "script.py"))
    assert shown.startswith("Traceback (most recent call last):") and "run.py" in shown and "%tb" not in shown
