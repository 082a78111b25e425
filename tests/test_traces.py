"Logs, traces and replays: nothing is lost, nothing secret is written, and what is replayed comes out the same."
import contextlib, io, json, pickle, random, re, subprocess, sys, textwrap
from dataclasses import dataclass
from datetime import timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.encoding import Missing, decode, encode
from rlm.events import BlockStarted, RunStarted
from rlm.logger import RLMLogger, read_log
from rlm.replay import Replay, ReplayDivergenceError, replay
from rlm.text import without
from rlm.types import *
from rlm.utils.trace_notebook import enable_trace_notebook, main as rlm_trace, trace_notebook, verify
from hostile_corpus import BUNDLES, TEXTS, check_html, check_markdown, check_terminal
from kernel import run_notebook
from server import ChatServer, Http, completion, task_at

nbformat = pytest.importorskip("nbformat")
KEY = "sk-secret-0123456789abcdef"

def block(code): return f"```repl\n{code}\n```"

def run(folder, *replies, context=None, question="Go on.", **kw):
    "One logged run, with its trace notebook."
    logger, trace = enable_trace_notebook(folder)
    rlm = RLM(ScriptedLM(list(replies)), logger=logger, verbose=False, **kw)
    try: result = rlm.completion(question) if context is None else rlm.completion(question, context=context)
    except BaseException: result = rlm.last_result
    return result, logger, trace

def cells(path): return nbformat.read(path, 4).cells

def execute(path):
    "Run a trace notebook in a fresh kernel with no key, and no network but loopback's; the text of its last cell."
    nb = nbformat.read(path, 4)
    nbformat.validate(nb)
    run_notebook(nb, Path(path).parent)
    return "".join(o.get("text", "") for c in nb.cells[-1:] for o in c.outputs), nb

# -- the log

def test_a_log_reads_back_as_the_run_it_was(tmp_path):
    result, logger, _ = run(tmp_path, block("import random\nprint(random.random(), llm_query('Hm?'))\n[1, 2]"), Reply("Yes.", usage=Usage(5, 2, 1, 0.001)),
                            Reply("FINAL([1, 2])", reasoning="think", extra={"system_fingerprint": "fp", "logprobs": {"content": [0.5]}, "token_ids": [1, 2]}),
                            context={"a": [1.5, None, True], "b": "ü"})
    logged, = read_log(logger.path)
    assert logged.result == result and logged.context == {"value": {"a": [1.5, None, True], "b": "ü"}}
    assert logged.result.iterations[1].reply.extra["token_ids"] == [1, 2]
    assert [e["type"] for e in logger.entries] == ["metadata", "run_context", "iteration", "iteration", "run_end"]
    assert logger.entries[-1]["usage"]["cost"] is None and logger.entries[0]["schema"] == 1

TEXT = st.text(st.characters(exclude_categories=[]), max_size=60) | st.sampled_from(["'''", '"""', "\x00", "\ud800", "```", "---", "🐋", "\r\n", "</script>"])

@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=TEXT, printed=TEXT, asked=TEXT.filter(str.strip))
def test_any_text_is_logged_and_makes_a_valid_notebook(tmp_path, said, printed, asked):
    result, logger, trace = run(tmp_path, said + "\n" + block(f"print({printed!r})"), "FINAL(ok ok)", question=asked, max_iterations=3)
    logged, = read_log(logger.path)
    assert logged.result == result and logged.prompt == asked
    nbformat.validate(nbformat.read(trace.path, 4))
    result.trace_markdown.encode("utf-8")

def exactly(x):
    "A text that tells `x` with its types, sets in any order."
    if isinstance(x, dict): parts = [f"{exactly(k)}: {exactly(v)}" for k, v in x.items()]
    elif isinstance(x, (set, frozenset)): parts = sorted(map(exactly, x))
    elif isinstance(x, (list, tuple)): parts = map(exactly, x)
    else: return ascii(x)
    return f"{type(x).__name__}({', '.join(parts)})"

at = lambda t: t.replace(fold=0)
ATOMS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), TEXT, st.binary(), st.decimals(allow_nan=False),
                  st.fractions(), st.dates(), st.datetimes(timezones=st.none() | st.just(timezone.utc)).map(at), st.times().map(at), st.timedeltas(),
                  st.sampled_from(["$tuple", "$set", "$missing", "$dict", "$", "\ud83d\udc0b"]))
KEYS = ATOMS | st.tuples(ATOMS, ATOMS) | st.frozensets(ATOMS, max_size=3)
VALUES = st.recursive(KEYS | st.binary().map(bytearray), lambda v: st.lists(v, max_size=4) | st.tuples(v, v) | st.dictionaries(KEYS, v, max_size=4)
                      | st.sets(KEYS, max_size=3), max_leaves=10)

@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(value=VALUES)
def test_any_value_reads_back_as_it_was(value):
    assert exactly(decode(json.dumps(encode(value)))) == exactly(value)
    assert decode(json.dumps(encode([10 ** 6_000]))) == [10 ** 6_000]

