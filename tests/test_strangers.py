"Logs whose code runs in another environment."
import json, time

import pytest
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.logger import RLMLogger
from rlm.strangers import verify_log
from rlm.types import ConfigurationError, RLMError
from rlm.utils.trace_notebook import main, trace_notebook

def block(code): return f"```repl\n{code}\n```"

@pytest.fixture
def logged(tmp_path):
    "A log of a run, of a session with two questions, or of runs that share a REPL."
    def log(*questions, context="x", session=False, **options):
        logger = RLMLogger(tmp_path)
        rlm = RLM(ScriptedLM([r for replies in questions for r in replies]), logger=logger, verbose=False, **options)
        ask = rlm.start_session().chat if session else rlm.completion
        for n, _ in enumerate(questions): ask(f"Question {n}.", **({"context": context} if n == 0 or not session else {}))
        return logger.path
    return log

def outcomes(log, environment="monty"): return list(verify_log(log, environment).values())

@pytest.mark.parametrize("environment", ["local", "monty"])
def test_what_comes_out_equal(logged, environment):
    same = lambda *questions, **options: outcomes(logged(*questions, **options), environment)
    assert same([block("n = len(context)\nn"), "FINAL_VAR(n)"]) == ["equal"]
    assert same([block("FINAL([1, 2])")]) == ["equal"]
    assert same([block("1 / 0"), "FINAL(failed)"]) == ["equal"]
    assert same([block("print(llm_query('Hm?'))"), "yes", "FINAL(yes)"]) == ["equal"]
    assert same([block("x = 2"), "FINAL_VAR(x)"], [block("print(x + session_context_0)"), "FINAL(ok)"], context=5, session=True) == ["equal", "equal"]
    assert same([block("x = 2"), "FINAL_VAR(x)"], [block("print(x)"), "FINAL(ok)"], persistent=True) == ["equal", "equal"]
    assert same(["FINAL(Paris)"]) == ["equal"]

def test_what_does_not(logged):
    log = logged([block("print(len(context))"), "FINAL(1)"])
    log.write_text(log.read_text().replace('"stdout": "1\\n"', '"stdout": "2\\n"'))
    assert outcomes(log) == ["block 1 differs: 1"]
    log = logged([block("x = len(context)"), "FINAL_VAR(x)"])
    log.write_text(log.read_text().replace('"response": "1"', '"response": "7"'))
    assert outcomes(log) == ["the answer is '1' instead of '7'"]

def test_tools_and_objects_are_missing(logged):
    assert outcomes(logged([block("rate()"), "FINAL(1)"], custom_tools={"rate": lambda: 1})) == ["needs rate (a tool)"]
    assert outcomes(logged([block("context"), "FINAL(1)"], context=object())) == ["needs context (object)"]

def test_variables_of_the_users(logged, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.user_ns |= {"prices": [3, 1], "js": json}
    try: log = logged([block("prices = sorted(prices)\nprint(prices, js.dumps(prices))"), block("prices.append(7)\nprint(prices)"), "FINAL_VAR(prices)"],
                      environment="jupyter", environment_kwargs={"sync_from_user_ns": True})
    finally: InteractiveShell.clear_instance()
    assert outcomes(log) == ["equal"] and outcomes(log, "local") == ["equal"]

def test_code_without_end_is_ended(logged, monkeypatch):
    import rlm.strangers
    monkeypatch.setattr(rlm.strangers, "_LONGEST", 0.5)
    log = logged([block("x = 1"), "FINAL(1)"])
    log.write_text(log.read_text().replace('"code": "x = 1"', '"code": "while True: pass"'))
    began = time.monotonic()
    outcome, = outcomes(log)
    assert outcome.startswith("block 1 differs") and "Stopped" in outcome and time.monotonic() - began < 30

def test_what_is_no_log_and_no_environment(logged, tmp_path):
    with pytest.raises(RLMError, match="can't be read"): verify_log(tmp_path / "no.jsonl")
    with pytest.raises(ConfigurationError, match="no environment 'docker'"): verify_log(logged(["FINAL(1)"]), "docker")

def test_the_command(logged, tmp_path, capsys):
    good, bad = logged([block("print(1)"), "FINAL(1)"]), logged([block("import os\nprint(len(os.environ) > 0)"), "FINAL(1)"])
    main(["--verify", "--environment", "monty", str(good)])
    assert ": equal" in capsys.readouterr().out and not list(tmp_path.glob("*.ipynb"))
    with pytest.raises(SystemExit) as e: main(["--verify", "--environment", "monty", str(good), str(bad)])
    assert e.value.code == 1 and "block 1 differs" in capsys.readouterr().out
    with pytest.raises(SystemExit): main(["--environment", "monty", str(good)])
    assert "goes with --verify" in capsys.readouterr().err
    notebook = tmp_path / "x.trace.ipynb"
    notebook.write_text(trace_notebook(good))
    with pytest.raises(SystemExit, match="Give its log"): main(["--verify", "--environment", "monty", str(notebook)])
