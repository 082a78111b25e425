"The live view: what it says of a run at any moment, where it is drawn, and that nothing of it stays."
import json, os, re, select, subprocess, sys, threading, time
from pathlib import Path

import pytest
from rlm import RLM
from rlm.display import OneLine, StatusLine, Terminal, Watch, status_line
from rlm.events import *
from rlm.lm import ScriptedLM
from rlm.live import Cell as Displays, Progress, View, as_text, enter, ended, fading, forget, leave, lines_html, rows, settled_html
from rlm.streaming import Heard
from rlm.types import *
from hostile_corpus import TEXTS, check_terminal, tags
from kernel import SET_UP, Kernel

SPENT = Usage(1_000, 200, calls=3, cost=0.01)
def done(code, **kw): return CodeBlock(code, CodeResult(**kw))

def at_work(**kw) -> Progress:
    "A run whose code is at work."
    run = Progress()
    for event in (RunStarted("How many?", "m", 30, run="r1", **kw), ModelAsked(1, SPENT), ModelReplied(1, Reply("I count the rows. Then I tell."), SPENT),
                  BlockStarted(1, "import re\ntotal = 3", SPENT, printed=lambda: "one\ntwo\n\n")): run(event)
    return run

def text(run): return as_text(run.lines())

# what goes on now

def test_a_run_is_told_from_its_first_event_to_its_last():
    run = Progress()
    assert text(run) == "starting · 0 tokens · 0 s"
    run(RunStarted("How many?", "m", 30))
    run(ModelLoading("coder", Usage()))
    assert "loading the model" in text(run)
    run(ModelAsked(1, Usage()))
    assert text(run) == "iteration 1 of 30: asking the model · 0 tokens · 0 s"
    run(ModelReplied(1, Reply("I count the rows. Then I tell."), SPENT))
    run(BlockStarted(1, "import re\ntotal = 3", SPENT, printed=lambda: "one\ntwo\n\n"))
    assert text(run).splitlines() == ["iteration 1 of 30: running its code · 1,200 tokens · $0.0100 · 0 s", "I count the rows.", "  total = 3", "    two"]
    run(BlockEnded(1, done("total = 3", error="Traceback\nKeyError: 'x'"), SPENT))
    assert text(run).splitlines()[-1] == "    KeyError: 'x'" and [l.kind for l in run.lines()][-1] == "error"
    run(IterationEnded(1, Iteration(Reply("I count."), "I count."), ()))
    run(ModelAsked(None, SPENT))
    assert text(run) == "asking the model for its best answer · 1,200 tokens · $0.0100 · 0 s"

def test_a_batch_counts_what_is_done_and_what_failed():
    run = at_work()
    for n in range(40): run(SubCallStarted("Which?", "small", SPENT, number=n, batch=40))
    assert "0 of 40" in text(run) and "left" not in text(run)
    for n in range(32): run(SubCallEnded(SubCall("Which?", "", error="no" if n < 3 else None), SPENT, number=n, batch=40))
    assert re.search(r"━{16}·{4} 32 of 40, 3 failed · [\d.]+ a second · \d+ s left", text(run))
    for n in range(32, 40): run(SubCallEnded(SubCall("Which?", "a"), SPENT, number=n, batch=40))
    assert "40 of 40, 3 failed" in text(run) and "left" not in text(run) and not run.asked
    for n in range(40, 45):
        run(SubCallStarted("Alone?", "small", SPENT, number=n, first=n))
        assert "└ Alone?" in text(run)
        run(SubCallEnded(SubCall("Alone?", "a"), SPENT, number=n, first=n))
    assert "5 sub-calls answered" in text(run) and "Alone?" not in text(run) and run.sub_calls == 45

def test_children_are_branches_below_their_call():
    run = at_work()
    for n in range(3): run(SubCallStarted(f"Child {n}", "m", SPENT, number=n, batch=3))
    run(ChildStep((1,), ModelAsked(1, Usage()), SPENT))
    run(ChildStep((1,), BlockStarted(1, "deep()", Usage(), printed=lambda: "down here"), SPENT))
    run(SubCallStarted("Grandchild", "m", SPENT, number=0, path=(1,)))
    run(ChildStep((1, 0), ModelAsked(2, Usage()), SPENT))
    assert text(run).splitlines()[-4:] == ["    └ Child 1 · iteration 1: running its code", "      deep()", "        down here",
                                          "      └ Grandchild · iteration 2: asking the model"]
    assert run.spent == SPENT  # that of the whole run, not the child's
    run(SubCallEnded(SubCall("Child 1", "a"), SPENT, number=1, batch=3))
    run(ChildStep((1, 0), ModelAsked(3, Usage()), SPENT))  # a straggler
    run(SubCallEnded(SubCall("Grandchild", "a"), SPENT, number=0, path=(1,)))
    assert "child" not in text(run) and "1 of 3" in text(run)