@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES, large=st.booleans())
def test_a_value_survives_its_run(tmp_path, value, large):
    value = [value] * (1 + 30_000 // len(json.dumps(encode(value))) if large else 1)  # so large that it gets a file of its own
    result, logger, _ = run(tmp_path, block("x"), block("FINAL({'it': context, 1: (context,)})"), context=value)
    logged, = read_log(logger.path)
    assert exactly(logged.result.value) == exactly(result.value) and exactly(logged.context["value"]) == exactly(value)
    assert json.loads(logger.path.read_text().split("\n")[-2])["type"] == "run_end"

@pytest.mark.slow
def test_a_typed_answer_is_compared_as_the_code_gave_it(tmp_path):
    @dataclass
    class City:
        name: str
    logger = RLMLogger(tmp_path)
    rlm = RLM(ScriptedLM([block("FINAL({'name': context[0]})")]), logger=logger, verbose=False)
    run = rlm.completion("Which city?", context=["Lima"], output_type=City)
    assert run.value == City("Lima")
    again = Replay(logger.path, run.id)
    again.block(1, "FINAL({'name': context[0]})")
    assert again.end() and again.outcome == "equal"
    again = Replay(logger.path, run.id)
    again.block(1, "FINAL({'name': 'Oslo'})")
    with pytest.raises(ReplayDivergenceError, match="Oslo"): again.end()

@pytest.mark.slow
def test_what_cannot_be_written_is_noted_as_missing(tmp_path):
    class Own: pass
    cycle, bomb = [1], ["x"]
    cycle.append(cycle)
    for _ in range(60): bomb = [bomb, bomb]
    for value in (Own(), [Own()], cycle, bomb):
        result, logger, trace = run(tmp_path, block("FINAL(1)"), context=value)
        logged, = read_log(logger.path)
        assert logged.context["missing"] and logged.context["type"].endswith(type(value).__name__)
        assert "Missing in the log: context (" in cells(trace.path)[-2].source
    assert read_log(run(tmp_path, block("FINAL([1, object()])"))[1].path)[0].result.value == [1, Missing("object")]

def test_sessions_share_one_log_in_linear_size(tmp_path):
    logger = RLMLogger(tmp_path)
    replies = [r for i in range(40) for r in (block(f"x = {i}\nprint('{'y' * 200}')"), f"FINAL(turn {i})")]
    a = RLM(ScriptedLM(replies), logger=logger, verbose=False).start_session()
    b = RLM(ScriptedLM(["FINAL(b one)", "FINAL(b two)"]), logger=logger, verbose=False).start_session()
    sizes = []
    for i in range(40):
        a.chat(f"Question {i}.")
        if i in (3, 20): b.chat(f"B {i}.")
        sizes.append(logger.path.stat().st_size)
    assert sizes[-1] - sizes[-11] < 1.5 * (sizes[19] - sizes[9])
    logged = read_log(logger.path)
    assert [r.result for r in logged] == sorted([*a, *b], key=lambda r: [x.id for x in logged].index(r.id))
    assert logged[-1].result.messages == a[-1].messages

def test_a_large_context_is_written_once_beside_the_log(tmp_path):
    text = "line\n" * 100_000
    logger = RLMLogger(tmp_path)
    for _ in range(3): RLM(ScriptedLM([block("print(len(context))"), "FINAL(ok ok)"]), logger=logger, verbose=False).completion("How long?", context=text)
    beside = [p for p in tmp_path.iterdir() if p != logger.path]
    assert len(beside) == 1 and beside[0].read_text() == text and logger.path.stat().st_size < 60_000
    assert [r.context["value"] == text for r in read_log(logger.path)] == [True] * 3

SAYS = """import os, json
key = os.environ['SOME_KEY']
print(key); print(json.dumps({'k': key + chr(34)}), repr(key)); print('warned', key, file=__import__('sys').stderr)
try: llm_query('Is ' + key + ' good?')
except Exception as e: print(e)
r = llm_query_batched(['first ' + key, 'fail ' + key])
n = 12345670 + 8
{'seen': [key, (1, {key: n})]}"""

def sinks(logger, result, session=None):
    "Everything that keeps or shows a run, as text."
    def shown(f):
        out = io.StringIO()
        with contextlib.redirect_stdout(out): f()
        return out.getvalue()
    found = {"log": "".join(p.read_text() for p in logger.path.parent.iterdir()), "entries": json.dumps(logger.entries), "markdown": result.trace_markdown,
             "html": result._repr_html_(), "repr": repr(result) + str(result), "dict": json.dumps(result.to_dict()), "pickle": pickle.dumps(result).decode("latin-1"),
             "records": repr([result.iterations, result.messages, result.value, result.prompt, result.usage_by_model]), "render": shown(result.render_trace)}
    return found | ({"history": repr(session.history) + session.history._repr_html_()} if session else {})

@pytest.mark.parametrize("key", [KEY, "12345678", "metadata_2", "t0p/\\secret 'quoted'", "text/plain9"])
def test_credentials_are_in_no_sink(tmp_path, key, monkeypatch, capsys):
    "A key that a server echoes, that code prints, that stands in the question, the context, an error, a sub-call, a child and the answer."
    monkeypatch.setenv("SOME_KEY", key)
    def reply(body):
        last, at = body["messages"][-1]["content"], task_at(body)
        n = len(body["messages"]) - at
        if not at: return Http(400, {"error": {"message": f"bad {last}"}}) if "fail" in last else completion({"content": f"you said {last} {key}"}, body, model=f"echo-{key}")
        if "child" in body["messages"][at]["content"]: return block("import os; print(os.environ['SOME_KEY'])") if n == 1 else f"FINAL(Child: {key})"
        said = {1: block(SAYS), 3: block("print(rlm_query('child ' + key))"), 5: block("raise ValueError(key)"), 7: "FINAL({'key': [key], 'n': n})"}
        return completion({"content": f"<think>{key}</think>I know {key}.\n{said[n]}", "note": {key: [key]}}, body)
    with ChatServer(reply) as s:
        logger, trace = enable_trace_notebook(tmp_path)
        heard = []
        rlm = RLM(backend_kwargs=dict(model_name="m", base_url=s.base_url, api_key=key, max_retries=0), logger=lambda e: (heard.append(e), logger(e)), verbose=True, max_depth=2)
        session = rlm.start_session()
        result = session.chat(f"Which key? {key}", context={key: f"It is {key}. " * 3_000, "n": 12345678})
        assert s.requests[0].headers["authorization"] == f"Bearer {key}" and key not in json.dumps(s.messages)
    found = sinks(logger, result, session) | {"verbose": capsys.readouterr().out, "events": repr([e for e in heard if not isinstance(e, (RunStarted, BlockStarted))])}
    for name, text in found.items():
        text = text.replace("12345678}", "").replace("12345678)", "").replace("12345678,", "").replace('12345678"}', "")  # the numbers, which stay
        assert not any(form in text for form in (key, json.dumps(key)[1:-1], repr(key)[1:-1])), name
        if name not in ("repr", "history"): assert "key removed" in text, name
    n = "[key removed]" if key == "12345678" else 12345678
    assert result.value == {"key": ["[key removed]"], "n": 12345678} and result.response == f"{{'key': ['[key removed]'], 'n': {n}}}"
    logged = read_log(logger.path)[0]
    assert logged.result == result and logged.cleaned and logged.payload["n"] == 12345678

@pytest.mark.slow
@pytest.mark.parametrize("key", ["messages", "iterations", "metadata", "text/plain", "output_type", "12345678", "EMPTY", "lm-studio", "$missing"])
def test_a_key_that_is_a_word_or_a_number_breaks_no_log(tmp_path, key):
    replies = [block("import sys\nprint('messages', 12345678, 'lm-studio EMPTY')\n12345678"), "FINAL(12345678)"]
    results = []
    for name, api_key in (("plain", "sk-nothing-that-occurs-1"), ("odd", key)):
        with ChatServer(replies) as s:
            logger = RLMLogger(tmp_path / name)
            rlm = RLM(backend_kwargs=dict(model_name="m", base_url=s.base_url, api_key=api_key), logger=logger, verbose=False)
            results.append(rlm.completion("Which of the messages?", context={"messages": [12345678, 0.12345678], "lm-studio": "EMPTY"}))
        logged, = read_log(logger.path)
        assert logged.result == results[-1] and logged.payload["messages"] == [12345678, 0.12345678]
    if key != "12345678": assert results[0].iterations[0].code_blocks == [*results[1].iterations[0].code_blocks] or \
        results[0].iterations[0].code_blocks[0].result.stdout == results[1].iterations[0].code_blocks[0].result.stdout

def test_values_without_a_key_stay_the_same_objects():
    rows = [{"a": "x"}, ("y", 1)]
    rows.append(rows)
    assert without(rows, (KEY,)) is rows
    shared = [KEY]
    assert without([shared, shared, {1, KEY}], (KEY,)) == [["[key removed]"], ["[key removed]"], {1, "[key removed]"}] and shared == [KEY]
    deep = [KEY]
    for _ in range(100_000): deep = [deep]
    assert without(deep, (KEY,)) is deep

@pytest.mark.parametrize("line, says", [("{}", "not a line of an rlm log"), ("[1]", "not a line of an rlm log"), ("hello", "not a line of an rlm log"),
    ('{"type": "metadata", "run": "x", "schema": 99}', "later rlm")])
def test_other_files_are_refused(tmp_path, line, says):
    (tmp_path / "x.jsonl").write_text(line + "\n")
    with pytest.raises(RLMError, match=says): read_log(tmp_path / "x.jsonl")

def test_a_log_cut_anywhere_keeps_its_whole_lines(tmp_path):
    result, logger, _ = run(tmp_path, block("print('ü' * 10)"), block("x = 2"), "FINAL(ok ok)")
    data = logger.path.read_bytes()
    for cut in range(0, len(data), 97):
        logger.path.write_bytes(data[:cut])
        for r in read_log(logger.path):
            assert r.result.stop_reason == "unfinished" and r.result.iterations == result.iterations[:len(r.result.iterations)]

def test_a_folder_that_cannot_be_written_is_found_out_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="can't be written"): RLMLogger(tmp_path / "file" / "logs")
    with pytest.raises(ConfigurationError, match="does not exist"): enable_trace_notebook(tmp_path, notebook_path=tmp_path / "no" / "x.ipynb")

def test_a_run_within_a_run(tmp_path):
    logger = RLMLogger(tmp_path)
    inner = RLM(ScriptedLM([block("y = 2"), "FINAL(inside)"]), logger=logger, verbose=False)
    outer = RLM(ScriptedLM([block("print(ask('x').response)"), "FINAL(outside)"]), logger=logger, custom_tools={"ask": inner.completion}, verbose=False)
    outer.completion("Go.")
    assert [(r.result.response, len(r.result.iterations)) for r in read_log(logger.path)] == [("outside", 2), ("inside", 2)]

# -- Markdown

def test_the_headings_of_the_working_documentation():
    rlm = RLM(ScriptedLM(['I look.\n\n' + block("print(session_context_0)"), 'FINAL("Blue")', "FINAL(I pick the color blue.)"]), verbose=False)
    session = rlm.start_session()
    session.chat("Pick a color.")
    lines = session.chat("Why did you pick that one?").trace_markdown.split("\n")
    assert [l for l in lines if l.startswith("#") or l == "---" or l.startswith("**")] == [
        "## Run Context", "## Iteration 1", "### Model Response", "### Code Block 1", "**stdout**", "## Iteration 2", "### Model Response",
        "## Final Answer", "---", "## Run Context", "## Iteration 1", "### Model Response", "## Final Answer"]
    assert lines[1:6] == ["```json", "{", '  "prompt": "Pick a color.",', '  "root_prompt": null', "}"]

def test_nothing_that_is_said_breaks_the_page():
    bad = "# Heading\n---\n<script>alert(1)</script>\n```\n\x1b[31mred\x1b[0m"
    result = RLM(ScriptedLM([bad + "\n\n" + block(f"print({bad!r})"), f"FINAL({bad})"]), verbose=False).completion("Go on, please.")
    outside = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", result.trace_markdown, flags=re.M | re.S)
    assert "<script>" not in outside and "\x1b" not in result.trace_markdown
    assert [l for l in outside.split("\n") if l.startswith("# ") or l == "---"] == []

# -- trace notebooks

@pytest.mark.slow
def test_a_trace_replays_in_a_fresh_kernel(tmp_path):
    code = ["import random\nn = random.randint(1, 100)\nprint(n)", "def f(x): return llm_query(x)\n[f('a'), f('a'), f('b')]", "1 / 0", "exit()", "x = {'a': n}\nFINAL(x)"]
    random.seed(11)
    replies = [block(c) for c in code]
    replies[2:2] = ["one", "two", "three"]
    result, logger, trace = run(tmp_path, *replies, context="some text " * 5_000)
    assert [c.cell_type for c in cells(trace.path)].count("code") == len(code) + 2
    said, nb = execute(trace.path)
    assert f"The same as then. The answer: {result.response}" in said
    outputs = ["".join(o.get("text", "") or o.data["text/plain"] for o in c.outputs) for c in nb.cells if c.source.startswith("%%replay")]
    assert outputs[0] == result.iterations[0].code_blocks[0].result.stdout and "ZeroDivisionError" in outputs[2] and "one" in outputs[1]

@pytest.mark.slow
def test_a_trace_that_comes_out_different_says_so(tmp_path):
    result, logger, trace = run(tmp_path, block("print(1 + 1)"), "FINAL(two two)")
    text = logger.path.read_text()
    logger.path.write_text(text.replace('"stdout": "2\\n"', '"stdout": "3\\n"'))
    from nbclient.exceptions import CellExecutionError
    with pytest.raises(CellExecutionError, match="came out different: block 1 differs"): execute(trace.path)

