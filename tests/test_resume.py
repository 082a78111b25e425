"Runs that are resumed: at every iteration, after a kill, in sessions, in a kernel, and what is refused before anything runs."
import json, os, random, re, signal, subprocess, sys, textwrap, time
from pathlib import Path

import pytest

from rlm import RLM, RLMLogger, read_log
from rlm.environments.local import LocalEnvironment
from rlm.lm import ScriptedLM
from rlm.openai_lm import OpenAILM
from rlm.replay import ReplayDivergenceError
from rlm.resume import Edit
from rlm.types import ConfigurationError, LimitError
from rlm.utils.trace_notebook import enable_trace_notebook, verify
from kernel import SET_UP, Kernel
from server import ChatServer, task_at

STEPS = ["```repl\nimport random\nx = [random.random() for _ in range(3)]\nprint(x)\n```",
         "```repl\nmoods = llm_query_batched(['mood of ' + w for w in context])\nprint(moods)\n```",
         "```repl\nprint(undefined)\n```",
         "```repl\nchild = rlm_query('How long?', context)\nprint(child)\n```",
         "```repl\nFINAL([round(sum(x), 3), moods, child])\n```"]

def answer(body):
    "What the server's model says: the next step of the task, or a mood."
    messages = body["messages"]
    if messages[0]["role"] == "user": return "calm" if "mood" in messages[-1]["content"] else "?"
    if "How long?" in messages[task_at(body)]["content"]: return "```repl\nFINAL(len(context))\n```"
    return STEPS[sum(m["role"] == "assistant" for m in messages[task_at(body):])]

def rlm_for(server, **more): return RLM(OpenAILM("test-model", server.base_url, max_retries=0), verbose=False, **{"max_depth": 2, **more})

@pytest.fixture
def recorded(tmp_path):
    with ChatServer(answer) as server:
        logger = RLMLogger(tmp_path)
        result = rlm_for(server, logger=logger).completion("Look.", context=["ab", "cd"])
        server.whole = len(server.requests)
        yield server, logger.path, result

def told(result): return [re.sub(r"<run \d+", "<run", m["content"]) for m in result.messages]

@pytest.mark.parametrize("of", ["result", "log"])
def test_resumed_at_every_iteration_without_an_edit(recorded, of):
    server, log, result = recorded
    assert server.whole == 5 + 2 + 1 and len(result.iterations) == 5
    for k in range(1, 6):
        before = len(server.requests)
        if k == 1 and of == "result": random.seed(0)
        again = rlm_for(server).resume(result if of == "result" else log, k)
        made = len(server.requests) - before
        assert made == {1: 8, 2: 7, 3: 4, 4: 3, 5: 1}[k]
        assert again.usage.calls == made and again.stop_reason == "final"
        assert [i.response for i in again.iterations] == [i.response for i in result.iterations]
        assert again.value[1:] == result.value[1:]
        if of == "log" and k > 1: assert again.value == result.value and told(again) == told(result)

def test_a_resumed_run_has_a_log_and_a_trace_of_its_own(recorded, tmp_path):
    server, log, result = recorded
    logger, trace = enable_trace_notebook(tmp_path / "next")
    again = rlm_for(server, logger=logger).resume(log, 4)
    trace.close()
    run, = read_log(logger.path)
    assert run.settings.parent == f"{log.name}#{result.id}" and run.result.value == again.value
    assert verify(trace.path) == {again.id: "equal"}
    third = rlm_for(server).resume(logger.path, 5)
    assert third.value == result.value

