"""`rlm.map` in other processes: pools, Dask, workers that die, keys that stay at home."""
import copy, os, pickle, signal, subprocess, sys, threading, time
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
from rlm import RLM, RLMLogger, read_log
from rlm.lm import ScriptedLM
from rlm.openai_lm import OpenAILM
from rlm.types import *
from rlm.workers import pack
from server import ChatServer, Http, completion
from test_map import asked, numbered, on, question

SECRET = "sk-a-key-that-stays-at-home"
def number_of(body) -> str: return f"FINAL({question(body).split('#')[1].split()[0]})"

@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool: yield pool

# -- pickles

def test_no_key_is_in_a_pickle_and_the_worker_says_which_variable_it_wants(monkeypatch):
    for options, variable in [({"base_url": "https://llm.example.com/v1"}, "RLM_KEY_LLM_EXAMPLE_COM"), ({}, "OPENAI_API_KEY")]:
        rlm = RLM("openai/m", {"api_key": SECRET, **options}, other_backends=["anthropic/claude"], other_backend_kwargs=[{"api_key": SECRET}])
        for dumps in (pickle.dumps, pack):
            travelling = dumps(rlm)
            assert SECRET.encode() not in travelling
            for name in (variable, "ANTHROPIC_API_KEY"): monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("ANTHROPIC_API_KEY", "two")
            with pytest.raises(ConfigurationError, match=f"set the environment variable {variable}"): pickle.loads(travelling)
            monkeypatch.setenv(variable, "one")
            assert pickle.loads(travelling).secrets == ("two", "one")

def test_a_key_never_goes_to_a_server_that_it_is_not_for(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "the key for OpenAI")
    travelling = pickle.dumps(OpenAILM("m", "https://llm.example.com/v1", SECRET))
    with pytest.raises(ConfigurationError, match="RLM_KEY_LLM_EXAMPLE_COM"): pickle.loads(travelling)
    assert pickle.loads(pickle.dumps(OpenAILM("m", "https://llm.example.com/v1", ""))).secrets == ()
    assert pickle.loads(pickle.dumps(OpenAILM("m", "https://llm.example.com/v1"))).secrets == ("the key for OpenAI", "OpenAI")  # as here

@pytest.mark.parametrize("options", [{"default_headers": {"authorization": f"Bearer {SECRET}"}}, {"extra_headers": {"x-key": SECRET}},
                                     {"base_url": f"http://me:{SECRET}@localhost/v1"}])
def test_other_credentials_are_refused(options):
    with pytest.raises(ConfigurationError, match="credential"): pickle.dumps(RLM("ollama/m", options))

def test_what_lives_is_refused_or_made_anew(tmp_path):
    import openai
    with pytest.raises(ConfigurationError, match="ready client"):
        pickle.dumps(RLM("openai/m", {"client": openai.OpenAI(api_key="x")}))
    with pytest.raises(ConfigurationError, match="keeps runs in memory"): pickle.dumps(RLM("ollama/m", logger=RLMLogger()))
    there = pickle.loads(pickle.dumps(RLM("ollama/m", logger=RLMLogger(tmp_path, "my"), persistent=True, max_tokens=9, cache=tmp_path / "c.sqlite")))
    assert there.logger.path.parent == tmp_path and there.repl and there.limits.max_tokens == 9 and there.cache.path == tmp_path / "c.sqlite"
    with pytest.raises(ConfigurationError, match="threads take everything"): pack(RLM(ScriptedLM([lambda m: "FINAL(1)"]), custom_tools={"lock": threading.Lock()}))

def test_a_pickle_has_all_that_was_said_and_a_copy_shares_what_lives():
    rlm = RLM("ollama/m", {"temperature": 0.5}, max_iterations=3, max_depth=2, prompts="small", custom_tools={"n": 7}, other_backends=["ollama/k"],
              environment_kwargs={"preview": "schema"}, max_tokens=99)
    rlm.max_iterations = 4
    there = pickle.loads(pickle.dumps(rlm))
    for name in ("max_iterations", "max_depth", "limits", "profile", "tools", "environment_kwargs", "show_values"):
        assert getattr(there, name) == getattr(rlm, name), name
    assert [lm.model for lm in there.lms] == ["k", "m"] and there.lm.sampling == {"temperature": 0.5}
    assert copy.copy(rlm).lms is rlm.lms

