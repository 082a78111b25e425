"Sessions and persistence: what is remembered, what is taken back, and who waits for whom."
import asyncio, gc, os, signal, sys, threading, time, weakref
from collections import Counter

import pytest
from rlm import RLM
from rlm.environments.base import RESERVED
from rlm.environments.local import LocalEnvironment
from rlm.environments.stopping import InterruptGate
from rlm.lm import ScriptedLM
from rlm.logger import RLMLogger, read_log
from rlm.replay import Replay
from rlm.types import *
from server import ChatServer, Http
from test_completion import rlm_for, scripted

def block(code): return f"```repl\n{code}\n```"

def asked(body) -> str:
    "The latest task of a request."
    return [m["content"].rpartition("Task: ")[2] for m in body["messages"] if "Task: " in m["content"]][-1]

# -- what the model sees

def test_the_working_documentations_conversation():
    def model(body):
        if asked(body) == "Pick a color.": return 'FINAL("Blue")'
        colors = [m["content"] for m in body["messages"] if m["content"] == 'FINAL("Blue")']
        return "FINAL(I picked blue because of the sky.)" if colors else "FINAL(Which one?)"
    with ChatServer(model) as s:
        session = rlm_for(s).start_session()
        assert session.chat("Pick a color.").response == "Blue"
        assert session.chat("Why did you pick that one?").response == "I picked blue because of the sky."
    assert s.messages[1][:len(s.messages[0])] == s.messages[0]
    assert [m["role"] for m in s.messages[1][-3:]] == ["user", "assistant", "user"]
    assert s.messages[1][-1]["content"] == "Task: Why did you pick that one?"

def test_the_repl_has_the_conversation():
    look = "print(session_context_0, session_context_1, context, [str(c) for c in context_history], session_history)"
    spoil = "session_context_0 = 1; session_history.clear()\nprint(session_context_2)"
    rlm = scripted("FINAL(Blue)", block(look), "FINAL(ok ok)", block(spoil),
                   block("print(session_context_0, session_history)"), "FINAL(ok ok)")
    session = rlm.start_session()
    session.chat("Pick a color.")
    said = session.chat("And now?", context=[1, 2]).iterations[0].code_blocks[0].result.stdout
    assert said == ("Pick a color. [1, 2] [1, 2] ['Pick a color.', '[1, 2]'] "
                    "[{'prompt': 'Pick a color.', 'response': 'Blue'}]\n")
    blocks = [b.result for i in session.chat("Third?").iterations for b in i.code_blocks]
    assert blocks[0].restored == ("session_context_0",) and blocks[0].stdout == "Third?\n"
    assert blocks[1].stdout.startswith("Pick a color. ")
    assert [m["content"] for m in session.history] == ["Pick a color.", "Blue", "And now?", "ok ok", "Third?", "ok ok"]

def test_what_code_does_to_the_history_is_not_remembered():
    session = scripted(block("context_history.clear()"), "FINAL(ok ok)", block("FINAL(len(context_history))")).start_session()
    session.chat("One.")
    assert session.chat("Two.").value == 2

def test_reserved_names_are_those_that_a_block_finds():
    found = "import builtins\nFINAL([n for n in (*globals(), *__builtins__) if n not in vars(builtins)])"
    names = scripted(block(found)).start_session().chat("Which names are there?").value
    assert set(names) - {"__builtins__", "builtins", "session_context_0", "display"} == set(RESERVED)

def test_a_computed_answer_is_told_at_the_next_turn_only():
    session = scripted(block("x = 21\nFINAL(x * 2)"), "FINAL(It was 42.)", "FINAL(bye bye)").start_session()
    for q in ("One?", "Two?", "Three?"): session.chat(q)
    told = [m["content"] for m in session[-1].messages if m["role"] == "user" and "Task: " in m["content"]]
    assert told[-2:] == ["Your answer was: 42\n\nStill in the REPL: x (int)\n\nTask: Two?", "Still in the REPL: x (int)\n\nTask: Three?"]

def test_a_completion_between_turns_is_not_part_of_the_conversation():
    rlm = scripted("FINAL(Blue)", "FINAL(Seven)", "FINAL(Because.)")
    session = rlm.start_session()
    session.chat("Pick a color.")
    rlm.completion("Pick a number.")
    session.chat("Why?")
    assert "Seven" not in str(session[-1].messages) and len(session) == 2

