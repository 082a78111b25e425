"""What a cache spares and what it never keeps: real requests to a real server, real files, processes that are killed."""
import random, sqlite3, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rlm import RLM, ConfigurationError, RLMLogger, TimeoutExceededError, read_log
from rlm.cache import Cache, CacheError, CachedLM, key_of
from rlm.events import Notice, SubCallEnded
from rlm.live import Progress
from rlm.lm import ScriptedLM
from rlm.openai_lm import OpenAILM
from rlm.parts import calls_html
from rlm.replay import replay
from rlm.streaming import Heard
from rlm.types import LMError, Reply, Usage
from server import HANG, ChatServer, Http, completion

HELLO = [{"role": "user", "content": "Hello!"}]
ASK = "```repl\nanswers = llm_query_batched('Which city?', context)\nFINAL_VAR(answers)\n```"

def echo(body): return body["messages"][-1]["content"].upper()

def reader(server, **options): return OpenAILM("test-model", server.base_url, "sk-a-key-of-the-tests", **options)

def run(server, cache, texts=("Lima", "Oslo"), code=ASK, options={}, **more):
    "A run whose root model is scripted, and whose sub-calls are answered by the server."
    notices = []
    def listen(event):
        if isinstance(event, Notice): notices.append(event.text)
    rlm = RLM(ScriptedLM([code]), other_backends=[reader(server, **options)], cache=cache, verbose=False,
              logger=more.pop("logger", listen), **more)
    result = rlm.completion("Which cities?", list(texts))
    return result, notices

def calls(result): return result.iterations[0].code_blocks[0].result.rlm_calls

@pytest.fixture
def file(tmp_path): return tmp_path/"replies.sqlite"

# -- the same twice

def test_a_second_run_asks_nobody_and_answers_the_same(file):
    with ChatServer(echo) as server:
        first, _ = run(server, file)
        second, notices = run(server, file)
        assert len(server.requests) == 2
    assert second.value == first.value == ["WHICH CITY?\n\nLIMA", "WHICH CITY?\n\nOSLO"]
    assert first.usage_by_model["test-model"].calls == 2 and first.usage.reused == 0
    assert second.usage_by_model["test-model"] == Usage(reused=2)
    assert [call.usage for call in calls(second)] == [Usage(reused=1)] * 2
    assert "1 call and 2 reused" in str(second.usage) and "1 call and 2 reused" in repr(second.usage)
    assert not any("cache" in text for text in notices)

def test_it_is_said_in_the_trace_the_table_and_the_view(file):
    with ChatServer(echo) as server:
        first, _ = run(server, file)
        assert "reused" not in first.trace_markdown + calls_html(calls(first))
        view = Progress()
        lines = []
        def listen(event):
            view(event)
            if isinstance(event, SubCallEnded): lines.extend(line.text for line in view.lines())
        second, _ = run(server, file, logger=listen)
    assert "test-model (reused): Which city?" in second.trace_markdown
    assert "2 reused" in calls_html(calls(second))
    assert "2 of 2, 2 reused" in lines

def test_a_log_keeps_the_mark_and_replays(file, tmp_path):
    with ChatServer(echo) as server:
        run(server, file)
        logger = RLMLogger(tmp_path/"logs")
        second, _ = run(server, file, logger=logger)
    logged, = read_log(logger.path)
    assert logged.result.usage == second.usage and calls(logged.result)[0].usage == Usage(reused=1)
    again = RLM(replay(logger.path), verbose=False).completion("Which cities?", ["Lima", "Oslo"])
    assert again.value == second.value and again.usage == second.usage

def test_what_makes_a_request_another_one(file):
    with ChatServer(echo) as one, ChatServer(echo) as other:
        run(one, file, ["Lima"])
        for server, text, options in [(one, "Oslo", {}), (one, "Lima", {"top_p": 0.5}), (one, "Lima", {"max_tokens": 9}), (other, "Lima", {})]:
            asked = len(server.requests)
            run(server, file, [text], options=options)
            assert len(server.requests) == asked + 1
        asked = len(one.requests)
        lm = CachedLM(OpenAILM("test-model", one.base_url, "sk-another-key-of-the-tests"), Cache(file))
        assert lm.complete([{"role": "user", "content": "Which city?\n\nLima"}]).usage == Usage(reused=1)
        assert CachedLM(OpenAILM("other-model", one.base_url, "any"), Cache(file)).complete(HELLO).usage.calls == 1
        assert len(one.requests) == asked + 1

@pytest.mark.parametrize("options, kept", [({}, True), ({"temperature": 0}, True), ({"temperature": 0.2}, False),
                                           ({"extra_body": {"temperature": 1}}, False), ({"temperature": None}, True)])
