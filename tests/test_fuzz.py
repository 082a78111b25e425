"""What comes from outside, damaged: replies, completions, logs, traces, cached answers and answers to be of a type.

Whatever it is, a function gives what it promises or raises the error of the house that says so. `FUZZ=2000 pytest tests/test_fuzz.py` tries more.
"""
import json, os, shutil, sqlite3, warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from pydantic import TypeAdapter

from parsing_corpus import CORPUS
from rlm import RLM, Cache, read_log
from rlm.encoding import decode
from rlm.events import Notice
from rlm.lm import ScriptedLM
from rlm.servers import to_reply
from rlm.output_type import OutputType
from rlm.parsing import parse_reply
from rlm.types import Answer, LMResponseError, Reply, RLMError, Usage
from rlm.utils.trace_notebook import enable_trace_notebook, trace_notebook
from tampering import OTHERS, places

MORE = int(os.environ.get("FUZZ", 25))
pytestmark = [pytest.mark.filterwarnings("error"),  # but for what tests before these have left to the garbage collector
              pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
def fuzz(share=1.0): return settings(max_examples=max(5, int(MORE * share)), deadline=None, database=None, suppress_health_check=list(HealthCheck))

# A change to a text or to bytes: where, how much goes, and what comes there.
SCRAPS = ["```repl\n", "\n```\n", "FINAL(", ")", "FINAL_VAR(x)", '"', "'", "{", "}", "[", ",", "\n", "\r\n", "\0", "\ud800", "<think>", "</think>", "null", "1e999", "-1", "\\", "é"]
EDIT = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 60), st.sampled_from(SCRAPS) | st.text(max_size=8))
BYTES = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 60), st.binary(max_size=12))

def edited(x, edits):
    "A text, or bytes, with changes at some places of it."
    for place, gone, new in edits:
        at = int(place * (len(x) + 1))
        x = x[:at] + new + x[at + gone:]
    return x

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["stop", "x" * 1_000]),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8)

# -- replies

@fuzz(4)
@given(st.sampled_from([case.reply for case in CORPUS]), st.lists(EDIT, min_size=1, max_size=5), st.sampled_from([None, "stop", "length"]))
def test_a_reply_with_changes_is_still_read(reply, edits, why):
    parsed = parse_reply(edited(reply, edits), why)
    assert all(type(code) is str and code.strip() for code in parsed.code)
    assert parsed.final is None or type(parsed.final.text) is str
    assert type(parsed.text) is str and (parsed.reasoning is None or type(parsed.reasoning) is str)

