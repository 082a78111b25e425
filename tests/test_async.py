"""`acompletion`, `achat` and `stream`: in event loops, threads and real kernels, and when they are given up."""
import asyncio, contextlib, gc, threading, time

import openai, pytest  # the client takes longer to import than some tests wait
from rlm import RLM
from rlm.events import *
from rlm.lm import ScriptedLM
from rlm.types import *
from server import HANG, ChatServer
from test_subcalls import code_then_answer, first_block, rlm_for

LOOP = "```repl\nwhile True: pass\n```"
LOOK = "```repl\nprint(len(context))\n```"
STUBBORN = "while True:\n    try: llm_query('x')\n    except BaseException: pass"

def scripted(*replies, **options) -> RLM: return RLM(ScriptedLM(list(replies)), verbose=False, **options)

# -- awaiting

@pytest.mark.slow
def test_fifty_at_once_overlap():
    reply = code_then_answer("print(llm_query('hi'))")
    async def all_of_them(rlm):
        return await asyncio.gather(*[rlm.acompletion("go", context=i) for i in range(50)])
    with ChatServer(reply, delay=0.2) as s:
        results = asyncio.run(all_of_them(rlm_for(s)))
        most = s.most
    assert [r.response for r in results] == ["done"] * 50
    assert all(first_block(r).stdout == "yes\n" for r in results)
    assert len(s.requests) == 150 and most > 25

@pytest.mark.slow
def test_the_loop_stays_free_while_models_answer_and_blocks_run():
    async def ticks_during(run):
        task, ticks = asyncio.ensure_future(run), 0
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks
    with ChatServer(["```repl\nimport time\ntime.sleep(0.5)\n```", "FINAL(done it)"], delay=0.3) as s:
        assert asyncio.run(ticks_during(rlm_for(s).acompletion("go", context=1))) > 30

def test_bad_input_and_failing_servers_raise_where_it_is_awaited():
    with pytest.raises(ConfigurationError, match="must be a text"): asyncio.run(scripted().acompletion([1]))
    with pytest.raises(LMServerError, match="503") as e:
        asyncio.run(scripted(LOOK, LMServerError("503")).acompletion("go", context="abc"))
    assert first_block(e.value.result).stdout == "3\n"

def test_limits_and_types_hold_for_awaited_runs():
    with pytest.raises(TimeoutExceededError): asyncio.run(scripted(LOOP, max_timeout=0.3).acompletion("go", context=1))
    assert asyncio.run(scripted("FINAL(42)").acompletion("?", output_type=int)).value == 42

def test_a_session_awaits_its_turns_in_order():
    async def talk():
        with ChatServer(["FINAL(Blue)", "FINAL(the sky is blue)"], delay=0.1) as s:
            session = rlm_for(s).start_session()
            results = await asyncio.gather(session.achat("Pick a color."), session.achat("Why that one?"))
            return session, results, s.messages
    session, results, sent = asyncio.run(talk())
    assert sorted(r.response for r in results) == ["Blue", "the sky is blue"] and len(session) == 2
    assert sent[1][:len(sent[0])] == sent[0]

def test_context_variables_of_the_caller_are_seen():
    import contextvars
    who = contextvars.ContextVar("who", default="nobody")
    async def ask():
        who.set("me")
        rlm = scripted("```repl\nFINAL(name())\n```", custom_tools={"name": lambda: who.get()})
        return await rlm.acompletion("Who?", context=1)
    assert asyncio.run(ask()).value == "me"

# -- giving up

@pytest.mark.slow
@pytest.mark.parametrize("replies", [HANG, LOOP, code_then_answer("llm_query('x')", HANG),
                                     code_then_answer("llm_query_batched(['x'] * 100)", HANG),
                                     code_then_answer(STUBBORN)])