def test_a_temperature_above_0_is_kept_only_where_asked(file, options, kept):
    with ChatServer(echo) as server:
        for _ in range(2): run(server, file, ["Lima"], options=options)
        assert len(server.requests) == (1 if kept else 2)
        for _ in range(2): run(server, Cache(file.with_name("always"), always=True), ["Lima"], options=options)
        assert len(server.requests) == (2 if kept else 3)

@pytest.mark.parametrize("bad", [Http(400, {"error": {"message": "no"}}), "", completion("I can", finish_reason="content_filter")])
def test_what_went_wrong_is_not_kept(file, bad):
    with ChatServer([bad, "Peru", "never"]) as server:
        lm = CachedLM(reader(server), Cache(file))
        if isinstance(bad, Http):
            with pytest.raises(LMError): lm.complete(HELLO)
        else: lm.complete(HELLO)
        assert [lm.complete(HELLO).content for _ in range(2)] == ["Peru", "Peru"]

def test_a_reply_comes_whole_with_its_reasoning_and_more(file):
    message = {"content": "Peru – 秘鲁 \ud83d\ude00", "reasoning_content": "Lima is there.", "tool_calls": [{"id": "1"}]}
    with ChatServer(completion(message, finish_reason="length", system_fingerprint="fp")) as server:
        lm = CachedLM(reader(server), Cache(file))
        first, second = lm.complete(HELLO), lm.complete(HELLO)
    same = lambda r: (r.content, r.model, r.finish_reason, r.reasoning, r.extra)
    assert same(second) == same(first) and second.extra["tool_calls"] == [{"id": "1"}] and second.execution_time == 0

def test_a_cached_reply_is_heard_at_once(file):
    with ChatServer(echo, streams=True) as server:
        lm = CachedLM(reader(server), Cache(file))
        for _ in range(2):
            heard = Heard(wanted=True)
            lm.complete(HELLO, heard)
            assert heard.text == "HELLO!"
        assert len(server.requests) == 1

# -- in one batch

def test_the_same_prompts_at_once_are_asked_once(file):
    with ChatServer(echo, delay=0.2) as server:
        result, _ = run(server, file, ["Lima"] * 10)
        assert len(server.requests) == 1
    assert result.value == ["WHICH CITY?\n\nLIMA"] * 10
    assert sorted(call.usage.reused for call in calls(result)) == [0] + [1] * 9

def test_those_that_wait_for_a_failure_ask_themselves(file):
    replies = [Http(400, {"error": {"message": "no"}}, delay=0.3)] + ["Peru"] * 20
    with ChatServer(replies) as server:
        result, _ = run(server, file, ["Lima"] * 5)
        assert len(server.requests) == 5
    assert sorted(map(str, result.value))[:4] == ["Peru"] * 4 and "failed" in "".join(result.value)
    assert Cache(file).get(key_of(reader(server), [{"role": "user", "content": "Which city?\n\nLima"}])).content == "Peru"

def test_nobody_waits_for_a_request_of_a_run_that_is_over(file):
    with ChatServer([HANG, "Peru"]) as server:
        rlm = RLM(ScriptedLM([ASK] * 2), other_backends=[reader(server)], cache=file, max_timeout=3, verbose=False)
        with pytest.raises(TimeoutExceededError): rlm.completion("Which cities?", ["Lima"])
        assert rlm.completion("Which cities?", ["Lima"]).value == ["Peru"] and len(server.requests) == 2

# -- turns, children, limits

def test_turns_are_asked_for_anew_unless_all_is_kept(file):
    "`all` keeps them, those of children too."
    child = "```repl\nx = rlm_query('What is it?', context=context)\nFINAL_VAR(x)\n```"
    def answer(body):
        asked = body["messages"][-1]["content"]
        return "```repl\nFINAL(len(context))\n```" if "What is it?" in asked else child
    for cache, second in [(Cache(file), 2), (Cache(file.with_name("all"), turns=True), 0)]:
        with ChatServer(answer) as server:
            for requests in (2, second):
                rlm = RLM(reader(server), max_depth=2, cache=cache, verbose=False)
                before = len(server.requests)
                result = rlm.completion("How long?", ["a", "b", "c"])
                assert result.value == 3 and len(server.requests) - before == requests
            assert result.usage.reused == 2 - second and len(calls(result)) == 1