FIELDS = ["choices", "message", "content", "usage", "prompt_tokens", "completion_tokens", "model", "finish_reason", "reasoning", "text", "type", "cost", "prompt_tokens_details", "cached_tokens", "refusal", "error", "role"]
SENT = st.recursive(JSON | st.sampled_from(["hello", "assistant", 10 ** 30, -1, float("nan")]), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5), max_leaves=15)
GOOD = {"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}}
PLACES = list(places(GOOD))[1:]

def put(record, place, new):
    "A copy of `record` with `new` at a place of it."
    record = json.loads(json.dumps(record))
    *way, last = place
    at = record
    for key in way: at = at[key]
    at[last] = new
    return record

@fuzz(4)
@given(st.dictionaries(st.sampled_from(FIELDS), SENT) | st.builds(put, st.just(GOOD), st.sampled_from(PLACES), SENT))
def test_any_completion_is_a_reply_or_none(sent):
    try: reply = to_reply(sent)
    except LMResponseError: return
    assert type(reply.content) is str and type(reply.model) is str
    assert all(getattr(reply.usage, name) >= 0 for name in ("input_tokens", "output_tokens", "cached_tokens")) and reply.usage.calls == 1
    assert str(reply.usage) and repr(Usage() + reply.usage)

# -- logs and traces

@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    "A folder with the log and the trace of a conversation of two turns."
    folder = tmp_path_factory.mktemp("recorded")
    block = "```repl\n{}\n```".format
    model = ScriptedLM([block("import random\nx = random.random()\nprint(x, len(context))"), block("y = llm_query('Hm?')\ny"), "well", block("1 / 0"), "FINAL_VAR(y)", block("z = rlm_query('Count.', context)\nprint(z)"), block("FINAL(len(context))"), "FINAL([1, 'a'])"])
    logger, trace = enable_trace_notebook(folder)
    session = RLM(model, logger=logger, verbose=False, max_depth=2).start_session()
    session.chat("What is there?", context={"rows": ["x" * 100] * 300})
    session.chat("How many?")
    trace.close()
    return folder

@pytest.fixture
def copy(recorded, tmp_path):
    "The paths of a log and a trace that a test may spoil."
    folder = shutil.copytree(recorded, tmp_path / "copy")
    return next(folder.glob("*.jsonl")), next(folder.glob("*.ipynb"))

def look_at(log):
    "All that reads a log. Its errors are of the house and name a file."
    try:
        runs = read_log(log)
        for run in runs: run.result.trace_markdown, repr(run.result), run.missing, run.payload
        trace_notebook(log)
    except RLMError as e: return str(e)
    return runs

@fuzz(2)
@given(edits=st.lists(BYTES, min_size=1, max_size=4))
def test_a_log_with_changed_bytes(copy, recorded, edits):
    log, whole = copy[0], next(recorded.glob("*.jsonl")).read_bytes()
    log.write_bytes(edited(whole, edits))
    found = look_at(log)
    assert not isinstance(found, str) or log.name in found or "context_" in found

@fuzz(1)
@given(share=st.floats(0, 1))
def test_a_log_that_was_cut_keeps_the_lines_that_are_whole(copy, recorded, share):
    log, whole = copy[0], next(recorded.glob("*.jsonl")).read_bytes()
    log.write_bytes(cut := whole[:int(share * len(whole))])
    runs = look_at(log)
    assert sum(len(run.result.iterations) for run in runs) == sum(json.loads(line)["type"] == "iteration" for line in cut.split(b"\n")[:-1])

LINE = st.fixed_dictionaries({"type": st.sampled_from(["metadata", "run_context", "iteration", "folded", "run_end", "other"])},
                             optional={name: JSON for name in ("number", "reply", "response", "code_blocks", "messages", "blocks", "value", "continues", "earlier", "context", "settings", "usage_by_model", "start", "stop")})

@fuzz(2)
@given(lines=st.lists(st.tuples(st.floats(0, 1), LINE, st.sampled_from([0, 1, "other", None])), min_size=1, max_size=3))
@example(lines=[(.5, {"type": "other", "messages": ["x"]}, 0)])
@example(lines=[(.5, {"type": "run_end", "blocks": ["x"]}, 0)])
def test_lines_that_somebody_has_put_into_a_log(copy, recorded, lines):
    log, known = copy[0], next(recorded.glob("*.jsonl")).read_text().splitlines(True)
    names = list(dict.fromkeys(json.loads(line)["run"] for line in known))
    for place, line, run in lines:
        line = line | ({"run": names[run] if run in (0, 1) else run} if run is not None else {})
        known.insert(int(place * len(known)), json.dumps(line) + "\n")
    log.write_text("".join(known))
    found = look_at(log)
    assert not isinstance(found, str) or log.name in found or "context_" in found

@fuzz(2)
@given(line=st.integers(0, 30), place=st.integers(0, 400), new=st.sampled_from([x for x in OTHERS if x not in ("DEEP", "DIGITS")]) | JSON)
def test_a_field_of_a_log_that_somebody_has_changed(copy, recorded, line, place, new):
    log, known = copy[0], next(recorded.glob("*.jsonl")).read_text().splitlines()
    entry = json.loads(known[line := line % len(known)])
    ways = list(places(entry))[1:]
    known[line] = json.dumps(put(entry, ways[place % len(ways)], new))
    log.write_text("\n".join(known) + "\n")
    found = look_at(log)
    assert not isinstance(found, str) or log.name in found or "context_" in found

def resumed(trace, **more):
    "A plan to go on from a trace, or what the house says against it."
    never = ScriptedLM(["FINAL(never)"])
    try: plan = RLM(never, verbose=False, max_depth=2).resume(trace, dry=True, **more)
    except RLMError as e: return str(e)
    finally: assert not never.calls
    return plan

@fuzz(2)
@given(edits=st.lists(BYTES, min_size=1, max_size=3), k=st.sampled_from([None, 1, 2, 3]))
def test_a_trace_with_changed_bytes(copy, recorded, edits, k):
    trace, whole = copy[1], next(recorded.glob("*.ipynb")).read_bytes()
    trace.write_bytes(edited(whole, edits))
    assert resumed(trace) if k is None else resumed(trace, k=k)

CELL = st.fixed_dictionaries({}, optional={"cell_type": st.sampled_from(["code", "markdown", 7]), "source": JSON | st.lists(st.sampled_from(["%%replay 1\n", "%%replay 2\n", "%%replay x\n", "x = 1\n", "FINAL(2)", "x ="])), "id": JSON, "outputs": JSON, "metadata": JSON})

@fuzz(2)
@given(changes=st.lists(st.tuples(st.floats(0, 1), CELL | JSON, st.booleans()), min_size=1, max_size=3))
@example(changes=[(0.0, None, False)])
def test_a_trace_whose_cells_were_changed_moved_and_added(copy, recorded, changes):
    trace, nb = copy[1], json.loads(next(recorded.glob("*.ipynb")).read_text())
    for place, cell, instead in changes:
        at = int(place * (len(nb["cells"]) - 1))
        if instead and isinstance(cell, dict) and isinstance(nb["cells"][at], dict): nb["cells"][at].update(cell)
        elif instead: nb["cells"][at] = cell
        else: nb["cells"].insert(at, cell)
    trace.write_text(json.dumps(nb))
    assert resumed(trace)

# -- cached answers

def asked(path):
    "Whether the sub-call was answered, with the cache at `path`, what by, and what the user was told."
    model, told = ScriptedLM(["```repl\nFINAL(llm_query('How?'))\n```", "so"]), []
    rlm = RLM(model, cache=Cache(path), verbose=False, logger=lambda e: told.append(e.text) if isinstance(e, Notice) else None)
    return rlm.completion("Ask."), model, told

@fuzz(1)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=200)), min_size=1, max_size=5), cut=st.none() | st.floats(0, 1))
@example(edits=[(0, b"")], cut=0)
@example(edits=[(0.2406535215615733, b"\0\0\0\0\x80")], cut=None)
def test_a_cache_with_changed_bytes_stops_no_run(tmp_path, edits, cut):
    path = tmp_path / "replies.sqlite"
    for file in tmp_path.iterdir(): file.unlink()
    asked(path)
    spoiled = bytearray(path.read_bytes())
    for place, new in edits: spoiled[(at := int(place * len(spoiled))):at + len(new)] = new
    path.write_bytes(spoiled if cut is None else spoiled[:int(cut * len(spoiled))])
    result, model, told = asked(path)
    assert result.stop_reason == "final" and type(result.value) is str
    if len(model.calls) == 2: assert result.value == "so"
    for file in tmp_path.glob("*set-aside*"): assert any(file.name in text for text in told) or "-journal" in file.name
    assert asked(path)[0].stop_reason == "final"