def test_previews_of_later_turns_are_of_what_the_question_names():
    rlm = scripted(block("alpha = [1, 2]; beta = 3"), "FINAL(ok ok)", "FINAL(ok ok)", "FINAL(ok ok)", persistent=True)
    session = rlm.start_session()
    for q in ("Set them.", "How long is alpha?"): session.chat(q)
    last = [m["content"] for m in session[-1].messages if m["role"] == "user" and "Task" in m["content"]][-1]
    assert "alpha: list" in last and "beta: " not in last and "Still in the REPL: beta (int)" in last

def found(session, question, **kw) -> list:
    "What the code of the next turn finds, and the last message that the turn begins with."
    result = session.chat(question, **kw)
    return [result.value, [m["content"] for m in result.messages if "Task: " in m["content"]][-1]]

def test_context_stays_the_last_data():
    look = block("FINAL([context, session_context_0])")
    session = scripted(look, look, LMServerError("down"), look, look, look, look).start_session()
    value, told = found(session, "Hello.")
    assert value == ["Hello.", "Hello."] and "Still in the REPL" not in told
    assert found(session, "Hello again.")[0] == ["Hello again.", "Hello."]
    with pytest.raises(LMServerError): session.chat("Look.", context=["lost"])
    assert found(session, "Look.", context=["a", "b"])[0] == [["a", "b"], "Hello."]
    value, told = found(session, "What is in it?")
    assert value == [["a", "b"], "Hello."] and told.endswith("Still in the REPL: context (list, 2 items of str)\n\nTask: What is in it?")
    told = found(session, "And here?", context={"c": 1})[1]
    assert "context: dict, 1 key" in told and "Still in the REPL: session_context_2 (list, 2 items of str)\n\nVariables" in told
    value, told = found(session, "So?")
    assert value[0] == {"c": 1} and "REPL: context (dict, 1 key), session_context_2 (list, 2 items of str)\n\nTask: So?" in told
    session.reset()
    session.rlm.lm.replies[:0] = [look]
    assert found(session, "From the start?")[0] == ["From the start?"] * 2

def test_a_prompt_that_is_not_shown_whole_is_data():
    look, text = block("FINAL(context.count(': ok'))"), "Count what is ok. " + "a: ok\n" * 2_000
    session = scripted(look, look).start_session()
    assert (found(session, text)[0], found(session, "How many were ok?")[0]) == (2_000, 2_000)

def test_a_follow_ups_mentions_are_short():
    many = "; ".join(f"variable_{i} = {i}" for i in range(500))
    session = scripted(block(f"{many}\ndef add(a, b): return a + b\nimport json\nFINAL(1)"), "FINAL(ok ok)").start_session()
    session.chat("Set them.", context="some data")
    told = found(session, "And now?")[1]
    assert "REPL: context (str, 9 characters, 1 line), add (function), variable_499 (int), " in told and "json" not in told
    assert len(told) < 600 and " more; SHOW_VARS() lists them\n\nTask" in told

def test_the_log_says_which_data_a_turn_used(tmp_path):
    heard, logger, text = [], RLMLogger(tmp_path), "line\n" * 10_000
    def hear(event):
        logger(event)
        if type(event).__name__ == "RunStarted": heard.append(event)
    session = RLM(ScriptedLM([block("context.append(1)\nFINAL(1)")] * 2 + ["FINAL(ok ok)"] * 3), logger=hear, verbose=False).start_session()
    session.chat("First.", context=[text])
    session.chat("Second.")
    session.chat("Third.", context=3)
    session.chat("Fourth.")
    ids = [r.id for r in session]
    assert [e.has_context for e in heard] == [True] * 4 and heard[1].context is heard[0].context and heard[3].context == 3
    assert [e.settings.data_of for e in heard] == ["", ids[0], "", ids[2]]
    runs = read_log(logger.path)
    assert [run.context is None for run in runs] == [False, True, False, True] and runs[1].payload == "Second."
    assert logger.path.read_text().count("line\\n") < 1_000 and len([*tmp_path.glob("context_*")]) == 1

