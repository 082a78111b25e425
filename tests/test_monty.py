"""The `monty` environment: what is on the other side of the wall, and that nothing gets through."""
import asyncio, gc, os, re, signal, sys, textwrap, threading, time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rlm import RLM, Files
from rlm.environments.base import Task
from rlm.environments.interpreter import Interpreter, foreign
from rlm.environments.local import LocalEnvironment
from rlm.environments.monty import MODULES, MontyEnvironment
from rlm.lm import ScriptedLM
from rlm.parsing import parse_reply
from rlm.types import ConfigurationError, Reply, RLMError, TimeoutExceededError, TokenLimitExceededError, Usage

pytest.importorskip("pydantic_monty")

def block(code): return f"```repl\n{textwrap.dedent(code).strip()}\n```"

def rlm_for(*replies, **options): return RLM(ScriptedLM(list(replies)), environment="monty", verbose=False, **options)

def results(result): return [b.result for i in result.iterations for b in i.code_blocks]

def monty(context="one two three", tools={}, seconds=5, **more) -> MontyEnvironment:
    "An environment in which a run has begun."
    env = MontyEnvironment(seconds=seconds, **more)
    env.begin(Task(data={"context": context}, tools=tools, label="rlm"))
    return env

@pytest.fixture
def env():
    env = monty(tools={"llm_query": lambda prompt: f"said {prompt}", "double": lambda x: 2 * x})
    yield env
    env.close()

def run(env, code, name="iteration 1"): return env.run(textwrap.dedent(code), name)

def ok(env, code):
    result = run(env, code)
    assert result.error is None, result.error
    return result

def processes():
    "The ids of this process's children."
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

def left(): return threading.active_count(), len(os.listdir("/proc/self/fd")), processes()

# -- what it can't do

DENIED = {
    "files": ["open('/etc/passwd').read()", "open('x', 'w')", "import pathlib\npathlib.Path('/etc/passwd').read_text()",
              "import pathlib\npathlib.Path('x').write_text('x')", "import os\nos.listdir('/')", "import os\nos.remove('/etc/passwd')",
              "import os\nos.walk('/').__next__()", "import os\nlist(os.scandir('/proc'))", "import os.path\nos.stat('/etc/passwd')"],
    "the process": ["import os\nos.environ", "import os\nos.environ['PATH']", "import os\nos.system('true')", "import subprocess",
                    "import ctypes", "import signal", "import gc", "import multiprocessing", "import threading", "import inspect"],
    "the network": ["import socket", "import urllib.request", "import http.client", "import ssl"],
    "packages": ["import numpy", "import rlm", "from rlm import RLM", "import pydantic_monty", "import importlib", "import builtins"],
    "the way out by attributes": [
        "().__class__.__base__.__subclasses__()", "[].__class__", "(lambda: 0).__globals__", "(lambda: 0).__code__", "llm_query.__self__",
        "llm_query.__globals__", "llm_query.__func__", "double.__closure__", "getattr(double, '__glo' + 'bals__')",
        "'{0.__class__}'.format(double) + ''.missing", "type(double).__mro__", "__import__('os')", "__builtins__", "globals()", "vars()",
        "dir()", "import sys\nsys.modules", "import sys\nsys._getframe()", "breakpoint()", "compile('1', '', 'eval')"]}

@pytest.mark.parametrize("code", [code for codes in DENIED.values() for code in codes])
def test_it_is_denied(env, code):
    assert run(env, code).error
    assert ok(env, "print(len(context))").stdout == "13\n"

def test_an_environment_variable_can_not_be_read_by_any_name(env, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "sesame-open")
    told = [run(env, f"import os\nprint({code})").text for code in ("os.getenv('MY_SECRET')", "os.environ.get('MY_SECRET')", "dict(os.environ)")]
    assert "sesame" not in "".join(told)

def test_eval_and_exec_stay_inside(env):
    assert ok(env, "exec('n = 6')\neval('n * 7')").shown == "42"
    assert "PermissionError" in run(env, "eval(\"open('/etc/passwd')\")").error

BOMBS = ["[0] * 10**10", "'x' * 10**11", "x = 'a' * 1000\nwhile True: x += x", "x = []\nwhile True: x.append('a' * 1000)", "10**10**10", "2**(10**9)",
         "list(range(10**9))", "x = {}\nfor i in range(10**9): x[i] = [i] * 100", "'%1000000000d' % 1", "f'{1:>1000000000}'", "'a'.ljust(10**10)",
         "'a'.replace('a', 'b' * 10**9)", "import itertools\nlist(itertools.repeat(0, 10**9))", "sum([[1]] * 10**8, [])", "bytes(10**10)"]