def test_many_children_are_bounded():
    run = at_work()
    for n in range(200):
        run(SubCallStarted(f"Child {n}", "m", SPENT, number=n, batch=200))
        run(ChildStep((n,), ModelAsked(1, Usage()), SPENT))
    assert "└ and 194 more" in text(run) and len(run.lines()) < 20

def test_what_is_waited_for_is_said_truly():
    run = at_work()
    run(SubCallStarted("Which?", "small", SPENT, number=0))
    run(Retrying("small", "429: too many", SPENT))
    assert "iteration 1 of 30: asking small again (429: too many)" in text(run)
    run(SubCallEnded(SubCall("Which?", "a"), SPENT, number=0))
    assert "iteration 1 of 30: running its code" in text(run) and "again" not in text(run)
    run(UserAsked("os.remove('x')", SPENT))
    assert "iteration 1 of 30: waiting for your approval" in text(run)
    run.since -= 100  # it was asked a hundred seconds ago
    run.began -= 100
    run.block.began -= 100
    assert "· 0 s" in text(run)
    run(UserAnswered(SPENT))
    assert "running its code" in text(run) and "· 0 s" in text(run) and "1 min" not in text(run)

def test_a_reply_shows_as_it_comes():
    run, heard = Progress(), Heard()
    run(RunStarted("How many?", "m", 30, secrets=("sk-0123456789abcdefg",)))
    run(ModelAsked(1, SPENT, heard))
    for n in range(100): heard.write(f"line {n}\n")
    assert text(run).splitlines()[1:] == ["  line 97", "  line 98", "  line 99"]
    heard.write("the key is sk-0123456789abcdefg")
    assert "sk-012" not in text(run) and "[key removed]" in text(run)
    run(ModelReplied(1, Reply("Done."), SPENT))
    assert "line" not in text(run)

def test_keys_that_code_prints_are_not_shown():
    run = at_work(secrets=("sk-0123456789abcdefg",))
    run.block.printed = lambda: "key=sk-0123456789abcdefg"
    assert "[key removed]" in text(run) and "sk-012" not in text(run)

def test_a_run_that_ends_says_how():
    def line(why="", **kw):
        run = Progress()
        run(RunStarted("How many?", "m", 30))
        run.result, run.why, run.over = RLMChatCompletion("m", "How many?", **{"response": "Three."} | kw), why, True
        return ended(run)
    assert (line().text, line().kind) == ("How many? → Three.", "")
    assert (line(stop_reason="interrupted").text, line(stop_reason="interrupted").kind) == ("How many? → stopped", "error")
    assert line("LMServerError: it failed", stop_reason="error", response="").text == "How many? → LMServerError: it failed"
    assert "a guess" in line(stop_reason="max_iterations").more and line(stop_reason="max_iterations").kind == ""

def test_many_runs_have_a_row_each_and_those_at_work_come_first():
    runs = [at_work() for _ in range(100)]
    for run in runs[:95]: run(RunEnded(RLMChatCompletion("m", "How many?", "Three.")))
    lines = rows(runs)
    assert lines[0].text == "95 of 100 runs" and len(lines) == 14 and lines[-1].more == "and 88 more"
    assert [line.text.split(" ")[0] for line in lines[1:6]] == ["96", "97", "98", "99", "100"]

# where a model's words go

@pytest.mark.parametrize("evil", TEXTS, ids=ascii)
def test_a_strangers_text_is_text(evil):
    run = at_work()
    run.label, run.steps[-1].said = evil, evil
    run.block.code, run.block.printed = evil, lambda: evil
    run(SubCallStarted(evil, evil, SPENT, number=0))
    run(ChildStep((0,), ModelAsked(1, Usage()), SPENT))
    run(ChildStep((0,), BlockStarted(1, evil, Usage(), printed=lambda: evil), SPENT))
    run.heard.write(evil)
    run(Retrying(evil, evil, SPENT))
    over = Progress(evil)
    over(RunStarted(evil, evil, 3))
    over.result, over.over, over.why = RLMChatCompletion(evil, evil, evil, stop_reason="error"), True, evil
    lines = run.lines() + rows([run, over]) + [ended(over)]
    for page in (lines_html(lines), fading(lines), settled_html([(ended(over), "")])):
        check_terminal(page)
        for tag, attrs in tags(page):
            assert tag in ("div", "span", "svg", "foreignobject", "set", "details", "summary") and "evil" not in str(attrs), (tag, attrs)
    for shown in (as_text(lines), status_line([run]), status_line([run, over])): check_terminal(shown)

