"The live view: what it says of a run at any moment, where it is drawn, and that nothing of it stays."
import json, os, re, select, subprocess, sys, threading, time

import pytest
from rlm import RLM
from rlm.display import StatusLine, Watch, status_line
from rlm.events import *
from rlm.lm import ScriptedLM
from rlm.live import Progress, as_text, enter, ended, fading, leave, lines_html, rows, settled_html
from rlm.streaming import Heard
from rlm.types import *
from hostile_corpus import TEXTS, check_terminal, tags
from kernel import SET_UP
from server import ChatServer, Http

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
    assert "0 of 40" in text(run) and "left" not in text(run) and run.title == "iteration 1 of 30: asking small"
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

def test_a_listener_that_fails_leaves_no_thread(capsys, monkeypatch):
    watch = Watch()
    watch.place = lambda: ("failing", Kept)
    def model(messages):
        time.sleep(.7)
        monkeypatch.setattr(Progress, "__call__", lambda self, event: 1 / 0)
        assert our_threads()
        return "FINAL(Blue)"
    assert RLM(ScriptedLM([model]), verbose=False, logger=watch).completion("Which color?").response == "Blue"
    assert "the listener Watch raised ZeroDivisionError" in capsys.readouterr().err and not our_threads()

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

# in a terminal

PROGRAM = """
import sys, time
{hide}
from rlm.display import Watch
from rlm.events import *
from rlm.types import *
watch = Watch()
watch(RunStarted("How many?", "m", 30))
watch(ModelAsked(1, Usage(900, 80, calls=1)))
time.sleep(1.3)
watch(Notice("Something to know."))
watch(UserAsked("x = 1", Usage()))
answer = input("May it run? ")
watch(UserAnswered(Usage()))
time.sleep(.8)
watch(RunEnded(RLMChatCompletion("m", "How many?", "Three.")))
print("answer", answer)
"""
HIDE = "sys.modules['rich'] = None"

def in_terminal(program, **env) -> tuple[str, str, str]:
    "What it writes until it asks, while it waits, and then."
    import pty
    pid, terminal = pty.fork()
    if not pid: os.execve(sys.executable, [sys.executable, "-c", program], os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"} | env)
    def read(seconds, until=None):
        found, end = b"", time.monotonic() + seconds
        while time.monotonic() < end and not (until and until in found):
            if not select.select([terminal], [], [], .1)[0]: continue
            try: piece = os.read(terminal, 10_000)
            except OSError: break  # it is over
            if not piece: break
            found += piece
        return found.decode()
    try:
        before = read(30, b"May it run? ")
        waiting = read(1.2)
        os.write(terminal, b"yes\n")
        return before, waiting, read(30)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)

@pytest.mark.slow
@pytest.mark.parametrize("with_rich", [True, False])
def test_a_terminal_shows_the_run_and_never_overdraws_a_question(with_rich):
    if with_rich: pytest.importorskip("rich")
    before, waiting, after = in_terminal(PROGRAM.format(hide="" if with_rich else HIDE))
    assert "iteration 1 of 30: asking the model" in before and "980 tokens" in before
    assert re.search(r"\x1b\[K\r?(\x1b\[1A\x1b\[2K|\x1b\[\?25h)*rlm: Something to know.\r\n" if not with_rich else "rlm: Something to know.\r\n", before)
    assert "iteration" not in before.rpartition("Something to know.")[2] and before.endswith("May it run? ")
    assert waiting == ""
    assert "iteration 1 of 30: asking the model" in after
    assert re.search(r"(\x1b\[2K|\x1b\[K)[^\n]*answer yes\r\n$", after) and "iteration" not in after.rpartition("\x1b[")[2]

@pytest.mark.slow
def test_a_dumb_terminal_and_a_pipe_show_nothing():
    before, waiting, after = in_terminal(PROGRAM.format(hide=""), TERM="dumb")
    assert before == "rlm: Something to know.\r\nMay it run? " and after == "yes\r\nanswer yes\r\n"
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(hide="")], input="yes\n", capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("May it run? answer yes\n", "rlm: Something to know.\n")

# in a kernel

CODE = SET_UP + '''
import asyncio, threading, time
from rlm.live import forget
def slow(text, seconds=.7):
    def answer(messages):
        time.sleep(seconds)
        return text if text.startswith("FINAL") else block(text)
    return answer
def of(*replies, **kw): return RLM(ScriptedLM(list(replies)), environment="jupyter", **kw)
def one(n=0, seconds=.4): return of(slow("print(1)", seconds), slow(f"FINAL(answer {n})", seconds))
def threads(): return [t.name for t in threading.enumerate() if t.name == "rlm live view"]
'''
NOW = re.compile(r"<svg|<set |iteration \d+ of|asking")  # what only a run at work shows