@pytest.mark.parametrize("code", BOMBS)
def test_a_bomb_is_caught_and_what_was_there_is_there(code):
    env = monty(memory=60, seconds=3)
    ok(env, "kept = [1, 2]")
    result = run(env, code)
    assert "MemoryError" in result.error or "TimeoutError" in result.error or "OverflowError" in result.error
    assert ok(env, "kept + [len(context)]").shown == "[1, 2, 13]"
    env.close()

@pytest.mark.parametrize("code", ["while True: pass", "sum(range(10**12))", "while True:\n    try: 1 / 0\n    except BaseException: pass",
                                  "import time\nwhile True: time.sleep(0.1)", "while True: print", "max(range(10**12))",
                                  "import re\nre.search('(a|a|b?)*c' * 10, 'a' * 5000)\nwhile True: pass"])
def test_a_loop_without_end_is_stopped(code):
    env = monty(seconds=0.4)
    result = run(env, f"n = 1\n{code}")
    assert "TimeoutError" in result.error and "This block was undone" in result.error
    assert "n" not in env.names and ok(env, "print(context)").stdout == "one two three\n"
    env.close()

INSTEAD = [("def f(): yield 1", "Collect the values in a list"), ("x = {1: 2}\ndel x[1]", "d.pop(key)"), ("class A(ValueError): pass", "no base class"),
           ("list(map(llm_query, ['a']))", "[llm_query(p) for p in prompts]"), ("sorted(['b'], key=str.lower)", "lambda s: s.lower()"), ("import pandas", "The modules here are asyncio"),
           ("open('x')", "The data is in `context`"), ("next(x for x in [1])", "next(iter(...))"), ("import re\nre.sub('a', lambda m: m[0] * 2, 'a')", "re.finditer"),
           ("globals()", "SHOW_VARS()"), ("(1).__class__", "type(x).__name__"), ("class A:\n    @property\n    def x(self): return 1", "plain methods"),
           ("import json\njson.dumps({1}, default=str)", "")]

@pytest.mark.parametrize("code, says", INSTEAD)
def test_what_this_python_lacks_is_said_with_what_to_write_instead(env, code, says):
    error = run(env, code).error
    assert says in error.splitlines()[-1] and "Traceback" in error

def test_recursion_is_an_error_and_no_more(env):
    assert "RecursionError" in run(env, "def f(n): return f(n + 1)\nf(0)").error
    assert ok(env, "len(context)").shown == "13"

def test_a_value_that_is_nested_deep_does_no_harm(env):
    result = run(env, "x = []\nfor _ in range(100_000): x = [x]\nx")
    assert result.shown or result.error
    assert ok(env, "len(context)").shown == "13"

def test_what_prints_without_end_is_stopped(env):
    result = run(env, "while True: print('y' * 10_000)")
    assert "OutputLimit" in result.error and len(result.stdout) < 50_000
    assert ok(env, "len(context)").shown == "13"

def test_a_host_object_does_not_get_in_through_a_tool(env):
    env.task.tools["double"]
    for value in (pd.DataFrame({"a": [1]}), object(), open, os, Path("/"), iter([1]), MontyEnvironment, [lambda: 0]):
        env.helpers["tool"] = lambda: value
        result = run(env, "tool()")
        assert "TypeError: tool() returned a" in result.error and "only data can cross" in result.error
        assert ok(env, "try: tool()\nexcept TypeError: print('caught')").stdout == "caught\n"

def test_the_functions_that_look_into_namespaces_do_not_look_into_ours(env):
    for name in ("globals", "locals", "vars", "dir"):
        result = run(env, f"print({name}())")
        assert "MontyEnvironment" not in result.text and "functions" not in result.text

# -- what crosses

@pytest.mark.parametrize("value", ["text", "", "é\0\n", b"\xff\0", 0, -1, 10**30, 1.5, float("inf"), True, None, 1j, [1, [2]], (1, "a"), {"a": {1: None}}, {1, 2},
                                   frozenset("ab"), date(2026, 1, 2), Decimal("1.10"), [{"rows": [(1, 2)]}] * 3], ids=lambda x: type(x).__name__)