def test_a_cancelled_task_stops_its_run(replies):
    async def give_up(rlm):
        task = asyncio.ensure_future(rlm.acompletion("go", context=1))
        while not s.requests: await asyncio.sleep(0.01)
        await asyncio.sleep(0.4)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
        return time.monotonic() - began
    ours = lambda: {t for t in threading.enumerate() if "process_request" not in t.name}
    before = ours()
    with ChatServer(replies) as s:
        rlm = rlm_for(s)
        assert asyncio.run(give_up(rlm)) < 20  # the server and the loops go on for ever
        time.sleep(0.2)  # what was on its way is there by now
        sent = len(s.requests)
        time.sleep(0.3)
        assert len(s.requests) == sent
        assert rlm.last_result.stop_reason == "cancelled"
    for t in ours() - before: t.join(60)
    assert not [t for t in ours() - before if t.is_alive()]

def test_a_cancelled_turn_has_not_happened_and_the_session_goes_on():
    async def talk():
        session = scripted("```repl\nx = 1\nwhile True: pass\n```", "FINAL(Blue)").start_session()
        with contextlib.suppress(asyncio.TimeoutError): await asyncio.wait_for(session.achat("Loop."), 0.4)
        return session, await session.achat("Pick a color.")
    session, result = asyncio.run(talk())
    assert result.response == "Blue" and len(session) == 1

def test_cancelling_frees_a_persistent_repl():
    async def ask():
        rlm = scripted(LOOP, "```repl\nFINAL(7)\n```", persistent=True)
        with contextlib.suppress(asyncio.TimeoutError): await asyncio.wait_for(rlm.acompletion("Loop."), 0.4)
        return await rlm.acompletion("Seven?")
    assert asyncio.run(ask()).value == 7

# -- streams

def kinds(events): return [type(e).__name__ for e in events]
ALL = ["RunStarted", "ModelAsked", "ModelReplied", "BlockStarted", "BlockEnded", "IterationEnded",
       "ModelAsked", "ModelReplied", "IterationEnded", "RunEnded"]

def test_every_event_in_order_both_ways():
    async def follow(stream): return [e async for e in stream]
    for follow_it in (list, lambda stream: asyncio.run(follow(stream))):
        with ChatServer([LOOK, "FINAL(three)"]) as s:
            stream = rlm_for(s).stream("How long?", context="abc")
            events = follow_it(stream)
        assert kinds(events) == ALL and stream.result is events[-1].result and stream.result.response == "three"

def test_the_best_answer_has_no_number():
    with ChatServer([LOOK, "FINAL(three)"]) as s: events = list(rlm_for(s, max_iterations=1).stream("How long?", context="abc"))
    assert [e.iteration for e in events if type(e).__name__ in ("ModelAsked", "ModelReplied")] == [1, 1, None, None]
    assert [e.number for e in events if type(e).__name__ == "IterationEnded"] == [1, None]
    assert kinds(events)[-2:] == ["Notice", "RunEnded"] and "max_iterations=1" in events[-2].text

def test_events_come_as_they_happen():
    with ChatServer([LOOK, "FINAL(three)"]) as s:
        stream = rlm_for(s).stream("How long?", context="abc")
        assert not s.requests
        assert kinds([next(stream), next(stream)]) == ["RunStarted", "ModelAsked"] and not s.requests
        assert kinds([next(stream)]) == ["ModelReplied"] and len(s.requests) == 1
        stream.close()
    assert len(s.requests) == 1 and stream.result.stop_reason == "cancelled"

def test_sub_calls_are_in_the_stream():
    with ChatServer(code_then_answer("llm_query_batched(['a', 'b'])")) as s:
        events = list(rlm_for(s).stream("go", context=1))
    assert kinds(events).count("SubCallEnded") == 2

def test_leaving_a_loop_frees_the_repl():
    rlm = scripted(LOOK, "FINAL(Blue)", persistent=True)
    for event in rlm.stream("go", context=[1]): break
    gc.collect()
    assert rlm.last_result.stop_reason == "cancelled"
    rlm.lm.replies[:] = ["FINAL(Blue)"]
    assert rlm.completion("Pick a color.").response == "Blue"

