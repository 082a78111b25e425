"""`rlm.map`: many prompts on threads, after crashes, with limits, in event loops and in real kernels."""
import asyncio, gc, itertools, json, os, re, signal, subprocess, sys, threading, time, weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import openai, pandas as pd, pytest  # the client takes longer to import than some tests wait
from rlm import RLM, read_log
from rlm.lm import ScriptedLM
from rlm.tasks import time_left
from rlm.types import *
from server import ChatServer, Http, task_at
from test_live import html, in_terminal, watched

COUNT = "```repl\nFINAL(len(context))\n```"

def question(body) -> str:
    "The question of a run that a request belongs to."
    return body["messages"][task_at(body)]["content"].partition("Task: ")[2].partition("\n")[0]

def asked(s) -> Counter:
    "How often each question was asked of a server."
    return Counter(question(r.body) for r in s.requests)

def on(s, **options) -> RLM:
    kw = {"model_name": "m", "base_url": s.base_url, "prices": {"input": 1, "output": 1}, "max_retries": 0}
    return RLM(backend_kwargs=kw, verbose=False, **options)

class Echo:
    "Answers with the question's number; a script."
    model, priced = "echo", True
    def __init__(self, seconds=0.0): self.seconds, self.asked = seconds, []
    def complete(self, messages):
        time.sleep(self.seconds)
        self.asked.append(messages[-1]["content"])
        return Reply(f"FINAL({self.asked[-1].split('#')[1].split()[0]})", usage=Usage(10, 0, 1, 0.01))

def numbered(n, start=0): return [f"What is #{i} ?" for i in range(start, start + n)]

# -- an iterator

def test_the_order_is_that_of_the_prompts_or_of_the_answers():
    def reply(body):
        n = int(question(body).split("#")[1].split()[0])
        return Http(body=json.loads(json.dumps({"choices": [{"message": {"content": f"FINAL({n})"}}]})), delay=0.4 if n == 0 else 0)
    with ChatServer(reply) as s:
        assert [i.value for i in on(s).map(numbered(12))] == list(range(12))
        found = [i.value for i in on(s).map(numbered(12), ordered=False)]
    assert sorted(found) == list(range(12)) and found[-1] == 0

def test_a_generator_is_not_read_far_ahead_and_what_was_handed_over_is_forgotten():
    read = []
    def prompts():
        for i in itertools.count():
            read.append(i)
            yield f"What is #{i} ?"
    class Data:
        def __init__(self): alive.add(self)
    alive, contexts = weakref.WeakSet(), (Data() for _ in itertools.count())
    items = RLM(Echo(), verbose=False).map(prompts(), contexts=contexts, max_concurrent=2)
    for _, item in zip(range(50), items): pass
    del item
    gc.collect()
    assert len(read) <= 51 + 20
    assert len(alive) <= 21 + 2
    items.close()
    assert len(list(items)) <= 20  # those that were finished

def test_a_slow_first_item_holds_back_no_more_than_ten_times_what_is_at_work():
    release, begun = threading.Event(), []
    class First:
        model = "first"
        def complete(self, messages):
            begun.append(messages[-1]["content"])
            if "#0 " in begun[-1]: release.wait(20)
            return "FINAL(done)"
    items = RLM(First(), verbose=False).map(numbered(1_000), max_concurrent=2)
    reader = threading.Thread(target=lambda: got.append(next(items)))
    got = []
    reader.start()
    while len(begun) < 20: time.sleep(0.01)
    time.sleep(0.2)
    assert len(begun) == 20 and not got
    release.set()
    reader.join(20)
    assert got[0].index == 0
    items.close()

def test_errors_stand_beside_their_items():
    def reply(body): return Http(500, {"error": {"message": "broken"}}) if "#3 " in question(body) else "FINAL(1)"
    with ChatServer(reply) as s: items = list(on(s).map(["", *numbered(4, 1), 7]))
    kinds = [type(i.error).__name__ for i in items]
    assert kinds == ["ConfigurationError", "NoneType", "NoneType", "LMServerError", "NoneType", "ConfigurationError"]
    assert "broken" in str(items[3].error) and items[3].value is None and "Item(3" in repr(items[3])