@pytest.mark.slow
def test_a_trace_lists_what_is_missing_and_what_is_recorded_stays(tmp_path):
    result, logger, trace = run(tmp_path, block("x = 1"), block("print(context, lookup(x))"), block("print(x)"), "FINAL(ok ok)", context=object(),
                                custom_tools={"lookup": lambda x: x + 1, "other": print})
    run_, = read_log(logger.path)
    assert run_.missing == {"context": "object", "lookup": "a tool"}
    assert "Missing in the log: context (object), lookup (a tool)." in cells(trace.path)[-2].source
    said, nb = execute(trace.path)
    assert said.startswith("Not the same as then: block 2 needs context (object), lookup (a tool). Missing: context (object), lookup (a tool).")
    outputs = ["".join(o.get("text", "") for o in c.outputs) for c in nb.cells if c.source.startswith("%%replay")]
    assert result.iterations[1].code_blocks[0].result.stdout in outputs[1] and outputs[2].startswith("1\n")
    start = next("".join(o.text for o in c.outputs) for c in nb.cells if c.cell_type == "code")
    assert start.endswith("Define context and lookup in a cell above and run all cells again, or write start_replay(..., context=context, lookup=lookup).\n")
    assert outputs == ["", result.iterations[1].code_blocks[0].result.stdout, "1\n"]

def test_a_method_of_the_same_name_is_not_the_tool(tmp_path):
    code = "print(context.count('a'))  # lookup"
    result, logger, trace = run(tmp_path, block(code), "FINAL(ok ok)", context="banana", custom_tools={"count": len, "lookup": len})
    assert read_log(logger.path)[0].missing == {} and list(verify(trace.path).values()) == ["equal"]

class Table:
    "An object that no log can hold."
    def __init__(self, *rows): self.rows = rows

def test_what_is_missing_can_be_supplied_by_name(tmp_path):
    codes = "print(sum(context.rows))", "print([double(row) for row in context.rows])"
    result, logger, trace = run(tmp_path, *map(block, codes), "FINAL(ok ok)", context=Table(1, 2), custom_tools={"double": lambda x: 2 * x})
    run_, = read_log(logger.path)
    def outcome(**supplied):
        here = Replay(logger.path, run_.id, **supplied)
        for number, code in enumerate(codes, 1): here.block(number, code)
        try: here.end()
        except ReplayDivergenceError: pass
        return here.outcome
    assert outcome() == "block 1 needs context (test_traces.Table)"
    assert outcome(context=Table(1, 2)) == "block 2 needs double (a tool)"
    assert outcome(context=Table(1, 2), double=lambda x: 2 * x) == "equal"
    assert outcome(context=Table(1, 2), double=lambda x: 3 * x) == "block 2 differs"
    with pytest.raises(ConfigurationError, match="contxt is not missing in run .* Missing: context, double"): Replay(logger.path, run_.id, contxt=1)

def test_data_that_is_supplied_is_there_in_later_turns(tmp_path):
    logger = RLMLogger(tmp_path)
    session = RLM(ScriptedLM([block("x = len(context.rows)"), "FINAL(ok ok)", block("FINAL([x, session_context_0.rows, context])")]), logger=logger,
                  verbose=False).start_session()
    session.chat("First.", context=Table(1, 2))
    session.chat("Second.")
    def outcomes(**supplied):
        found = []
        for run, more in zip(read_log(logger.path), (supplied, {})):
            here = Replay(logger.path, run.id, **more)
            for number, (b, _) in here.blocks.items(): here.block(number, b.code)
            here.end()
            found.append(here.outcome)
        return found
    assert outcomes(context=Table(1, 2)) == ["equal", "equal"]
    assert outcomes() == ["block 1 needs context (test_traces.Table)"] * 2

@pytest.mark.slow
def test_a_session_and_a_persistent_rlm_replay(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = RLM(ScriptedLM([block("x = 500"), "FINAL(ok ok)", block("x *= 2\nFINAL(x)"), block("y = len(session_history)\nprint(x, session_context_0)"),
                          "FINAL(ok ok)", block("FINAL([x, y, context, session_history])")]), logger=logger, persistent=True, verbose=False)
    rlm.completion("Set x = 500 in the repl")
    rlm.completion("Double it.")
    session = rlm.start_session()
    session.chat("First.")
    assert session.chat("Second.").value == [1000, 0, "Second.", [{"prompt": "First.", "response": "ok ok"}]]
    said, nb = execute(trace.path)
    checks = ["".join(o.get("text", "") for o in c.outputs) for c in nb.cells if c.source == "end_replay()"]
    assert len(checks) == 4 and all(c.startswith("The same as then.") for c in checks), checks

FAILS_ONCE = """
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    from rlm import RLM
    from rlm.lm import ScriptedLM
    from rlm.logger import RLMLogger
    InteractiveShell.instance().user_ns["heights"] = [1, 2]
    code = "```repl\\nprint(heights)\\n```"
    share_all = dict(environment="jupyter", environment_kwargs=dict(sync_from_user_ns=True, sync_to_user_ns=True))
    lm = ScriptedLM([code, ValueError("down"), code, "FINAL(ok ok)"])
    session = RLM(lm, logger=RLMLogger(sys.argv[1]), verbose=False, **share_all).start_session()
    try: session.chat("First.")
    except ValueError: session.chat("Second.")
"""

@pytest.mark.slow
def test_variables_of_yours_stay_where_a_turn_fails(tmp_path):
    subprocess.run([sys.executable, "-c", textwrap.dedent(FAILS_ONCE), tmp_path], check=True)
    log, = tmp_path.glob("*.jsonl")
    (tmp_path / "it.ipynb").write_text(trace_notebook(log))
    assert list(verify(tmp_path / "it.ipynb").values()) == ["equal", "equal"]

@pytest.mark.slow
def test_random_programs_come_out_the_same(tmp_path):
    "In every environment and sync mode, with another order of sets and another seed of numpy in the replay's process."
    import os
    def programs(*args, seed): return subprocess.run([sys.executable, Path(__file__).with_name("programs.py"), *map(str, args)], check=True,
                                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONHASHSEED": seed}).stdout
    programs("record", tmp_path, 0, 100, seed="1")
    *wrong, summary = programs("replay", tmp_path, seed="2").strip().split("\n")
    equal, needs, differs = map(int, re.findall(r"\d+", summary))
    assert equal >= 100 and needs >= 10 and differs >= 5 and not wrong, "\n".join(wrong)

@pytest.mark.slow
@pytest.mark.parametrize("code, outcome", [
    ("import pandas as pd\nprint(pd.DataFrame({'a': range(99)}).sample(3))", "equal"),
    ("import numpy as np\nnp.random.seed(1)\nprint(np.random.rand())", "equal"),
    ("import numpy as np\nprint(np.random.rand())", "equal"),
    ("print(__import__('num' + 'py').random.rand())", "block 1 differs"),
    ("import random\nprint(random.SystemRandom().random())", "block 1 differs"),
    ("import time\nprint(time.time())", "block 1 differs"),
    ("import random\nrandom.seed()\nprint(random.random())", "block 1 differs"),
    ("print({w for w in context.split()})", "block 1 differs"),
    ("print(sorted({w for w in context.split()}), len(set(context)))", "equal")])
def test_whether_it_comes_out_equal_is_found_by_replaying(tmp_path, monkeypatch, code, outcome):
    "Each in a process of its own, in which nothing is imported."
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)  # which Dask sets for its workers, in this process too
    victim = f"""if True:
        import sys
        from rlm import RLM
        from rlm.lm import ScriptedLM
        from rlm.logger import RLMLogger
        RLM(ScriptedLM([{block(code)!r}, "FINAL(ok ok)"]), logger=RLMLogger(sys.argv[1]), verbose=False).completion("Go on.", context=" ".join("abcdefghij"))"""
    subprocess.run([sys.executable, "-c", victim, tmp_path], check=True)
    log, = tmp_path.glob("*.jsonl")
    (tmp_path / "it.ipynb").write_text(trace_notebook(log))
    assert list(verify(tmp_path / "it.ipynb").values()) == [outcome]
    imported_by_code = "num" in code and "import numpy" not in code
    assert read_log(log)[0].missing == ({"the random state of numpy": "which a block imported"} if imported_by_code else {})

@pytest.mark.slow
def test_what_a_turn_did_to_its_data_is_there_in_the_next(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    session = RLM(ScriptedLM([block("context.append(3)"), "FINAL(ok ok)", block("FINAL([session_context_0, context_history])")]), logger=logger, verbose=False).start_session()
    session.chat("First.", context=[1, 2])
    assert session.chat("Second.").response == "[[1, 2, 3], [[1, 2, 3], 'Second.']]"
    said, nb = execute(trace.path)
    assert said.startswith("The same as then.")
    twice = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c.source) for _ in range(2) for c in nb.cells if c.cell_type == "code"])
    run_notebook(twice, tmp_path)  # and again in the same kernel
    assert "The same as then." in twice.cells[-1].outputs[0].text