def test_a_stream_that_is_left_and_held_is_said_to_be_in_the_way():
    rlm = scripted(LOOK, "FINAL(Blue)", persistent=True)
    stream = rlm.stream("go", context=[1])
    for event in stream: break
    with pytest.raises(RLMError, match="call its close"): rlm.completion("again")
    stream.close()
    rlm.lm.replies[:] = ["FINAL(Blue)"] * 3
    assert rlm.completion("again").response == "Blue"

@pytest.mark.parametrize("persistent", [False, True])
def test_closing_an_rlm_whose_stream_was_left(persistent):
    with scripted(LOOK, "FINAL(Blue)", persistent=persistent) as rlm:
        stream = rlm.stream("go", context=[1])
        for event in stream: break
    stream.close()
    assert stream.result.stop_reason == "cancelled"

def test_two_streams_into_one_log(tmp_path):
    from rlm import RLMLogger, read_log
    logger = RLMLogger(tmp_path)
    replies = lambda x: [f"```repl\nprint('{x}')\n```", f"FINAL({x} it is)"]
    streams = [scripted(*replies(x), logger=logger).stream(f"question {x}", context=1) for x in "ab"]
    for _ in zip(*streams): pass
    for s in streams: list(s._events)
    runs = read_log(logger.path)
    assert [(r.prompt, r.result.response, r.result.iterations[0].code_blocks[0].result.stdout) for r in runs] == [
        ("question a", "a it is", "a\n"), ("question b", "b it is", "b\n")]

def ends_as_cancelled(rlm, seconds=5):
    end = time.monotonic() + seconds
    while rlm.last_result is None and time.monotonic() < end: time.sleep(0.02)
    assert rlm.last_result.stop_reason == "cancelled"

def test_a_coroutine_that_is_closed(recwarn):
    rlm = scripted(LOOP)
    async def close_it():
        coroutine = rlm.acompletion("go")
        coroutine.send(None)
        coroutine.close()
    asyncio.run(close_it())
    ends_as_cancelled(rlm)
    assert not recwarn.list

def test_leaving_an_async_loop_stops_the_run():
    async def leave(rlm):
        async for event in rlm.stream("go", context=1):
            if isinstance(event, BlockStarted): break
        await asyncio.to_thread(ends_as_cancelled, rlm)
    rlm = scripted(LOOP)
    asyncio.run(leave(rlm))

def test_an_error_comes_after_the_last_event():
    async def follow(stream, heard):
        async for e in stream: heard.append(e)
    for way in ("for", "async for"):
        heard, stream = [], scripted(LOOK, LMServerError("503")).stream("go", context="abc")
        with pytest.raises(LMServerError):
            if way == "for":
                for e in stream: heard.append(e)
            else: asyncio.run(follow(stream, heard))
        assert kinds(heard)[-1] == "RunEnded" and stream.result.stop_reason == "error"

def test_a_stream_in_a_thread():
    heard = []
    t = threading.Thread(target=lambda: heard.extend(scripted("FINAL(Blue)").stream("Pick.")))
    t.start(); t.join()
    assert kinds(heard)[-1] == "RunEnded"

# -- in a kernel

def test_awaiting_at_the_top_level_of_a_cell(k):
    k.ok("""
        import threading, asyncio
        look = "where = threading.current_thread() is threading.main_thread()"
        rlm = scripted(look, "FINAL(done it)", sync_to_user_ns=True, **READ)
        result = await rlm.acompletion("Go.")""".replace("\n        ", "\n"))
    assert k.value("where") is True
    assert k.value("(await scripted('FINAL(Blue)').start_session().achat('Pick a color.')).response") == "Blue"
    assert k.value("[type(e).__name__ async for e in scripted('FINAL(Blue)').stream('Pick.')][-1]") == "RunEnded"