# -- a turn that is taken back

def test_undo_takes_back_question_answer_and_data():
    look = block("FINAL([context, session_history, sorted(n for n in globals() if n.startswith('session_context_')), x])")
    session = scripted(block("x = 1\nFINAL(x)"), block("x = 2\nFINAL(x)"), look).start_session()
    first = session.chat("One.", context=["a"])
    second = session.chat("Two.", context=["b"])
    assert session.undo() is second and list(session) == [first] and len(session.history) == 2
    third = session.chat("Three.")
    assert third.value == [["a"], [{"prompt": "One.", "response": "1"}], ["session_context_0", "session_context_1"], 2]
    assert third.messages[:len(first.messages)] == first.messages and "Two." not in str(third.messages)

def test_undo_goes_back_to_the_beginning():
    session = scripted("FINAL(one)", "FINAL(two)", block("FINAL([context, len(session_history)])")).start_session()
    for question in ("One.", "Two."): session.chat(question, context=question * 2)
    assert [session.undo().prompt for _ in range(2)] == ["Two.", "One."]
    with pytest.raises(RLMError, match="no turn to take back"): session.undo()
    assert session.chat("Three.").value == ["Three.", 0]

def test_a_turn_after_an_undo_continues_the_one_before_and_replays_equal(tmp_path):
    logger = RLMLogger(tmp_path)
    replies = [block("x = 1\nFINAL(x)"), block("z = 5\nFINAL(z)"), block("print(x, z, context)"), "FINAL(three)"]
    session = RLM(ScriptedLM(replies), logger=logger, verbose=False).start_session()
    first = session.chat("One.", context=[1])
    session.chat("Two.", context=[2])
    session.undo()
    assert session.chat("Three.").iterations[0].code_blocks[0].result.stdout == "1 5 [1]\n"
    runs = read_log(logger.path)
    assert [run.metadata["settings"].continues for run in runs] == ["", first.id, first.id]
    for run in runs:
        replay = Replay(logger.path, run.id)
        for number, (written, _) in enumerate(run.blocks, 1): replay.block(number, written.code)
        replay.end()
        assert replay.outcome == "equal"

@pytest.mark.parametrize("ends", [LMServerError("down"), KeyboardInterrupt()])
def test_undo_after_a_failed_turn_takes_back_the_one_before(ends):
    session = scripted("FINAL(one)", ends, "FINAL(again)").start_session()
    session.chat("One.")
    with pytest.raises(type(ends)): session.chat("Two.")
    assert session.undo().prompt == "One." and len(session) == 0
    assert session.chat("Again.").response == "again"

# -- failing turns

@pytest.mark.parametrize("alias", ["rows", "context_history[0]", "session_context_0"])
def test_the_data_of_an_earlier_turn_by_any_name(alias):
    "A later turn changes it under the name that the code of the first has given it."
    later = block(f"mine.append(2)\n{alias}.append(4)")
    model = ScriptedLM([block("rows = context\nmine = [1]"), "FINAL(1)", later, "FINAL(2)"])
    session, data = RLM(model, verbose=False).start_session(), [3]
    session.chat("Keep them.", context=data)
    result = session.chat("Go on.")
    assert data == [3, 4] and len(result.changes.modified) == 1
    result.undo()
    assert data == [3]

@pytest.mark.parametrize("fails", [LMServerError("down"), KeyboardInterrupt()])
def test_a_failed_turn_is_taken_back(fails):
    rlm = RLM(ScriptedLM([block("x = 1; rows = [1]"), "FINAL(ok ok)", block("x = 2; y = 3; rows.append(2)"), fails,
                          block("print(x, 'y' in globals(), rows, len(session_history))"), "FINAL(ok ok)"]), verbose=False)
    session = rlm.start_session()
    session.chat("First.")
    before = session[-1].messages
    with pytest.raises(type(fails)) as e: session.chat("Second.")
    assert (len(session), session[-1].messages, len(session.history)) == (1, before, 2)
    assert [b.code for i in e.value.result.iterations for b in i.code_blocks] == ["x = 2; y = 3; rows.append(2)"]
    result = session.chat("Second, again.")
    assert result.iterations[0].code_blocks[0].result.stdout == "1 False [1, 2] 1\n"