def test_turns_after_an_error_are_found_though_the_run_has_another_number(file):
    replies = lambda body: "FINAL(Blue)" if "ZeroDivisionError" in body["messages"][-1]["content"] else "```repl\n1 / 0\n```"
    with ChatServer(replies) as server:
        for _ in range(2): result = RLM(reader(server), cache=Cache(file, turns=True), verbose=False).completion("Which?")
        assert result.response == "Blue" and result.usage.reused == len(server.requests) == 2

def test_limits_do_not_see_what_was_reused(file):
    prices = {"prices": {"input": 1_000_000, "output": 0}}  # a dollar a token
    root = Reply(ASK, usage=Usage(1, 1, calls=1, cost=0.0))
    with ChatServer(echo) as server:
        run(server, file, options=prices)
        class Root(ScriptedLM): priced = True
        rlm = RLM(Root([root]), other_backends=[reader(server, **prices)], cache=file, max_budget=1, max_tokens=5, verbose=False)
        result = rlm.completion("Which cities?", ["Lima", "Oslo"])
        assert len(server.requests) == 2 and result.usage.total_tokens == 2 and result.usage.cost == 0
        assert result.usage.estimated_tokens == 0

def test_a_recording_needs_no_cache(file, tmp_path):
    with ChatServer(echo) as server:
        logger = RLMLogger(tmp_path/"logs")
        run(server, None, logger=logger)
    rlm = RLM(replay(logger.path), cache=file, verbose=False)
    rlm.completion("Which cities?", ["Lima", "Oslo"])
    assert "0 replies" in repr(rlm.cache)

# -- what stands in the file

def test_no_key_header_or_question_is_in_the_file(file):
    secrets = "sk-a-key-of-the-tests", "Basic dXNlcjpwYXNzd29yZA", "my-header-token-12345"
    options = {"extra_headers": {"X-Tenant": secrets[2], "Proxy-Authorization": secrets[1]}}
    with ChatServer(lambda body: f"Your keys: {' '.join(secrets)}. A secret of yours: 4711") as server:
        result, _ = run(server, Cache(file, turns=True), ["a text of patient 0815"], options=options)
        again, _ = run(server, Cache(file, turns=True), ["a text of patient 0815"], options=options)
        assert len(server.requests) == 1 and again.value == result.value
    written = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"A secret of yours: 4711" in written  # what the model said is kept
    for text in (*secrets, "dXNlcjpwYXNzd29yZA", "X-Tenant", "Proxy-Authorization", "patient 0815", server.base_url):
        assert text.encode() not in written
    assert oct(file.stat().st_mode)[-3:] == "600"

def test_old_replies_count_for_nothing_and_go(file):
    cache = Cache(file, days=1)
    for key in ("old", "new"): cache.put(key, Reply(key))
    cache.work(lambda db: db.execute("UPDATE replies SET written = written - 90000 WHERE key = 'old'"))
    assert cache.get("old") is None and cache.get("new").content == "new"
    assert "2 replies" in repr(cache) and cache.begin() == [] and "1 reply" in repr(cache)
    assert Cache(file).get("new").content == "new"

def test_what_was_used_longest_ago_makes_room(file):
    cache = Cache(file, megabytes=0.5)
    for i in range(300):
        cache.put(str(i), Reply("x" * 4_000))
        assert cache.get("0").content == "x" * 4_000  # in use, so it stays
        assert file.stat().st_size <= 520_000
    assert cache.get("1") is None and cache.get("299") is not None
    cache.put("large", Reply("x" * 2_000_000))
    assert file.stat().st_size <= 500_000 and cache.notices() == []

def test_clear_forgets_all(file):
    with ChatServer(echo) as server:
        rlm = RLM(ScriptedLM([ASK] * 2), other_backends=[reader(server)], cache=file, verbose=False)
        rlm.completion("Which cities?", ["Lima", "Oslo"])
        assert rlm.cache.clear() == 2
        rlm.completion("Which cities?", ["Lima", "Oslo"])
        assert len(server.requests) == 4

# -- threads, processes, kill -9

def test_many_threads_share_a_file(file):
    cache = Cache(file)
    def work(i):
        cache.put(f"{i}", Reply(f"reply {i}"))
        return cache.get(f"{i}").content
    with ThreadPoolExecutor(32) as pool: said = list(pool.map(work, range(300)))
    assert said == [f"reply {i}" for i in range(300)] and cache.notices() == [] and "300 replies" in repr(cache)

WRITE = """
import sys
from rlm.cache import Cache
from rlm.types import Reply
cache, name = Cache(sys.argv[1]), sys.argv[2]
print("begun", flush=True)
for i in range(int(sys.argv[3])): cache.put(f"{name} {i}", Reply(f"{name} {i} " * 2000))
sys.exit(cache.notices() or 0)
"""