def test_a_context_that_cannot_be_had_is_the_error_of_its_item(tmp_path):
    (tmp_path / "a.txt").write_text("four")
    def gone(): raise OSError("the disk is gone")
    contexts = [tmp_path / "a.txt", tmp_path / "b.txt", gone]
    for log_dir in (None, tmp_path / "logs"):
        if log_dir: contexts = contexts[:2]
        items = list(RLM(ScriptedLM([COUNT] * 3), verbose=False).map("How long?", contexts=contexts, log_dir=log_dir))
        assert items[0].value == 4 and isinstance(items[1].error, ConfigurationError)
        if not log_dir: assert "disk is gone" in str(items[2].error)

def test_a_generator_that_raises_does_so_in_the_loop_and_what_was_asked_can_still_be_had():
    def prompts():
        yield from numbered(3)
        raise OSError("no more lines")
    items = RLM(Echo(), verbose=False).map(prompts())
    with pytest.raises(OSError, match="no more lines"): next(items)
    assert [i.value for i in items] == [0, 1, 2]

def test_leaving_the_loop_stops_what_is_under_way():
    echo = Echo(0.05)
    for item in RLM(echo, verbose=False).map(numbered(1_000), max_concurrent=2): break
    del item
    gc.collect()
    until = time.monotonic() + 20
    while time.monotonic() < until and any(t.name.startswith("rlm map") for t in threading.enumerate()): time.sleep(0.05)
    n = len(echo.asked)
    time.sleep(0.3)
    assert len(echo.asked) == n < 100
    assert not [t for t in threading.enumerate() if t.name.startswith("rlm map")]

def test_nothing_is_asked_where_the_call_makes_no_sense(tmp_path):
    echo = Echo()
    rlm = RLM(echo, verbose=False)
    for given, told in [(dict(prompts="one"), "contexts=things"), (dict(prompts=["a"], contexts=["x", "y"]), "1 prompts and 2 contexts"),
                        (dict(prompts=["a"], context=1, contexts=[1]), "Give context"), (dict(prompts=["a"], executor=4), "Executor"),
                        (dict(prompts=["a"], max_concurrent=0), "max_concurrent"), (dict(prompts=["a"], max_tokens=-1), "max_tokens"),
                        (dict(prompts=["a"], output_type=7), "output_type"), (dict(prompts={"a": 1}), "a list"), (dict(prompts=3), "a list"),
                        (dict(prompts=pd.DataFrame({"a": [1]})), "a list"), (dict(prompts=["a"], log_dir=Path(__file__)), "log_dir is a folder")]:
        with pytest.raises(ConfigurationError, match=told): rlm.map(**given)
    with pytest.raises(ConfigurationError, match="a_named_function"):
        list(rlm.map("Long?", contexts=[lambda: 1], log_dir=tmp_path))
    with pytest.raises(ConfigurationError, match="keeps one REPL"): RLM(Echo(), persistent=True, verbose=False).map(["a"])
    with pytest.raises(RLMError, match="closed"):
        with RLM(Echo(), verbose=False) as gone: pass
        gone.map(["a"])
    assert not echo.asked

def test_the_models_own_code_must_not_call_it():
    rlm = RLM(ScriptedLM(["```repl\nask(['a'])\n```", "FINAL(1)"]), verbose=False, custom_tools={"ask": lambda p: rlm.map(p)})
    assert "running the code that calls it" in rlm.completion("go").iterations[0].code_blocks[0].result.error

# -- tables

def test_a_frame_has_the_index_of_the_rows_and_all_columns():
    df = pd.DataFrame({"text": ["a", "bb", "ccc"], "day": pd.to_datetime(["2026-01-01"] * 3)}, index=["x", "y", "z"])
    code = '```repl\nassert str(context["day"].date()) == "2026-01-01"\nFINAL(len(context["text"]))\n```'
    frame = RLM(ScriptedLM([code] * 3), verbose=False).map("How long?", contexts=df, ordered=False).to_frame()
    assert frame.loc[["x", "y", "z"], "value"].tolist() == [1, 2, 3]
    assert {"answer", "error", "cost", "tokens", "seconds", "iterations", "log"} <= set(frame.columns)
    assert list(RLM(Echo(), verbose=False).map([]).to_frame().columns) == list(frame.columns)
    asked = pd.Series(numbered(2), index=["p", "q"])
    assert RLM(Echo(), verbose=False).map(asked).to_frame().value.to_dict() == {"p": 0, "q": 1}
    assert RLM(Echo(), verbose=False).map(["What is #5 ?"] * 3, contexts=df["text"]).to_frame().index.tolist() == ["x", "y", "z"]

