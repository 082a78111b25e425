"""Limits and accounts, over real HTTP with a server that counts."""
import asyncio, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from typing import Annotated

import pytest
from rlm import RLM
from rlm.environments.stopping import InterruptGate, Stop, Stopped
from rlm.events import Notice
from rlm.lm import ScriptedLM
from rlm.types import *
from server import HANG, ChatServer, Http, completion
from test_subcalls import code_then_answer, first_block, recursive, rlm_for, task

def here(f): return f()
def in_a_thread(f):
    with ThreadPoolExecutor(1) as pool: return pool.submit(f).result()

def ended(kind, f):
    "The error of a run that had to be stopped, and the seconds it took."
    began = time.monotonic()
    with pytest.raises(kind) as e: f()
    return e.value, time.monotonic() - began

def asked(kind, server, **options):
    "The same for a run whose model is this server."
    return ended(kind, lambda: rlm_for(server, **options).completion("go", context=1))

# -- time

LOOP = "n = 0\nwhile True: n += 1"
STUBBORN = "while True:\n    try:\n        while True: pass\n    except: pass"
STUBBORN_PRINT = "while True:\n    try: print('x')\n    except BaseException: pass"
IN_A_FUNCTION = """
def f():
    while True:
        try: sorted(range(1000), key=lambda i: -i)
        except: continue
f()"""
NESTED = """
import time, contextlib
while True:
    try:
        with contextlib.nullcontext():
            try: time.sleep(.01)
            except BaseException: pass
    except: pass"""
AWAITING = "import asyncio\nwhile True: await asyncio.sleep(0.01)"
WAITING = "import asyncio\nawait asyncio.Event().wait()"

def in_a_loop_of_a_thread(f):
    async def inside(): return f()
    return in_a_thread(lambda: asyncio.run(inside()))

@pytest.mark.parametrize("place", [here, in_a_thread, in_a_loop_of_a_thread])
@pytest.mark.parametrize("code", [LOOP, STUBBORN, STUBBORN_PRINT, IN_A_FUNCTION, NESTED, AWAITING, WAITING])
def test_code_that_never_ends_is_stopped(code, place):
    before = sys.gettrace(), sys.stdout, threading.active_count()
    rlm = RLM(ScriptedLM([f"```repl\nx = 1\nprint('begun')\n{code}\n```"] * 3), verbose=False, max_timeout=0.3)
    e, seconds = ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=1)))
    assert seconds < 20 and "max_timeout=0.3" in str(e) and e.result.stop_reason == "max_timeout"
    assert first_block(e.result).stdout.startswith("begun\n")
    assert "the block was stopped here" in first_block(e.result).error
    assert (sys.gettrace(), sys.stdout) == before[:2]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)  # no alarm is left behind

def test_a_sleep_on_the_main_thread_is_stopped():
    rlm = RLM(ScriptedLM(["```repl\nimport time\ntime.sleep(60)\n```"]), verbose=False, max_timeout=0.3)
    assert ended(TimeoutExceededError, lambda: rlm.completion("go", context=1))[1] < 20

@pytest.mark.slow
@pytest.mark.parametrize("place", [here, in_a_thread])
@pytest.mark.parametrize("replies", [HANG, code_then_answer("llm_query('x')", HANG),
                                     code_then_answer("llm_query_batched(['x'] * 3)", HANG)])
def test_a_server_that_hangs_does_not_hold_up_the_limit(replies, place):
    with ChatServer(replies) as s:
        rlm = rlm_for(s, max_timeout=0.5)
        e, seconds = ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=1)))
    assert seconds < 20 and e.result.stop_reason == "max_timeout"

@pytest.mark.slow
def test_the_limit_is_for_children_too():
    def reply(body):
        if "child" in task(body): return f"```repl\n{LOOP}\n```"
        return "```repl\nrlm_query_batched(['child 1', 'child 2'])\n```"
    with ChatServer(reply) as s:
        e, seconds = asked(TimeoutExceededError, s, max_depth=2, max_timeout=5)
    assert seconds < 20 and len(s.requests) == 3