def start(file, name, count):
    return subprocess.Popen([sys.executable, "-c", WRITE, file, name, str(count)], stdout=subprocess.PIPE, text=True)

@pytest.mark.slow
def test_processes_share_a_file(file):
    processes = [start(file, name, 100) for name in "abc"]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes: process.stdout.close()
    assert "300 replies" in repr(Cache(file))
    assert all(Cache(file).get(f"{name} 99").content.startswith(f"{name} 99 ") for name in "abc")

@pytest.mark.slow
def test_a_writer_that_is_killed_harms_nothing(file):
    cache = Cache(file)
    for n in range(8):
        process = start(file, f"run {n}", 100_000)
        process.stdout.readline()
        time.sleep(random.uniform(0.01, 0.3))
        process.kill()
        process.wait()
        process.stdout.close()
        cache.put("mine", Reply(f"after {n}"))
        assert cache.get("mine").content == f"after {n}"
        assert cache.work(lambda db: db.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
    assert cache.notices() == [] and not list(file.parent.glob("*set-aside*"))
    assert cache.get("run 0 0") is None or cache.get("run 0 0").content.startswith("run 0 0 ")

# -- files that are no caches

def spoil(file):
    "A file of a cache whose pages are garbage, all but the first."
    cache = Cache(file)
    for i in range(50): cache.put(str(i), Reply("x" * 3_000))
    with open(file, "r+b") as f:
        f.seek(4096)
        f.write(b"\xff" * (file.stat().st_size - 4096))

@pytest.mark.parametrize("make", [lambda file: file.write_bytes(b"No database. " * 500), spoil,
                                  lambda file: file.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)])
def test_a_damaged_file_is_set_aside_with_a_notice(file, make):
    make(file)
    before = file.read_bytes()
    with ChatServer(echo) as server:
        first, notices = run(server, file)
        told = [text for text in notices if "set-aside" in text]
        second, more = run(server, file)
        assert len(server.requests) == 2 and first.value == second.value
    aside, = file.parent.glob("*set-aside*")
    assert aside.read_bytes()[4096:] == before[4096:] and aside.name in told[0] and len(told) == 1
    assert not any("set-aside" in text for text in more)

def test_another_programs_database_is_set_aside_whole(file):
    db = sqlite3.connect(file)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE orders (id)")
    db.execute("INSERT INTO orders VALUES (7)")
    db.commit()
    assert Path(f"{file}-wal").stat().st_size
    with ChatServer(echo) as server: _, notices = run(server, file)
    assert any("it is another program's" in text for text in notices)
    aside = next(path for path in file.parent.glob("*set-aside*") if path.suffix.count("-") == 2)
    db.close()
    assert sqlite3.connect(aside).execute("SELECT id FROM orders").fetchall() == [(7,)]
    assert "2 replies" in repr(Cache(file))

FULL = """
import os, resource, sys
from server import ChatServer
from test_cache import echo, run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with ChatServer(echo) as server:
    for _ in range(2):
        result, notices = run(server, sys.argv[1], [f"City {i}" * 300 for i in range(10)])
        assert len(result.value) == 10, result
        print(len(server.requests), [text for text in notices if "cache" in text])
"""

