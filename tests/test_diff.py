"Two runs side by side: where they part, whatever they hold."
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from rlm import RLM
from rlm.diff import Diff, _apart
from rlm.lm import ScriptedLM
from rlm.logger import RLMLogger, read_log
from rlm.types import ConfigurationError, LMError, RLMChatCompletion

def asked(*replies, **kw): return RLM(ScriptedLM(list(replies)), verbose=False, **kw).completion("Go.", context=[1, 2, 3])
def block(code): return f"```repl\n{code}\n```"
def places(one, other): return [d.place for d in one.diff(other).differences]

def test_a_run_is_the_same_as_itself_and_as_its_repetition():
    steps = block("print(object())\nprint(undefined)"), block("print(llm_query('mood?'))"), "calm", "FINAL(calm)"
    one = asked(*steps)
    assert places(one, one) == places(one, asked(*steps)) == [] and not one.diff(one).parting

@pytest.mark.parametrize("replies, parting", [
    ((block("x = 1"), block("print(llm_query('how?'))"), "wild", "FINAL(calm)"), "Iteration 2, sub-calls"),
    (("Well.\n" + block("x = 1"), block("print(llm_query('how?'))"), "calm", "FINAL(calm)"), "Iteration 1, reply"),
    ((block("x = 1"), "FINAL(calm)"), "Iteration 2, reply"),
    ((block("x = 1"), block("print(llm_query('how?'))"), "calm", block("x"), "FINAL(calm)"), "Iteration 3, reply")])
def test_where_they_part(replies, parting):
    one = asked(block("x = 1"), block("print(llm_query('how?'))"), "calm", "FINAL(calm)")
    for a, b in ((one, other := asked(*replies)), (other, one)):
        assert a.diff(b).parting == parting and f"part here: {parting}. Both answer: calm" in str(a.diff(b))

def test_how_it_ended_and_a_best_answer():
    one = asked(block("x = 1"), "FINAL(1)", max_iterations=1)
    assert places(one, asked(block("x = 1"), "FINAL(1)")) == ["Iteration 2, reply", "Best Answer, reply", "end"]

def test_a_difference_deep_in_a_long_text_is_shown():
    long = "word " * 10_000
    one, other = RLMChatCompletion("m", "q", long + "left" + long), RLMChatCompletion("m", "q", long + "right" + long)
    shown = repr(one.diff(other))
    assert "left" in shown and "right" in shown and len(shown) < 1_000 and "left" in one.diff(other)._repr_html_()

def test_many_differences():
    one, other = asked(*[block(f"x = {i}") for i in range(30)], "FINAL(1)"), asked(*[block(f"y = {i}\ny") for i in range(30)], "FINAL(2)")
    found = one.diff(other)
    assert len(found.differences) > 60 and f"and {len(found.differences) - 60} more" in repr(found) and "more</td>" in found._repr_html_()

@given(st.text(alphabet="ab\n", max_size=30), st.text(alphabet="ab\n", max_size=30))
def test_what_is_cut_off_is_in_both(one, other):
    a, b = _apart(one, other)
    assert (a == b) == (one == other)
    start = next(i for i in range(len(one) + 1) if one[i:i + len(a)] == a and other[i:i + len(b)] == b and one[:i] == other[:i] and one[i + len(a):] == other[i + len(b):])
    assert start >= 0

def test_bad_input():
    with pytest.raises(ConfigurationError, match="compared with another result"): asked("FINAL(1)").diff(None)

@pytest.mark.parametrize("code", ["x = 3\ndel x", "import os\n_private = 1", "print(context)", "def f(: pass"])
def test_a_run_that_binds_nothing_has_no_variables(code):
    assert asked(block(code), "FINAL(1)").variables == {}

def test_the_variables_are_those_of_the_end_and_not_the_context():
    run = asked(block("x, y = 1, 'left'"), block("x = 2\nimport math"), "FINAL(1)")
    assert list(run.variables) == ["x", "y"] and run.variables["x"] == "x: int = 2"
    other = asked(block("x, y = 1, 'left'"), block("x = 3\nimport math"), "FINAL(1)")
    assert "variable x" in places(run, other) and "variable y" not in places(run, other)

def test_a_run_that_was_stopped_is_compared_without_variables():
    with pytest.raises(LMError) as failed: asked(block("x = 1"), LMError("gone"))
    stopped, one = failed.value.result, asked(block("x = 1"), "FINAL(1)")
    assert stopped.variables is None and "variable x" not in places(stopped, one)

def test_a_log_has_the_variables_and_no_credentials(tmp_path):
    logger = RLMLogger(log_dir=tmp_path)
    lm = ScriptedLM([block("left = 'pass'\ndf = {'a': 1}"), "FINAL(1)"])
    run = RLM(lm, verbose=False, logger=logger).completion("Go.", context=[1])
    assert run.variables and read_log(logger.path)[0].result.variables == run.variables