def test_data_goes_there_and_comes_back(value):
    result = rlm_for(block("x = context\nprint(type(x).__name__)"), block("FINAL(x)")).completion("What is it?", context=value)
    assert result.value == value and type(result.value) is type(value)
    assert results(result)[0].stdout == f"{type(value).__name__}\n"

@pytest.mark.parametrize("value, says", [
    (pd.DataFrame({"a": [1]}), 'context.to_dict("records")'), (pd.Series([1]), "to_dict"), (np.arange(3), "context.tolist()"),
    ({"df": pd.DataFrame({"a": [1]})}, "context holds a pandas.DataFrame"), ([print], "builtin_function_or_method"), (object(), 'environment="kernel"'),
    (iter([1]), "list_iterator"), (pd.NaT, "NaT"), (np.int64(3), "numpy.int64"), ("a\ud800", "surrogates"), ([l := []] and (l.append(l), l)[1], "Circular"),
], ids=lambda x: x if isinstance(x, str) else type(x).__name__)
def test_what_is_no_data_is_refused_before_a_model_is_asked(value, says):
    rlm = rlm_for("FINAL(no)")
    with pytest.raises(ConfigurationError, match="context|data") as e: rlm.completion("What is it?", context=value)
    assert says in str(e.value) and not rlm.lm.calls

def test_data_that_is_too_large_is_refused_and_says_what_to_do():
    with pytest.raises(ConfigurationError, match='environment_kwargs={"memory"'):
        rlm_for("FINAL(no)", environment_kwargs={"memory": 30}).completion("How long?", context=["x" * 1000 + str(i) for i in range(60_000)])

def test_a_tools_value_that_can_not_cross_after_all_is_an_error_in_the_code(env):
    env.helpers |= {"half": lambda: "a\ud800", "digits": lambda: 10**5000}
    assert "ValueError" in run(env, "half()").error and ok(env, "try: half()\nexcept ValueError: print('caught')").stdout == "caught\n"
    run(env, "digits()")
    assert ok(env, "len(context)").shown == "13"

def test_foreign_looks_once_at_what_is_there_twice():
    shared = ["a"]
    for _ in range(60): shared = [shared, shared]
    assert foreign(shared) == ""

def test_a_tool_that_is_a_value_is_data_and_one_that_is_none_is_refused():
    rlm = rlm_for(block("print(rates['EUR'])\nrates = 1"), block("FINAL(rates)"), custom_tools={"rates": {"EUR": 1.5}})
    result = rlm.completion("The rate?")
    assert (results(result)[0].stdout, results(result)[0].restored, result.value) == ("1.5\n", ("rates",), {"EUR": 1.5})
    with pytest.raises(ConfigurationError, match="table is a pandas.DataFrame"): rlm_for("x", custom_tools={"table": pd.DataFrame()}).completion("?")

def test_what_the_code_makes_comes_back_as_data():
    code = """
        from dataclasses import dataclass
        from collections import Counter, namedtuple
        import pathlib
        @dataclass
        class Place:
            name: str
        def f(): pass
        Pair = namedtuple("Pair", "a b")
        FINAL({"place": Place("Lima"), "counted": Counter("aab"), "pair": Pair(1, [Place("Oslo")]), "f": f, "type": int,
               "path": pathlib.Path("/etc/passwd"), "error": ValueError("no"), "more": ...})"""
    value = rlm_for(block(code)).completion("?").value
    assert value["place"] == {"name": "Lima"} and value["counted"] == {"a": 2, "b": 1} and value["pair"] == (1, [{"name": "Oslo"}])
    assert isinstance(value["f"], str) and value["type"] is int
    assert (value["path"], value["error"], value["more"]) == ("/etc/passwd", "no", "Ellipsis")

# -- blocks

def test_a_block_echoes_prints_and_keeps(env):
    result = ok(env, "words = context.split()\nprint(len(words))\nwords[0]")
    assert (result.stdout, result.shown) == ("3\n", "'one'")
    assert ok(env, "words[-1]").shown == "'three'" and ok(env, "x = 1").shown == ""