# -- limits

@pytest.mark.parametrize("limit", [{"max_tokens": 100}, {"max_budget": 0.095}])
def test_a_limit_of_the_whole_ends_the_asking_and_every_prompt_has_an_item(limit):
    echo = Echo()
    items = RLM(echo, verbose=False).map(numbered(50), max_concurrent=3, **limit)
    found = list(items)
    assert len(found) == 50 and [i.index for i in found] == list(range(50))
    answered = [i for i in found if not i.error]
    assert len(answered) == len(echo.asked) and 10 <= len(answered) <= 12  # ten are paid for, two may be under way
    assert {type(i.error) for i in found[12:]} <= {TokenLimitExceededError, BudgetExceededError}
    name, n = next(iter(limit.items()))
    assert f"Not asked: the map has come to {name}={n}" in str(found[-1].error)
    assert items.usage.calls == len(echo.asked)

def test_an_item_may_use_what_is_left_of_the_whole_and_no_more_than_its_own_limit():
    class Asks:
        model = "asks"
        def complete(self, messages): return Reply(f"```repl\nprint({len(messages)})\n```", usage=Usage(9, 1, 1))
    rlm = RLM(Asks(), max_iterations=1_000, max_tokens=60, verbose=False)
    items = list(rlm.map(["a", "b", "c"], max_tokens=100, max_concurrent=1))
    assert [i.usage.total_tokens for i in items] == [60, 40, 0]

def test_the_time_of_the_whole():
    with ChatServer(lambda body: "FINAL(1)", delay=0.3) as s:
        began = time.monotonic()
        items = list(on(s).map(numbered(500), max_timeout=4, max_concurrent=2))
    assert time.monotonic() - began < 30 and 0 < sum(i.error is None for i in items) < 50
    assert {type(i.error) for i in items if i.error} == {TimeoutExceededError}

def test_failures_in_a_row():
    with ChatServer(Http(401, {"error": {"message": "who are you?"}})) as s:
        items = list(on(s).map(numbered(200), max_errors=5, max_concurrent=1))
        assert len(s.requests) == 5
    assert isinstance(items[4].error, LMAuthenticationError) and isinstance(items[5].error, ErrorThresholdExceededError)

@pytest.mark.parametrize("at_once", [1, 8])
def test_the_time_that_is_left_is_about_right(at_once):
    import random, heapq
    rng = random.Random(0)
    lasts = [rng.choice([0.5, 1, 1, 1, 6]) for _ in range(400)]  # now and then a long one
    places, ends = [0.0] * at_once, []
    for seconds in lasts:
        ends.append(heapq.heappop(places) + seconds)
        heapq.heappush(places, ends[-1])
    over = max(ends)
    for share in (0.1, 0.3, 0.5, 0.8):
        now = over * share
        done = [(end, seconds) for end, seconds in zip(ends, lasts) if end <= now]
        left = time_left(400 - len(done), at_once, len(done), sum(s for _, s in done), now)
        assert abs(left - (over - now)) < 0.25 * over, (share, left, over - now)

# -- going on

def test_what_is_finished_is_read_and_what_changed_or_failed_is_asked(tmp_path):
    broken = True
    def reply(body): return Http(500) if broken and "#2 " in question(body) else COUNT
    with ChatServer(reply) as s:
        rlm, contexts = on(s), ["a", "bb", "ccc"]
        ask = lambda c=contexts, r=rlm, p=numbered(3), **k: list(r.map(p, contexts=c, log_dir=tmp_path, **k))
        first = ask()
        assert [i.value for i in first] == [1, 2, None]
        broken = False
        n = len(s.requests)
        second = ask(ordered=False)
        assert len(s.requests) == n + 1 and {i.value for i in second} == {1, 2, 3}
        items = sorted(ask(), key=lambda i: i.index)
        assert len(s.requests) == n + 1 and all(i.reused for i in items)
        assert [i.result.iterations for i in items][:2] == [i.result.iterations for i in first][:2]
        assert items[0].usage == first[0].usage
        assert [i.value for i in ask(["a", "changed", "ccc"])] == [1, 7, 3] and len(s.requests) == n + 2
        assert ask(r=on(s, max_iterations=7, max_tokens=10**6))[0].reused
        assert not ask(r=on(s, custom_system_prompt="Be brief. {tools}"))[0].reused
        assert not ask(output_type=int)[0].reused

