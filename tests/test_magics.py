"`%%rlm` and `%rlm` in real kernels, with a server that speaks OpenAI's protocol on loopback."
import re, subprocess, sys, time

import pytest
from rlm import read_log
from rlm.utils.trace_notebook import verify
from server import HANG, ChatServer
from test_help import completions, told
from test_tracebacks import shown

def block(code: str) -> str: return f"```repl\n{code}\n```"

@pytest.fixture
def n(k):
    "A kernel with the magics and no settings of whoever runs the tests."
    k.ok("import os\nos.environ['RLM_CONFIG'] = os.devnull\nfor name in ('RLM_MODEL', 'OPENAI_BASE_URL'): os.environ.pop(name, None)")
    k.ok("%load_ext rlm\n%reload_ext rlm")
    return k

def settle(n, server) -> None: n.ok(f"%rlm openai/test-model --base-url {server.base_url}")

def said(request) -> str: return "\n".join(m["content"] for m in request.body["messages"])

def error(cell) -> str: return shown(cell)[0]

def test_a_conversation_in_cells(n):
    replies = [block("FINAL(sorted(df))"), block("FINAL(sum(df) + len(notes))"), block("'df' in globals()"), "FINAL(no more)"]
    with ChatServer(replies) as s:
        settle(n, s)
        n.ok("df, notes, secret_plan, limit = [3, 1, 2], 'abc', 'world domination', 100")
        cell = n.ok("%%rlm --vars df --as ordered\nSort what is below {limit:,}.")
        assert "[1, 2, 3]" in cell.result and n.value("ordered") == [1, 2, 3] and n.value("_.value if hasattr(_, 'value') else Out[max(Out)].value") == [1, 2, 3]
        n.ok("%%rlm --vars notes\nAnd the sum?")
        n.ok("%%rlm --new\nWhat is there?")
        first, second, third, _ = map(said, s.requests)
        assert "Sort what is below 100." in first and "df: list, 3 items" in first
        assert "Sort what" in second and "notes: str" in second and "You can now read my notes, too." in second
        assert "Sort" not in third and "notes:" not in third and "abc" not in third and n.value("Out[max(Out)].value") == "no more"
        assert not any(word in text for text in map(said, s.requests) for word in ("secret_plan", "domination"))
        assert "False" in said(s.requests[3])
    assert "turns   1" in n.ok("%rlm").result and "4 calls" in n.ok("%rlm").result

def test_dry_sends_nothing(n):
    with ChatServer([block("FINAL(df)")]) as s:
        settle(n, s)
        n.ok("df = [1, 2]")
        cell = n.ok("%%rlm --dry --vars df\nHow many?")
        assert "Task: How many?" in cell.result and "df: list" in cell.result and "messages with" in cell.result and not s.requests
        assert "turns   0" in n.ok("%rlm").result and "reads" not in n.ok("%rlm").result
        n.ok("%%rlm --vars df\nHow many?")
        assert "How many?" in said(s.requests[0])

def test_undo_takes_back_the_turn_and_what_it_changed(n):
    with ChatServer([block("df.append(4)\nFINAL(df)"), "FINAL(Blue)"]) as s:
        settle(n, s)
        n.ok("df, mine = [1], 'before'")
        n.ok("%%rlm --vars df --as mine\nAppend.")
        assert n.value("(df, mine is df)") == ([1, 4], True)
        cell = n.ok("%rlm undo")
        assert "Taken back: Append." in cell.stdout and "restored: mine, df" in cell.stdout and n.value("(df, mine)") == ([1], "before")
        n.ok("%%rlm\nPick a color.")
        assert "Append" not in said(s.requests[1]) and "df" not in said(s.requests[1])
        n.ok("%rlm undo")
        assert error(n.run("%rlm undo")) == "RLMError: There is no turn to take back."
        assert "begins a conversation" in n.ok("%rlm reset").stdout and "turn to take back" in error(n.run("%rlm undo"))