def test_a_turn_with_a_best_answer_is_kept():
    session = scripted(block("x = 1"), "FINAL(perhaps 1)", "FINAL(ok ok)", max_iterations=1).start_session()
    assert session.chat("What?").stop_reason == "max_iterations"
    session.chat("And?")
    assert len(session) == 2

# -- bad input

@pytest.mark.parametrize("prompt, says", [
    ("", "is empty"), ({"a": 1}, 'completion("your question", context=data)'),
    ([{"role": "user", "content": "hi"}], "not a list of messages"),
    ([1, 2], "must be a text"), (None, "must be a text")])
def test_bad_prompts_cost_nothing_and_change_nothing(prompt, says):
    lm = ScriptedLM(["FINAL(ok ok)"])
    session = RLM(lm, verbose=False).start_session()
    with pytest.raises(ConfigurationError, match=None) as e: session.chat(prompt)
    assert says in str(e.value) and not lm.calls and len(session) == 0

@pytest.mark.slow
def test_large_and_odd_data():
    text = "x" * 50_000_000
    session = scripted(block("print(len(context), context is session_context_0)"), "FINAL(ok ok)").start_session()
    assert session.chat("How long?", text).iterations[0].code_blocks[0].result.stdout == "50000000 True\n"
    session = scripted(block("print(len(context))"), "FINAL(ok ok)").start_session()
    result = session.chat("Do it. " + text)
    assert result.iterations[0].code_blocks[0].result.stdout == f"{len(text) + 7}\n"
    assert len(result.messages[5]["content"]) < 5_000

def test_closed():
    rlm = scripted("FINAL(ok ok)", persistent=True)
    session = rlm.start_session()
    session.chat("Hi.")
    rlm.close()
    rlm.close()
    uses = lambda: session.chat("Hi."), lambda: rlm.completion("Hi."), rlm.start_session, lambda: rlm.preview("Hi.")
    for use in uses:
        with pytest.raises(RLMError, match="closed. Make a new one"): use()
    assert session.history[-1]["content"] == "ok ok"
    session.reset()

# -- persistence

def test_persistence_over_http():
    def model(body):
        task = asked(body)
        if "x = 500" in task: return block("x = 500\nFINAL('set')")
        assert "x: int = 500" in body["messages"][-1]["content"]
        return block("x = x * 2\nFINAL(x)")
    with ChatServer(model) as s:
        rlm = rlm_for(s, persistent=True)
        rlm.completion("Set x = 500 in the repl")
        assert rlm.completion("Read the value of x from the repl, and double it.").response == "1000"
    assert len(s.messages[1]) == len(s.messages[0])

def test_functions_classes_and_data_of_an_earlier_run():
    define = "class P:\n    n = 1\ndef ask(q): return llm_query(q) + str(len(context)) + str(P.n)\nkept = context"
    use = "import pickle\np = pickle.loads(pickle.dumps(P()))\nFINAL([ask('?'), kept, p.n])"
    rlm = scripted(block(define), "FINAL(ok ok)", block(use), "sub", persistent=True)
    rlm.completion("One.", context="first")
    result = rlm.completion("Two.", context="second!")
    assert result.value == ["sub71", "first", 1] and result.usage.calls == 2

def test_an_escaped_helper_works_in_the_next_run_and_not_between():
    rlm = scripted(block("f = llm_query\nFINAL(f)"), block("print(f('?'))"), "FINAL(ok ok)", persistent=True)
    f = rlm.completion("One.").value
    with pytest.raises(RunEndedError): f("?")
    assert "RunEndedError" in rlm.completion("Two.").iterations[0].code_blocks[0].result.error

def test_output_of_an_earlier_runs_thread_goes_nowhere():
    talk = ("import threading, time\nstop = []\ndef talk():\n    while not stop: print('late'); time.sleep(0.02)\n"
            "t = threading.Thread(target=talk); t.start()")
    end = "import time; time.sleep(0.2); print('mine'); stop.append(1); t.join()"
    rlm = scripted(block(talk), "FINAL(ok ok)", block(end), "FINAL(ok ok)", persistent=True)
    rlm.completion("One.")
    assert rlm.completion("Two.").iterations[0].code_blocks[0].result.stdout == "mine\n"