def test_the_same_prompt_twice_has_two_answers(tmp_path):
    rlm = RLM(ScriptedLM(["FINAL(Red)", "FINAL(Blue)"]), verbose=False)
    ask = lambda n: sorted(i.value for i in rlm.map(["Pick a color."] * n, log_dir=tmp_path, max_concurrent=1))
    assert ask(2) == ["Blue", "Red"] == ask(2)
    assert [type(i.error) for i in rlm.map(["Pick a color."] * 3, log_dir=tmp_path)][:2] == [type(None)] * 2

def test_typed_answers_come_back_as_what_they_were(tmp_path):
    from dataclasses import dataclass
    @dataclass
    class City:
        name: str
        people: int
    script = lambda: RLM(ScriptedLM(['FINAL({"name": "Lima", "people": 10})']), verbose=False)
    first = next(script().map(["Largest?"], output_type=City, log_dir=tmp_path))
    again = next(script().map(["Largest?"], output_type=City, log_dir=tmp_path))
    assert first.value == again.value == City("Lima", 10) and again.reused

def test_what_a_log_cannot_hold_is_told_by_its_text(tmp_path):
    rlm = RLM(ScriptedLM(["```repl\nFINAL(object)\n```"]), verbose=False)
    assert next(rlm.map(["What?"], log_dir=tmp_path)).value is object
    again = next(rlm.map(["What?"], log_dir=tmp_path))
    assert type(again.value).__name__ == "Missing" and "object" in again.result.response

def test_functions_with_their_arguments_are_recognised(tmp_path):
    rlm = RLM(ScriptedLM([COUNT] * 3), verbose=False)
    ask = lambda *n: [(i.value, i.reused) for i in rlm.map("How long?", contexts=[partial(text_of, x) for x in n], log_dir=tmp_path)]
    assert ask(3, 5) == [(3, False), (5, False)]
    assert ask(5, 4) == [(5, True), (4, False)]

def text_of(n): return "x" * n

def test_a_log_that_somebody_has_spoiled_is_made_anew(tmp_path):
    rlm = RLM(ScriptedLM(["FINAL(1)"] * 3), verbose=False)
    log = Path(next(rlm.map(["What?"], log_dir=tmp_path)).log)
    log.write_text("spoiled")
    item = next(rlm.map(["What?"], log_dir=tmp_path))
    assert not item.reused and read_log(item.log)[0].result.value == 1 and next(rlm.map(["What?"], log_dir=tmp_path)).reused

def test_large_contexts_beside_the_logs_are_not_read_again(tmp_path):
    rlm = RLM(ScriptedLM([COUNT] * 2), verbose=False)
    list(rlm.map(["a?", "b?"], context="x" * 100_000, log_dir=tmp_path))
    for file in tmp_path.glob("context_*"): file.write_text("gone")
    assert all(i.reused and i.value == 100_000 for i in rlm.map(["a?", "b?"], context="x" * 100_000, log_dir=tmp_path))

SCRIPT = """
import sys
from rlm import RLM
rlm = RLM(backend_kwargs={"model_name": "m", "base_url": sys.argv[1], "max_retries": 0}, verbose=False)
if __name__ == "__main__":
    for item in rlm.map([f"What is #{i} ?" for i in range(40)], log_dir=sys.argv[2], max_concurrent=4):
        print(item.index, item.value, item.reused, flush=True)
"""

