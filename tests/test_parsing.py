"Parsing: a corpus of replies, and what must hold for any text."
import ast
import re
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing_corpus import CORPUS, REASONING, Var

from rlm.parsing import Final, parse_reply

any_pace = settings(deadline=None, max_examples=200)


# The corpus

def found(reply):
    final = reply.final and (Var(reply.final.name) if reply.final.variable else reply.final.text)
    blocks = tuple((b.language, b.code) for b in reply.blocks)
    return dict(blocks=blocks, final=final, reasoning=reply.reasoning, cut=reply.cut)

@pytest.mark.parametrize("case", CORPUS, ids=lambda c: c.name.replace(" ", "-"))
def test_corpus(case):
    expected = dict(blocks=case.blocks, final=case.final, reasoning=case.reasoning, cut=case.cut)
    assert found(parse_reply(case.reply, case.finish_reason)) == expected

@pytest.mark.parametrize("case", [c for c in CORPUS if c.reasoning is None], ids=lambda c: c.name.replace(" ", "-"))
def test_a_reply_without_reasoning_is_kept_as_it_came(case):
    assert parse_reply(case.reply).text == case.reply.removeprefix("<think>\n\n</think>\n\n")

def test_reasoning_is_not_kept_in_the_text():
    for case in REASONING:
        if case.reasoning: assert case.reasoning not in parse_reply(case.reply, case.finish_reason).text


# What an answer is worth

@pytest.mark.parametrize("source, value", [
    ("42", 42), ("-1.5e3", -1500.0), ("1,234", "1,234"), ("1,024.5", "1,024.5"),
    ("1, 2", (1, 2)), ("[1, 'a']", [1, "a"]),
    ("{'a': {1: None}}", {"a": {1: None}}), ("True", True), ("'a' 'b'", "ab"),
    ("x", "x"), ("007", "007"), ("5in", "5in"),
    ("{[]: 1}", "{[]: 1}"), ("9" * 5_000, "9" * 5_000),
    ("\0", "\0"), ("\ud800", "\ud800"), ('"a" or "b"', '"a" or "b"')])
def test_value(source, value):
    final = Final(source)
    assert (type(final.value), final.value) == (type(value), value)
    assert final.literal == (value != source)

def test_an_odd_escape_in_an_answer_warns_nobody():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert Final(r'"C:\dir"').text == r"C:\dir"
    assert not seen

@pytest.mark.slow
@pytest.mark.parametrize("chain", ["1+", "-", "()", "x.", "not ", "lambda:", "[", "{1:"])
def test_no_answer_crashes_the_interpreter(chain):
    "On long chains Python's own parser can overflow the stack, first in a thread, whose stack is small."
    code = f"""
import threading
from rlm.parsing import parse_reply
long = {chain!r} * 200_000 + "1"
def work():
    for form in ("FINAL(%s", "FINAL(```python\\n%s\\n```)", "```python\\nFINAL(%s)\\n```", "%s"):
        reply = parse_reply(form % long)
        print(reply.final and reply.final.literal, len(reply.prose))
threading.stack_size(2 << 20)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert len(done.stdout.split("\n")) == 5 and done.stdout.startswith("False 0\nFalse 0\n"), done.stderr


# What must hold for any text

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
SCRAPS = st.sampled_from([
    "\n", "\n```", "```repl\n", "```python\n", "```json\n", "\n````\n", "~~~\n", "`", "FINAL(", "\nFINAL(",
    "\n**FINAL_VAR(", "FINAL", ")", "(", "))", '"', "'", '"""', "'''", "\\", "#", "<think>", "</think>",
    "\n</think>\n", " ", "\t", "x", "5", "it's", "1,2", "[", "]", "\r\n", "\0", "\ud800", "é", "- ", "1. ", "1) a",
    "> ", "**", "_", "...", "print(1)\n", "\\_VAR", "%%bash\n", "\x0c", "\u2028"])
MESS = st.lists(SCRAPS | ANY_TEXT, max_size=40).map("".join)
FINISH = st.sampled_from([None, "stop", "length"])

@any_pace
@given(MESS, FINISH)
def test_no_text_makes_the_parser_raise(text, finish_reason):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reply = parse_reply(text, finish_reason)
        if final := reply.final:
            assert isinstance(final.text, str) and final.source == final.source.strip()
            assert final.name is None or final.name.isidentifier()
            assert final.literal or final.value == final.text or final.value == final.source
    assert all(b.code.strip() and b.language in ("repl", "python") for b in reply.blocks)
    assert set(reply.code) <= {b.code for b in reply.blocks}
    assert not reply.prose or not (reply.blocks or reply.final)

@pytest.mark.slow
@any_pace
@given(MESS.filter(lambda s: s.strip() and "\r" not in s and "</think" not in s), st.sampled_from("`~"),
       st.sampled_from(["repl", "Python", "py  ", "PYTHON3 x=1"]))
def test_code_in_a_proper_fence_comes_out_as_it_went_in(code, mark, language):
    fence = mark * max(3, 1 + max(map(len, re.findall(f"{mark}+", code)), default=0))
    reply = parse_reply(f"So (it's:\n{fence}{language}\n{code}\n{fence}\nThat is all.")
    assert [b.code for b in reply.blocks] == [code]

LINES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\"'`~\n"), max_size=20) | st.sampled_from(
    ["FINAL(1)", "**FINAL(2)**", 'FINAL_VAR("x")', "  FINAL(3)", "x = (", ")", "FINAL(", "print(')')", "</b>", "don't"])