@pytest.mark.parametrize("seconds", [1e12, 10**400])
@pytest.mark.parametrize("place", [here, in_a_thread])
def test_a_limit_of_ages_is_a_limit(seconds, place):
    "Timers can't count that far."
    rlm = RLM(ScriptedLM(["```repl\n1 + 1\n```", "FINAL(1)"]), verbose=False, max_timeout=seconds)
    assert place(lambda: rlm.completion("go").stop_reason) == "final"
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL

@pytest.mark.slow
def test_an_alarm_of_the_users_still_rings():
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.6)
        RLM(ScriptedLM(["```repl\n1\n```", "FINAL(1)"]), verbose=False, max_timeout=60).completion("go", context=1)
        time.sleep(0.9)
    finally: signal.signal(signal.SIGALRM, before)
    assert rang == [1]

def test_whoever_asks_ends_a_sleep_on_the_main_thread():
    stop = Stop()
    def sleep():
        threading.Timer(0.2, stop.ask).start()
        with InterruptGate() as gate, stop.watch(): gate.through(time.sleep, 60)
    e, seconds = ended(Stopped, sleep)
    assert str(e) == "the run is over" and seconds < 50

@pytest.mark.parametrize("place", [here, in_a_thread])
def test_what_a_tool_holds_is_given_back(place):
    lock = threading.Lock()
    def tool():
        with lock: time.sleep(0.01)
    script = ScriptedLM(["```repl\nwhile True:\n    try: tool()\n    except: pass\n```"])
    rlm = RLM(script, verbose=False, max_timeout=0.3, custom_tools={"tool": tool})
    ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=1)))
    assert not lock.locked()

@pytest.mark.slow
@pytest.mark.parametrize("inner_limit", [None, 30])
def test_a_run_within_a_block_ends_with_it(inner_limit):
    inner = RLM(ScriptedLM([f"```repl\n{LOOP}\n```"] * 3), verbose=False, max_timeout=inner_limit)
    def tool():
        try: return inner.completion("inner", context=1).response
        except RLMError as e: return str(e)
    script = ScriptedLM(["```repl\nprint(tool())\n```"] * 3)
    outer = RLM(script, verbose=False, max_timeout=0.5, custom_tools={"tool": tool})
    e, seconds = ended(TimeoutExceededError, lambda: outer.completion("outer", context=1))
    assert seconds < 20 and len(inner.lm.calls) == 1

@pytest.mark.slow
@pytest.mark.parametrize("place", [here, in_a_thread])
def test_code_with_an_alarm_of_its_own_is_stopped_too(place):
    code = """
        import signal, threading
        if threading.current_thread() is threading.main_thread():
            signal.alarm(60)
            signal.alarm(0)
    """
    rlm = RLM(ScriptedLM([f"```repl\n{dedent(code)}\n{LOOP}\n```"]), verbose=False, max_timeout=0.3)
    assert ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=1)))[1] < 6

ENDLESS = """
class Endless:
    def __str__(self):
        while True: pass
class Failure(Exception): __str__ = Endless.__str__
"""

@pytest.mark.slow
@pytest.mark.parametrize("place", [here, in_a_thread])
@pytest.mark.parametrize("code", ["FINAL(Endless())", "raise Failure", "raise Failure from Failure()", "print(Endless())"])
def test_a_text_that_is_never_done(code, place):
    rlm = RLM(ScriptedLM([f"```repl\n{ENDLESS}\n{code}\n```"] * 3), verbose=False, max_timeout=0.3)
    e, _ = ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=1)))
    assert e.result is rlm.last_result and e.result.stop_reason == "max_timeout" and len(e.result.iterations) == 1
    assert code in e.result.iterations[0].code_blocks[0].code

def never(value):
    while True: pass

@pytest.mark.slow
@pytest.mark.parametrize("place", [here, in_a_thread])
@pytest.mark.parametrize("script", [["FINAL(7)"], ["```repl\n1\n```", "FINAL(7)"]])
def test_a_validator_that_is_never_done(script, place):
    pydantic = pytest.importorskip("pydantic")
    never_fits = Annotated[int, pydantic.AfterValidator(never)]
    rlm = RLM(ScriptedLM(script), verbose=False, max_timeout=0.3, max_iterations=1)
    ask = lambda: rlm.completion("What is 7?", output_type=never_fits)
    assert ended(TimeoutExceededError, lambda: place(ask))[0].result.stop_reason == "max_timeout"