def test_what_is_held_is_freed():
    class Big: pass
    for free in ("close", "with", "drop"):
        big = Big()
        ref = weakref.ref(big)
        rlm = scripted(block("kept = context"), "FINAL(ok ok)", persistent=True)
        rlm.completion("Keep it.", context=big)
        rlm.last_result = None
        del big
        gc.collect()
        assert ref() is not None
        if free == "close": rlm.close()
        elif free == "with":
            with rlm: pass
        del rlm
        gc.collect()
        assert ref() is None, free

# -- one at a time

@pytest.mark.slow
def test_threads_take_turns():
    def slow(body):
        time.sleep(0.05)
        return block("n = n + 1 if 'n' in globals() else 1\nimport time; seen = n; time.sleep(0.02)\nFINAL([n, seen])")
    with ChatServer(slow) as s:
        rlm = rlm_for(s, persistent=True)
        results = []
        threads = [threading.Thread(target=lambda: results.append(rlm.completion("Count.").value)) for _ in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert sorted(results) == [[i, i] for i in range(1, 9)]
        session, answers = rlm.start_session(), []
        threads = [threading.Thread(target=lambda: answers.append(session.chat("Count."))) for _ in range(5)]
        for t in threads: t.start()
        for t in threads: t.join()
    assert sorted(a.value[0] for a in answers) == [9, 10, 11, 12, 13] and len(session) == 5
    assert [len(r.messages) for r in session] == sorted({len(r.messages) for r in session})

def test_tasks_on_one_session_are_not_mixed():
    session = scripted(*[block(f"n = {i}\nFINAL(n)") for i in range(4)]).start_session()
    async def main(): return await asyncio.gather(*(asyncio.to_thread(session.chat, f"Turn {i}.") for i in range(4)))
    assert sorted(r.value for r in asyncio.run(main())) == [0, 1, 2, 3] and len(session.history) == 8

@pytest.mark.parametrize("call", ["completion('x')", "start_session().chat('x')", "close()"])
def test_the_code_of_a_run_cannot_call_its_own_rlm(call):
    holder = {}
    tools = {"me": lambda: holder["rlm"]}
    rlm = scripted(block(f"me().{call}"), "FINAL(ok ok)", persistent=True, custom_tools=tools)
    holder["rlm"] = rlm
    assert "is running the code that calls it" in rlm.completion("Go.").iterations[0].code_blocks[0].result.error

def test_two_sessions_on_one_persistent_rlm():
    look = "print(x, session_context_0, 'session_context_1' in globals())"
    rlm = scripted(block("x = 1"), "FINAL(ok ok)", block(look), "FINAL(ok ok)",
                   block("print(session_context_0, session_context_1)"), "FINAL(ok ok)", persistent=True)
    a, b = rlm.start_session(), rlm.start_session()
    a.chat("a1")
    assert b.chat("b1").iterations[0].code_blocks[0].result.stdout == "1 b1 False\n"
    assert a.chat("a2").iterations[0].code_blocks[0].result.stdout == "a1 a2\n"

# -- Ctrl-C, whenever it comes

def state(): return sys.stdin, sys.stdout, sys.stderr, threading.Thread.start, signal.getsignal(signal.SIGINT)
def ctrl_c(*_) -> None: signal.raise_signal(signal.SIGINT)

def a_turn(press=lambda event: None, profile=None):
    "A turn that `press` hears of: was it interrupted, and what is left of it, which must be whole."
    before, log, interrupted = state(), RLMLogger(), False
    def heard(event):
        log(event)
        press(event)
    rlm = RLM(ScriptedLM([block("x = 1\nprint(x)"), "FINAL(x)"]), logger=heard)
    session = rlm.start_session()
    try:
        sys.setprofile(profile)
        try: session.chat("go", context=[1, 2])
        finally: sys.setprofile(None)
    except KeyboardInterrupt: interrupted = True
    result, kinds = rlm.last_result, [e["type"] for e in log.entries]
    assert state() == before
    assert not any("live view" in thread.name for thread in threading.enumerate())  # of the live view
    if kinds: assert result is not None and kinds[-1] == "run_end"
    assert len(session) == (result is not None and result.stop_reason == "final")
    return interrupted, result and result.stop_reason

EVENTS = "RunStarted", "ModelAsked", "ModelReplied", "BlockStarted", "BlockEnded", "IterationEnded", "RunEnded"

@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("when", EVENTS)
def test_a_stop_while_a_step_is_told(when, times):
    def press(event):
        for _ in range(times if type(event).__name__ == when else 0): ctrl_c()
    assert a_turn(press) == (True, "final" if when == "RunEnded" else "interrupted")

class Ending(LocalEnvironment):
    "Ctrl-C comes while the environment finishes a run."
    def end(self, keep=True):
        ctrl_c()
        super().end(keep)
        ctrl_c()

@pytest.mark.parametrize("reply, stop_reason", [("FINAL(1)", "final"), (lambda m: ctrl_c(), "interrupted"),
                                                (lambda m: 1 / 0, "error")])
def test_a_stop_while_the_environment_ends_a_run(reply, stop_reason):
    rlm = RLM(ScriptedLM([reply]), environment=Ending, verbose=False)
    before = state()
    with pytest.raises(KeyboardInterrupt): rlm.completion("go", context=1)
    assert (rlm.last_result.stop_reason, state()) == (stop_reason, before)

def test_a_stop_while_the_first_request_is_made():
    class Slow:
        shape = property(ctrl_c)
    rlm = scripted("FINAL(1)")
    with pytest.raises(KeyboardInterrupt) as e: rlm.completion("go", context=Slow())
    assert e.value.result is rlm.last_result and e.value.result.stop_reason == "interrupted"

def test_a_second_ctrl_c_later_on_does_not_wait(monkeypatch):
    monkeypatch.setattr(InterruptGate, "patience", 0.01)
    went_on = []
    def hangs(event):
        if type(event).__name__ != "RunEnded": return
        ctrl_c()
        time.sleep(0.1)
        ctrl_c()
        went_on.append(event)
    with pytest.raises(KeyboardInterrupt): RLM(ScriptedLM(["FINAL(1)"]), logger=hangs, verbose=False).completion("go")
    assert went_on == []

def test_a_stop_while_waiting_for_the_turn_of_another_thread():
    entered, go_on = threading.Event(), threading.Event()
    def slow(messages):
        entered.set()
        return go_on.wait(60) and "FINAL(1)"
    session = scripted(slow, "FINAL(2)").start_session()
    other = threading.Thread(target=session.chat, args=["first"])
    other.start()
    assert entered.wait(60)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt): session.chat("second")
    go_on.set()
    other.join(60)
    assert [turn.prompt for turn in session] == ["first"] and session.chat("third").response == "2"