def test_a_cell_that_fails_leaves_the_conversation(n):
    with ChatServer(["FINAL(Blue)", {"error": {"message": "out of order"}}, HANG, "FINAL(Because)"]) as s:
        settle(n, s)
        n.ok("df = 'table'")
        n.ok("%%rlm\nPick a color.")
        failed = shown(n.run("%%rlm --vars df\nWhat fails?"))
        assert "out of order" in failed[0] and any(line.endswith("line 1: %%rlm --vars df") for line in failed) and len(failed) < 6
        cell = n.start("%%rlm --new --vars df\nWhat hangs?")
        until = time.monotonic() + 30
        while len(s.requests) < 3 and time.monotonic() < until: time.sleep(0.05)
        time.sleep(0.3)
        n.interrupt()
        assert error(n.finish(cell)) == "KeyboardInterrupt: The run was stopped."
        assert "reads" not in n.ok("%rlm").result
        n.ok("%%rlm\nWhy?")
        last = said(s.requests[-1])
        assert "Pick a color." in last and "fails" not in last and "hangs" not in last and "table" not in last

def test_the_model_can_change_in_a_conversation(n):
    with ChatServer(["FINAL(Blue)"], models=("a-1",)) as one, ChatServer(["FINAL(Because)"], models=("b-2",)) as two:
        n.ok(f"%rlm a-1 --base-url {one.base_url}")
        n.ok("%%rlm\nPick a color.")
        cell = n.ok(f"%rlm b-2 --base-url {two.base_url} --max-timeout 60")
        assert re.search(r"model +b-2\nturns +1", cell.result) and "max_timeout=60" in cell.result
        n.ok("%%rlm\nWhy?")
        assert "Pick a color." in said(two.requests[0]) and two.requests[0].body["model"] == "b-2"
        assert "There is no backend 'olama'" in error(n.run("%rlm olama/x")) and "b-2" in n.ok("%rlm").result

def test_a_variable_that_is_gone_stops_nobody(n):
    n.ok("script = ScriptedLM([block('FINAL(df)'), block('FINAL(7)')])\ndf = 5\n%rlm script")
    n.ok("%%rlm --vars df\nWhat is it?")
    n.ok("del df")
    n.ok("%%rlm --context '3 + 4' --type int\nHow many?")
    assert n.value("Out[max(Out)].value") == 7 and "reads" not in n.ok("%rlm").result

@pytest.mark.parametrize("cell, says", [
    ("%%rlm --vers df\nGo.", "%%rlm: there is no option --vers. Did you mean --vars?"),
    ("%%rlm --vars orderz\nGo.", "--vars names 'orderz', which is not defined in this notebook. Did you mean 'orders'?"),
    ("%%rlm --vars context\nGo.", "--vars can't share your context"),
    ("%%rlm --as 2x\nGo.", "--as '2x': a variable can't be called that."),
    ("%%rlm --context ordesr\nGo.", "--context: There is no variable ordesr. Did you mean orders?"),
    ("%%rlm --type 'list['\nGo.", "--type: is no expression"),
    ("%%rlm --type 7\nGo.", "output_type"),
    ("%%rlm\nWhat of {ordesr}?", "{ordesr}: There is no variable ordesr. Did you mean orders? Braces that are meant as text are doubled"),
    ("%%rlm gpt-4o\nGo.", "A model is named by %rlm gpt-4o."),
    ("%rlm rest", "Did you mean %rlm reset?"),
    ("%rlm --max-budgt 1", "there is no option --max-budgt. Did you mean --max-budget?"),
    ("%rlm --max-budget much", "--max-budget: invalid float value: 'much'"),
    ("%rlm test-model --base-url http://localhost:1/v1 --max-budget 1", "max_budget can't be kept"),
])
def test_wrong_input_costs_nothing(n, cell, says):
    n.ok("orders = [1]\nscript = ScriptedLM(['FINAL(Blue)'])\n%rlm script")
    lines = shown(n.run(cell))
    assert lines[0].startswith("ConfigurationError: ") and says in "\n".join(lines), lines
    assert n.value("script.calls") == [] and "turns   0" in n.ok("%rlm").result