def test_a_turn_without_data_replays_with_that_of_an_earlier_one(tmp_path):
    codes = "context.append(3)\nFINAL(1)", "FINAL([context, session_context_0 is context])", "context['a'] = 1\nFINAL(2)", "FINAL([context, session_context_1])"
    logger = RLMLogger(tmp_path)
    def asked(**kw):
        session = RLM(verbose=False, **kw).start_session()
        data = {"First.": [1, 2], "Third.": {}}
        return [session.chat(q, **({"context": data[q]} if q in data else {})).response for q in ("First.", "Second.", "Third.", "Fourth.")]
    answers = ["1", "[[1, 2, 3], True]", "2", "[{'a': 1}, 'Second.']"]
    assert asked(backend=ScriptedLM(list(map(block, codes))), logger=logger) == answers
    assert asked(backend=replay(logger.path)) == answers
    (tmp_path / "it.ipynb").write_text(trace_notebook(logger.path))
    assert list(verify(tmp_path / "it.ipynb").values()) == ["equal"] * 4

def test_a_sub_model_with_another_name(tmp_path):
    "Servers answer in the name of a version, and code asks for the model by its own."
    lm = ScriptedLM([block("print(llm_query('Hm?', model='small'), llm_query('\\ud800', model='small'))\nllm_query('x', model='large')"), "FINAL(ok ok)"], model="large")
    lm.sub_lms = (ScriptedLM([Reply("yes", model="small-2026"), Reply("no", model="small-2026")], model="small"),)
    logger = RLMLogger(tmp_path)
    RLM(lm, logger=logger, verbose=False).completion("Go on.")
    run, = read_log(logger.path)
    here = Replay(logger.path, run.id)
    here.block(1, run.result.iterations[0].code_blocks[0].code)
    assert not here.missing and here.end().startswith("The same as then.")
    assert "there is no model 'large'" in run.result.iterations[0].code_blocks[0].result.error
    assert run.result.iterations[0].code_blocks[0].result.stdout == "yes no\n"

@pytest.mark.slow
def test_children_are_in_the_log_and_replay(tmp_path):
    from test_subcalls import recursive, rlm_for
    logger, trace = enable_trace_notebook(tmp_path)
    with ChatServer(recursive) as s:
        other = dict(other_backends=["openai"], other_backend_kwargs=[{"model_name": "small", "base_url": s.base_url, "api_key": ""}])
        result = rlm_for(s, max_depth=2, logger=logger, **other).completion("go", context=1)
    logged, = read_log(logger.path)
    child = logged.result.iterations[0].code_blocks[0].result.rlm_calls[0].run
    assert logged.result == result and child.usage.calls == 2 and len(child.messages) == 9
    assert "Measure kiwi" in result.trace_markdown and "print(len(context.split()[-1]))" in result.trace_markdown
    said, nb = execute(trace.path)
    assert said.startswith("The same as then") and "Missing" not in str(nb.cells)
    again = RLM(replay(logger.path), max_depth=2, verbose=False).completion("go", context=1)
    assert (again.response, again.usage) == (result.response, result.usage)

def test_that_credentials_were_removed_is_told(tmp_path):
    with ChatServer([completion({"content": block("print(len(context))")}), "FINAL(ok ok)"]) as s:
        logger = RLMLogger(tmp_path)
        RLM(backend_kwargs=dict(model_name="m", base_url=s.base_url, api_key=KEY), logger=logger, verbose=False).completion("Go on.", context=f"The key: {KEY}")
    assert read_log(logger.path)[0].missing == {"the credentials": "removed from the log"}

def test_an_edited_trace_is_not_overwritten(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path, notebook_path=tmp_path / "mine.trace.ipynb")
    rlm = RLM(ScriptedLM(["FINAL(one one)", "FINAL(two two)"]), logger=logger, verbose=False)
    rlm.completion("First.")
    first = trace.path
    first.write_text(first.read_text().replace("one one", "one, I think"))
    rlm.completion("Second.")
    assert trace.path.name == "mine_2.trace.ipynb" and "one, I think" in first.read_text() and "two two" in trace.path.read_text()
    nbformat.validate(nbformat.read(trace.path, 4))

MANY = """
    import gc, sys
    from rlm import RLM
    from rlm.lm import ScriptedLM
    from rlm.utils import trace_notebook
    trace_notebook._AT_FIRST = trace_notebook._SHARE = 0  # so that there is no time for a second save, however slow the runs are
    logger, trace = trace_notebook.enable_trace_notebook(sys.argv[1])
    for i in range(20): RLM(ScriptedLM([f"FINAL(answer {i})"]), logger=logger, verbose=False).completion("Go on.")
    text = trace._path.read_text()
    print(text.count("Final Answer"), str(trace.path.read_text().count("Final Answer")))
    RLM(ScriptedLM(["FINAL(the last)"]), logger=logger, verbose=False).completion("Go on.")
    if len(sys.argv) > 2:
        del logger
        gc.collect()
        print(trace._path.read_text().count("Final Answer"))
"""

@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["del"]])
def test_a_save_that_was_put_off_is_made_up_for(tmp_path, how):
    "When the notebook is asked for, when Python ends, and when the logger goes."
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(MANY), tmp_path, *how], capture_output=True, text=True, check=True)
    put_off, asked, *gone = map(int, said.stdout.split())
    assert put_off < 20 and asked == 20 and gone == [21] * len(how) and not said.stderr
    notebook, = tmp_path.glob("*.ipynb")
    nbformat.validate(nbformat.read(notebook, 4))
    assert "the last" in cells(notebook)[-2].source

def test_the_command(tmp_path, capsys):
    result, logger, trace = run(tmp_path, block("x = 1"), "FINAL(ok ok)")
    made = trace.path.read_text()
    trace.path.unlink()
    rlm_trace([str(logger.path)])
    assert trace.path.read_text() == made and str(trace.path) in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is there already"): rlm_trace([str(logger.path)])
    with pytest.raises(SystemExit, match="can't be read"): rlm_trace([str(tmp_path / "no.jsonl")])
    for wrong, code, says in ((["--vrfy", str(logger.path)], 2, "unrecognized arguments: --vrfy"), (["--help"], 0, "--verify"), ([], 2, "FILE")):
        with pytest.raises(SystemExit) as ended: rlm_trace(wrong)
        said = capsys.readouterr()
        assert ended.value.code == code and says in said.out + said.err

# -- verified

VERIFIED = "*Verified, equal.* A replay in a fresh process came out as it was recorded."

def sources(path): return [c.source for c in cells(path)]

@pytest.mark.slow
def test_a_trace_is_verified_by_replaying_it(tmp_path, capsys):
    result, logger, trace = run(tmp_path, block("import random\nx = random.random()\nprint(x, llm_query('Hm?'))"), "yes", block("FINAL(x)"))
    before = sources(trace.path)
    rlm_trace(["--verify", str(logger.path)])
    assert sources(trace.path) == [*before, VERIFIED] and f"{result.id}: equal" in capsys.readouterr().out
    nbformat.validate(nbformat.read(trace.path, 4))
    rlm_trace(["--verify", str(trace.path)])
    assert sources(trace.path) == [*before, VERIFIED]

@pytest.mark.slow
@pytest.mark.parametrize("old, new, outcome", [
    ("print(x + 1)", "print(x + 2)", "block 2 differs"), ('%%replay 2\\nprint(x + 1)', "print(3)", "block 2 was not run"),
    ('FINAL(x)', 'FINAL(x + 1)', "the answer is '2' instead of '1'"), ("end_replay()", "pass", "its answer is not compared"),
    ("x = 1", "x = (", "block 1 differs"), ("import end_replay", "import no_such_thing", "ImportError: cannot import name 'no_such_thing'")])
def test_a_notebook_that_was_edited_is_found_different(tmp_path, old, new, outcome):
    result, logger, trace = run(tmp_path, block("x = 1"), block("print(x + 1)"), block("FINAL(x)"))
    text = trace.path.read_text()
    nb = nbformat.reads(text, 4)
    for c in nb.cells:
        if c.cell_type == "code": c.source = c.source.replace(old.replace("\\n", "\n"), new)
    nbformat.write(nb, trace.path)
    edited = sources(trace.path)
    with pytest.raises(SystemExit) as ended: rlm_trace(["--verify", str(trace.path)])
    assert ended.value.code == 1
    *rest, verdict = sources(trace.path)
    assert rest == edited and verdict.startswith(f"*Not verified: {outcome}"), verdict
    trace.path.write_text(text)
    assert list(verify(trace.path).values()) == ["equal"]

@pytest.mark.slow
def test_a_log_that_was_tampered_with_is_found_different(tmp_path):
    result, logger, trace = run(tmp_path, block("print(1 + 1)"), "FINAL(two two)")
    log = logger.path.read_text()
    for old, new, outcome in (('"stdout": "2\\n"', '"stdout": "3\\n"', "block 1 differs"), ("print(1 + 1)", "print(1 + 2)", "block 1 differs")):
        assert old in log
        logger.path.write_text(log.replace(old, new))
        trace.path.write_text(trace_notebook(logger.path))
        assert list(verify(trace.path).values()) == [outcome]