def test_stderr_is_told_apart(env):
    result = ok(env, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")

def test_an_error_shows_the_lines_of_the_blocks(env):
    run(env, "def half(x):\n    return x / 0\n", "iteration 1")
    lines = run(env, "y = 1\nhalf(3)", "iteration 2").error.splitlines()
    assert lines == ["Traceback (most recent call last):", '  File "<rlm iteration 2>", line 2, in <module>', "    half(3)",
                     '  File "<rlm iteration 1>", line 2, in half', "    return x / 0", "ZeroDivisionError: division by zero"]
    assert ok(env, "y").shown == "1"  # what ran before the error is kept

def test_syntax_errors_are_told_and_nothing_ran(env):
    result = run(env, "n = 1\nprint('ran')\ndef f(:\n    pass")
    assert "SyntaxError" in result.error and "line 3" in result.error and not result.stdout and "n" not in env.names

def test_show_vars_knows_what_the_block_itself_has_bound(env):
    assert ok(env, "n, words = 1, ['a']\nSHOW_VARS()").shown.splitlines() == ["context: str", "n: int", "words: list"]
    assert "later: float" in ok(env, "later = 1.5\nprint(SHOW_VARS())").stdout

def test_final_ends_the_block_with_any_value_and_what_was_set_stays(env):
    result = run(env, "n = 3\ntry: FINAL([n])\nexcept Exception: print('caught')\nprint('not reached')")
    assert (result.answer.value, result.stdout, result.error) == ([3], "", None)
    assert run(env, "FINAL_VAR('n')").answer.value == 3 and run(env, "FINAL_VAR(n)").answer.value == 3
    assert "NameError" in run(env, "FINAL_VAR('nothing')").error

def test_the_answer_dict(env):
    assert ok(env, "answer['content'] = 'Lima'").answer is None
    assert ok(env, "answer['ready'] = True").answer.value == "Lima"
    assert ok(env, "1").answer is None
    assert run(env, "answer['ready'] = True\n1 / 0").answer is None
    assert ok(env, "answer = {'content': [1], 'ready': True}").answer.value == [1]

def test_a_variable_called_answer_is_a_variable():
    assert rlm_for(block("answer = 'Lima'"), "FINAL_VAR(answer)").completion("?").value == "Lima"

def test_reserved_names_are_put_back(env):
    assert ok(env, "context = 1\ndef llm_query(x): return 0\nSHOW_VARS = FINAL_VAR = FINAL = 2").restored == (
        "FINAL", "FINAL_VAR", "SHOW_VARS", "context", "llm_query")
    assert ok(env, "print(context, llm_query('a'), SHOW_VARS())").stdout.startswith("one two three said a context: str")
    assert run(env, "FINAL_VAR('context')").answer.value == "one two three"

def test_a_model_may_call_its_variables_like_builtins(env):
    ok(env, "len = 3\ntype = str = list = dict = eval = 1\nlocals = 2")
    assert ok(env, "print(len + 1)\nx = [1]").stdout == "4\n"
    assert ok(env, "print(x)").stdout == "[1]\n" and run(env, "FINAL_VAR('x')").answer.value == [1]

def test_exit_ends_the_block_only(env):
    assert "This ended the block" in run(env, "n = 1\nexit()\nn = 2").error
    assert ok(env, "n").shown == "1"

def test_input_is_refused_and_display_shows(env):
    assert "nobody is there to type" in run(env, "input('?')").error
    assert ok(env, "display([1], 'a')").stdout == "[1]\n'a'\n"

def test_await_and_gather(env):
    assert ok(env, "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return double(n)\nawait asyncio.gather(f(1), f(2))").shown == "[2, 4]"

@pytest.mark.parametrize("name", MODULES.split(", "))
def test_the_modules_that_the_model_is_told_of_are_there(env, name): ok(env, f"import {name}")

def test_random_numbers_are_the_same_for_the_same_question():
    def drawn(question): return rlm_for(block("import random\nFINAL(random.random())")).completion(question).value
    assert drawn("Which?") == drawn("Which?") != drawn("Who?")

def test_code_as_models_write_it_does_the_same_as_in_python():
    from parsing_corpus import CORPUS
    codes = {code for case in CORPUS for code in parse_reply(case.reply).code if not re.search(r"open\(|subprocess|os\.system|input\(|sleep", code)}
    text = "\n".join(f"2026-01-{i % 28 + 1:02d} INFO user{i} paid {i * 7 % 100}.50 EUR; enabled = {'true' if i % 3 else 'false'}" for i in range(500))
    def did(env, code):
        env.begin(Task(data={"context": text}, tools={"llm_query": lambda *a, **k: "a reply", "llm_query_batched": lambda prompts, *a: ["r" for _ in prompts]}))
        r = env.run(code, "iteration 1")
        env.close()
        return r.stdout + r.shown, bool(r.error), r.answer and r.answer.text
    different = [code for code in codes if did(LocalEnvironment(), code) != did(MontyEnvironment(seconds=5), code)]
    assert len(codes) > 40 and not different

# -- tools and models

def test_a_tools_error_is_an_error_in_the_code():
    def missing(key): raise KeyError(key)
    class OwnError(Exception): pass
    def own(): raise OwnError("no luck")
    rlm = rlm_for(block("try: missing('k')\nexcept KeyError as e: print('no', e)\nown()"), "FINAL(done)", custom_tools={"missing": missing, "own": own})
    first = results(rlm.completion("?"))[0]
    assert first.stdout == "no 'k'\n" and "Exception: OwnError: no luck" in first.error

def test_a_tool_gets_data_and_runs_on_this_thread():
    seen = []
    def note(*args, **kw): seen.append((args, kw, threading.get_ident()))
    rlm_for(block("note(1, [{'a': (2,)}], key={'b'})\nf = note\nf()\nFINAL(1)"), custom_tools={"note": note}).completion("?")
    assert seen == [((1, [{"a": (2,)}]), {"key": {"b"}}, threading.get_ident()), ((), {}, threading.get_ident())]

def test_models_are_asked_and_counted():
    rlm = rlm_for(block("a = [llm_query(p) for p in ('x', 'y')]\nb = llm_query_batched(['u', 'v'])\nprint(a, b, rlm_query('w'))"), "1", "2", "3", "4", "5", "FINAL(done)")
    result = rlm.completion("?")
    first = results(result)[0]
    assert first.stdout == "['1', '2'] ['3', '4'] 5\n"
    assert [c.prompt for c in first.rlm_calls] == ["x", "y", "u", "v", "w"] and result.usage.calls == 7

def test_a_picture_is_not_read_by_its_path(tmp_path):
    "A model's code could name any picture of the user's, and have it sent."
    (tmp_path / "private.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for there in (tmp_path / "private.png", "/no/such.png"):
        rlm = rlm_for(block(f"print(llm_query('What is it?', images=['{there}']))"), "FINAL(done)")
        result = results(rlm.completion("?"))[0]
        assert "images takes the bytes of pictures here" in result.error and len(rlm.lm.calls) == 2

def test_typed_sub_calls():
    code = "print(llm_query('Is it?', type=bool), llm_query('Which?', type=['a', 'b']), llm_query('All?', type=list[str]), llm_map(['x', 'y'], 'How many?', type=int))"
    result = results(rlm_for(block(code), "true", "b", '["u"]', "1", "2", "FINAL(done)").completion("?"))[0]
    assert (result.stdout, result.error) == ("True b ['u'] [1, 2]\n", None)

def test_items_that_failed_are_told():
    result = results(rlm_for(block("print(llm_map(['x', 'y'], 'How many?', type=int))"), "1", "no number", "none", "FINAL(done)").completion("?"))[0]
    assert result.stdout == "[1, None]\n" and "llm_map: 1 failed; the first:" in result.stderr

def test_more_calls_than_monty_allows_by_default():
    calls = []
    rlm = rlm_for(block("for i in range(3000): note(i)\nFINAL(1)"), custom_tools={"note": calls.append})
    assert rlm.completion("?").value == 1 and len(calls) == 3000

def test_a_child_stays_behind_the_wall():
    replies = [block("print(rlm_query('How long?', context=[1, 2, 3]))"),
               block("import os\nprint(open('/etc/passwd'))"), block("FINAL(len(context))"), "FINAL(three)"]
    result = rlm_for(*replies, max_depth=2).completion("?")
    first = results(result)[0]
    assert first.stdout == "3\n"
    child = first.rlm_calls[0].run
    assert "PermissionError" in child.iterations[0].code_blocks[0].result.error and child.value == 3

def test_limits_end_what_asks_too_much():
    said = Reply("no", usage=Usage(90, 10, 1))
    rlm = rlm_for(block("while True:\n    try: llm_query('again')\n    except BaseException: pass"), *[said] * 50, max_tokens=2000)
    with pytest.raises(TokenLimitExceededError) as e: rlm.completion("?")
    assert 5 < len(results(e.value.result)[0].rlm_calls) <= 20

# -- interrupts, crashes, time

def test_the_time_of_the_run_ends_a_block():
    rlm = rlm_for(block("n = 1\nwhile True: pass"), max_timeout=2, environment_kwargs={"seconds": 500})
    with pytest.raises(TimeoutExceededError) as e: rlm.completion("?")
    assert "Stopped" in results(e.value.result)[0].error

def test_a_task_that_is_cancelled_ends_the_block():
    async def main():
        task = asyncio.create_task(rlm_for(block("while True: pass"), environment_kwargs={"seconds": 500}).acompletion("?"))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
    asyncio.run(main())

def test_ctrl_c_ends_a_block_and_the_state_is_as_before(env):
    ok(env, "kept = 1")
    def interrupt():
        while "began" not in env._capture.latest(): time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    result = run(env, "kept = 2\nprint('began')\nwhile True: pass")
    assert result.interrupted and result.stdout == "began\n"
    assert ok(env, "kept").shown == "1"

def test_ctrl_c_in_a_tool_ends_the_block(env):
    def slow():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    env.helpers["slow"] = slow
    assert run(env, "n = 1\nslow()").interrupted and "n" not in env.names

def test_a_process_that_dies_is_replaced_and_nothing_runs_twice():
    calls = []
    env = monty(tools={"note": calls.append})
    env.helpers["die"] = lambda: os.kill(env._interpreters[0].process, signal.SIGKILL)
    ok(env, "note('first')\nkept = [1]\ndef f(): return kept + [2]")
    result = run(env, "note('second')\nkept.append(9)\ndie()\nnote('third')")
    assert "the process of this Python ended" in result.error and "This block was undone" in result.error
    assert ok(env, "f()").shown == "[1, 2]" and calls == ["first", "second"]
    env.close()

def test_a_process_that_dies_between_blocks_is_replaced_and_nobody_notices():
    "Ctrl-C in a terminal goes to all processes that belong to it."
    env = monty({"a": [1]})
    for _ in range(2):
        os.kill(env._interpreters[0].process, signal.SIGINT)
        assert ok(env, "context['a'].append(2)\ncontext['a'][0]").shown == "1"
    assert ok(env, "context['a']").shown == "[1, 2, 2]"
    env.end()
    os.kill(env._interpreters[0].process, signal.SIGINT)
    env.begin(Task(data={"context": "new"}))
    assert ok(env, "context").shown == "'new'"
    env.close()

def test_variables_that_are_too_large_to_be_kept_are_told():
    env = monty(memory=60)
    result = run(env, "large = 'x' * 40_000_000\nprint('made')")
    assert "MemoryError" in result.error and result.stdout == "made\n" and "large" not in env.names
    env.close()

def test_a_long_text_is_there_whenever_it_is_named(env):
    env.end()
    text = "abc" * 1_000_000
    env.begin(Task(data={"context": text}))
    assert ok(env, "len(context)").shown == "3000000" and len(env._state.dump) < 100_000
    ok(env, "x = 1\ndef size(): return len(context)")
    assert ok(env, "size()").shown == "3000000" and ok(env, "eval('con' + 'text')[:3]").shown == "'abc'"
    assert ok(env, "exec('n = len(con' + 'text)')" if False else "locals()['context'][:3]").shown == "'abc'"
    assert env.resolve("context", False).answer.value is text

# -- more than one run

def test_variables_stay_from_run_to_run_and_the_model_hears_of_them():
    replies = [block("pages = ['x'] * 100\nn = 3\nFINAL(1)"), block("FINAL(len(pages) + n)")]
    with rlm_for(*replies, persistent=True) as rlm:
        rlm.completion("First?", context="data")
        assert rlm.completion("Second?").value == 103
        told = rlm.lm.calls[1][-1]["content"]
        assert "pages: list, 100 items of str" in told and "n: int = 3" in told

def test_what_an_earlier_run_brought_is_gone():
    with rlm_for(block("FINAL(1)"), block("print(SHOW_VARS())\nprint(context)"), "FINAL(2)", persistent=True) as rlm:
        rlm.start_session().chat("First?", context={"secret": 1})
        result = rlm.completion("Second?")
        assert "session" not in results(result)[0].stdout and "secret" not in results(result)[0].stdout

def test_a_session_and_its_failed_turn():
    model = ScriptedLM([block("cities = context.split()\nFINAL(len(cities))"), block("cities = None\nother = 1"), ConnectionError("gone"),
                        block("print(session_history[0]['response'], SHOW_VARS())"), "FINAL_VAR(cities)"])
    with RLM(model, environment="monty", verbose=False) as rlm:
        session = rlm.start_session()
        assert session.chat("How many?", context="Lima Oslo").value == 2
        with pytest.raises(ConnectionError): session.chat("Forget them.")
        result = session.chat("Which?")
        assert result.value == ["Lima", "Oslo"] and "other" not in results(result)[0].stdout
        session.undo()
        assert len(session) == 1

def test_preview_says_what_is_there_and_what_python_it_is():
    with rlm_for(block("n = 1\nFINAL(n)"), persistent=True) as rlm:
        rlm.completion("First?")
        request = rlm.preview("Second?", context="data")
        assert "n: int = 1" in request[-1]["content"] and "without files, network and packages" in request[0]["content"]

def test_a_system_prompt_of_ones_own_is_told_too():
    request = rlm_for("x", custom_system_prompt="Be brief.").preview("?")
    assert request[0]["content"].startswith("Be brief.\n\nThe Python of this REPL is a subset")

def test_output_type():
    assert rlm_for(block("FINAL([str(n) for n in (1, 2)])"), block("FINAL([1, 2])")).completion("?", output_type=list[int]).value == [1, 2]

# -- answers outside code

@pytest.mark.parametrize("answer, value", [("FINAL(n)", 3), ("FINAL_VAR(n)", 3), ("FINAL(n * 2)", 6), ("FINAL_VAR(`rows`)", [{"a": 1}] * 100), ("FINAL(rows[0])", {"a": 1}),
                                           ("FINAL(len(rows))", 100), ("FINAL(in words)", "in words"), ("FINAL(context)", "data"), ("FINAL(f(2))", 4)])
def test_an_answer_outside_code(answer, value):
    assert rlm_for(block("n = 3\nrows = [{'a': 1}] * 100\ndef f(x): return x * 2"), answer).completion("?", context="data").value == value

def test_an_answer_that_fails_is_told():
    rlm = rlm_for(block("rows = []"), "FINAL(rows[0])", "FINAL_VAR(nothing)", "FINAL(done)")
    rlm.completion("?")
    said = [m["content"] for m in rlm.lm.calls[-1] if m["role"] == "user"]
    assert "IndexError" in said[-2] and "no variable named nothing; there are: context, rows" in said[-1]

# -- the rest of the library

def test_values_are_kept_out_of_errors_where_the_model_must_not_see_them():
    cases = ["int(patient)", "{}[patient]", "raise ValueError(patient)", "assert patient == 1", "eval(patient)", "raise SystemExit(patient)", "open(patient)", "patient.foo",
             "llm_query(patient, model='x')", "raise SyntaxError(patient)", "exec('1 +' + patient)", "import sys\nprint(patient, file=sys.stderr)", "[1].index(patient)"]
    env = monty(show_values=False, tools={"llm_query": lambda prompt, model: {}[prompt]})
    ok(env, "patient = 'Ada Lovelace'")
    for code in cases: assert "Lovelace" not in run(env, code).text, code
    assert "NameError: 'nobody'" in run(env, "nobody").error
    env.close()

def test_approve_decides_and_nothing_is_asked_where_nothing_can_change(tmp_path):
    rlm = rlm_for(block("n = 1"), "FINAL(done)", environment_kwargs={"approve": lambda code: code.replace("1", "2")})
    assert results(rlm.completion("?"))[0].ran == "n = 2"
    env = monty()
    assert env._effects("open('x', 'w')\ncontext.clear()") == []
    env.close()

def test_approve_is_asked_for_the_code_of_children():
    shown = []
    def approve(code):
        shown.append(code)
        return code
    rlm = rlm_for(block("print(rlm_query('How long?', context=[1]))"), block("FINAL(len(context))"), "FINAL(one)", max_depth=2, environment_kwargs={"approve": approve})
    assert results(rlm.completion("?"))[0].stdout == "1\n" and shown[1].startswith("# This is the code of a child")

def test_a_run_can_be_streamed():
    stream = rlm_for(block("print('a')"), block("FINAL(len(context))")).stream("?", context="abc")
    list(stream)
    assert stream.result.value == 3

def test_a_log_is_replayed_behind_the_wall(tmp_path):
    from rlm.utils.trace_notebook import enable_trace_notebook, verify
    logger, trace = enable_trace_notebook(tmp_path)
    replies = [block("import random\nprint(random.random(), llm_query('a'))\nn = len(context)"), "yes", block("1 / 0"), block("x = [n] * 50\nprint(SHOW_VARS())"), "FINAL_VAR(x)"]
    rlm_for(*replies, logger=logger).completion("How long?", context="data" * 3)
    assert set(verify(trace.path).values()) == {"equal"}

def test_a_run_is_resumed_with_a_change(tmp_path):
    rlm = rlm_for(block("n = 1\nrows = [0] * 99"), block("FINAL(n)"), block("FINAL(n + len(rows))"))
    first = rlm.completion("?")
    def change(names): names["n"] = 41
    assert rlm.resume(first, 2, edit=change).value == 140

def test_what_is_printed_can_be_read_while_it_runs():
    env = MontyEnvironment()
    found, seen = env.begin(Task(data={"context": ""})), []
    env.helpers["look"] = lambda: seen.append(found.printed())
    ok(env, "print('half way')\nlook()")
    assert seen == ["half way\n"]
    env.close()

def test_the_outputs_of_a_conversation_that_got_too_long_can_be_read():
    from test_window import PAGES, Script
    lm = Script(["```repl\nhistory = ['mine']\nprint('page 0 ' * 900)\n```", *PAGES,
                 "```repl\nFINAL([history, rlm_history[1][:6], sorted(rlm_history)[:2], 9 in rlm_history, rlm_history.replies[2][:7]])\n```"])
    result = RLM(lm, environment="monty", verbose=False).completion("Print!")
    assert result.value == [["mine"], "page 0", [1, 2], False, "```repl"] and result.folding.name == "rlm_history"

def test_files_are_texts(tmp_path):
    (tmp_path / "book.txt").write_text("once upon a time")
    assert rlm_for(block("FINAL(context.split()[0])")).completion("?", context=tmp_path / "book.txt").value == "once"
    for texts in (tmp_path, dict(Files(tmp_path))):
        assert rlm_for(block("FINAL(list(context.items()))")).completion("?", context=texts).value == [("book.txt", "once upon a time")]
    (tmp_path / "fares.csv").write_text("port,crowns\nOslo,40\n")
    with pytest.raises(ConfigurationError, match='holds a pandas.DataFrame.*environment="kernel"'): rlm_for("no").completion("?", context=tmp_path)

def test_eight_at_once_and_each_its_own():
    def one(n): return rlm_for(block(f"n = {n}\nprint(context)"), block("FINAL(n * len(context))")).completion("?", context="x" * n).value
    with ThreadPoolExecutor(8) as pool: assert list(pool.map(one, range(1, 17))) == [n * n for n in range(1, 17)]

def test_gather():
    async def main():
        async def one(n): return (await rlm_for(block(f"FINAL({n} + len(context))")).acompletion("?", context="x")).value
        return await asyncio.gather(*map(one, range(8)))
    assert asyncio.run(main()) == list(range(1, 9))

def test_options_are_checked():
    for options in ({"memory": "much"}, {"memory": 1}, {"seconds": 0}, {"seconds": None}, {"speed": 1}, {"sync_vars": ["df"]}):
        with pytest.raises(ConfigurationError): rlm_for("x", environment_kwargs=options)

def test_without_the_extra_it_says_what_to_install(monkeypatch):
    import rlm.environments.monty as room
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rlm\[monty\]'"): rlm_for("x")

# -- nothing is left

def settled(before) -> bool:
    "Whether, after a moment, no more is there than before."
    for _ in range(50):
        gc.collect()
        now = left()
        if now[0] <= before[0] and now[1] <= before[1] and now[2] <= before[2]: return True
        time.sleep(0.1)
    print(before, now)
    return False

@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_thread_or_file_is_left():
    Interpreter(100, 1).close()  # Monty's own two threads start with the first
    gc.collect()
    before = left()
    rlm_for(block("print(1)"), block("1 / 0"), "FINAL(x y)").completion("?")
    with pytest.raises(ConfigurationError): rlm_for("x").completion("?", context=object())
    with pytest.raises(RLMError): rlm_for(block("while True: pass"), max_timeout=0.2).completion("?")
    with pytest.raises(ConnectionError): RLM(ScriptedLM([ConnectionError("gone")]), environment="monty", verbose=False).completion("?")
    assert settled(before)
    rlm = rlm_for(block("FINAL(1)"), persistent=True)
    rlm.completion("?")
    assert left()[2] - before[2]
    del rlm  # and is collected
    assert settled(before)