# -- pools

@pytest.mark.slow
def test_processes_answer_and_keep(pool, tmp_path):
    with ChatServer(number_of) as s:
        rlm = on(s)
        items = rlm.map(numbered(20), executor=pool, log_dir=tmp_path)
        found = list(items)
        assert [i.value for i in found] == list(range(20)) and items.usage.calls == 20 == len(s.requests)
        assert all(read_log(i.log)[0].result.value == i.value for i in found)
        assert all(i.reused for i in rlm.map(numbered(20), log_dir=tmp_path)) and len(s.requests) == 20

@pytest.mark.slow
def test_errors_and_values_come_back_from_processes(pool):
    def reply(body):
        n = int(question(body).split("#")[1].split()[0])
        if n == 1: return Http(500, {"error": {"message": "broken"}})
        return ["```repl\nimport datetime\nFINAL(datetime.timezone.utc)\n```", None, "```repl\nclass Own: pass\nFINAL(Own())\n```",
                '```repl\nFINAL({"a": (1, {2})})\n```'][n]
    with ChatServer(reply) as s: items = list(on(s).map(numbered(4), executor=pool))
    import datetime
    assert items[0].value == datetime.timezone.utc and items[3].value == {"a": (1, {2})}
    assert isinstance(items[1].error, LMServerError) and items[1].error.result.stop_reason == "error" and "broken" in str(items[1].error)
    assert items[2].error is None and "Own" in items[2].result.response

@pytest.mark.slow
def test_a_budget_holds_over_processes_to_what_is_handed_out(pool):
    with ChatServer(lambda body: number_of(body), delay=0.02) as s:
        items = on(s).map(numbered(60), executor=pool, max_tokens=8_000)
        found = list(items)
    each = found[0].usage.total_tokens
    answered = sum(i.error is None for i in found)
    assert len(found) == 60 and 8_000 // each <= answered <= 8_000 // each + 1 + 4  # two for each process
    assert items.usage.calls == len(s.requests)

@pytest.mark.slow
def test_a_worker_without_the_key_ends_the_map_at_once(pool):
    with ChatServer() as s:
        rlm = RLM("openai/m", {"base_url": s.base_url, "api_key": SECRET}, verbose=False)
        with pytest.raises(ConfigurationError, match="set the environment variable RLM_KEY_127_0_0_1"): list(rlm.map(numbered(5), executor=pool))
        assert not s.requests

@pytest.mark.slow
def test_a_pool_that_breaks_is_told_beside_the_items_and_a_new_one_goes_on(tmp_path):
    def reply(body):
        if "#7 " in question(body) and not killed:
            killed.append(1)
            os.kill(next(iter(broken._processes)), signal.SIGKILL)
        return number_of(body)
    killed = []
    with ChatServer(reply, delay=0.05) as s:
        rlm = on(s)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as broken: first = list(rlm.map(numbered(20), executor=broken, log_dir=tmp_path))
        assert len(first) == 20 and "BrokenProcessPool" in {type(i.error).__name__ for i in first}
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool: second = list(rlm.map(numbered(20), executor=pool, log_dir=tmp_path))
        assert [i.value for i in second] == list(range(20))
        counts = asked(s)
    for item in first:
        if not item.error: assert counts[item.prompt] == 1
    assert max(counts.values()) <= 2

@pytest.mark.slow
@pytest.mark.parametrize("options, needs, reached", [({}, "rlm", True), ({"environment": "monty"}, "pydantic_monty", False),
                                                     ({"environment": "kernel", "environment_kwargs": {"sandbox": None}}, "pyarrow", False)])
def test_a_wall_stands_in_a_worker_too(options, needs, reached, monkeypatch):
    pytest.importorskip(needs)
    monkeypatch.setenv("A_SECRET", "of ours")
    look = "```repl\nimport os\ntry: found = str(os.getenv('A_SECRET'))\nexcept Exception as e: found = str(e)\nFINAL(found)\n```"
    with ChatServer(look) as s, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        item, = on(s, **options).map(["What is there?"], executor=pool)
    assert item.error is None and (item.value == "of ours") is reached

class Inline(Executor):
    "Somebody's own: does it at once."
    def submit(self, f, *args):
        future = Future()
        future.set_result(f(*args))
        return future