@pytest.fixture(scope="module")
def told(kernel):
    "The kernel with what these tests need. (`kernel` is one of ipykernel 7, then one of ipykernel 6.)"
    kernel.ok(CODE)
    return kernel

def html(cell) -> list[str]: return [data["text/html"] for data in cell.displays.values()]
def lines(cell) -> list[str]:
    "The summaries of what stays, without seconds."
    return [re.sub(r"<[^>]+>|\d+ s$", "", re.sub("</span>$", "", line)) for page in html(cell) for line in re.findall(r"<summary style=[^>]*>(.*?→.*?)</summary>", page)]

def watched(kernel, code) -> tuple:
    "The cell at its end, and all that its displays showed on the way."
    cell, seen = kernel.start(code), []
    def until(cell):
        if (now := html(cell)) not in seen[-1:]: seen.append(now)
        return cell.done
    return kernel.listen(cell, until), seen

def later(kernel, cell, seconds=1.0) -> list:
    "What still comes for a cell that is over."
    import queue
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        try: m = kernel.client.get_iopub_msg(timeout=.1)
        except queue.Empty: continue
        if m["parent_header"].get("msg_id") == cell.id: found.append(m["msg_type"])
    return found

def test_each_iteration_has_a_display_which_is_not_touched_once_it_is_over(told):
    cell, seen = watched(told, 'x = of(slow("print(12)"), slow("1 / 0"), slow("FINAL(done)")).completion("How many?")')
    assert cell.error is None
    assert re.search("iteration 1 of 30: asking the model.*0 tokens", seen[1][0])
    firsts = [now[0] for now in seen if len(now) > 1 and now[0] and "→" not in now[0]]
    assert len(set(firsts)) == 1 and firsts[0].startswith('<div style="margin: 0"><details') and "12" in firsts[0] and not NOW.search(firsts[0])
    assert any(len(now) == 3 and "ZeroDivisionError" in now[1] and "iteration 3 of 30" in now[2] for now in seen)
    assert html(cell)[:2] == ["", ""] and lines(cell) == ["How many? → done · 0 tokens · "]
    assert not NOW.search("".join(html(cell))) and later(told, cell) == [] and told.value("threads()") == []

def test_a_short_run_leaves_nothing(told):
    assert told.ok('x = of("FINAL(done)").completion("How many?")').outputs == []

def test_a_result_that_the_cell_shows_takes_the_place_of_its_line(told):
    cell = told.ok('one().completion("How many?")')
    assert html(cell) == ["", ""] and [o["output_type"] for o in cell.outputs] == ["display_data", "display_data", "execute_result"]
    cell = told.ok('x = one().completion("How many?")\ndisplay(x)\ny = one().completion("And now?")')
    assert lines(cell) == ["And now? → answer 0 · 0 tokens · "]
    shown = told.ok("y").displays
    assert shown == {}  # the line of another cell stays as it was

def test_runs_one_after_the_other_have_a_line_each(told):
    cell = told.ok('for n in range(3): one(n).completion(f"Question {n}?")')
    assert [line.partition(" ·")[0] for line in lines(cell)] == [f"Question {n}? → answer {n}" for n in range(3)]

GATHER = '''await asyncio.gather(*(one(n, .3 + (n > 0)).acompletion(f"Question {n}?") for n in range(8)), return_exceptions=True);'''

def test_eight_runs_at_once_share_a_display_and_settle_to_eight_lines(told):
    cell, seen = watched(told, GATHER)
    assert cell.error is None and len(cell.displays) == 1
    assert any(re.search("[1-7] of 8 runs", now[-1]) and "Question 7?" in now[-1] for now in seen if now)
    assert sorted(line.partition(" ·")[0] for line in lines(cell)) == [f"Question {n}? → answer {n}" for n in range(8)]
    assert not NOW.search("".join(html(cell))) and later(told, cell) == [] and told.value("threads()") == []

def test_cells_never_share_a_view(told):
    "A run goes on in the background, while the next cell runs another. (In ipykernel 6 it belongs to the cell in which it begins.)"
    first = told.ok('''begun = []
def begins(messages):
    begun.append(1)
    return slow("print(1)", 1)(messages)
task = asyncio.create_task(of(begins, slow("print(2)", 1), slow("FINAL(one)", 1)).acompletion("First?"))
while not begun: await asyncio.sleep(.01)''')
    second = told.start('await asyncio.sleep(.6)\nx = await of(slow("print(3)", 1), slow("FINAL(two)", 1)).acompletion("Second?")\nawait task;')
    import queue
    settled = lambda: lines(first) == ["First? → one · 0 tokens · "] and lines(second) == ["Second? → two · 0 tokens · "]
    end = time.monotonic() + 60
    while not (second.done and settled()) and time.monotonic() < end:
        try: m = told.client.get_iopub_msg(timeout=1)
        except queue.Empty: continue
        cell = {first.id: first, second.id: second}.get(m["parent_header"].get("msg_id"))
        if name := m["content"].get("transient", {}).get("display_id"):   # an update is drawn where its display is, as front ends do it
            owner = next((c for c in (first, second) if name in c.displays), cell)
            if owner: owner.displays[name] = m["content"]["data"]
        if cell and m["msg_type"] == "status": cell.done = m["content"]["execution_state"] == "idle"
    assert settled()
    assert not first.displays.keys() & second.displays.keys()