FENCED = st.tuples(
    st.sampled_from(["```", "````", "~~~", "   ```"]),
    st.sampled_from(["", "json", "text", "output", "repl", "python"]),
    st.lists(LINES, max_size=6)).map(lambda f: "\n".join([f[0] + f[1], *f[2], f[0]]))
PROSE = st.lists(st.sampled_from(
    ["So FINAL(4) is near.", "(", ") it's", "Let me (look", "> FINAL(5)", "`FINAL(6)` ends it", "", '"Yes']),
    max_size=3).map("\n".join)

@pytest.mark.slow
@any_pace
@given(st.lists(PROSE | FENCED, min_size=1, max_size=8).map("\n".join))
def test_what_is_inside_a_fence_that_others_follow_never_becomes_an_answer(text):
    assert parse_reply(text + "\nThat is what I have.").final is None

LEADS = st.sampled_from(["So the answer is ", "**Answer:** ", "- ", "> ", "## ", "Therefore: ", "The count is "])

@any_pace
@given(LEADS, st.lists(st.sampled_from(["a", "(b)", " ", "\n", "1.5", "(it (is))"]), max_size=9).map("".join),
       st.sampled_from(["I looked.\n\n", "> Yes.\nSo it is.\n", ""]), PROSE)
def test_an_answer_with_words_before_it_counts_only_at_the_end(lead, answer, before, after):
    if not answer.strip(): return
    reply = f"{before}{lead}FINAL({answer})"
    assert parse_reply(reply).final == Final(answer.strip())
    if after.strip(): assert parse_reply(f"{reply}\n{after}").final is None

@any_pace
@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="`~"), min_size=1, max_size=40),
       st.sampled_from(["```json\n{}\n```", "\n```json\n{}\n```\n", "```\n{}\n```\n", "\n```yaml\n{}\n```"]))
def test_a_fence_that_is_the_whole_answer_is_read_as_what_is_in_it(inside, fence):
    lines = inside.replace("\r", "").strip()
    if lines.strip(" .…"): assert parse_reply(f"FINAL({fence.format(lines)})").final == Final(lines)

@any_pace
@given(st.lists(PROSE, max_size=2), FENCED, st.lists(PROSE, max_size=2))
def test_a_fence_does_not_hide_the_answer_after_it(before, fence, after):
    reply = parse_reply("\n".join([*before, fence, *after, "FINAL(here)"]))
    assert reply.final and reply.final.text == "here"

ODD_LINES = st.sampled_from([
    "```", "```", "  ```", "it's", "# odd \"\"\"", "print('it''s')",
    's = "a\\"b"', "'a\\", "'", r'"\\"', 'f("""a""", "b")',
    "z = 1", "(", ")", "await z", 'x = """', "'''"])
STRINGS = st.tuples(st.sampled_from(['"""', "'''"]), st.lists(ODD_LINES, max_size=4)).map(
    lambda s: "\n".join(["x = " + s[0], *(l.replace(s[0], "") for l in s[1]), s[0]]))
CODE = st.lists(STRINGS | ODD_LINES, min_size=1, max_size=4).map("\n".join)

def compiles(code):
    try: compile(code, "reply", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    except SyntaxError: return False
    return True

@pytest.mark.slow
@settings(deadline=None, max_examples=800)
@given(CODE)
def test_a_block_ends_at_the_first_closing_fence_at_which_its_code_compiles(code):
    "The parser never compiles; whoever does finds the same end."
    lines = [*code.split("\n"), "```"]
    ends = ["\n".join(lines[:i]) for i, line in enumerate(lines) if line.strip() == "```"]
    whole = next(filter(compiles, ends), "")
    if not whole.strip(): return
    assert parse_reply("```repl\n" + "\n".join(lines) + "\nThat is all.").blocks[0].code == whole


# Time

@contextmanager
def cpu_seconds(limit):
    "Fail, rather than hang, if the block takes more processor time than `limit`."
    def stop(*_): raise AssertionError(f"took more than {limit} s of processor time")
    previous = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    try: yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)

UNITS = [
    "`", "```\n", "``` ", "(", ")", "()", "[", "FINAL(", "FINAL(\n", "`FINAL(x) y\n", "FINAL(...)\n", "'a ", '"a ',
    '"""', "'''\n", "\\", '\\"', "```repl\n", "```repl\n```\n", '```repl\n\\"""\n```\n',
    '```repl\n\\"""\n```json\n```\n', "```repl\n'''\n```json\n", "```json\n", "x```\n", "~~~\n```\n", "<think>",
    "</think>", "`</think>`", "</think> a", "- ```\n", "1+", "-", "1,", "(1,)", " ", "\n", "*", "_", "a", "\0", "#",
    "1) a\n"]

@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs setitimer")
@pytest.mark.parametrize("start", ["", "FINAL('", '```repl\n"""\n'], ids=["alone", "in-an-answer", "in-code"])
@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_time_grows_with_the_size_of_the_reply_and_no_faster(unit, start):
    "A reply of 100 KB takes a fraction of a second; going over it once for each of its parts would take a good part of a minute."
    with cpu_seconds(3):
        reply = parse_reply(start + unit * (100_000 // len(unit)))
        assert isinstance(reply.prose, str) and (reply.final is None or isinstance(reply.final.text, str))