def test_an_executor_of_ones_own_and_a_given_pool_of_threads():
    with ChatServer(number_of) as s, ThreadPoolExecutor(3) as threads:
        for executor in (Inline(), threads):
            assert [i.value for i in on(s).map(numbered(30), executor=executor)] == list(range(30))
        assert threads.submit(int, 3).result() == 3  # it is still theirs

# -- Dask

@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, protocol="tcp://") as cluster:
        with distributed.Client(cluster) as client: yield client

@pytest.mark.slow
def test_a_cluster_loses_a_worker_and_nothing_else(client, tmp_path):
    "Every item is answered; nothing whose answer was in a log is asked again; what was under way in the worker may be, once."
    killed, once = {}, threading.Lock()  # the server answers in threads
    def reply(body):
        if len(s.requests) > 15 and once.acquire(blocking=False):
            name, worker = next(iter(client.scheduler_info()["workers"].items()))
            killed.update(pid=pids[name], logs={read_log(log)[0].prompt for log in tmp_path.glob("[!i]*.jsonl")})
            os.kill(pids[name], signal.SIGKILL)
        return number_of(body)
    with ChatServer(reply, delay=0.1) as s:
        pids = client.run(os.getpid)
        items = list(on(s).map(numbered(60), executor=client, log_dir=tmp_path))
        counts = asked(s)
    assert killed and [i.value for i in items] == list(range(60)) and not any(i.error for i in items)
    assert len(killed["logs"]) > 5
    assert all(counts[prompt] == 1 for prompt in killed["logs"])
    again = [prompt for prompt, n in counts.items() if n > 1]
    assert max(counts.values()) <= 2 and len(again) <= 2, again  # the threads of the worker
    assert len(list(tmp_path.glob("[!i]*.jsonl"))) == 60

@pytest.mark.slow
def test_a_cluster_keeps_the_replies_to_sub_calls_of_an_item_that_begins_anew(client, tmp_path):
    def reply(body):
        if len(body["messages"]) == 1:
            sub[body["messages"][0]["content"]] += 1
            return "yes"
        if "Answer:" in str(body["messages"][-1]["content"]) or len(body["messages"]) > 6: return number_of(body)
        n = question(body).split("#")[1].split()[0]
        return f"```repl\nprint('Answer:', [llm_query(f'{n}, part {{k}}') for k in range(4)])\n```"
    def slow(body):
        found = reply(body)
        if len(sub) > 12 and once.acquire(blocking=False):
            killed.append(pids[next(iter(pids))])
            os.kill(killed[0], signal.SIGKILL)
        return Http(body=completion(found, body), delay=0.05)
    killed, sub, once = [], Counter(), threading.Lock()
    with ChatServer(slow) as s:
        pids = client.run(os.getpid)
        items = list(on(s, cache=tmp_path / "replies.sqlite").map(numbered(12), executor=client, log_dir=tmp_path / "logs"))
    assert killed and [i.value for i in items] == list(range(12))
    assert len(sub) == 48 and sum(n > 1 for n in sub.values()) <= 2  # those that were on their way to the worker

@pytest.mark.slow
def test_a_script_with_a_cluster_is_killed_and_begun_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import sys
from distributed import Client, LocalCluster
from rlm import RLM
if __name__ == "__main__":
    rlm = RLM(backend_kwargs={"model_name": "m", "base_url": sys.argv[1], "max_retries": 0}, verbose=False)
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster, Client(cluster) as client:
        for item in rlm.map([f"What is #{i} ?" for i in range(40)], log_dir=sys.argv[2], executor=client): print(item.index, item.value, item.reused, flush=True)
""")
    with ChatServer(number_of, delay=0.1) as s:
        start = lambda: subprocess.Popen([sys.executable, script, s.base_url, tmp_path / "logs"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        first = start()
        for line in first.stdout:
            if line.startswith("11 "): break
        first.kill()
        first.wait(20)
        kept = {read_log(log)[0].prompt for log in (tmp_path / "logs").glob("[!i]*.jsonl")}
        told, _ = start().communicate(timeout=120)
        counts = asked(s)
    assert [line.split()[:2] for line in told.splitlines()] == [[str(i), str(i)] for i in range(40)]
    assert all(counts[prompt] == 1 for prompt in kept) and max(counts.values()) <= 2