@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 16_000])
def test_a_full_disk_stops_no_run_and_is_told_once(file, room):
    "The disk holds nothing, or a few of the replies."
    done = subprocess.run([sys.executable, "-c", FULL, file, str(room)], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("10 [") and lines[0].count("can't be used") == 1
    assert int(lines[1].split()[0]) > (10 if room else 19)
    assert "Models are asked again" in done.stdout

def test_a_folder_that_cant_be_written_stops_no_run(tmp_path):
    (tmp_path/"file").write_text("in the way")
    path = tmp_path/"file"/"replies.sqlite"
    with ChatServer(echo) as server:
        cache = Cache(path)
        for n in range(2):
            result, notices = run(server, cache)
            assert len([text for text in notices if "can't be used" in text]) == (1 if n == 0 else 0)
        assert len(server.requests) == 4
    with pytest.raises(CacheError, match="can't be used"): cache.clear()

def test_a_notice_comes_before_anything_is_asked(tmp_path):
    (tmp_path/"file").write_text("in the way")
    seen = []
    rlm = RLM(ScriptedLM(["FINAL(Blue)"]), cache=tmp_path/"file"/"replies.sqlite", logger=seen.append, verbose=False)
    rlm.completion("Which color?")
    kinds = [type(event).__name__ for event in seen]
    assert kinds.index("Notice") < kinds.index("ModelAsked")

# -- what users may give

def test_what_can_be_given(tmp_path, monkeypatch):
    monkeypatch.setenv("RLM_CACHE", str(tmp_path/"place"))
    lm = ScriptedLM(["FINAL(Blue)"])
    make = lambda cache: RLM(lm, cache=cache, verbose=False).cache
    assert make(None) is make(False) is None and make(True).path == tmp_path/"place"/"replies.sqlite"
    assert (make("all").turns, make("all").always, make("always").turns, make("always").always) == (True, False, False, True)
    assert make(str(tmp_path/"a")).path == make(tmp_path/"a").path == tmp_path/"a"
    cache = Cache(tmp_path/"a")
    assert make(cache) is cache
    assert not list(tmp_path.iterdir())  # nothing is written before a run
    RLM(lm, cache=True, verbose=False).completion("Which color?")
    assert (tmp_path/"place"/"replies.sqlite").stat().st_size

@pytest.mark.parametrize("given, said", [("al", "Did you mean 'all'"), (3, "a file such as"), (["a"], "a file such as"),
                                         (b"replies.sqlite", "a file such as"), ("/tmp", "is a folder")])
def test_what_cant(given, said):
    with pytest.raises(ConfigurationError, match=said): RLM(ScriptedLM([]), cache=given)

@pytest.mark.parametrize("bad", [{"days": 0}, {"days": "7"}, {"megabytes": None}, {"megabytes": True}, {"megabytes": float("inf")}])
def test_sizes_and_ages_are_numbers(file, bad):
    with pytest.raises(ConfigurationError, match="a number above 0"): Cache(file, **bad)

# -- prices by a table

@pytest.fixture
def table():
    "A table of one model, at any address of this machine."
    pytest.importorskip("genai_prices")
    from datetime import date
    from decimal import Decimal
    from genai_prices import data_snapshot, types
    free_since = types.ConditionalPrice(constraint=types.StartDateConstraint(date(2026, 3, 1)),
                                        prices=types.ModelPrice(input_mtok=Decimal(100_000), output_mtok=Decimal(200_000)))
    first = types.ConditionalPrice(prices=types.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1)))
    model = types.ModelInfo(id="test-model", match=types.ClauseEquals("test-model"), prices=[first, free_since])
    provider = types.Provider(id="here", name="Here", api_pattern=r"http://127\.0\.0\.1", models=[model])
    data_snapshot.set_custom_snapshot(data_snapshot.DataSnapshot([provider], from_auto_update=False))
    yield
    data_snapshot.set_custom_snapshot(None)

def test_a_budget_needs_no_typed_prices(table):
    from rlm import BudgetExceededError
    notices = []
    with ChatServer("```repl\nprint(1)\n```") as server:
        rlm = RLM(reader(server), max_budget=30, logger=lambda e: isinstance(e, Notice) and notices.append(e.text), verbose=False)
        with pytest.raises(BudgetExceededError) as e: rlm.completion("Which color?")
        sent = server.usage
    assert e.value.result.usage.cost == pytest.approx(sum(u["prompt_tokens"] / 10 + u["completion_tokens"] / 5 for u in sent))
    assert notices[0] == "What test-model costs is taken from genai-prices, whose newest price is of 2026-03-01."

def test_typed_prices_and_reported_costs_come_first(table):
    with ChatServer("Blue") as server:
        lm = reader(server, prices={"input": 0, "output": 0})
        assert lm.complete(HELLO).usage.cost == 0 and not lm.by_table
    with ChatServer(completion("Blue", usage={"prompt_tokens": 5, "completion_tokens": 1, "cost": 0.25})) as server:
        assert reader(server).complete(HELLO).usage.cost == 0.25
    with ChatServer(lambda body: {**completion("Blue", body), "usage": None}) as server:
        assert reader(server).complete(HELLO).usage.cost is None  # an estimate is not worth money

def test_a_model_that_the_table_lacks_is_refused_with_its_date(table):
    with ChatServer("Blue") as server:
        lm = OpenAILM("other-model", server.base_url, "any")
        with pytest.raises(ConfigurationError, match="what other-model costs.*newest price is of 2026-03-01"): RLM(lm, max_budget=1)
        assert lm.complete(HELLO).usage.cost is None and server.requests

def test_without_the_package_the_error_names_the_extra():
    code = """
import sys; sys.modules["genai_prices"] = None
from rlm import RLM
try: RLM("gpt-4o-mini", {"api_key": "any"}, max_budget=1)
except ValueError as e: print(e)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert "it is not known what gpt-4o-mini costs" in said and "pip install 'rlm[prices]'" in said