@pytest.mark.parametrize("moment", [.3, .7, 1.2, 1.9])
def test_an_interrupt_settles_the_view(told, moment):
    cell = told.start('of(slow("print(1)", .9), slow("import time; time.sleep(5)", .9)).completion("How many?")')
    told.listen(cell, lambda c: c.count is not None)
    time.sleep(moment)
    told.interrupt()
    told.finish(cell)
    assert cell.error.startswith("KeyboardInterrupt") and not NOW.search("".join(html(cell)))
    if moment > .6: assert re.fullmatch(r"How many\? → stopped · after \d iterations? · \d+ tokens · ", lines(cell)[-1])
    assert later(told, cell) == [] and told.value("threads()") == [] and told.ok("6 * 7").result == "42"

def test_an_error_is_told_in_its_line(told):
    cell = told.run('def fail(m):\n    time.sleep(.7)\n    raise ConnectionError("the line is <dead>")\nof(slow("print(1)"), fail).completion("How many?")')
    assert cell.error.startswith("ConnectionError")
    assert lines(cell) == ["How many? → ConnectionError: the line is &lt;dead&gt; · after 1 iteration · 0 tokens · "]

def test_a_run_inside_of_a_block_draws_nothing(told):
    code = '''inner = one()
def ask(): return inner.completion("Inner?").response
rlm = RLM(ScriptedLM([block("print(ask())"), "FINAL(done)"]), environment="jupyter", custom_tools={"ask": ask})
x = rlm.completion("Outer?")
print(x.iterations[0].code_blocks[0].result.outputs, x.iterations[0].code_blocks[0].result.stdout)'''
    cell = told.ok(code)
    assert cell.stdout == "() answer 0\n\n" and [line.partition(" ·")[0] for line in lines(cell)] == ["Outer? → done"]

def test_where_outputs_are_captured_nothing_is_drawn(told):
    cell = told.ok('from IPython.utils.capture import capture_output\nwith capture_output() as c: one().completion("How many?")\nprint(c.outputs)')
    assert cell.stdout == "[]\n" and cell.displays == {}

def test_what_a_notebook_keeps_of_a_run_is_small(told):
    cell = told.ok('for n in range(5): one(n, .3).completion(f"Question {n}?")', timeout=120)
    saved = [{"output_type": "display_data", "data": data, "metadata": {}} for data in cell.displays.values()]
    assert len(lines(cell)) == 5 and len(json.dumps(saved)) < 5 * 6_000

def test_a_question_finds_the_view_at_rest(told):
    code = '''def allow(code):
    time.sleep(1.5)
    return code
x = RLM(ScriptedLM([slow("print(1)"), "FINAL(done)"]), environment="jupyter", environment_kwargs={"approve": allow}).completion("How many?")'''
    cell, seen = watched(told, code)
    assert cell.error is None and lines(cell) == ["How many? → done · 0 tokens · "]

def test_a_reply_is_shown_while_the_server_streams_it(told):
    words = " ".join(f"word{n}" for n in range(20))
    with ChatServer([f"I think about {words}.\n```repl\nprint(1)\n```", "FINAL(done)"], streams=True, pause=.1) as s:
        cell, seen = watched(told, f'x = RLM(backend_kwargs=dict(model_name="m", base_url="{s.base_url}", api_key="none"), environment="jupyter").completion("Go.")')
    assert cell.error is None
    pages = ["".join(now) for now in seen]
    assert any("word5" in page and "word19" not in page and "asking the model" in page for page in pages)
    assert lines(cell)[0].startswith("Go. → done")

def test_a_server_that_is_busy_is_told_of(told):
    busy = Http(429, {"error": {"message": "too many requests"}}, {"retry-after": "2"})
    with ChatServer([busy, "FINAL(done)"]) as s:
        cell, seen = watched(told, f'x = RLM(backend_kwargs=dict(model_name="m", base_url="{s.base_url}", api_key="none"), environment="jupyter").completion("Go.")')
    assert cell.error is None and any("again (" in "".join(now) and "429" in "".join(now) for now in seen), seen