@fuzz(1)
@given(edits=st.lists(EDIT, max_size=3), other=st.none() | JSON | st.binary(max_size=20))
@example(edits=[], other={})
def test_a_kept_reply_that_somebody_has_changed_is_a_reply_or_none(tmp_path, edits, other):
    path = tmp_path / "replies.sqlite"
    cache = Cache(path)
    cache.put("key", Reply("so", "m", reasoning="hm", extra={"a": 1}))
    with sqlite3.connect(path) as db:
        text, = db.execute("SELECT reply FROM replies").fetchone()
        new = other if isinstance(other, bytes) else json.dumps(other) if other is not None else edited(text, edits).encode(errors="replace").decode()
        db.execute("UPDATE replies SET reply = ?", (new,))
    db.close()
    found = cache.get("key")
    assert found is None or type(found) is Reply and type(found.content) is str and found.usage == Usage(reused=1)
    assert not cache.notices()

# -- values

@fuzz(4)
@given(st.sampled_from(["$int", "$float", "$tuple", "$set", "$dict", "$Fraction", "$Decimal", "$complex", "$date", "$datetime", "$time", "$timedelta", "$bytes", "$bytearray", "$str", "$frozenset", "$missing"]), JSON)
def test_json_is_a_value_or_no_value(kind, x):
    try: decode(json.dumps({kind: x}))
    except ValueError: pass

@dataclass
class City:
    name: str
    people: int = 0

TYPES = [int, float, bool, str, list[int], dict[str, int], tuple[int, str], set[str], Literal["pos", "neg"], int | None, City, list[City], bytes]
WRITTEN = st.text(max_size=20) | JSON.map(json.dumps) | JSON.map(repr) | st.sampled_from(["1,234", "12 %", "```json\n[1]\n```", "None", "[" * 500, "9" * 5_000, '{"name": "Lima"}', "pos", "\ud800"])

@fuzz(4)
@given(st.sampled_from(TYPES), WRITTEN.map(lambda text: Answer(text, text)) | JSON.map(Answer))
def test_an_answer_is_of_the_type_or_is_refused_in_words(kind, answer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")   # an odd escape in what a literal is read from
        try: fitted = OutputType(kind).fit(answer)
        except ValueError as e:
            assert str(e).startswith(f"it must be of type {OutputType(kind).name}, and is ")
            return
    assert TypeAdapter(kind).validate_python(fitted.value, strict=True) == fitted.value or fitted.value != fitted.value