def test_no_model_at_all(n):
    n.ok("import rlm.models\nrlm.models.find = lambda model: None")
    text = "\n".join(shown(n.run("%%rlm\nPick a color.")))
    assert "No model is named" in text and "%rlm ollama/llama3.2" in text and "--model" not in text
    n.ok("import importlib\nimportlib.reload(rlm.models)")

def test_a_line_that_looks_like_options_is_told(n):
    n.ok("script = ScriptedLM(['FINAL(Blue)', 'FINAL(Red)'])\ndf = [1]\n%rlm script")
    assert "'--vars df' is part of the question" in n.ok("%%rlm\n--vars df\nPick a color.").stdout
    assert "The model can't see your df. To share: %%rlm --vars df" in n.ok("%%rlm\nPick one of df.").stdout

def test_approval(n):
    n.ok("script = ScriptedLM([block('df.append(1)'), 'FINAL(done it)'] * 2)\ndf = []\n%rlm script --approve changes")
    cell, asked = n.dialog("%%rlm --vars df\nAppend.", "no", "keep it as it is")
    assert cell.error is None and n.value("df") == [] and len(asked) == 2
    n.ok("%rlm --approve never")
    n.ok("%%rlm --vars df\nAppend.")
    assert n.value("df") == [1]

def test_a_trace(n, tmp_path):
    n.ok(f"script = ScriptedLM([block('FINAL(len(df))'), block('FINAL(sum(df))')])\ndf = [1, 2]\nother = 3\n%rlm script --trace {tmp_path}")
    n.ok("%%rlm --vars df\nHow many?")
    n.ok("%%rlm --vars other\nAnd the sum?")
    [log], [notebook] = tmp_path.glob("*.jsonl"), tmp_path.glob("*.trace.ipynb")
    assert str(notebook) in n.ok("%rlm").result
    runs = read_log(log)
    assert [run.settings.environment_kwargs["sync_vars"] for run in runs] == [["df"], ["df", "other"]]
    assert [run.result.value for run in runs] == [2, 3]
    assert set(verify(notebook).values()) == {"equal"}

def test_completion_and_help(n):
    n.ok("orders, order_lines, api_key, script = [1], [2], 'sk-1', ScriptedLM(['FINAL(Blue)'])\nimport json")
    for experimental in (True, False):
        n.ok(f"get_ipython().kernel.use_experimental_completions = {experimental}")
        assert {"--vars"} == set(completions(n, "%%rlm --v"))
        assert {"--vars", "--as", "--new", "--dry", "--context", "--type"} <= set(completions(n, "%%rlm --"))
        assert {"orders", "order_lines"} == set(completions(n, "%%rlm --new --vars ord")) == set(completions(n, "%%rlm --vars script,ord"))
        assert "api_key" not in completions(n, "%%rlm --vars ") and "json" not in completions(n, "%%rlm --vars ")
        assert completions(n, "%%rlm --type li") == ["list[str]"] and not {"--as", "--vars"} & {*completions(n, "%%rlm --new\nor")}
        assert {"undo"} == set(completions(n, "%rlm un")) and "ollama/" in completions(n, "%rlm ol") and "script" in completions(n, "%rlm scr")
        assert "--max-budget" in completions(n, "%rlm openai/gpt-4o --max")
    assert "variables of yours that the model may read" in told(n, "%%rlm") and "US dollars" in told(n, "%rlm")

@pytest.mark.slow
def test_terminal_ipython(tmp_path):
    code = "script = ScriptedLM(['FINAL(Blue)'])\nget_ipython().run_line_magic('rlm', 'script')\nr = get_ipython().run_cell_magic('rlm', '--as color', 'Pick a color.')\nprint(color)"
    done = subprocess.run([sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--ext=rlm", "-c",
                           "from rlm.lm import ScriptedLM\n" + code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "Blue", done.stdout + done.stderr

@pytest.mark.slow
def test_the_magics_load_late():
    code = "import sys, rlm; print([m for m in ('IPython', 'rlm.magics') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