@pytest.mark.parametrize("place", [here, in_a_thread])
def test_a_preview_that_is_never_done(place):
    class Data: shape = property(never)
    rlm = RLM(ScriptedLM([]), verbose=False, max_timeout=0.3)
    e, _ = ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=Data())))
    assert e.result is rlm.last_result and e.result.iterations == ()

STARTING = """
import threading
while True:
    threads = [threading.Thread(target=int) for _ in range(5)]
    for t in threads: t.start()
    for t in threads: t.join()"""

@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from a callback of `threading` itself
@pytest.mark.parametrize("place, runs", [(here, 100), (in_a_thread, 8)])
def test_a_limit_strikes_only_where_nothing_is_half_done(place, runs):
    "This block is at almost any time starting a thread, for which streams are held."
    def state(): return sys.stdout, sys.stderr, threading.Thread.start, signal.getsignal(signal.SIGALRM)
    before = state()
    for i in range(runs):
        rlm = RLM(ScriptedLM([f"```repl\n{STARTING}\n```"] * 2), verbose=False, max_timeout=0.01 + i % 7 / 1000)
        ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=1)))
        end = time.monotonic() + 60
        while any(t.daemon is False and t is not threading.main_thread() for t in threading.enumerate()):
            assert time.monotonic() < end, threading.enumerate()
            time.sleep(0.01)
        assert state() == before, i