def test_an_edited_trace_notebook_is_an_edit(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    RLM(ScriptedLM(["```repl\na = 1\n```", "```repl\nb = a + 1\nprint(b)\n```", "FINAL_VAR(b)"]), logger=logger, verbose=False).completion("go")
    trace.close()
    model = ScriptedLM(["FINAL_VAR(b)"])
    with pytest.raises(ConfigurationError, match="From which iteration"): RLM(model, verbose=False).resume(trace.path)
    nb = json.loads(trace.path.read_text())
    cell = next(c for c in nb["cells"] if "b = a + 1" in "".join(c["source"]) and c["cell_type"] == "code")
    cell["source"] = ["%%replay 2\n", "b = a + 100\n", "print(b)"]
    trace.path.write_text(json.dumps(nb))
    with pytest.raises(ConfigurationError, match="edited in iteration 2"): RLM(model, verbose=False).resume(trace.path, 1)
    result = RLM(model, verbose=False).resume(trace.path)
    assert result.value == 101 and len(model.calls) == 1
    assert "b = a + 100" in result.messages[-3]["content"] and result.iterations[1].code_blocks[0].code == "b = a + 100\nprint(b)"

def test_two_cells_of_an_iteration_and_one_that_is_no_python(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    two = "First.\n```repl\na = 1\n```\nThen.\n```repl\nb = 2\nprint(b)\n```"
    RLM(ScriptedLM([two, "```repl\nc = 3\nprint(c)\n```", "FINAL(3)"]), logger=logger, verbose=False).completion("go")
    trace.close()
    recorded = trace.path.read_text()
    trace.path.write_text(recorded.replace('"a = 1"', '"a = 10"').replace("b = 2", "b = a + 2").replace("c = 3", "c = 4"))
    model = ScriptedLM(["```repl\nFINAL(a + b)\n```"])
    result = RLM(model, verbose=False).resume(trace.path)
    assert result.value == 22 and result.iterations[0].response == two.replace("a = 1", "a = 10").replace("b = 2", "b = a + 2")
    trace.path.write_text(recorded.replace("c = 3", "c = ("))
    with pytest.raises(ConfigurationError, match="The edit is no Python, line 1"): RLM(model, verbose=False).resume(trace.path)
    trace.path.write_text(recorded)
    with pytest.raises(ConfigurationError, match="From which iteration"): RLM(model, verbose=False).resume(trace.path)

def test_other_edits():
    code = "```repl\nmood = llm_query('mood?')\nprint(mood)\n```"
    result = RLM(ScriptedLM([code, "calm", "```repl\nprint(1)\n```", "FINAL_VAR(mood)"]), verbose=False).completion("go")
    go = lambda *replies: (model := ScriptedLM(list(replies)), RLM(model, verbose=False))
    model, rlm = go("FINAL_VAR(mood)")
    assert rlm.resume(result, 2, {"answers": {"mood?": "wild"}}).value == "wild" and len(model.calls) == 1
    model, rlm = go("FINAL_VAR(mood)")
    assert rlm.resume(result, 1, {"answers": {"mood?": "wild"}}).value == "wild" and len(model.calls) == 1
    with pytest.raises(ConfigurationError, match=r"No sub-call up to iteration 2 asked this: 'food\?'"): rlm.resume(result, 2, {"answers": {"food?": "wild"}})
    model, rlm = go("FINAL_VAR(mood)")
    assert rlm.resume(result, 2, {"reply": "```repl\nmood = mood.upper()\n```"}).value == "CALM"
    model, rlm = go("FINAL(x)")
    rlm.resume(result, 1, "Be brief.")
    assert model.calls[0][-1]["content"].endswith("Be brief.")
    def fails(variables): raise KeyError("no")
    with pytest.raises(KeyError): go()[1].resume(result, 2, fails)

def test_a_limit_that_was_hit_and_a_higher_one():
    model = ScriptedLM([f"```repl\nx{i} = {i}\nprint(x{i})\n```" for i in range(3)] + ["FINAL(a guess)"])
    first = RLM(model, max_iterations=3, verbose=False).completion("go")
    assert first.stop_reason == "max_iterations"
    with pytest.raises(ConfigurationError, match="Give it more"): RLM(model, max_iterations=3).resume(first)
    more = RLM(ScriptedLM(["```repl\nFINAL(x0 + x1 + x2)\n```"]), verbose=False).resume(first)
    assert more.value == 3 and len(more.iterations) == 4

def test_a_run_that_was_stopped_in_a_block_keeps_its_reply():
    code = "```repl\nimport time\na = llm_query('one')\ntime.sleep(wait)\nprint(a)\n```"
    model = ScriptedLM(["```repl\nwait = 30\n```", code, "first"])
    with pytest.raises(LimitError) as e: RLM(model, max_timeout=1, verbose=False).completion("go")
    live = ScriptedLM(["FINAL_VAR(a)"])
    result = RLM(live, verbose=False).resume(e.value.result, edit=lambda names: names.update(wait=0))
    assert result.value == "first" and len(live.calls) == 1

def test_a_session_in_the_middle_of_its_second_question(tmp_path):
    logger = RLMLogger(tmp_path)
    replies = ["```repl\nn = len(context)\nprint(n)\n```", "FINAL_VAR(n)", "```repl\nm = n * 10\nprint(m)\n```", ConnectionError("dead")]
    session = RLM(ScriptedLM(replies), logger=logger, verbose=False).start_session()
    session.chat("How long?", context="abc")
    with pytest.raises(ConnectionError) as e: session.chat("And ten times?")
    for trace in (logger.path, e.value.result):
        model = ScriptedLM(["FINAL_VAR(m)", "```repl\nFINAL(m + n)\n```"])
        rlm = RLM(model, verbose=False)
        result = rlm.resume(trace)
        assert result.value == 30 and result.previous.value == 3 and len(model.calls) == 1
        assert rlm.last_session.chat("Together?").value == 33

def test_code_that_asks_something_else_ends_the_run(tmp_path):
    code = "```repl\nimport time\nprint(llm_query(f'at {time.time_ns()}'))\n```"
    result = RLM(ScriptedLM([code, "late", "FINAL(x)"]), verbose=False).completion("go")
    model = ScriptedLM(["FINAL(y)"])
    with pytest.raises(ReplayDivergenceError, match="Resume from an earlier iteration"): RLM(model, verbose=False).resume(result, 2)
    assert not model.calls

def test_what_blocks_do_outside_is_told_before(tmp_path, capsys):
    file = tmp_path / "out.txt"
    result = RLM(ScriptedLM([f"```repl\nopen({str(file)!r}, 'w').write('x')\n```", "FINAL(done)"]), verbose=False).completion("go")
    file.unlink()
    plan = RLM(ScriptedLM([])).resume(result, 2, dry=True)
    assert not file.exists() and "iteration 1" in plan.effects[0] and "1 block run again" in repr(plan)
    RLM(ScriptedLM(["FINAL(ok)"]), verbose=False).resume(result, 2)
    assert file.exists() and plan.effects[0] in capsys.readouterr().out

@pytest.mark.parametrize("k, edit, words", [
    (0, None, "from 1 to 2"), (3, None, "from 1 to 2"), ("2", None, "from 1 to 2"), (1, {"code": "x ="}, "line 1"),
    (1, {"code": "x", "block": 2}, "has 1 block that ran"), (1, 7, "edit is a hint"), (2, {"code": "x"}, "has 0 blocks"),
    (1, {"code": "x", "reply": "y"}, "not both"), (1, {"coed": "x"}, "edit is a hint")])
def test_bad_input(k, edit, words):
    result = RLM(ScriptedLM(["```repl\nx = 1\n```", "FINAL(x)"]), verbose=False).completion("go")
    model = ScriptedLM(["FINAL(never)"])
    with pytest.raises(ConfigurationError) as e: RLM(model, verbose=False).resume(result, k, edit)
    assert words in str(e.value) and not model.calls

def test_bad_traces(tmp_path):
    rlm = RLM(ScriptedLM([]))
    with pytest.raises(ConfigurationError, match="There is no log"): rlm.resume(tmp_path / "gone.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ConfigurationError, match="no run"): rlm.resume(tmp_path / "empty.jsonl")
    logger = RLMLogger(tmp_path / "two")
    either = RLM(ScriptedLM(["```repl\nx = 1\n```", "FINAL(a)", "FINAL(b)"]), logger=logger, verbose=False)
    first = either.completion("One?")
    either.completion("Two?")
    with pytest.raises(ConfigurationError, match="There is no run 'third' in .* It has '"): rlm.resume(logger.path, 1, run="third")
    assert RLM(ScriptedLM(["FINAL_VAR(x)"]), verbose=False).resume(logger.path, 2, run=first.id).value == 1
    with pytest.raises(ConfigurationError, match="from 1 to 1"): rlm.resume(logger.path, 2)
    (tmp_path / "x.ipynb").write_text("{}")
    with pytest.raises(ConfigurationError, match="can't be read"): rlm.resume(tmp_path / "x.ipynb")
    with pytest.raises(ConfigurationError, match="not missing"): rlm.resume(RLM(ScriptedLM(["FINAL(1)"]), verbose=False).completion("go"), 1, x=1)

def test_a_type_a_tool_and_a_place_that_are_not_there(tmp_path):
    logger, never = RLMLogger(tmp_path), ScriptedLM(["FINAL(never)"])
    replies = ["```repl\nn = twice(len(context))\nprint(n)\n```", "FINAL(6)"]
    first = RLM(ScriptedLM(replies), logger=logger, custom_tools={"twice": lambda n: 2 * n}, verbose=False)
    result = first.completion("How long?", context="abc", output_type=int)
    with pytest.raises(ConfigurationError, match="custom_tools={\"twice\": twice}"): RLM(never).resume(logger.path, 2, output_type=int)
    with pytest.raises(ConfigurationError, match="custom_tools={\"twice\": twice}"): RLM(never).resume(result, 2)
    tools = {"custom_tools": {"twice": lambda n: 2 * n}, "verbose": False}
    with pytest.raises(ConfigurationError, match="of type int, .*output_type=int"): RLM(never, **tools).resume(logger.path, 2)
    with pytest.raises(ConfigurationError, match="must be a type"): RLM(never, **tools).resume(logger.path, 2, output_type=7)
    class Elsewhere(LocalEnvironment): "A place of the user's own."
    with pytest.raises(ConfigurationError, match="ran in environment='local', and this RLM has 'Elsewhere'"):
        RLM(never, environment=Elsewhere, **tools).resume(logger.path, 2, output_type=int)
    assert not never.calls
    for trace, more in ((result, {}), (logger.path, {"output_type": int})):
        model = ScriptedLM(["FINAL(many)", "FINAL(7)"])
        again = RLM(model, **tools).resume(trace, 2, **more)
        assert again.value == 7 and "must be a value of type int" in str(model.calls[0]) and "int" in model.calls[1][-1]["content"]

def test_a_line_of_the_log_that_was_torn(tmp_path):
    logger = RLMLogger(tmp_path)
    RLM(ScriptedLM(["```repl\nx = 1\nprint(x)\n```", "```repl\ny = 2\nprint(y)\n```", "FINAL(3)"]), logger=logger, verbose=False).completion("go")
    lines = logger.path.read_text().splitlines(True)
    second = next(i for i, line in enumerate(lines) if '"number": 2' in line)
    for cut in (1, 40, len(lines[second]) - 1):
        logger.path.write_text("".join(lines[:second]) + lines[second][:cut])
        model = ScriptedLM(["```repl\nFINAL(x + 4)\n```"])
        assert RLM(model, verbose=False).resume(logger.path).value == 5 and len(model.calls) == 1

def test_what_a_run_has_changed_in_place_is_told_before(capsys):
    rows = [1]
    result = RLM(ScriptedLM(["```repl\ncontext.append(2)\nprint(context)\n```", "FINAL(ok)"]), verbose=False).completion("go", context=rows)
    plan = RLM(ScriptedLM([])).resume(result, 2, dry=True)
    assert "context: changed in place" in plan.effects[0]
    result.undo()
    again = RLM(ScriptedLM(["FINAL(ok)"]), verbose=False).resume(result, 2)
    assert rows == [1, 2] and again.iterations[0].code_blocks[0].result.stdout == "[1, 2]\n"

ON_ORDERS = """
orders = pd.DataFrame(dict(city=["Lima", "Oslo"], sales=[30, 10]))
least = 20
steps = [block("print(orders.sales.sum())"), block("best = orders.city[orders.sales > least].tolist()\\nprint(best)"),
         block("import os\\nos.kill(os.getpid(), 9)")]
rlm = RLM(ScriptedLM(steps), environment="jupyter", environment_kwargs=only("orders", "least"), logger=RLMLogger(FOLDER), verbose=False)
rlm.completion("Which cities sold much?")
"""
AGAIN = """
model = ScriptedLM([block("FINAL(best)")])
goes_on = RLM(model, environment="jupyter", environment_kwargs=only("orders", "least"), verbose=False)
"""

@pytest.mark.slow
def test_a_kernel_that_was_killed_and_a_dataframe_that_a_log_does_not_have(tmp_path):
    set_up = SET_UP + f"from rlm import RLMLogger\nFOLDER = {str(tmp_path)!r}"
    with Kernel() as k:
        k.ok(set_up)
        with pytest.raises(RuntimeError, match="the kernel died"): k.run(ON_ORDERS)
    log, = tmp_path.glob("*.jsonl")
    frame = "pd.DataFrame(dict(city=['Lima', 'Oslo'], sales=[30, 10]))"
    with Kernel() as k:
        k.ok(set_up + AGAIN)
        failed = k.run(f"goes_on.resume({str(log)!r}, dry=True)")
        assert failed.error == "ConfigurationError: The log does not have orders (pandas.DataFrame). Supply it: rlm.resume(..., orders=...)."
        assert k.value("'orders' in globals() or 'least' in globals() or model.calls") == []
        k.ok(f"plan = goes_on.resume({str(log)!r}, dry=True, orders={frame})")
        assert k.value("'orders' in globals() or 'least' in globals()") is False
        k.ok(f"result = goes_on.resume({str(log)!r}, orders={frame})")
        assert k.value("(result.value, len(model.calls), result.iterations[0].code_blocks[0].result.stdout)") == (["Lima"], 1, "40\n")
        k.ok(f"del least\norders = {frame}\n" + AGAIN)
        k.ok(f"result = goes_on.resume({str(log)!r})")
        assert k.value("(result.value, len(model.calls), least)") == (["Lima"], 1, 20)
        k.ok('other = RLM(ScriptedLM([]), environment="jupyter", environment_kwargs=only("orders"), verbose=False)')
        assert "Give it environment_kwargs={'sync_from_user_ns': True, 'sync_vars': ['orders', 'least']}" in k.run(f"other.resume({str(log)!r})").error

KILLED = """
import sys
from rlm import RLM, RLMLogger
from rlm.openai_lm import OpenAILM
lm = OpenAILM("test-model", sys.argv[1], max_retries=0)
RLM(lm, verbose=False, max_depth=2, logger=RLMLogger(sys.argv[2])).completion("Look.", context=["ab", "cd"])
"""

def iteration_of(body):
    "The iteration of the task that a request belongs to, also one that its code made."
    messages = body["messages"]
    if messages[0]["role"] == "user": return 2
    if "How long?" in messages[task_at(body)]["content"]: return 4
    return 1 + sum(m["role"] == "assistant" for m in messages[task_at(body):])

def killed_and_resumed(folder, seed, runs):
    "Runs that are killed at random moments; of each, how many requests were asked twice that the log has."
    rng, twice, killed = random.Random(seed), [], 0
    for n in range(runs):
        with ChatServer(answer, delay=0.05) as server:
            log_dir = folder / f"run_{n}"
            process = subprocess.Popen([sys.executable, "-c", KILLED, server.base_url, str(log_dir)])
            while not server.requests and process.poll() is None: time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += process.returncode == -9
            log, = log_dir.glob("*.jsonl")
            run, = read_log(log)
            whole = len(run.result.iterations)
            asked = len(server.requests)
            result = rlm_for(server).resume(log, *([whole] if run.result.stop_reason == "final" else []))
            whole -= run.result.stop_reason == "final"
            twice.append(sum(iteration_of(r.body) <= whole for r in server.requests[asked:]))
            assert result.value[1:] == [["calm", "calm"], 2]
    return twice, killed

@pytest.mark.slow
def test_runs_that_were_killed_ask_nothing_twice(tmp_path):
    twice, killed = killed_and_resumed(tmp_path, 1, 4)
    assert twice == [0] * 4 and killed

if __name__ == "__main__":
    import tempfile
    with tempfile.TemporaryDirectory() as folder: print(killed_and_resumed(Path(folder), int(sys.argv[2]), int(sys.argv[1])))