def test_awaited_runs_share_the_notebook_and_get_its_tasks_done(k):
    k.ok("""
        import asyncio
        class Slow(ScriptedLM):
            def complete(self, messages):
                time.sleep(0.3)
                return super().complete(messages)
        import time
        ticks = 0
        async def tick():
            global ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1
        ticking = asyncio.ensure_future(tick())
        kwargs = dict(environment="jupyter", environment_kwargs=BOTH, verbose=False)
        runs = [RLM(Slow([block(f"n{i} = {i}"), "FINAL(done it)"]), **kwargs) for i in range(4)]
        results = await asyncio.gather(*[r.acompletion("Go.") for r in runs])
        _ = ticking.cancel()""".replace("\n        ", "\n"))
    assert k.value("[n0, n1, n2, n3]") == [0, 1, 2, 3]
    assert k.value("ticks") > 10

def test_interrupting_a_cell_that_awaits(k):
    cell = k.start("import time\nrlm = scripted('while True: pass')\nrlm.lm.complete = lambda m: time.sleep(60)\n"
                   "print('begun')\nawait rlm.acompletion('Go.')")
    k.listen(cell, lambda c: "begun" in c.stdout)
    time.sleep(0.5)
    began = time.monotonic()
    k.manager.interrupt_kernel()
    k.finish(cell)
    assert time.monotonic() - began < 20 and cell.error.split(":")[0] in ("KeyboardInterrupt", "CancelledError")
    assert k.value("1 + 1") == 2

@pytest.mark.parametrize("awaited", ["one(0)", "asyncio.gather(one(0))", "asyncio.gather(*map(one, range(3)))", "asyncio.wait_for(one(0), 60)",
                                     "asyncio.gather(asyncio.create_task(wrapped(0)), wrapped(1), return_exceptions=True)"])
def test_an_interrupt_in_a_block_of_an_awaited_run_ends_the_cell_and_not_the_kernel(k, awaited):
    k.ok("import asyncio\n"
         "def one(n): return scripted('import time; time.sleep(60)').acompletion('Go.')\n"
         "async def wrapped(n): return await one(n)")
    cell = k.start(f"print('begun')\nawait {awaited}")
    k.listen(cell, lambda c: "begun" in c.stdout)
    time.sleep(1.5)
    k.interrupt()
    k.finish(cell, timeout=15)
    assert cell.error.split(":")[0] in ("KeyboardInterrupt", "CancelledError")
    assert k.value("[t.get_coro().__name__ for t in asyncio.all_tasks() if 'completion' in str(t) or 'wrapped' in str(t)]") == []
    assert k.value("1 + 1") == 2

def test_chat_while_achat_is_on_is_refused(k):
    k.ok("""
        import asyncio, time
        script = ScriptedLM([lambda m: time.sleep(1) or block("x = 1"), "FINAL(done it)"])
        session = RLM(script, environment="jupyter", verbose=False).start_session()
        task = asyncio.ensure_future(session.achat("Go."))
        await asyncio.sleep(0.3)""".replace("\n        ", "\n"))
    assert "An awaited run is at work" in k.run("session.chat('Me too.')").error
    assert k.value("(await task).response") == "done it"

def test_waiting_for_an_awaited_run_on_its_own_loop_is_refused(k):
    k.ok("""
        import asyncio
        import time
        script = ScriptedLM([lambda m: time.sleep(1) or block("x = 1"), "FINAL(done it)", "FINAL(done it)"])
        rlm = RLM(script, environment="jupyter", persistent=True, verbose=False)
        task = asyncio.ensure_future(rlm.acompletion("Go."))
        await asyncio.sleep(0.3)""".replace("\n        ", "\n"))
    assert "An awaited run is at work" in k.run("rlm.completion('Me too.')").error
    assert k.value("(await task).response") == "done it"

def test_an_interrupt_while_asyncio_is_being_imported(monkeypatch):
    "The module is in `sys.modules` before it has anything in it."
    from types import ModuleType
    from rlm.environments.stopping import running_loop
    monkeypatch.setitem(__import__("sys").modules, "asyncio", ModuleType("asyncio"))
    assert running_loop() is None