@pytest.mark.slow
@pytest.mark.parametrize("ask", ["ask()", "asyncio.run(in_a_loop())", "asyncio.run(awaited())"])
def test_code_that_awaits_for_ever_does_not_hold_up_the_exit(ask):
    code = "import asyncio\nwhile True:\n    try: await asyncio.sleep(0.01)\n    except: pass"
    script = f"""
import asyncio
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.types import TimeoutExceededError
rlm = RLM(ScriptedLM([{f"```repl{chr(10)}{code}{chr(10)}```"!r}] * 3), verbose=False, max_timeout=0.3)
def ask():
    try: rlm.completion("go", context=1)
    except TimeoutExceededError: print("stopped")
async def in_a_loop(): ask()
async def awaited():
    try: await rlm.acompletion("go", context=1)
    except TimeoutExceededError: print("stopped")
{ask}"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("stopped\n", 0), done.stderr

@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function WeakSet:pytest.PytestUnraisableExceptionWarning")  # it is raised again
def test_time_outs_while_threads_are_being_started():
    class Asking:
        model = "asking"
        def complete(self, messages):
            if len(messages) == 1: return time.sleep(0.002) or "ok"
            return "```repl\nwhile True: llm_query_batched(['x'] * 300)\n```"
    for _ in range(25):
        rlm = RLM(Asking(), verbose=False, max_timeout=0.1, max_concurrent_subcalls=64)
        assert ended(TimeoutExceededError, lambda: in_a_thread(lambda: rlm.completion("go", context=1)))[1] < 10

@pytest.mark.slow
def test_waiting_for_a_turn_is_not_counted():
    lm = ScriptedLM([lambda m: time.sleep(0.4) or "FINAL(done it)"] * 4)
    session = RLM(lm, verbose=False, max_timeout=0.9).start_session()
    with ThreadPoolExecutor(4) as pool:
        assert [f.result().stop_reason for f in [pool.submit(session.chat, "go") for _ in range(4)]] == ["final"] * 4

def test_a_run_within_its_time_is_like_any_other():
    rlm = RLM(ScriptedLM(["```repl\nprint(1)\n```", "FINAL(1)"]), verbose=False, max_timeout=60)
    assert rlm.completion("go", context=1).response == "1"

# -- tokens, money, errors

ASK_MUCH = "for i in range(10_000):\n    try: llm_query('one two three four')\n    except Exception: pass"

def test_no_request_goes_out_once_the_tokens_are_used_up():
    with ChatServer(code_then_answer(ASK_MUCH)) as s:
        e, _ = asked(TokenLimitExceededError, s, max_tokens=1_000)
    spent = [u["total_tokens"] for u in s.usage]
    assert sum(spent[:-1]) < 1_000 <= sum(spent) == e.result.usage.total_tokens
    assert "backend_kwargs={'max_tokens'" in str(e) and e.result.stop_reason == "max_tokens"

@pytest.mark.slow
def test_a_batch_overshoots_by_what_is_on_its_way():
    with ChatServer(code_then_answer("llm_query_batched(['one two three four'] * 1000)"), delay=0.01) as s:
        e, _ = asked(TokenLimitExceededError, s, max_tokens=1_000, max_concurrent_subcalls=4)
    assert sum(u["total_tokens"] for u in s.usage[:-4]) < 1_000 and len(s.usage) < 200

def test_an_answer_held_back_is_the_best_there_is():
    script = ["```repl\nprint(6 * 7)\n```\nFINAL(41)"]
    with ChatServer(script) as s:
        e, _ = asked(TokenLimitExceededError, s, max_tokens=10)
    assert (e.result.response, e.result.computed) == ("41", False)

PRICES = {"input": 1.0, "cached": 0.1, "output": 10.0}

def test_a_budget_counts_by_the_prices():
    with ChatServer(code_then_answer(ASK_MUCH)) as s:
        e, _ = asked(BudgetExceededError, s, max_budget=0.001, backend_kwargs={"prices": PRICES})
    cost = lambda usage: (usage["prompt_tokens"] * 1 + usage["completion_tokens"] * 10) / 1e6
    assert sum(map(cost, s.usage[:-1])) < 0.001 <= sum(map(cost, s.usage))
    assert e.result.usage.cost == pytest.approx(sum(map(cost, s.usage))) and e.result.stop_reason == "max_budget"

def test_cached_tokens_are_told_apart_and_cost_less():
    counted = {"prompt_tokens": 1_000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 800}}
    bill = completion("FINAL(x y)") | {"usage": counted}
    with ChatServer([bill]) as s: usage = rlm_for(s, backend_kwargs={"prices": PRICES}).completion("go").usage
    assert usage == Usage(1_000, 10, 1, pytest.approx((200 * 1 + 800 * 0.1 + 10 * 10) / 1e6), 800)
    assert str(usage).startswith("1,000 tokens in (800 cached), 10 out, 1 call, $")

def test_the_endpoints_own_word_on_cost_is_taken():
    bill = completion("FINAL(x y)") | {"usage": {"prompt_tokens": 1_000, "completion_tokens": 10, "cost": 0.5}}
    with ChatServer([bill]) as s:
        assert rlm_for(s, backend_kwargs={"prices": PRICES}).completion("go").usage.cost == 0.5

def test_an_unknown_cost_is_shown_as_unknown():
    with ChatServer("FINAL(x y)") as s: result = rlm_for(s).completion("go")
    assert result.usage.cost is None and "cost unknown" in repr(result)

@pytest.mark.parametrize("other", [{}, {"other_backends": [ScriptedLM([], model="unpriced")]}])
def test_a_budget_without_prices_is_an_error_at_once(other):
    prices = {"prices": PRICES} if other else {}
    with ChatServer("x") as s:
        name = "unpriced" if other else "test-model"
        with pytest.raises(ConfigurationError, match=f"what {name} costs. Give the prices"):
            rlm_for(s, max_budget=1, backend_kwargs=prices, **other)
    assert not s.requests

def test_a_reply_without_usage_breaks_a_budget_at_once():
    with ChatServer([{**completion("```repl\n1\n```"), "usage": None}]) as s:
        e, _ = asked(BudgetExceededError, s, max_budget=1, backend_kwargs={"prices": PRICES})
    assert "can't be known" in str(e)

@pytest.mark.parametrize("usage", [{"prompt_tokens": 10}, {"prompt_tokens": 10, "completion_tokens": 10**400}, {"prompt_tokens": "10", "completion_tokens": -1}])
def test_a_reply_with_half_its_usage_breaks_a_budget_too(usage):
    with ChatServer([{**completion("```repl\n1\n```"), "usage": usage}]) as s:
        asked(BudgetExceededError, s, max_budget=1, backend_kwargs={"prices": PRICES})

class Uncounted:
    "A backend of the user's own that counts nothing."
    model, asked = "uncounted", 0
    def complete(self, messages):
        self.asked += 1
        return "x" * 40 if len(messages) == 1 else f"```repl\n{ASK_MUCH}\n```"

def test_tokens_that_nobody_counts_are_estimated_and_limited():
    def uncounted(body): return {**completion(code_then_answer(ASK_MUCH, "x" * 40)(body), body), "usage": None}
    heard = []
    with ChatServer(uncounted) as s:
        e, _ = asked(TokenLimitExceededError, s, max_tokens=3_000, logger=heard.append)
        usage = e.result.usage
        asked_then = 1 + (3_000 - e.result.iterations[0].reply.usage.total_tokens) / (5 + 10)  # 19 characters sent, 40 received
        assert asked_then <= len(s.requests) == usage.calls <= asked_then + 2
    assert 3_000 <= usage.total_tokens == usage.estimated_tokens < 3_020 and "tokens estimated" in str(usage)
    notices = [e.text for e in heard if isinstance(e, Notice)]
    assert notices == [f"{usage.total_tokens:,} tokens in the usage of this run are estimated, since nobody counted them."]

def test_a_backend_of_ones_own_that_counts_nothing_is_limited_too():
    lm = Uncounted()
    e, _ = ended(TokenLimitExceededError, lambda: RLM(lm, verbose=False, max_tokens=3_000).completion("go", context=1))
    assert 3_000 <= e.result.usage.estimated_tokens == e.result.usage.total_tokens < 3_020 and lm.asked == e.result.usage.calls < 200
    calm = RLM(ScriptedLM(["FINAL(4)"]), verbose=False).completion("Two and two?")
    assert calm.usage == Usage(calls=1)  # without a limit its own word is taken

@pytest.mark.parametrize("prices", [{"input": 1}, {"input": 1, "output": -1}, {"input": "1", "output": 2}, [1, 2],
                                    {"input": 1, "output": 2, "in": 3}])
def test_prices_that_are_none(prices):
    with pytest.raises(ConfigurationError, match="US dollars per million tokens"):
        RLM(backend_kwargs={"model_name": "m", "base_url": "http://h/v1", "prices": prices})

def test_errors_in_a_row():
    with ChatServer("```repl\n1/0\n```") as s:
        e, _ = asked(ErrorThresholdExceededError, s, max_errors=3)
    assert len(s.requests) == 3 and len(e.result.iterations) == 3 and e.result.stop_reason == "max_errors"

def test_a_block_that_works_ends_the_row():
    replies = ["```repl\n1/0\n```", "```repl\n1\n```"] * 3 + ["FINAL(done)"]
    with ChatServer(replies) as s: assert rlm_for(s, max_errors=2).completion("go", context=1).response == "done"

def test_sub_calls_that_fail_count_as_errors():
    with ChatServer(code_then_answer("llm_query_batched(['x'] * 500)", Http(500, {"error": {"message": "down"}}))) as s:
        e, _ = asked(ErrorThresholdExceededError, s, max_errors=5, max_concurrent_subcalls=2)
    assert len(s.requests) < 20

@pytest.mark.parametrize("name, value", [
    ("max_timeout", 0), ("max_timeout", "5"), ("max_tokens", 1.5), ("max_tokens", -1), ("max_budget", float("nan")),
    ("max_errors", True), ("max_concurrent_subcalls", 0), ("max_depth", 1.5)])
def test_limits_that_are_none(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be a "): RLM(ScriptedLM([]), **{name: value})

def test_the_turns_used_up_ask_once_for_the_best_answer():
    def reply(body):
        return "FINAL(perhaps 7)" if "no iterations left" in body["messages"][-1]["content"] else "```repl\n1\n```"
    with ChatServer(reply) as s:
        result = rlm_for(s, max_iterations=3).completion("go", context=1)
    assert (result.response, result.stop_reason, result.computed) == ("perhaps 7", "max_iterations", False)
    assert len(s.requests) == 4

# -- accounts

def test_the_accounts_agree_to_the_token():
    with ChatServer(recursive) as s: result = rlm_for(s, max_depth=2).completion("go", context=1)
    def check(run):
        calls = [c for i in run.iterations for b in i.code_blocks for c in b.result.rlm_calls]
        for c in calls:
            if c.run: check(c.run)
            assert not c.run or c.usage == c.run.usage
        assert sum([i.reply.usage for i in run.iterations] + [c.usage for c in calls], start=Usage()) == run.usage
    check(result)
    assert result.usage.input_tokens == sum(u["prompt_tokens"] for u in s.usage)
    assert result.usage.output_tokens == sum(u["completion_tokens"] for u in s.usage)
    assert result.usage.calls == len(s.requests) == 6

ON_THEIR_WAY = {"the loop": (HANG, 1), "llm_query": (code_then_answer("llm_query('x' * 400)", HANG), 1),
                "a batch": (code_then_answer("llm_query_batched(['x' * 400] * 7)", HANG), 4),
                "a child": (lambda body: HANG if "child" in task(body) else "```repl\nrlm_query('child')\n```", 1)}

@pytest.mark.slow
@pytest.mark.parametrize("place", [here, in_a_thread])
@pytest.mark.parametrize("who", ON_THEIR_WAY)
def test_requests_on_their_way_are_in_the_account(who, place):
    replies, unanswered = ON_THEIR_WAY[who]
    with ChatServer(replies) as s:
        rlm = rlm_for(s, max_timeout=4, max_concurrent_subcalls=4, max_depth=2, backend_kwargs={"prices": PRICES})
        e, _ = ended(TimeoutExceededError, lambda: place(lambda: rlm.completion("go", context=1)))
        usage, sent = e.result.usage, s.messages
        assert usage.unanswered == unanswered and usage.calls + usage.unanswered == len(sent)
        characters = sum(len(m["content"]) for messages in sent[usage.calls:] for m in messages)
        assert characters / 4 <= usage.estimated_tokens <= characters / 4 + unanswered
        assert usage.input_tokens == usage.estimated_tokens + sum(u["prompt_tokens"] for u in s.usage)
        assert (usage.cost is not None) == bool(usage.calls)  # of those that were answered
        assert f"{unanswered} unanswered" in str(usage)
    assert rlm.last_result.usage == usage

def test_a_request_that_is_answered_after_the_end_is_counted_once():
    over, went = threading.Event(), threading.Event()
    class Late:
        model = "late"
        def complete(self, messages):
            if len(messages) > 1: return Reply("```repl\nllm_query('x' * 400)\n```", usage=Usage(10, 1, calls=1))
            over.wait(60)
            went.set()
            return Reply("late", usage=Usage(100, 1, calls=1))
    rlm = RLM(Late(), verbose=False, max_timeout=0.3)
    e, _ = ended(TimeoutExceededError, lambda: rlm.completion("go", context=1))
    assert e.result.usage == Usage(110, 1, calls=1, unanswered=1, estimated_tokens=100)
    over.set()
    assert went.wait(60) and e.result.usage.unanswered == 1 and e.result.usage.calls == 1

def test_requests_that_were_refused_are_not_in_the_account():
    with ChatServer(code_then_answer("try: llm_query('x')\nexcept Exception: pass", Http(400, {"error": "no"}))) as s:
        usage = rlm_for(s).completion("go", context=1).usage
    assert (usage.calls, usage.unanswered, usage.estimated_tokens) == (2, 0, 0)

# -- the window

def test_a_request_that_is_too_long_says_how_long_it_was():
    says = "This model's maximum context length is 8192 tokens."
    refusal = Http(400, {"error": {"message": says, "code": "context_length_exceeded"}})
    with ChatServer(["```repl\nprint('x' * 5000)\n```", refusal]) as s:
        e, _ = asked(ContextWindowExceededError, s)
    size = sum(len(m["content"]) for m in s.messages[1])
    assert f"{len(s.messages[1])} messages with {size:,} characters" in str(e) and "have the code print less" in str(e)
    assert first_block(e.result).stdout == "x" * 5000 + "\n"

def test_a_sub_call_that_is_too_long_is_the_codes_to_handle():
    code = "try: llm_query('x' * 100_000)\nexcept Exception as e: print(e)"
    with ChatServer(code_then_answer(code, Http(413, "prompt is too long"))) as s:
        result = rlm_for(s).completion("go", context=1)
    assert "1 message with 100,000 characters" in first_block(result).stdout
