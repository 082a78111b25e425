"Logs, traces and replays: nothing is lost, nothing secret is written, and what is replayed comes out the same."
import json, random, re, subprocess, sys, textwrap
from datetime import timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.encoding import Missing, decode, encode
from rlm.logger import RLMLogger, read_log
from rlm.replay import Replay, ReplayDivergenceError, missing, replay
from rlm.types import *
from rlm.utils.trace_notebook import enable_trace_notebook, main as rlm_trace, trace_notebook
from server import ChatServer, completion

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
    from nbclient import NotebookClient
    nb = nbformat.read(path, 4)
    nbformat.validate(nb)
    NotebookClient(nb, timeout=120, resources={"metadata": {"path": str(Path(path).parent)}}).execute()
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

@settings(max_examples=300, deadline=None)
@given(value=VALUES)
def test_any_value_reads_back_as_it_was(value):
    assert exactly(decode(json.dumps(encode(value)))) == exactly(value)
    assert decode(json.dumps(encode([10 ** 6_000]))) == [10 ** 6_000]

@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES, large=st.booleans())
def test_a_value_survives_its_run(tmp_path, value, large):
    value = [value] * (1 + 30_000 // len(json.dumps(encode(value))) if large else 1)  # so large that it gets a file of its own
    result, logger, _ = run(tmp_path, block("x"), block("FINAL({'it': context, 1: (context,)})"), context=value)
    logged, = read_log(logger.path)
    assert exactly(logged.result.value) == exactly(result.value) and exactly(logged.context["value"]) == exactly(value)
    assert json.loads(logger.path.read_text().split("\n")[-2])["type"] == "run_end"

def test_what_cannot_be_written_is_noted_as_missing(tmp_path):
    class Own: pass
    cycle, bomb = [1], ["x"]
    cycle.append(cycle)
    for _ in range(60): bomb = [bomb, bomb]
    for value in (Own(), [Own()], cycle, bomb):
        result, logger, trace = run(tmp_path, block("FINAL(1)"), context=value)
        logged, = read_log(logger.path)
        assert logged.context["missing"] and logged.context["type"].endswith(type(value).__name__)
        assert "**partial**: the log does not have context" in cells(trace.path)[-2].source
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

def test_credentials_are_in_no_sink(tmp_path):
    said = f"The key is {KEY}."
    reply = completion({"content": f"{said}\n" + block(f"print('{KEY}'); raise ValueError('{KEY}')"), "note": KEY})
    with ChatServer([reply, f"FINAL({said})", f"FINAL({said})"]) as s:
        logger, trace = enable_trace_notebook(tmp_path)
        rlm = RLM(backend_kwargs=dict(model_name="m", base_url=s.base_url, api_key=KEY), logger=logger, verbose=False)
        result = rlm.completion("Which key?", context=f"It is {KEY}. " * 3_000)
        assert s.requests[0].headers["authorization"] == f"Bearer {KEY}"
    written = "".join(p.read_text() for p in tmp_path.iterdir())
    for sink in (written, result.trace_markdown, result._repr_html_(), json.dumps(logger.entries)): assert KEY not in sink and "key removed" in sink

@pytest.mark.parametrize("line, says", [("{}", "no line of a log"), ("[1]", "no line of a log"), ("hello", "no line of a log"),
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
    with pytest.raises(ConfigurationError, match="is not there"): enable_trace_notebook(tmp_path, notebook_path=tmp_path / "no" / "x.ipynb")

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
    with pytest.raises(CellExecutionError, match="came out different: first different block: 1"): execute(trace.path)

@pytest.mark.slow
def test_a_partial_trace_lists_what_is_missing(tmp_path):
    result, logger, trace = run(tmp_path, block("import time\nprint(time.time())\nprint(context)"), "FINAL(ok ok)", context=object())
    assert missing(read_log(logger.path)[0]) == ["context (object)", "time"]
    assert "**partial**: the log does not have context (object), time" in cells(trace.path)[-2].source
    assert "Not the same as then (first different block: 1)" in execute(trace.path)[0]

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

@pytest.mark.slow
def test_random_programs_replay_as_their_traces_say(tmp_path):
    "In every environment and sync mode, with another order of sets and another seed of numpy in the replay's process."
    import os
    def programs(*args, seed): return subprocess.run([sys.executable, Path(__file__).with_name("programs.py"), *map(str, args)], check=True,
                                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONHASHSEED": seed}).stdout
    programs("record", tmp_path, 0, 150, seed="1")
    *wrong, summary = programs("replay", tmp_path, seed="2").strip().split("\n")
    full, partial, _ = map(int, re.findall(r"\d+", summary))
    assert full >= 30 and partial >= 30 and not wrong, "\n".join(wrong)

@pytest.mark.slow
@pytest.mark.parametrize("code, gap", [
    ("import pandas as pd\nprint(pd.DataFrame({'a': range(99)}).sample(3))", None),
    ("import numpy as np\nnp.random.seed(1)\nprint(np.random.rand())", None),
    ("import numpy as np\nprint(np.random.rand())", None),
    ("import pandas as pd, sys\nprint(pd.DataFrame({'a': range(99)}).sample(1))\nsys.modules['num' + 'py'].random.seed()", "numpy's random state"),
    ("import random\nprint(random.SystemRandom().random())", "SystemRandom"), ("import secrets\nprint(secrets.token_hex())", "secrets"),
    ("import uuid\nprint(uuid.uuid4())", "uuid"), ("import os\nprint(os.urandom(2))", "os"), ("from os import urandom\nprint(urandom(2))", "os"),
    ("import random\nrandom.seed()", "seed"), ("import some_library", "some_library"), ("print({w for w in context.split()})", "the order of a set"),
    ("print(sorted({w for w in context.split()}), len(set(context)))", None)])
def test_where_random_numbers_come_from(tmp_path, code, gap):
    "Each in a process of its own, in which nothing is imported."
    victim = f"""if True:
        import sys
        from rlm import RLM
        from rlm.lm import ScriptedLM
        from rlm.logger import RLMLogger
        RLM(ScriptedLM([{block(code)!r}, "FINAL(ok ok)"]), logger=RLMLogger(sys.argv[1]), verbose=False).completion("Go on.", context="a b c d e")"""
    again = """if True:
        import sys
        from rlm.replay import *
        from rlm.logger import read_log
        run, = read_log(sys.argv[1])
        print(missing(run))
        here = Replay(sys.argv[1], run.id)
        here.block(1, run.result.iterations[0].code_blocks[0].code)
        print(here.end())"""
    subprocess.run([sys.executable, "-c", victim, tmp_path], check=True)
    said = subprocess.run([sys.executable, "-c", again, *tmp_path.glob("*.jsonl")], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    assert said[1].startswith("The same as then.") and said[0] == "[]" if gap is None else gap in said[0]

@pytest.mark.slow
def test_what_a_turn_did_to_its_data_is_there_in_the_next(tmp_path):
    logger, trace = enable_trace_notebook(tmp_path)
    session = RLM(ScriptedLM([block("context.append(3)"), "FINAL(ok ok)", block("FINAL([session_context_0, context_history])")]), logger=logger, verbose=False).start_session()
    session.chat("First.", context=[1, 2])
    assert session.chat("Second.").response == "[[1, 2, 3], [[1, 2, 3], 'Second.']]"
    said, nb = execute(trace.path)
    assert said.startswith("The same as then.") and "**full**" in nb.cells[-2].source
    from nbclient import NotebookClient  # and again in the same kernel
    twice = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c.source) for _ in range(2) for c in nb.cells if c.cell_type == "code"])
    NotebookClient(twice, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "The same as then." in twice.cells[-1].outputs[0].text

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
    assert "full" in str(nb.cells) and said.startswith("The same as then")
    again = RLM(replay(logger.path), max_depth=2, verbose=False).completion("go", context=1)
    assert (again.response, again.usage) == (result.response, result.usage)

def test_what_was_removed_from_a_log_makes_a_trace_partial(tmp_path):
    with ChatServer([completion({"content": block("print(len(context))")}), "FINAL(ok ok)"]) as s:
        logger = RLMLogger(tmp_path)
        RLM(backend_kwargs=dict(model_name="m", base_url=s.base_url, api_key=KEY), logger=logger, verbose=False).completion("Go on.", context=f"The key: {KEY}")
    assert missing(read_log(logger.path)[0]) == ["credentials"]

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
    trace_notebook._AT_FIRST = 0  # so that there is no time for a second save
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
    def runs(folder):
        logger, _ = enable_trace_notebook(folder)
        while True:
            rlm = RLM(ScriptedLM([f"```repl\\n{code}\\n```", "yes"] * 5 + ["FINAL(ok ok)"]), logger=logger, verbose=False)
            session = rlm.start_session()
            session.chat("Again.", context="text " * 10_000)
    rnd = random.Random(5)
    for i in range(100):
        folder = Path(sys.argv[1], f"{i:02}")
        folder.mkdir()
        child = os.fork()
        if not child:
            try: runs(folder)
            finally: os._exit(1)
        time.sleep(rnd.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""

@pytest.mark.slow
def test_killed_a_hundred_times(tmp_path):
    subprocess.run([sys.executable, "-c", textwrap.dedent(NURSERY), tmp_path], check=True)
    unfinished = finished = notebooks = 0
    for folder in sorted(tmp_path.iterdir()):
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
    assert unfinished >= 50 and finished >= 30 and notebooks >= 80

def test_ctrl_c_leaves_a_whole_trace(tmp_path):
    result, logger, trace = run(tmp_path, block("x = 1"), KeyboardInterrupt())
    assert result.stop_reason == "interrupted" and "Stopped: interrupted." in cells(trace.path)[-2].source
    assert read_log(logger.path)[0].result == result