# drawing

class Kept:
    "A canvas that keeps what it draws."
    shared = True
    def __init__(self): self.drawn = []
    def draw(self, runs): self.drawn.append(len(runs))
    def settle(self, runs): self.drawn.append("settled")
    def clear(self): self.drawn.append("cleared")
    def forget(self, name): pass

def slow(seconds, reply="FINAL(Blue)"):
    def answer(messages):
        time.sleep(seconds)
        return reply
    return answer

def our_threads(): return [t for t in threading.enumerate() if t.name == "rlm live view"]

def test_nothing_is_drawn_for_a_short_run_and_no_thread_is_left():
    drawn = []
    RLM(ScriptedLM(["FINAL(Blue)"]), verbose=False, logger=StatusLine(drawn.append)).completion("Which color?")
    assert drawn == [] and not our_threads()

def test_runs_at_the_same_place_share_a_view_and_those_of_other_places_do_not():
    one, two, three = at_work(), at_work(), at_work()
    a, b, c = enter("x", Kept, one), enter("x", Kept, two), enter("y", Kept, three)
    assert a is b is not c
    time.sleep(.9)
    one.over = True
    leave(a)
    assert "settled" not in a.canvas.drawn and a.canvas.drawn[-1] == 2
    two.over = three.over = True
    leave(b)
    leave(c)
    assert a.canvas.drawn[-1] == c.canvas.drawn[-1] == "settled" and not our_threads()
    again = enter("x", Kept, run := at_work())
    assert again is not a
    run.over = True
    leave(again)

def test_a_canvas_that_fails_does_not_break_the_run(capsys):
    class Broken(Kept):
        def draw(self, runs): raise ValueError("no ink")
        def settle(self, runs): raise ValueError("no ink either")
    watch = Watch()
    watch.place = lambda: ("broken", Broken)
    result = RLM(ScriptedLM([slow(1.2)]), verbose=False, logger=watch).completion("Which color?")
    assert result.response == "Blue" and not our_threads()
    assert capsys.readouterr().err == "rlm: the live view ends here, since it raised ValueError: no ink\n"

def test_a_listener_that_fails_leaves_no_thread(capsys):
    watch = Watch()
    watch.place = lambda: ("failing", Kept)
    class Bad: iteration, spent, printed = 1, Usage(), None
    def fail(event): raise ValueError("no")
    def model(messages):
        watch.progress = fail
        return "FINAL(Blue)"
    assert RLM(ScriptedLM([model]), verbose=False, logger=watch).completion("Which color?").response == "Blue"
    assert "raised ValueError: no" in capsys.readouterr().err

def test_a_shared_place_is_left_to_the_question(capsys):
    run = at_work()
    view = enter("z", Kept, run)
    time.sleep(.7)
    run(UserAsked("x", SPENT))
    view.draw()
    view.canvas.drawn.clear()
    time.sleep(.8)
    assert set(view.canvas.drawn) <= {"cleared"}
    run(UserAnswered(SPENT))
    time.sleep(.5)
    assert 1 in view.canvas.drawn
    run.over = True
    leave(view)

def test_an_end_by_an_error_is_told_with_its_reason():
    seen = []
    class Told(Kept):
        def settle(self, runs): seen.append(ended(runs[0]))
    watch = Watch()
    watch.place = lambda: ("told", Told)
    def fail(messages):
        time.sleep(.8)
        raise ConnectionError("the line is dead")
    with pytest.raises(ConnectionError): RLM(ScriptedLM([fail]), verbose=False, logger=watch).completion("Which color?")
    assert seen[0].text == "Which color? → ConnectionError: the line is dead" and seen[0].kind == "error"

def test_it_takes_less_than_a_hundredth_of_a_run():
    "By the processor's clock, which other processes don't turn."
    spent = []
    class Timed(Kept):
        shared = False
        def draw(self, runs):
            fading(runs[0].lines())
            spent.append(time.thread_time())
    run = at_work()
    for n in range(40): run(SubCallStarted("Which?", "small", SPENT, number=n, batch=40))
    view = enter("timed", Timed, run)
    time.sleep(2)
    run.over = True
    leave(view)
    assert spent[-1] < 0.1, spent  # of 2 s; it is some thousandths