class At:
    "A profiler that presses Ctrl-C at some of the points where Python looks for it: where functions are entered and left."
    def __init__(self, *points): self.points, self.passed = points, 0
    def __call__(self, frame, event, arg):
        if event not in ("call", "c_return"): return
        self.passed += 1
        if self.passed in self.points: ctrl_c()

@pytest.mark.slow
@pytest.mark.parametrize("again", [0, 40])
def test_a_stop_at_any_point(again):
    a_turn(profile=(whole := At()))
    reasons = Counter()
    gc.disable()  # the finalizers of earlier runs can't raise
    try:
        for n in range(1, whole.passed, 29): reasons[a_turn(profile=At(n, n + again))] += 1
    finally: gc.enable()
    assert reasons[True, "interrupted"] > 40 and reasons[True, "final"] > 3
    assert reasons.keys() <= {(True, "interrupted"), (True, "final"), (True, None), (False, "final")}

@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("listens", [False, True])
def test_a_session_that_is_dropped_is_collected_with_its_data(depth, listens):
    "Also where a listener keeps what it heard, which leads to the run."
    class Data(list): "Something that can be referred to weakly."
    listener = [].append if listens else None
    rlm, data = RLM(ScriptedLM([block("x = context"), "FINAL(1)"]), max_depth=depth, verbose=False, logger=listener), Data()
    session = rlm.start_session()
    session.chat("Go.", context=data)
    seen = weakref.ref(data)
    del session, data, rlm, listener
    for _ in range(2): gc.collect()  # first the environment, which takes its module out of `sys.modules`; then that
    assert seen() is None