@pytest.mark.slow
def test_each_run_of_a_log_is_verified(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = RLM(ScriptedLM([block("x = 2"), "FINAL(ok ok)", block("import time\nprint(time.time())"), "FINAL(ok ok)", block("FINAL(x)"), block("x"), ValueError("down")]),
              logger=logger, persistent=True, verbose=False)
    for _ in range(3): rlm.completion("Go on.")
    with pytest.raises(ValueError): rlm.completion("Go on.")
    assert list(verify(trace.path).values()) == ["equal", "block 1 differs", "equal", "equal"]
    assert [c.id.partition("-")[0] for c in cells(trace.path)].count("verified") == 4

def test_a_replay_that_ends_its_process_is_told(tmp_path):
    result, logger, trace = run(tmp_path, block("import sys"), "FINAL(ok ok)")
    before = trace.path.read_text().replace("import sys", "import os; os._exit(7)")
    trace.path.write_text(before)
    with pytest.raises(SystemExit, match=r"ended its process \(exit code 7\)"): rlm_trace(["--verify", str(trace.path)])
    assert trace.path.read_text() == before

def test_only_a_trace_notebook_is_verified(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "other.ipynb")
    (tmp_path / "none.ipynb").write_text("hello")
    for name, says in ("other.ipynb", "is no trace notebook"), ("none.ipynb", "can't be read as a notebook"):
        with pytest.raises(SystemExit, match=says): rlm_trace(["--verify", str(tmp_path / name)])

def test_a_best_answer_is_no_iteration_anywhere(tmp_path):
    said = [block("print(1)"), block("print(2)"), "FINAL(perhaps 3)"]
    result, logger, trace = run(tmp_path, *said, max_iterations=2)
    logged, = read_log(logger.path)
    assert logged.result == result and len(result.iterations) == 2 and result.best_answer.reply.content == said[-1]
    assert [e["number"] for e in logger.entries if e["type"] == "iteration"] == [1, 2, None]
    assert re.findall("^## (.*)", result.trace_markdown, re.M) == ["Run Context", "Iteration 1", "Iteration 2", "Best Answer", "Final Answer"]
    told = [line for c in cells(trace.path) for line in c.source.split("\n") if line.startswith("### ")]
    assert told == ["### Iteration 1", "### Iteration 2", "### Best Answer", "### Final Answer"]
    nbformat.validate(nbformat.read(trace.path, 4))
    titles = re.findall("<summary>(.*?)</summary>", result._repr_html_())
    assert titles == ["1 · print(1) · 0.0 s", "2 · print(2) · 0.0 s", "best answer · FINAL(perhaps 3) · 0.0 s"]
    again = RLM(replay(logger.path), verbose=False, max_iterations=2).completion("Go on.")
    assert (again.response, again.stop_reason, again.messages) == ("perhaps 3", "max_iterations", result.messages)
    here = Replay(logger.path, logged.id)
    for number, text in enumerate(("print(1)", "print(2)"), 1): here.block(number, text)
    assert here.end() == "The same as then. The answer: perhaps 3"

def test_replay_as_a_backend(tmp_path):
    result, logger, _ = run(tmp_path, block("print(len(context), llm_query('Say a word.'))"), "word", "FINAL(ok ok)", context="abc")
    again = RLM(replay(logger.path), verbose=False).completion("Go on.", context="abc")
    assert again.response == result.response and again.iterations[0].code_blocks[0].result.stdout == "3 word\n"
    with pytest.raises(ReplayDivergenceError, match="told something else"): RLM(replay(logger.path), verbose=False).completion("Go on.", context="abcd")

# -- killed

NURSERY = """
    import os, random, signal, sys, time
    from pathlib import Path
    from rlm import RLM
    from rlm.lm import ScriptedLM
    from rlm.utils.trace_notebook import enable_trace_notebook
    code = "import random\\nx = random.random()\\nprint('x' * 3_000, llm_query('Hm?'))\\nfor i in range(20_000): pass"
    def runs(folder, number):
        logger, _ = enable_trace_notebook(folder)
        for _ in range(number):
            rlm = RLM(ScriptedLM([f"```repl\\n{code}\\n```", "yes"] * 5 + ["FINAL(ok ok)"]), logger=logger, verbose=False)
            session = rlm.start_session()
            session.chat("Again.", context="text " * 10_000)
    def start(folder, number):
        folder.mkdir()
        child = os.fork()
        if child: return child
        try: runs(folder, number)
        finally: os._exit(1)
    began = time.monotonic()
    os.waitpid(start(Path(sys.argv[2]), 5), 0)
    a_few_runs = time.monotonic() - began
    rnd = random.Random(5)
    for i in range(100):
        child = start(Path(sys.argv[1], f"{i:02}"), 1_000_000)
        time.sleep(rnd.uniform(0, a_few_runs))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""

@pytest.mark.slow
def test_killed_a_hundred_times(tmp_path):
    (tmp_path / "killed").mkdir()
    subprocess.run([sys.executable, "-c", textwrap.dedent(NURSERY), tmp_path / "killed", tmp_path / "whole"], check=True)
    unfinished = finished = notebooks = 0
    for folder in sorted((tmp_path / "killed").iterdir()):
        for log in folder.glob("*.jsonl"):
            *lines, torn = log.read_bytes().split(b"\n")
            for line in lines: json.loads(line)
            runs = read_log(log)
            assert len(runs) == len({json.loads(l)["run"] for l in lines if b'"run_context"' in l[:40]})
            unfinished += any(r.result.stop_reason == "unfinished" for r in runs)
            finished += any(r.result.stop_reason == "final" for r in runs)
            notebook = log.with_suffix(".trace.ipynb")
            assert notebook.exists() or len(lines) <= 2  # killed just as the first event was being written
            if not notebook.exists(): continue
            notebooks += 1
            nbformat.validate(nbformat.read(notebook, 4))
        for text in folder.glob("context_*.txt"): assert text.read_text() == "text " * 10_000
    print(f"{unfinished} killed in a run, {finished} after a whole one, {notebooks} notebooks")
    assert unfinished >= 20 and finished >= 20 and notebooks >= 60  # which of them, the machine's speed decides

def test_ctrl_c_leaves_a_whole_trace(tmp_path):
    result, logger, trace = run(tmp_path, block("x = 1"), KeyboardInterrupt())
    assert result.stop_reason == "interrupted" and "Stopped: interrupted." in cells(trace.path)[-2].source
    assert read_log(logger.path)[0].result == result

# -- a stranger's text

def hostile_result(text, outputs=()):
    "A run in which everything is `text`: the question, the reply, the code, what it printed, showed and raised, a sub-call, the answer."
    call = SubCall(text, text, text, error=None, run=RLMChatCompletion(text, text, text, iterations=(Iteration(Reply(text), text),)))
    shown = ({"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}, *outputs)
    blocks = (CodeBlock(text, CodeResult(text * 40, text, shown, text, rlm_calls=(call,))), CodeBlock(text, CodeResult(text, interrupted=True)), CodeBlock(text, CodeResult(ran=text)))
    return RLMChatCompletion(text, text, text, iterations=(Iteration(Reply(text), text, blocks), Iteration(Reply(text), f"I look:\n\n{text}")), stop_reason=text)

def hostile_log(folder, result):
    "The log of a run that went like this."
    from rlm.events import RunStarted, BlockStarted, IterationEnded, RunEnded, Listeners
    logger = RLMLogger(folder)
    tell = Listeners([logger], "a1")
    tell(RunStarted(result.prompt, result.root_model, 3, "a1", ({"role": "user", "content": result.prompt},), settings=RunSettings(tools=(result.prompt,)), context=object(), has_context=True))
    for n, i in enumerate(result.iterations, 1):
        for b in i.code_blocks: tell(BlockStarted(n, b.code, Usage()))
        tell(IterationEnded(n, i, ()))
    tell(RunEnded(result))
    return logger.path

def check_notebook(text):
    nb = nbformat.reads(text, 4)
    nbformat.validate(nb)
    for cell in nb.cells:
        if cell.cell_type == "markdown": check_markdown(cell.source)
        for o in cell.get("outputs", ()): check_output(o)

def check_output(o):
    for mime, x in ({"text/plain": o.text} if o.output_type == "stream" else o.data).items():
        check_terminal(x)
        assert "{{<" not in x and "{{%" not in x
        if mime == "text/html": check_html(x)
        elif mime == "text/markdown": check_markdown(x)
        elif mime.startswith("image/"): assert mime == "image/png" and re.fullmatch("[A-Za-z0-9+/]+={0,2}", x)
        else: assert mime == "text/plain"

@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_strangers_text_stays_in_its_place(tmp_path, capsys, text):
    from rlm.display import StatusLine, describe_event, print_steps
    from rlm.events import BlockEnded, ModelReplied, Notice, RunEnded, RunStarted, SubCallStarted
    from rlm.session import History
    from rlm.utils.notebook import render_completion
    from rlm.utils.trace_markdown import run_markdown
    result = hostile_result(text)
    for page in (result.trace_markdown, run_markdown(result, fold=True)): check_markdown(page)
    for page in (result._repr_html_(), History([{"role": "user", "content": text}])._repr_html_()): check_html(page)
    block = result.iterations[0].code_blocks[0]
    for event in (RunStarted(text, text, 3), ModelReplied(1, Reply(text, reasoning=text), Usage()), BlockEnded(1, block, Usage()), Notice(text), RunEnded(result)):
        print_steps(event)
    StatusLine(lambda line: None)(Notice(text))
    render_completion(result)
    result.render_trace()
    print(repr(result), repr(History([{"role": "user", "content": text}])), describe_event(SubCallStarted(text, text, Usage())))
    check_terminal(capsys.readouterr().out)
    check_notebook(trace_notebook(hostile_log(tmp_path, result)))

@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda b: ascii(b)[:80])
def test_displayed_values_stay_in_their_place(tmp_path, bundle):
    output = {"output_type": "display_data", "data": bundle, "metadata": {"evil": 1}}
    result = hostile_result("", [output])
    check_markdown(result.trace_markdown)
    check_html(result._repr_html_())
    check_notebook(trace_notebook(hostile_log(tmp_path, result)))

def test_what_is_cut_stays_in_its_fence(tmp_path):
    "The ends of a long text are put together again before it is made safe."
    text = "```\n" + "x\n" * 9_000 + "```\n````\n" + "y\n" * 9_000 + "```\n# evil\n<b>evil</b>\n````\n"
    check_notebook(trace_notebook(hostile_log(tmp_path, hostile_result(text))))

def test_text_that_was_made_to_take_long():
    from rlm.text import as_markdown, as_output, plain
    for piece in ("-", "```a\n", "[", "](", "&a", "<", "\x1b]", "> ", "1. ", "[a]:", "| ", "- "):
        as_markdown(piece * 50_000), plain(piece * 50_000), as_output({"text/html": "<table>" + piece * 50_000, "image/png": "A" * 500_000 + "!"})

def test_figures_and_tables_are_kept(tmp_path):
    png, table = "iVBORw0KGgo=", "<div><style scoped>.x{}</style><table border='1' class='dataframe'><tr><th colspan='2'>a &lt; b</th></tr></table></div>"
    result = hostile_result("", [{"output_type": "display_data", "data": {"text/plain": "a figure", "image/png": png[:4] + "\n" + png[4:], "text/html": table}, "metadata": {}}])
    assert f"![figure](data:image/png;base64,{png})" in result.trace_markdown
    cells = nbformat.reads(trace_notebook(hostile_log(tmp_path, result)), 4).cells
    output, = (o for c in cells for o in c.get("outputs", ()) if "image/png" in o.get("data", ()))
    assert output.data["image/png"] == png and "<table><tr><th colspan=2>a &lt; b</th></tr></table>" in output.data["text/html"]

# -- a stranger's log

@pytest.mark.slow
def test_a_log_that_was_changed_ends_in_a_result_or_in_an_error_that_names_it(tmp_path):
    said = subprocess.run([sys.executable, Path(__file__).with_name("tampering.py"), tmp_path, "150"], capture_output=True, text=True, timeout=600)
    assert said.stdout == "150 changes\n", said.stdout + said.stderr[-3_000:]

def test_a_log_reads_no_file_but_its_own(tmp_path):
    secret = tmp_path / "outside.txt"
    secret.write_text("a secret")
    result, logger, _ = run(tmp_path / "logs", block("x = 1"), "FINAL(ok ok)", context="text " * 10_000)
    log, (beside,) = logger.path.read_text(), (tmp_path / "logs").glob("context_*")
    for other in ("../outside.txt", str(secret), "outside.txt", ""):
        logger.path.write_text(log.replace(json.dumps(beside.name), json.dumps(other)))
        with pytest.raises(RLMError, match=f"{logger.path.name}, line 2"): read_log(logger.path)
    logger.path.write_text(log)
    beside.unlink()
    beside.symlink_to(secret)
    assert read_log(logger.path)[0].context == {"missing": True, "type": f"the file {beside.name}"}
    beside.unlink()
    __import__("os").mkfifo(beside)  # reading it would never end
    assert read_log(logger.path)[0].missing == {"context": f"the file {beside.name}"}

def test_an_error_tells_the_line_and_the_field(tmp_path):
    result, logger, _ = run(tmp_path, block("x = 1"), "FINAL(ok ok)")
    log = logger.path.read_text()
    for old, new, says in (('"stdout": ""', '"stdout": 5', "line 3: this is not what rlm wrote: stdout is 5, no str"), ('"stop_reason": "final"', '"stop_reason": []', "line 5: .* stop_reason is"),
                           ('"input_tokens": 0', '"input_tokens": "many"', "line 3: .* input_tokens is 'many', no int"), ('"messages": [{"role"', '"messages": [{"role": 1, "rolle"', r"line 2: .*messages\['role'\] is 1, no str")):
        assert old in log
        logger.path.write_text(log.replace(old, new))
        with pytest.raises(RLMError, match=says): read_log(logger.path)

# -- a run that was stopped

@pytest.mark.slow
@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(10_000)", "while True: llm_query('Again?')"])
def test_the_replay_of_a_run_that_a_limit_stopped_ends(tmp_path, code):
    "The stop is replayed at its place."
    logger = RLMLogger(tmp_path)
    rlm = RLM(Endless(block("x = 5\nprint(x)"), block(code)), logger=logger, verbose=False, max_timeout=1)
    with pytest.raises(TimeoutExceededError): rlm.completion("Go on.")
    run_, = read_log(logger.path)
    assert run_.result.stop_reason == "max_timeout" and run_.missing == {"block 2": "stopped"}
    here = Replay(logger.path, run_.id)
    shown = [here.block(n, b.code) for n, (b, _) in here.blocks.items()]
    assert shown[0].stdout == "5\n" and shown[1] == run_.blocks[1][0].result and here.end().startswith("The same as then.")

@pytest.mark.slow
def test_the_trace_of_a_run_that_a_limit_stopped_is_verified(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = RLM(Endless(block("while True: print(llm_query('Again?'))")), logger=logger, verbose=False, max_tokens=100)
    with pytest.raises(TokenLimitExceededError): rlm.completion("Go on.")
    assert "A limit of the run stopped this; a replay leaves it out." in cells(trace.path)[-3].source and "max_tokens=100" in cells(trace.path)[-3].source
    assert list(verify(trace.path).values()) == ["equal"]

class Endless:
    "A backend that says these things, and then answers sub-calls without end."
    model = "endless"
    def __init__(self, *replies): self.replies = list(replies)
    def complete(self, messages): return Reply(self.replies.pop(0) if self.replies else "yes", usage=Usage(5, 5, 1))

# -- what a replay owes

def test_an_answer_that_needs_what_is_missing_says_so(tmp_path):
    result, logger, trace = run(tmp_path, block("x = 3"), "FINAL(len(context.rows))", context=Table(1, 2))
    def outcome(**supplied):
        here = Replay(logger.path, result.id, **supplied)
        here.block(1, "x = 3")
        here.end()
        return here.outcome
    assert Replay(logger.path, result.id).told == ("Missing: context (test_traces.Table). Where that makes a difference, cells show what was recorded. "
                                                   "Define context in a cell above and run all cells again, or write start_replay(..., context=context).")
    assert outcome() == "the answer needs context (test_traces.Table)" and outcome(context=Table(1, 2)) == "equal"

ONLY_IN_ANSWER = """
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    from rlm import RLM
    from rlm.lm import ScriptedLM
    from rlm.logger import RLMLogger, read_log
    from rlm.replay import Replay
    InteractiveShell.instance().user_ns["heights"] = [1, 2]
    for flags in (dict(sync_vars=["heights"]), {}, dict(sync_to_user_ns=True)):
        logger = RLMLogger(sys.argv[1])
        lm = ScriptedLM(["```repl\\nx = 1\\n```", "FINAL(max(heights))"])
        rlm = RLM(lm, logger=logger, verbose=False, environment="jupyter", environment_kwargs=dict(sync_from_user_ns=True, **flags))
        run = rlm.completion("Go on.").id
        for supplied in ({}, dict(heights=[1, 2])):
            here = Replay(logger.path, run, **supplied)
            here.block(1, "x = 1")
            here.end()
            print(here.missing, here.outcome)
"""

@pytest.mark.slow
def test_a_variable_that_only_the_answer_names_can_be_supplied(tmp_path):
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(ONLY_IN_ANSWER), tmp_path], capture_output=True, text=True, check=True).stdout
    assert said == "{'heights': 'which only the answer names'} the answer needs heights (which only the answer names)\n{} equal\n" * 3

LISTS_NAMES = """
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    from rlm import RLM
    from rlm.lm import ScriptedLM
    from rlm.logger import RLMLogger
    InteractiveShell.instance().user_ns |= {"heights": [1, 2], "weights": [3], "api_key": "not shared"}
    code = "print('heights' in globals(), 'api_key' in globals(), globals()['heights'], SHOW_VARS(), [n for n in dir() if n[0] != '_'])"
    answer = "heights = heights + [3]; FINAL(len(globals()['heights']))"
    lm = ScriptedLM([f"```repl\\n{code}\\n```", f"```repl\\n{answer}\\n```"])
    kwargs = dict(sync_from_user_ns=True, sync_vars=["heights", "weights"])
    print(RLM(lm, logger=RLMLogger(sys.argv[1]), verbose=False, environment="jupyter", environment_kwargs=kwargs).completion("Go on.").messages)
"""

@pytest.mark.slow
def test_a_block_that_lists_names_replays(tmp_path):
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(LISTS_NAMES), tmp_path], check=True, capture_output=True, text=True).stdout
    assert "True False [1, 2] context: str\\nheights: list\\nweights: list ['context', 'heights', 'weights']" in said
    log, = tmp_path.glob("*.jsonl")
    (tmp_path / "it.ipynb").write_text(trace_notebook(log))
    assert list(verify(tmp_path / "it.ipynb").values()) == ["equal"]

def test_a_backend_that_replays_asks_for_the_data(tmp_path):
    result, logger, _ = run(tmp_path, block("x = 3"), "FINAL(ok ok)", context=Table(1, 2))
    with pytest.raises(ReplayDivergenceError, match=r"The run had data; ask with it: completion\(question, context=...\)"): RLM(replay(logger.path), verbose=False).completion("Go on.")
    assert RLM(replay(logger.path), verbose=False).completion("Go on.", context=Table(1, 2)).response == "ok ok"

@pytest.mark.slow
def test_numpy_that_a_block_only_imported_is_not_missing(tmp_path):
    "Nor does what later blocks draw differ: its state is written before them."
    code = 'm = __import__("num" + "py.random")', "print(m.random.rand())"
    victim = f"""if True:
        import sys
        from rlm import RLM
        from rlm.lm import ScriptedLM
        from rlm.logger import RLMLogger
        RLM(ScriptedLM([*{list(map(block, code))!r}, "FINAL(ok ok)"]), logger=RLMLogger(sys.argv[1]), verbose=False).completion("Go on.")"""
    subprocess.run([sys.executable, "-c", victim, tmp_path], check=True)
    log, = tmp_path.glob("*.jsonl")
    (tmp_path / "it.ipynb").write_text(trace_notebook(log))
    assert read_log(log)[0].missing == {} and list(verify(tmp_path / "it.ipynb").values()) == ["equal"]

def test_the_run_context_has_the_data_and_the_root_prompt(tmp_path):
    result, logger, _ = run(tmp_path, "FINAL(ok ok)", context={"rows": ["x" * 3_000]}, question="How many rows?")
    for r in (result, read_log(logger.path)[0].result):
        page = r.trace_markdown.partition("## Iteration 1")[0]
        assert '"root_prompt": "How many rows?"' in page and "**context**\n\n```\ncontext: dict, 1 key = {'rows':" in page and len(page) < 2_000
    assert '"root_prompt": null' in run(tmp_path, "FINAL(ok ok)")[0].trace_markdown and "**context**" not in run(tmp_path, "FINAL(ok ok)")[0].trace_markdown
    assert "**context**" not in run(tmp_path, "FINAL(ok ok)", question="Task: x\n\nVariables in the REPL:\ncontext: evil\n\nTask: y")[0].trace_markdown

# -- a run on an object that no log can hold

ON_ORDERS = ["SHOW_VARS()", "print(orders.shape)\norders.head()", "by = orders.groupby('city').price.sum()\nby", "orders.nope", "print(len('orders'))",
             "def total(): return float(orders.price.sum())", "total()", "text = f'{by.loc[\"Lima\"]}'\ntext", "print(text, eval('len(orders)'))"]
DEFINED = "import pandas as pd\norders = pd.DataFrame({'city': ['Lima', 'Oslo', 'Lima'], 'price': [3.0, 4.0, 5.0]})"

def record_on_orders(folder, kwargs, codes=ON_ORDERS):
    "A run of these blocks in a kernel that has `orders`; its trace notebook."
    from kernel import SET_UP, Kernel
    with Kernel(cwd=str(folder)) as k:
        k.ok(SET_UP)
        k.ok(DEFINED + "\nfrom rlm.utils.trace_notebook import enable_trace_notebook\nlogger, trace = enable_trace_notebook('logs')")
        k.ok(f"lm = ScriptedLM([*map(block, {codes!r}), 'FINAL(all done)'])")
        k.ok(f"RLM(lm, environment='jupyter', environment_kwargs={kwargs!r}, logger=logger, verbose=False).completion('The revenue by city?')")
        return Path(k.value("str(trace.path)"))

def as_shown(cell):
    "The outputs of a cell as text, without the names of blocks."
    return [re.sub("<(replay|run) [^>]*>", "<run>", o.text if o.output_type == "stream" else o.data["text/plain"]) for o in cell.outputs]

def replayed(path, *above, start="", folder=None):
    "What the blocks of a trace show in a fresh kernel, below these cells: their outputs, the first cell's, and the last one's."
    nb = nbformat.read(path, 4)
    first = next(i for i, c in enumerate(nb.cells) if c.get("id", "").startswith("start-"))
    nb.cells[first].source = nb.cells[first].source[:-1] + start + ")"
    nb.cells[first:first] = [nbformat.v4.new_code_cell(source) for source in above]
    run_notebook(nb, path.parent)
    blocks = [c for c in nb.cells if c.source.startswith("%%replay")]
    return list(map(as_shown, blocks)), "".join(as_shown(nb.cells[first + len(above)])), "".join(as_shown(nb.cells[-1]))

@pytest.fixture(scope="module")
def on_orders(tmp_path_factory):
    return record_on_orders(tmp_path_factory.mktemp("on_orders"), dict(sync_from_user_ns=True, sync_vars=["orders"]))

def recorded(path): return [as_shown(c) for c in cells(path) if c.source.startswith("%%replay")]

@pytest.mark.slow
def test_a_replay_without_the_users_object_keeps_the_record(on_orders):
    assert "Missing in the log: orders (pandas.DataFrame)." in cells(on_orders)[-2].source
    blocks, start, end = replayed(on_orders)
    assert blocks == recorded(on_orders) and len(blocks) == len(ON_ORDERS)
    assert start.endswith("Missing: orders (pandas.DataFrame). Where that makes a difference, cells show what was recorded. "
                          "Define orders in a cell above and run all cells again, or write start_replay(..., orders=orders).\n")
    assert end == "Not the same as then: block 2 needs orders (pandas.DataFrame). Missing: orders (pandas.DataFrame).\n"

@pytest.mark.slow
def test_a_replay_takes_the_object_that_the_notebook_defines(on_orders):
    for blocks, start, end in (replayed(on_orders, DEFINED), replayed(on_orders, DEFINED.replace("orders =", "mine ="), start=", orders=mine")):
        assert blocks == recorded(on_orders) and "Missing" not in start and end.startswith("The same as then.")
    assert replayed(on_orders, DEFINED)[1].endswith(" with orders of this notebook.\n")

@pytest.mark.slow
def test_another_object_of_that_name_comes_out_different(on_orders):
    from nbclient.exceptions import CellExecutionError
    with pytest.raises(CellExecutionError, match="came out different: block 2 differs"): replayed(on_orders, DEFINED, "orders = orders.head(1)")

@pytest.mark.slow
@pytest.mark.parametrize("flags", [dict(), dict(sync_to_user_ns=True, sync_vars=["orders"]), dict(sync_to_user_ns=True)])
def test_a_replay_keeps_the_record_or_is_equal_in_every_mode(tmp_path, flags):
    path = record_on_orders(tmp_path, dict(sync_from_user_ns=True) | flags, ON_ORDERS[1:])  # in these modes `SHOW_VARS` lists all of a notebook
    assert replayed(path)[0] == recorded(path)
    blocks, start, end = replayed(path, DEFINED)
    assert blocks == recorded(path) and "Missing" not in start and end.startswith("The same as then.")

@pytest.mark.slow
@pytest.mark.parametrize("flags", [dict(), dict(sync_to_user_ns=True)])
def test_a_name_that_the_code_binds_itself_is_not_missing(tmp_path, flags):
    codes = ["orders = 3\nprint(orders)", "print(orders + 1)", "for city in [1, 2]: pass\norders += 1\norders"]
    path = record_on_orders(tmp_path, dict(sync_from_user_ns=True) | flags, codes)
    blocks, start, end = replayed(path)
    assert blocks == recorded(path) and "Missing" not in start and end.startswith("The same as then.")

@pytest.mark.slow
def test_a_variable_that_only_a_text_names_is_told_where_it_is_lacking(tmp_path):
    codes = ["x = eval('len(orders)')\nprint(x)", "print(x + 1)", "print('fine')"]
    path = record_on_orders(tmp_path, dict(sync_from_user_ns=True, sync_vars=["orders"]), codes)
    blocks, start, end = replayed(path)
    assert "Missing" not in start and blocks[1:] == recorded(path)[1:] == [["4\n"], ["fine\n"]]
    assert blocks[0] == ["3\n", "As recorded: block 1 differs without orders (pandas.DataFrame). Define orders in a cell above and run all cells again, "
                                "or write start_replay(..., orders=orders).\n"]
    assert end == "Not the same as then: block 1 differs. Missing: orders (pandas.DataFrame).\n"
    assert replayed(path, DEFINED)[2].startswith("The same as then.")

def test_an_edited_block_shows_what_it_does_also_where_something_is_missing(tmp_path, capsys):
    result, logger, trace = run(tmp_path, block("print(1)"), block("print(context)"), "FINAL(ok ok)", context=object())
    here = Replay(logger.path, result.id)
    assert [here.block(1, "print(2)").stdout, here.block(2, "print(context)")] == ["2\n", result.iterations[1].code_blocks[0].result]
    assert here.end().startswith("Not the same as then: block 2 needs context (object).")

def test_a_later_turn_says_why_its_blocks_are_not_run(tmp_path):
    logger = RLMLogger(tmp_path)
    session = RLM(ScriptedLM([block("n = len(context.rows)"), "FINAL(one one)", block("print(n)"), "FINAL(two two)"]), logger=logger, verbose=False).start_session()
    runs = session.chat("Go on.", context=Table(1, 2)).id, session.chat("Again.").id
    for given, told in (({}, "As recorded, not run: block 1 needs context (test_traces.Table)."), (dict(context=Table(1, 2)), "")):
        first = Replay(logger.path, runs[0], **given)
        first.block(1, "n = len(context.rows)")
        first.end()
        second = Replay(logger.path, runs[1])
        assert second.told == told and second.block(1, "print(n)").stdout == "2\n"
        assert second.end() and second.outcome == ("equal" if given else "block 1 needs context (test_traces.Table)")

def test_a_turn_replayed_alone_keeps_its_record(tmp_path):
    import rlm.replay
    logger = RLMLogger(tmp_path)
    session = RLM(ScriptedLM([block("n = 2"), "FINAL(one one)", block("print(n)"), "FINAL(two two)"]), logger=logger, verbose=False).start_session()
    session.chat("Go on.")
    second = session.chat("Again.").id
    rlm.replay._repls.clear()
    here = Replay(logger.path, second)
    assert here.block(1, "print(n)").stdout == "2\n"
    assert here.untold == "As recorded: block 1 differs without the runs before it (not replayed)."

# -- a trace in an editor

SHOWS = ("import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt, pandas as pd\nplt.plot([1, 2])\nplt.show()\n"
         "print('one\\n\\ntwo ü \\ud800')\npd.DataFrame({'a': [1, 2], 'b': ['<i>', '$x$']})")

@pytest.mark.slow
def test_a_trace_is_written_as_jupyter_saves_it(tmp_path):
    result, logger, trace = run(tmp_path, "I look: ü\n" + block(SHOWS), block("1 / 0"), block("''"), "FINAL(ok ok)", context="x")
    text = trace.path.read_text()
    assert "image/png" in text
    assert nbformat.writes(nbformat.reads(text, 4)) + "\n" == text

def test_a_trace_has_the_metadata_of_the_kernel(tmp_path):
    ipykernel = pytest.importorskip("ipykernel")
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelspec import get_kernel_dict
    metadata = json.loads(enable_trace_notebook(tmp_path)[1].path.read_text())["metadata"]
    spec = get_kernel_dict()
    assert metadata["kernelspec"] == {"display_name": spec["display_name"], "language": spec["language"], "name": "python3"}
    info = IPythonKernel.language_info if isinstance(IPythonKernel.language_info, dict) else IPythonKernel().language_info
    assert metadata["language_info"] == info

def test_a_trace_is_there_from_the_first_moment(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    there, = tmp_path.glob("*.trace.ipynb")
    nbformat.validate(nbformat.read(there, 4))
    assert [c.source.split("\n")[0] for c in cells(there)] == [f"# Trace: {logger.path.stem.replace('_', ' ')}"]

def saved(path, change=lambda nb: nb):
    "A notebook saved by an editor that lays JSON out in its own way."
    path.write_text(json.dumps(change(json.loads(path.read_text())), indent=4))

@pytest.mark.parametrize("edited, change", [
    (False, lambda nb: nb),
    (False, lambda nb: nb | {"metadata": {"language_info": {"name": "python", "version": "3.99"}, "widgets": {}}}),
    (False, lambda nb: nb | {"cells": [c | {"metadata": {"trusted": True}} for c in nb["cells"]]}),
    (True, lambda nb: nb | {"cells": nb["cells"][:-1]}),
    (True, lambda nb: nb | {"cells": nb["cells"] + [{"cell_type": "markdown", "id": "mine", "metadata": {}, "source": ["Mine."]}]}),
    (True, lambda nb: nb | {"cells": [c | {"source": ["# Mine"]} if c["id"] == "about" else c for c in nb["cells"]]}),
    (True, lambda nb: nb | {"cells": [c | {"outputs": []} if c.get("outputs") else c for c in nb["cells"]]}),
    (True, lambda nb: {"cells": "none"}), (True, lambda nb: [])])
def test_only_a_trace_with_other_cells_is_edited(tmp_path, edited, change):
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = RLM(ScriptedLM([block("print('here')"), "FINAL(one one)"] * 2), logger=logger, verbose=False)
    rlm.completion("Go on.")
    there = trace.path
    saved(there, change)
    as_saved = there.read_text()
    rlm.completion("Again.")
    assert (trace.path != there) == edited
    assert (there.read_text() == as_saved) == edited
    assert trace.path.read_text() == trace_notebook(logger.path)

def test_a_tab_that_shows_an_earlier_state_may_be_saved(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = RLM(ScriptedLM(["FINAL(one one)"] * 3), logger=logger, verbose=False)
    rlm.completion("Go on.")
    tab = json.loads(trace.path.read_text())
    rlm.completion("Again.")
    saved(trace.path, lambda nb: tab)
    rlm.completion("And again.")
    assert list(tmp_path.glob("*.ipynb")) == [trace.path] and len(read_log(logger.path)) == 3
    assert trace.path.read_text() == trace_notebook(logger.path)

@pytest.mark.parametrize("folder", ["logs", "../a #1 50%25 & ü"])
def test_the_link_counts_from_the_folder_of_the_notebook(tmp_path, folder, monkeypatch):
    from html import unescape
    from urllib.parse import unquote, urlsplit
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "mine" / "notebook.ipynb"))
    trace = enable_trace_notebook(tmp_path / "mine" / folder)[1]
    shown = trace._repr_html_()
    link = urlsplit(unescape(re.search('href="(.*?)"', shown)[1]))
    assert not (link.scheme or link.query or link.fragment)
    assert (tmp_path / "mine" / unquote(link.path)).samefile(trace.path)

# -- a full disk

@pytest.fixture
def full_disk(monkeypatch):
    "Makes the disk full, where it is called."
    import errno, os
    def no_space(*args): raise OSError(errno.ENOSPC, "No space left on device")
    def half(path, text):
        path.open("wb").close()
        no_space()
    def fill():
        monkeypatch.setattr(Path, "write_bytes", half)
        monkeypatch.setattr(os, "write", no_space)
    return fill

def test_a_full_disk_loses_no_run_and_leaves_no_part_of_a_file(tmp_path, full_disk, capsys):
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = RLM(ScriptedLM([block("x = 1"), "FINAL(one one)"] * 2), logger=logger, verbose=False)
    rlm.completion("Go on.")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    full_disk()
    assert rlm.completion("Again.", context="text " * 10_000).response == "one one"
    assert "No space left on device" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
    with pytest.raises(RLMError, match=r"\.trace\.ipynb can't be written: .* No space left"): trace.save()

def test_a_trace_that_cannot_be_written_is_told_where_it_is_asked_for(tmp_path, full_disk, capsys, monkeypatch):
    logger, trace = enable_trace_notebook(tmp_path)
    rlm = RLM(ScriptedLM(["FINAL(one one)"]), logger=logger, verbose=False)
    monkeypatch.setattr("rlm.utils.trace_notebook._AT_FIRST", -1)  # every save is put off
    rlm.completion("Go on.")
    full_disk()
    assert trace.path.suffix == ".ipynb" and "rlm: the trace is not up to date: " in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))

def test_a_folder_that_was_removed_is_told_and_loses_no_run(tmp_path, capsys):
    import shutil
    logger, trace = enable_trace_notebook(tmp_path / "logs")
    rlm = RLM(ScriptedLM([block(f"import shutil; shutil.rmtree({str(tmp_path / 'logs')!r})"), block("x = 1"), block("x = 2"), "FINAL(one one)"]), logger=logger, verbose=False)
    assert rlm.completion("Go on.").response == "one one"
    told = capsys.readouterr().err
    assert told.count("was removed") == 1 and str(logger.path) in told
    assert trace.path.suffix == ".ipynb"

def asks_a_child(answer, code):
    "A server whose root runs `code`, and whose children end with the code `answer`; then the root is done."
    def reply(body):
        last = body["messages"][-1]["content"]
        if "Task: Child" in body["messages"][task_at(body)]["content"]: return block(answer)
        if "Task: " in last: return block(code)
        return "FINAL(all done)"
    return reply

@pytest.mark.slow
@pytest.mark.parametrize("answer, outcome", [
    ("FINAL({'n': (1, len(context))})", "equal"), ("FINAL([])", "equal"), ("FINAL('words')", "equal"), ("1/0", "equal"),
    ("class Own: pass\nFINAL(Own())", "block 1 needs the answer of a child (Own)"), ("FINAL([object()])", "block 1 needs the answer of a child (list, not all of it)")])
def test_a_childs_answer_is_replayed_as_the_object_it_was(tmp_path, answer, outcome):
    code = "found = rlm_query_batched('Child', [[1, 2], [3]])\nprint(type(found[0]).__name__, len(found))\nprint(str(found[0])[:5])"
    with ChatServer(asks_a_child(answer, code)) as s:
        logger, trace = enable_trace_notebook(tmp_path)
        rlm = RLM(backend_kwargs=dict(model_name="m", base_url=s.base_url), logger=logger, verbose=False, max_depth=2, max_iterations=2)
        result = rlm.completion("Go on.", context=1)
    calls = result.iterations[0].code_blocks[0].result.rlm_calls
    assert [c.context for c in calls] == ["list, 2 items of int", "list, 1 item of int"] and all(c.run for c in calls)
    logged, = read_log(logger.path)
    if outcome == "equal":
        assert logged.result == result and logged.missing == {}
        again = RLM(replay(logger.path), verbose=False, max_depth=2, max_iterations=2).completion("Go on.", context=1)
        assert again.messages == result.messages
    else:
        assert list(logged.missing) == ["the answer of a child"]
        with pytest.raises(ReplayDivergenceError, match="does not have this child's answer"):
            RLM(replay(logger.path), verbose=False, max_depth=2, max_iterations=2).completion("Go on.", context=1)
        here = Replay(logger.path, logged.id)
        assert here.block(1, code) == logged.blocks[0][0].result and here.told.startswith("Missing: the answer of a child (")
        assert "start_replay" not in here.told
    assert list(verify(trace.path).values()) == [outcome]