def start(tmp_path, s):
    (tmp_path / "script.py").write_text(SCRIPT)
    return subprocess.Popen([sys.executable, tmp_path / "script.py", s.base_url, tmp_path / "logs"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_was_killed_is_begun_again_and_pays_for_nothing_twice(tmp_path, how):
    with ChatServer(lambda body: f"FINAL({question(body).split('#')[1].split()[0]})", delay=0.1) as s:
        first = start(tmp_path, s)
        for line in first.stdout:
            if line.startswith("11 "): break
        first.send_signal(how)
        assert first.wait(60) != 0
        kept = {read_log(log)[0].prompt for log in (tmp_path / "logs").glob("*.jsonl") if not log.name.startswith("item_")}
        before = asked(s)
        assert len(kept) >= 12 and len(before) - len(kept) <= 8
        second = start(tmp_path, s)
        told, _ = second.communicate(timeout=60)
        after = asked(s)
    assert second.returncode == 0
    assert [line.split()[:2] for line in told.splitlines()] == [[str(i), str(i)] for i in range(40)]
    assert told.count("True") == len(kept)
    for prompt in numbered(40):
        assert after[prompt] <= 2 and (prompt not in kept or after[prompt] == 1), prompt

# -- Ctrl-C, and event loops

@pytest.mark.slow
def test_ctrl_c_stops_the_runs_and_the_map_goes_on_where_it_was():
    def reply(body):
        if len(s.requests) == 10: os.kill(os.getpid(), signal.SIGINT)
        return f"FINAL({question(body).split('#')[1].split()[0]})"
    with ChatServer(reply, delay=0.15) as s:
        items, found = on(s).map(numbered(30), max_concurrent=3), []
        with pytest.raises(KeyboardInterrupt):
            for item in items: found.append(item)
        time.sleep(0.5)  # what was on its way has come
        n = len(s.requests)
        time.sleep(0.5)
        assert len(s.requests) == n <= 13 and 4 < len(found) < 12
        found += items
        assert [i.value for i in found] == list(range(30)) and not any(i.error for i in found)
        assert len(s.requests) <= 30 + 3

@pytest.mark.slow
def test_what_was_finished_can_be_had_after_the_end():
    over = threading.Event()
    class Second:
        model = "second"
        def complete(self, messages): return "FINAL(1)" if "#1 " not in str(messages) else over.wait(60) and "FINAL(1)"
    items = RLM(Second(), verbose=False).map(numbered(4))
    assert next(items).index == 0
    until = time.monotonic() + 30
    while sum(future.done() for future in items._futures) < 2 and time.monotonic() < until: time.sleep(0.02)
    items.close()
    over.set()
    assert [item.index for item in items] == [2, 3]

def test_whoever_closes_a_map_that_is_read_ends_it():
    class Slow:
        model = "slow"
        def complete(self, messages): return time.sleep(0.02) or "FINAL(1)"
    for _ in range(10):
        items = RLM(Slow(), verbose=False).map(numbered(2_000), max_concurrent=8)
        threading.Timer(0.07, items.close).start()
        assert len(list(items)) < 2_000

def test_an_executor_with_more_places_has_as_many_at_a_time_as_is_said():
    now, most, lock = [0], [0], threading.Lock()
    class Counts:
        model = "counts"
        def complete(self, messages):
            with lock: now[0] += 1; most[0] = max(most[0], now[0])
            time.sleep(0.02)
            with lock: now[0] -= 1
            return "FINAL(1)"
    with ThreadPoolExecutor(16) as executor: list(RLM(Counts(), verbose=False).map(numbered(30), executor=executor, max_concurrent=3))
    assert most[0] <= 3

@pytest.mark.slow
def test_a_frame_goes_on_after_ctrl_c_too():
    class Presses(Echo):
        count = itertools.count()
        def complete(self, messages):
            if next(self.count) == 10: os.kill(os.getpid(), signal.SIGINT)
            return super().complete(messages)
    items = RLM(Presses(0.05), verbose=False).map(numbered(30), max_concurrent=3)
    with pytest.raises(KeyboardInterrupt): items.to_frame()
    assert items.to_frame().value.tolist() == list(range(30))

def test_in_an_event_loop_the_loop_stays_free():
    async def main():
        ticks, found = 0, []
        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1
        ticking = asyncio.ensure_future(tick())
        async for item in RLM(Echo(0.1), verbose=False).amap(numbered(20), max_concurrent=4): found.append(item.value)
        ticking.cancel()
        return ticks, found
    ticks, found = asyncio.run(main())
    assert found == list(range(20)) and ticks > 10

def test_a_cancelled_task_stops_its_runs_and_another_one_goes_on():
    echo, found = Echo(0.05), []
    async def main():
        items = RLM(echo, verbose=False).amap(numbered(40), max_concurrent=2)
        async def through():
            async for item in items: found.append(item.value)
        task = asyncio.ensure_future(through())
        while len(found) < 5: await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.2)
        n = len(echo.asked)
        await asyncio.sleep(0.3)
        assert task.cancelled() and len(echo.asked) == n < 30
        await through()
    asyncio.run(main())
    assert found == list(range(40))

def test_leaving_an_async_loop_ends_the_map():
    echo = Echo(0.05)
    async def main():
        async for item in RLM(echo, verbose=False).amap(numbered(1_000), max_concurrent=2): break
        del item
        gc.collect()
        await asyncio.sleep(0.3)
        n = len(echo.asked)
        await asyncio.sleep(0.3)
        assert len(echo.asked) == n < 50
    asyncio.run(main())

def test_what_stopped_runs_had_spent_is_in_the_accounts():
    class Slow:
        model = "slow"
        def complete(self, messages):
            if len(messages) > 6:
                if next(self.second) == 0: os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)
                return Reply("FINAL(1)", usage=Usage(1, 1, 1))
            return Reply("```repl\nprint(1)\n```", usage=Usage(100, 0, 1))
        second = itertools.count()
    items = RLM(Slow(), verbose=False).map(["a"], max_concurrent=1)
    with pytest.raises(KeyboardInterrupt): next(items)
    assert items.usage.input_tokens >= 100
    spent = items.usage.input_tokens
    assert next(items).usage.input_tokens == 101 and items.usage.input_tokens == spent + 101

# -- the view, in a real kernel and a terminal

CODE = """
import time
from rlm import RLM
class Slow:
    model = "slow"
    def complete(self, messages):
        time.sleep(.2)
        return "FINAL(1)"
rlm = RLM(Slow())
"""

@pytest.mark.slow
def test_a_cell_shows_one_bar_with_the_time_that_is_left_and_keeps_its_line(kernel):
    kernel.ok(CODE)
    cell, seen = watched(kernel, 'items = rlm.map([f"q{i}" for i in range(40)], max_concurrent=4)\nn = len(list(items))')
    assert cell.error is None and len(cell.displays) == 1
    at_work = [re.sub("<[^>]+>", "", page) for pages in seen for page in pages]
    assert any(re.search(r"\d+ of 40 · \d+ s left · 0 tokens · \d+ s", text) for text in at_work), at_work
    assert "40 of 40" in at_work[-1] and "left" not in at_work[-1] and "<svg" not in seen[-1][0]
    assert kernel.ok("n").result == "40"

@pytest.mark.slow
def test_ctrl_c_in_a_cell_settles_the_bar_and_the_next_cell_goes_on(kernel):
    kernel.ok(CODE)
    cell = kernel.start('items, found = rlm.map([f"q{i}" for i in range(30)], max_concurrent=3), []\nfor item in items: found.append(item.index)')
    kernel.listen(cell, lambda c: any("left" in page for page in html(c)))
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.error.startswith("KeyboardInterrupt") and "<svg" not in html(cell)[-1]
    assert 0 < int(kernel.ok("len(found)").result) < 30
    assert kernel.ok("found += [item.index for item in items]\nfound == list(range(30))").result == "True"
    assert kernel.ok("found = [item.index async for item in rlm.amap(['a', 'b'])]\nfound").result == "[0, 1]"
    assert "rlm map" not in kernel.ok("import threading; [t.name for t in threading.enumerate()]").result

@pytest.mark.slow
def test_a_terminal_shows_the_bar():
    program = CODE + 'n = len(list(rlm.map([f"q{i}" for i in range(80)], max_concurrent=4)))\ninput("May it run? ")\nprint("answers", n)'
    before, _, after = in_terminal(program)
    assert re.search(r"\d+ of 80.{0,12} · \d s left", before) and "answers 80" in after
