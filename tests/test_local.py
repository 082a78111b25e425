"""The `local` environment: what a model's block does, and that nothing it does reaches the program around it."""
import asyncio, base64, contextlib, contextvars, gc, io, json, linecache, os, signal, subprocess, sys, textwrap, threading, time
import tracemalloc, weakref

import numpy as np
import pandas as pd
import pytest
from rlm import RLM
from rlm.environments.base import MAY_COVER, RESERVED, Task
from rlm.environments.capture import KEEP
from rlm.environments.local import LocalEnvironment
from rlm.lm import ScriptedLM
from rlm.environments.snapshot import CELLS, ITEMS, Snapshot, can_change
from rlm.text import bounded_repr
from rlm.types import CodeResult, RLMChatCompletion, RunEndedError

@pytest.fixture(autouse=True)
def the_process_is_as_it_was():
    def state(): return sys.stdin, sys.stdout, sys.stderr, threading.Thread.start, signal.getsignal(signal.SIGINT)
    def names(): return {name for name in (*sys.modules, *linecache.cache) if name.startswith(("rlm_repl", "<rlm "))}
    before, held = state(), names()
    yield
    assert state() == before
    if not names() <= held: gc.collect()
    assert names() <= held

def local(context=None, tools={}, label="rlm") -> LocalEnvironment:
    "An environment in which a run has begun."
    env = LocalEnvironment()
    env.begin(Task(data={"context": context}, tools=tools, label=label))
    return env

@pytest.fixture
def env():
    env = local("one two three", {"llm_query": lambda prompt: f"said {prompt}", "double": lambda x: 2 * x})
    yield env
    env.close()

def run(env, code, name="iteration 1") -> CodeResult: return env.run(textwrap.dedent(code), name)

def ok(env, code) -> CodeResult:
    result = run(env, code)
    assert result.error is None, result.error
    return result

def script(code, **options) -> subprocess.CompletedProcess:
    "Run a program of its own, with an `env` and its `run`."
    options = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.run([sys.executable, "-c", START + textwrap.dedent(code)], capture_output=True, text=True,
        timeout=60, **options)

START = """import os, sys, signal, time, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # under `nohup` it is inherited as ignored
from rlm.environments.base import Task
from rlm.environments.local import LocalEnvironment
env = LocalEnvironment()
env.begin(Task(data={'context': 'the context'}, label='rlm'))
def run(code): return env.run(code, 'iteration 1')
"""

# Namespace

def test_one_namespace(env):
    result = ok(env, """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        limit = 3
        squares = [x * limit for x in range(limit)]
        class Base:
            size = limit
            def grown(self): return Base.size + limit + later
        even(10), squares""")
    assert result.shown == "(True, [0, 3, 6])"
    assert ok(env, "later = 100\nlimit = 5\nBase().grown()").shown == "108"
    assert ok(env, "def setter():\n    global made\n    made = 1\nsetter()\nmade").shown == "1"

def test_modules_see_its_classes(env):
    assert ok(env, """
        from __future__ import annotations
        import pickle, enum, copy, typing
        from dataclasses import dataclass, field
        @dataclass
        class Point:
            x: int = 0
            kind: typing.ClassVar[str] = "point"
            tags: list[str] = field(default_factory=list)
        class Color(enum.Enum): RED = 1
        back = pickle.loads(pickle.dumps([Point(3), Color.RED]))
        back, typing.get_type_hints(Point)["x"] is int""").shown == "([Point(x=3, tags=[]), <Color.RED: 1>], True)"

def test_a_main_guard_holds_and_nothing_else_is_changed(env):
    assert ok(env, "if __name__ == '__main__':\n    print('main')\nelse:\n    print('no')\nx = 1").stdout == "main\n"
    assert ok(env, "if x == 2: print('two')\nif '__main__' == __name__: print('other')").stdout == ""

def test_source_can_be_inspected(env):
    source = "def f():\n    return 1  # one\n"
    assert ok(env, f"import inspect\n{source}print(inspect.getsource(f))").stdout == source + "\n"

def test_it_sees_nothing_of_the_callers(env):
    assert "NameError: name 'pytest' is not defined" in run(env, "pytest").error

def test_the_context_is_bound_by_reference():
    context = {"big": "x" * 50_000_000}
    tracemalloc.start()
    try:
        with contextlib.closing(local(context)) as env:
            ok(env, "context['big']\ncontext")
            assert env.variables()["context"] is context
            assert env.resolve("context", variable=True).answer.value is context
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally: tracemalloc.stop()

def test_variables(env):
    ok(env, "import json, sys\nb = 1\na = 'x'\n_hidden = 2\ncontext_2 = 3\nclass Thing: pass\nglobals()[3] = 4")
    assert list(env.variables()) == ["context", "b", "a", "context_2", "Thing"]
    assert ok(env, "SHOW_VARS()").shown == "context: str\nb: int\na: str\ncontext_2: int\nThing: type"
    assert ok(env, "print(SHOW_VARS())").stdout == "context: str\nb: int\na: str\ncontext_2: int\nThing: type\n"
    ok(env, "for i in range(5000): globals()[f'name_{i}'] = i")
    assert len(ok(env, "SHOW_VARS()").shown) < 2_500

# Helpers

def test_helpers_are_builtins_of_the_block(env):
    assert ok(env, "llm_query('hi'), double(4), answer").shown == "('said hi', 8, {'content': '', 'ready': False})"
    assert not {"llm_query", "double", "FINAL", "answer", "display"} & set(ok(env,
        "list(globals())").shown.replace("'", " ").split())
    ok(env, "def later(): return llm_query('later')")
    assert env.variables()["later"]() == "said later"
    with pytest.raises(NameError): eval("llm_query")

@pytest.mark.parametrize("code", ["{} = 1", "def {}(x): return 1", "for {} in 'ab': pass", "import json as {}",
    "class {}: pass",
    "globals()['{}'] = None", "__builtins__['{}'] = None", "def f():\n    global {}\n    {} = 1\nf()",
    "{} = 1\n1 / 0", "{} = 1\nexit()",
    "{0} = {0}"])
@pytest.mark.parametrize("name", ["llm_query", "double", "FINAL", "FINAL_VAR", "SHOW_VARS"])
def test_an_overwritten_helper_is_restored_and_named(env, code, name):
    before = ok(env, name).shown
    result = run(env, code.format(name, name) if code.count("{}") < 2 else code.replace("{}", name))
    assert result.restored == (() if "__builtins__" in code else (name,))
    assert ok(env, name).shown == before
    assert name not in env.variables()
    assert run(env, "x = 1").restored == ()

@pytest.mark.parametrize("code", ["context = context.upper()", "for context in 'ab': pass", "del context",
    "globals().pop('context')", "context = 1\n1/0"])
def test_the_context_is_restored(env, code):
    assert run(env, code).restored == ("context",)
    assert ok(env, "context").shown == "'one two three'"
    assert ok(env, "context = context").restored == ()

def test_several_restored_names_and_the_modules_own(env):
    assert run(env, "FINAL = context = double = 1\n__name__ = '__main__'\n__builtins__ = {}").restored == ("FINAL",
        "context", "double")
    assert ok(env, "import pickle\nclass A: pass\npickle.loads(pickle.dumps(A)) is A").shown == "True"

def test_names_the_model_may_take(env):
    result = ok(env, "answer = 42\ndisplay = input = exit = 1\nanswer")
    assert (result.shown, result.restored, result.answer) == ("42", (), None)
    assert env.variables()["answer"] == 42

def test_of_the_helpers_those_are_reserved_that_are_put_back(env):
    assert set(env.helpers) - set(RESERVED) == MAY_COVER - {"answer"} | {"double"}

# What it shows

@pytest.mark.parametrize("code, shown", [("1 + 1", "2"), ("'a'", "'a'"), ("None", ""), ("x = 5", ""),
    ("x = 5\nx", "5"), ("x = 5;x", "5"), ("", ""),
    ("# only a comment", ""), ("print('a')", ""), ("'''doc'''", "'doc'"), ("[i for i in range(3)]",
        "[0, 1, 2]"), ("lambda: 1", None), ("(\n1,\n)", "(1,)"),
    ("1\r\n2", "2"), ("import os", ""), ("if True:\n    5", "")])
def test_echo(env, code, shown):
    result = ok(env, code)
    assert result.shown == shown if shown is not None else "<lambda>" in result.shown
    for output in result.outputs: assert (output["output_type"], *output["data"]) == ("execute_result", "text/plain")
    assert "_" not in env.namespace

def test_display_is_shown_to_the_model(env):
    assert ok(env, "display([1], 'a')").stdout == "[1]\n'a'\n"

BROKEN = """
class Raises:
    def __repr__(self): raise ValueError("no repr")
class Meta(type):
    __name__ = property(lambda cls: 1 / 0)
    def __repr__(cls): raise RuntimeError
    def __hash__(cls): raise RuntimeError
    def __instancecheck__(cls, x): raise RuntimeError
class Worse(metaclass=Meta):
    __class__ = property(lambda self: 1 / 0)
    def __getattribute__(self, name): raise RuntimeError(name)
    def __repr__(self): return 3
class Text(str):
    def __len__(self): raise RuntimeError
    def __getitem__(self, i): raise RuntimeError
    def __repr__(self): return Text("text")
class BadError(Exception):
    def __str__(self): raise ValueError
    def __repr__(self): raise ValueError
class Deep:
    def __repr__(self): return repr(self)
class Prints:
    def __repr__(self):
        print("from repr")
        return "<Prints>"
"""

@pytest.mark.parametrize("value, shown", [("Raises()", "<Raises whose repr raised ValueError>"),
    ("Worse()", "<Worse whose repr raised "),
    ("[1, Raises()]", "<list whose repr raised ValueError>"), ("Text('x')", "text"), ("BadError()",
        "<BadError whose repr raised ValueError>"),
    ("Deep()", "<Deep whose repr raised RecursionError>"), ("Prints()", "<Prints>"), ("10 ** 10_000", None), ("Worse",
        "<Meta whose repr raised ")])
def test_a_broken_repr_hurts_nobody(env, value, shown):
    ok(env, BROKEN)
    result = ok(env, value)
    assert result.shown.startswith(shown or ("<int whose repr raised ValueError>" if sys.version_info >= (3, 11) else "1000"))
    assert ok(env, f"x = {value}\nSHOW_VARS()").shown.endswith(("x: " + ok(env,
        "type.__dict__['__name__'].__get__(type(x))").shown.strip("'")))
    assert run(env, "display(x)").error is None

def test_a_broken_exception_hurts_nobody(env):
    ok(env, BROKEN)
    assert "BadError" in run(env, "raise BadError").error
    assert "BadError" in run(env, "try: raise BadError\nexcept Exception as e: raise ValueError(Raises()) from e").error
    assert run(env, "class E(Exception):\n    __notes__ = 5\nraise E('x')").error
    assert run(env, "e = SyntaxError('m'); e.text, e.lineno, e.offset, e.filename = 5, 'x', [], 3\nraise e").error
    class_with_loop = "e = ValueError(1); f = KeyError(2); e.__cause__ = f; f.__cause__ = e\nraise e"
    assert run(env, class_with_loop).error.endswith("ValueError: 1")
    assert "KeyError" in run(env, """
        class E(Exception):
            def __bool__(self): raise RuntimeError
        try: raise E
        except E: raise KeyError(1)""").error
    assert "its text could not be made" in run(env, """
        class Leaves(SystemExit):
            def __str__(self): raise SystemExit(5)
        raise Leaves""").error

def test_a_huge_echo_is_cut(env):
    ok(env, "big = 'x' * 50_000_000\nnumbers = list(range(2_000_000))\nnested = {'a': [numbers] * 3, 'b': (big,)}")
    for name in ("big", "numbers", "nested", "big.encode()", "set(numbers)"):
        assert 1000 < len(ok(env, name).shown) < 2 * KEEP + 200
    assert "[49,980,000 of 50,000,000 characters cut]" in ok(env, "big").shown
    assert "2,000,000 items" in ok(env, "numbers").shown

@pytest.mark.parametrize("value", [[], (), {}, set(), frozenset(), (1,), [(1,), {2}], frozenset({3}),
    {"b": 1, "a": [None]}, "a'b", b"\0", range(3), {1: {2: {3: [4]}}}, [[]] * 3])
def test_a_small_repr_is_the_repr(value): assert bounded_repr(value) == repr(value)

def test_a_list_in_itself(env):
    assert ok(env, "a = [1]; a.append(a); d = {}; d['d'] = d\na, d").shown == "([1, [...]], {'d': {...}})"

def test_stdout_and_stderr_and_warnings(env):
    result = ok(env, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")

def test_a_warning_is_shown_again_in_the_next_block_and_is_only_a_warning():
    done = script("""
        from rlm.environments.capture import only_warnings
        for _ in range(2):
            result = run("import warnings\\nwarnings.warn('two\\\\nlines')")
            assert "two\\nlines\\n  warnings.warn(" in result.stderr and only_warnings(result.stderr), result
        result = run("1 is 1")
        assert "SyntaxWarning" in result.stderr and only_warnings(result.stderr), result""")
    assert (done.returncode, done.stderr) == (0, "")

# Errors

def test_an_error_is_short_plain_and_shows_the_models_lines_only(env):
    result = run(env, """
        import json
        kept = 1
        def parse(text):
            return json.loads(text)
        print("before")
        parse("{")
        print("after")""")
    assert result.error == textwrap.dedent("""\
        Traceback (most recent call last):
          File "<rlm iteration 1>", line 7, in <module>
            parse("{")
          File "<rlm iteration 1>", line 5, in parse
            return json.loads(text)
        json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)
        (with text = '{')""")
    assert (result.stdout, env.variables()["kept"]) == ("before\n", 1)

def test_an_error_in_an_earlier_blocks_function_shows_its_line(env):
    env.run("def f():\n    return missing  # here", "iteration 1")
    error = env.run("f()", "iteration 2").error
    assert '"<rlm iteration 2>", line 1' in error
    assert '"<rlm iteration 1>", line 2, in f\n    return missing  # here' in error

def test_blocks_and_environments_of_the_same_name_keep_their_lines_apart():
    envs = [local(None, label="rlm") for _ in range(3)]
    for i, env in enumerate(envs): env.run(f"def f(): return {i} / 0", "iteration 1")
    for i, env in enumerate(envs): assert f"return {i} / 0" in env.run("f()", "iteration 1").error
    for env in envs: env.close()

def test_chained_errors(env):
    error = run(env, "try: 1 / 0\nexcept ZeroDivisionError as e: raise ValueError('bad') from e").error
    assert "ZeroDivisionError: division by zero\n\nThe above exception was the direct cause" in error
    assert error.endswith("ValueError: bad")
    error = run(env, "try: 1 / 0\nexcept ZeroDivisionError: {}['x']").error
    assert "During handling" in error and error.endswith("KeyError: 'x'")
    error = run(env, "try: 1 / 0\nexcept ZeroDivisionError: raise ValueError('bad') from None").error
    assert "division by zero" not in error

def test_what_the_caller_was_handling_is_not_told(env):
    try: raise RuntimeError("the user's secret")
    except RuntimeError: result = run(env, "try: 1 / 0\nexcept ZeroDivisionError: {}['x']")
    assert "ZeroDivision" in result.error and "secret" not in result.error

def test_the_first_of_two_errors_inside_a_tool_is_not_told():
    def tool():
        try: {}["inner"]
        except KeyError as e: raise ValueError("outer") from e
    with contextlib.closing(local(None, {"tool": tool})) as env: error = run(env, "tool()").error
    own = '  File "<rlm iteration 1>", line 1, in <module>'
    assert error.splitlines()[1:] == [own, "    tool()", "ValueError: outer"]

def test_exception_groups(env):
    if sys.version_info < (3, 11): pytest.skip("Python 3.11 and later")
    error = run(env, "raise ExceptionGroup('several', [ValueError('first'), KeyError('second')])").error
    for line in ("ExceptionGroup: several (2 sub-exceptions)", "  | ValueError: first", "  | KeyError: 'second'"):
        assert line in error.splitlines()

@pytest.mark.parametrize("code", ["x = = 1", "def f(:", "print('a", "if True:\nx = 1", "return 5", "\0", "\ud800",
    "(" * 1000, "x = 1\n  y = 2", "%time x", "!ls"])
def test_code_that_is_no_python(env, code):
    result = run(env, code)
    assert result.error.splitlines()[-1].split(":")[0] in ("SyntaxError", "IndentationError", "ValueError",
        "UnicodeEncodeError", "MemoryError")
    assert "Traceback" not in result.error and "compile" not in result.error
    assert ok(env, "1").shown == "1"

def test_a_syntax_error_points_at_its_place(env):
    assert run(env, "y = 1\nx = = 1").error.splitlines() == [
        '  File "<rlm iteration 1>", line 2', "    x = = 1", "        ^", "SyntaxError: invalid syntax"]

LONG_ERRORS = {
    "a recursion": "def f(n): return f(n + 1)\nf(0)",
    "of two functions": "def f(n): return g(n)\ndef g(n): return f(n + 1)\nf(0)",
    "with an error at each level": """
        def f(n):
            try: f(n + 1)
            except RecursionError: f(n)
            finally: 1 / 0
        import sys
        sys.setrecursionlimit(400)
        try: f(0)
        finally: sys.setrecursionlimit(1000)""",
    "a long text": "raise ValueError('x' * 10_000_000)",
    "a large group": """
        group = getattr(__import__('builtins'), 'ExceptionGroup', ValueError)
        raise group('g', [ValueError('x' * 100_000)] * 1000)"""}

@pytest.mark.parametrize("code", LONG_ERRORS.values(), ids=LONG_ERRORS)
def test_an_error_is_bounded(env, code):
    limit = sys.getrecursionlimit()
    try: result = run(env, code)
    finally: sys.setrecursionlimit(limit)
    assert 10 < len(result.error) < 4_200

def test_a_recursion_is_folded(env):
    error = run(env, "def f(n):\n    return f(n + 1)\nf(0)").error
    assert "Previous line repeated" in error and len(error.splitlines()) < 16
    assert error.splitlines()[-2].startswith("RecursionError: maximum recursion depth exceeded")

# Nothing it does reaches the host

@pytest.mark.parametrize("code", ["exit()", "quit()", "exit(3)", "import sys; sys.exit('bye')", "raise SystemExit",
    "import asyncio\nawait asyncio.sleep(0)\nexit(1)"])
def test_exit_ends_the_block_only(env, code):
    result = run(env, "kept = 1\nprint('before')\n" + code + "\nprint('after')")
    assert "SystemExit" in result.error and "ended the block" in result.error
    assert (result.stdout, ok(env, "kept").shown) == ("before\n", "1")
    assert not sys.stdin.closed

def test_other_base_exceptions_end_the_block_only(env):
    for code in ("raise BaseException('odd')", "raise GeneratorExit", "import asyncio\nraise asyncio.CancelledError",
        "raise MemoryError"):
        assert run(env, code).error.startswith("Traceback")

def test_input_does_not_wait(env):
    assert "EOFError: nobody is there to type" in run(env, "name = input('Your name? ')").error
    assert ok(env, "import sys\nsys.stdin.read()").shown == "''"

def test_a_terminal_that_stays_silent_is_not_waited_for():
    read, write = os.pipe()
    done = script("""
        for code in ("input()", "import sys; sys.stdin.readline() == ''", "breakpoint()", "help()",
            "import getpass\\nsys.stdin.read(1)"):
            result = run(code)
            print(result.error.splitlines()[-1] if result.error else result.shown)""", stdin=read)
    os.close(read), os.close(write)
    assert done.stdout.splitlines() == ["EOFError: nobody is there to type: input() has nothing to read", "True",
        "bdb.BdbQuit", "", "''"]

def test_endless_output_is_stopped(env):
    result = run(env, "n = 0\nwhile True:\n    n += 1\n    try: print('more ' * 20)\n    except Exception: pass")
    assert "OutputLimit: more than 10,000,000 characters printed; the block was stopped here" in result.error
    assert "print('more ' * 20)" in result.error and len(result.stdout) < 2 * KEEP + 100
    assert ok(env, "print(n > 1000)").stdout == "True\n"

def test_a_stream_that_the_code_replaces_is_put_back(env):
    before = sys.stdout
    run(env, "import sys, io\nsys.stdout = io.StringIO()\nprint('lost')\n1 / 0")
    assert sys.stdout is before
    assert ok(env, "print('heard')").stdout == "heard\n"
    ok(env, "def swap(): sys.stdout = sys.stderr = io.StringIO()")
    ok(env, "swap()")
    assert sys.stdout is before
    assert ok(env, """
        import contextlib
        with contextlib.redirect_stdout(io.StringIO()) as f: print('in')
        f.getvalue()""").shown == "'in\\n'"

FORKS = {
    "pid = os.fork()": 0,
    "pid = os.fork()\nif pid == 0: raise ValueError": 1,
    "pid = os.fork()\nif pid == 0: sys.exit(7)": 7,
    "pid = os.fork()\nif pid == 0: FINAL('child')": 1,
    "import asyncio\nawait asyncio.sleep(0)\npid = os.fork()": 0,
    "import threading\ndef f(): globals().update(pid=os.fork())\n"
        "t = threading.Thread(target=f)\nt.start()\nt.join()": 0}

@pytest.mark.slow
@pytest.mark.parametrize("fork, status", FORKS.items())
def test_a_forked_child_ends_with_its_block(fork, status):
    code = f"import os, sys\nprint('in the block')\n{fork}\nprint('parent')"
    done = script(f"""
        sys.stdout.write("host starts; ")
        result = run({code!r})
        print(repr(result.stdout), result.error, result.answer)
        print("status", os.waitpid(env.variables()["pid"], 0)[1] >> 8)""")
    assert done.stdout == f"host starts; 'in the block\\nparent\\n' None None\nstatus {status}\n"
    assert done.stderr == ""

def test_multiprocessing_children_do_not_come_back():
    code = textwrap.dedent("""
        import multiprocessing
        fork = multiprocessing.get_context('fork')
        queue = fork.SimpleQueue()
        p = fork.Process(target=lambda: (print('lost'), queue.put(context.upper())))
        p.start(); p.join()
        queue.get()""")
    done = script(f"result = run({code!r})\nprint(result.shown, repr(result.stdout))")
    assert (done.stdout, done.stderr) == ("'THE CONTEXT' ''\n", "")

# Answers

@pytest.mark.parametrize("code, value", [("FINAL(6 * 7)", 42), ("x = [1]\nFINAL_VAR('x')", [1]),
    ("FINAL(None)", None), ("x = 3\nFINAL_VAR(x)", 3),
    ("try: FINAL(1)\nexcept: pass\nprint('on')", 1), ("try: FINAL(1)\nexcept: FINAL(2)",
        1), ("try: FINAL(1)\nfinally: 1 / 0", 1),
    ("try: FINAL(1)\nfinally: exit()", 1), ("def f():\n    FINAL('deep')\n[f() for _ in range(3)]",
        "deep"), ("_x = 5\nFINAL_VAR('_x')", 5),
    ("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    FINAL('async')\nawait asyncio.gather(f(), f())",
        "async"),
    ("import threading\nt = threading.Thread(target=lambda: FINAL('thread')); t.start(); t.join()", "thread"),
    ("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as p: list(p.map(FINAL, [8, 8]))",
        8),
    ("answer['content'] = 'dict'\nanswer['ready'] = True", "dict"), ("answer = {'content': 9, 'ready': True}", 9),
    ("answer['content'], answer['ready'] = 1, True\nFINAL(2)", 2), ("FINAL('a' * 10)\nprint('never')",
        "a" * 10), ("FINAL(context)", "one two three")])
def test_an_answer_ends_the_block_and_stands(env, code, value):
    result = run(env, code)
    assert (result.answer.value, result.answer.computed, result.error) == (value, True, None)
    assert "never" not in result.stdout and result.stderr == "" and result.outputs == ()
    assert run(env, "1").answer is None

def test_an_answer_in_a_task_group(env):
    if sys.version_info < (3, 11): pytest.skip("Python 3.11 and later")
    result = run(env, """
        import asyncio
        async def f(): FINAL(1)
        async with asyncio.TaskGroup() as g: g.create_task(f())""")
    assert (result.answer.value, result.error) == (1, None)

@pytest.mark.parametrize("code, error", [
    ("FINAL()", "TypeError: FINAL() missing 1 required positional argument: 'value'"),
    ("total = 1\nFINAL_VAR('totl')", "NameError: no variable named totl; there are: context, total"),
    ("FINAL_VAR('llm_query')", "NameError: no variable named llm_query"),
    ("FINAL_VAR('answer')", "NameError: no variable named answer"),
    ("for i in range(1000): globals()[f'n{i}'] = i\nFINAL_VAR('x')", "and 982 more")])
def test_no_answer(env, code, error):
    result = run(env, code)
    assert result.answer is None and error in result.error.splitlines()[-1] and len(result.error) < 600

def test_an_answer_dict_that_is_not_ready_or_whose_block_failed(env):
    for code in ("answer['content'] = 5", "answer = {'ready': True}", "answer = {'ready': [1], 'content': 1}",
        "answer = 5"): assert ok(env, code).answer is None
    result = run(env, "del answer\nanswer['content'] = 'early'; answer['ready'] = True\n1 / 0")
    assert result.answer is None and "ZeroDivisionError" in result.error
    assert ok(env, "print(answer)").answer is None

def test_escaped_helpers(env):
    ok(env, "keep = FINAL, FINAL_VAR, SHOW_VARS\ndef total(): return sum(range(4))")
    final, final_var, show, total = *env.variables()["keep"], env.variables()["total"]
    for call in (lambda: final(1), lambda: final_var("context"), show):
        with pytest.raises(RunEndedError): call()
    env.close()
    env.close()
    assert total() == 6
    with pytest.raises(RunEndedError): env.run("1", "iteration 2")

# Answers outside code

SETUP = """total = 42
count = 6
ratio = 0.5
cities = ['Oslo', 'Bergen']
table = {'Oslo': 7}
text = 'roads'
nothing = None
import re
def area(r): return 3 * r
class Item: name = 'chair'
item = Item()
_private = 1"""

@pytest.mark.parametrize("source, value", [("total", 42), (" total ", 42), ("cities", ["Oslo", "Bergen"]),
    ("cities[0]", "Oslo"), ("table['Oslo']", 7), ("item.name", "chair"),
    ("len(cities)", 2), ("', '.join(cities)", "Oslo, Bergen"), ("f'{total} km'",
        "42 km"), ("', '.join(c.upper() for c in cities)", "OSLO, BERGEN"), ("area(total)", 126),
    ("str(total) + ' km'", "42 km"), ("'km: ' + text", "km: roads"), ("total / count", 7), ("total + 1",
        43), ("round(total / count, 1)", 7.0), ("double(total)", 84),
    ("[c for c in cities if c != 'Oslo']", ["Bergen"]), ("{'total': total}",
        {"total": 42}), ("'yes' if total > 1 else 'no'", "yes"), ("sorted(cities, key=lambda c: c[1])", ["Bergen",
        "Oslo"]),
    ("text.title()", "Roads"), ("llm_query(text)", "said roads"), ("double(4)", 8), ("len(\n  cities\n)",
        2), ("nothing", None), ("_private", 1), ("answer['content']", "")])
def test_a_value_written_outside_code(env, source, value):
    ok(env, SETUP)
    result = env.resolve(source, variable=False)
    assert result.error is None and result.answer.value == value and result.answer.computed

PROSE = ["Paris", "42", "'total'", "total is 42", "total: 42", "The total is 42", "total and count", "not total",
    "total, count", "total > 1", "x.y", "Oslo (Norway)", "Oslo / Bergen", "cities.csv", "text.md", "missing(total)",
    "total(s)", "total-s", "text-count", "cities - table", "-total", "*cities", "[Oslo]", "total for total in cities",
    "len", "print", "llm_query", "FINAL", "answer", "display", "exit", "re", "__name__", "__builtins__",
    "len('abc')", "[1, 2]", "lambda: total", "total = 42",
    "", "(", "a\nb", "\0", "5and 3", "'\\d'", "(" * 500, "x" * 100_000, "\ud800"]

@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", PROSE)
def test_text_written_outside_code(env, source, capfd):
    ok(env, SETUP)
    result = env.resolve(source, variable=False)
    assert (result.answer, result.error, result.stdout, result.stderr) == (None, None, "", "")
    assert capfd.readouterr() == ("", "")

def test_warnings_about_text_reach_nobody():
    done = script("print(env.resolve('5and 3', False).answer, env.resolve(r\"'\\d'\", False).answer)")
    assert (done.stdout, done.stderr) == ("None None\n", "")

@pytest.mark.parametrize("source, error", [("cities[7]", "IndexError: list index out of range"),
    ("table['x']", "KeyError: 'x'"), ("area()", "TypeError: area() missing"),
    ("print(total)", "ValueError: this has no value"), ("total / 0", "ZeroDivisionError"), ("int(text)",
        "ValueError"), ("exit(total)", "ended the block")])
def test_an_error_outside_code(env, source, error):
    ok(env, SETUP)
    result = env.resolve(source, variable=False)
    assert result.answer is None and error in result.error
    assert "print" in source or '"<rlm answer>", line 1' in result.error and source in result.error

@pytest.mark.parametrize("source, value", [("total", 42), ("'total'", 42), ('"total"', 42), (" `total` ", 42),
    ("_private", 1), ("cities[1]", "Bergen"), ("len(cities)", 2)])
def test_a_variable_named_outside_code(env, source, value):
    ok(env, SETUP)
    assert env.resolve(source, variable=True).answer.value == value

@pytest.mark.parametrize("source", ["totl", "Paris", "", "the total", "llm_query", "__name__", "len", "x" * 100_000])
def test_a_variable_that_is_not_there(env, source):
    ok(env, SETUP)
    result = env.resolve(source, variable=True)
    assert result.answer is None and len(result.error) < 400
    assert result.error.startswith("no variable named ") and "there are: context, total, count" in result.error

def test_resolving_restores_too(env):
    ok(env, "x = 1\ndef take():\n    global context\n    context = 5\n    return 7")
    result = env.resolve("take()", variable=False)
    assert (result.answer.value, result.restored, env.variables()["context"]) == (7, ("context",), "one two three")

# Awaiting

TWICE = """
import asyncio
async def twice(x):
    await asyncio.sleep(0.001)
    print('twice', x)
    return 2 * x
result = await twice(4)
await twice(result)
"""

def test_await_outside_a_loop(env):
    result = ok(env, TWICE)
    assert (result.shown, result.stdout, env.variables()["result"]) == ("16", "twice 4\ntwice 8\n", 8)
    assert ok(env, "[await twice(i) for i in range(2)]").shown == "[0, 2]"
    assert ok(env, "async with asyncio.Lock(): print('locked')").stdout == "locked\n"
    assert "1 / 0" in run(env, "await asyncio.sleep(0)\n1 / 0").error

def test_one_loop_for_all_blocks(env):
    ok(env, """
        import asyncio
        queue = asyncio.Queue()
        async def fill():
            for i in range(3):
                await asyncio.sleep(0.001)
                await queue.put(i)
        await asyncio.sleep(0)
        task = asyncio.create_task(fill())""")
    assert ok(env, "[await queue.get() for _ in range(3)]").shown == "[0, 1, 2]"
    async def inside(): return ok(env, """
        task.done() or await task
        async def f(): await queue.put(7)
        t = asyncio.create_task(f())
        await queue.get()""")
    assert asyncio.run(inside()).shown == "7"

def test_await_inside_a_running_loop():
    async def one(i):
        env = local(i)
        result = ok(env, TWICE + "\nprint('context', context)")
        await asyncio.sleep(0)
        assert "ZeroDivision" in run(env, "await asyncio.sleep(0)\n1 / 0").error
        assert run(env, "await asyncio.sleep(0)\nFINAL(context)").answer.value == i
        env.close()
        return result.stdout
    async def main(): return await asyncio.gather(*(one(i) for i in range(5)),
        *(asyncio.to_thread(asyncio.run, one(i)) for i in range(5, 10)))
    assert asyncio.run(main()) == [f"twice 4\ntwice 8\ncontext {i}\n" for i in range(10)]

def test_plain_code_inside_a_running_loop_runs_on_the_calling_thread(env):
    async def main(): return ok(env, "import threading\nthreading.get_ident()").shown
    assert asyncio.run(main()) == str(threading.get_ident())

def test_context_variables_reach_awaiting_code(env):
    name = contextvars.ContextVar("name", default="nobody")
    env.namespace["name"] = name
    async def main():
        name.set("somebody")
        return ok(env, "import asyncio\nawait asyncio.sleep(0, name.get())").shown
    assert asyncio.run(main()) == "'somebody'"

def test_a_task_that_exits_ends_the_block(env):
    code = """
        import asyncio
        async def leave(): raise SystemExit(3)
        try:
            t = asyncio.create_task(leave())
            await asyncio.sleep(30)
        finally: print('tidied')"""
    async def main(): return run(env, code)
    for result in (run(env, code), asyncio.run(main())):
        assert "SystemExit: 3" in result.error and result.stdout == "tidied\n"
        assert ok(env, "await asyncio.sleep(0, 5)").shown == "5"

def test_the_log_hears_of_callbacks_that_fail_and_not_of_tasks_that_are_garbage(env, caplog):
    ok(env, """
        import asyncio
        async def fail(): raise ValueError("nobody awaits this")
        t = asyncio.create_task(fail())
        await asyncio.sleep(0.01)
        del t""")
    gc.collect()
    assert caplog.records == []
    ok(env, "asyncio.get_running_loop().call_soon(lambda: 1 / 0)\nawait asyncio.sleep(0.01)")
    assert "ZeroDivisionError" in caplog.text

def test_closing_cancels_what_is_pending(capfd):
    env = local(None)
    ok(env, """
        import asyncio
        log = []
        async def forever():
            try: await asyncio.sleep(1000)
            finally:
                print('over')
                log.append('over')
        t = asyncio.create_task(forever())
        await asyncio.sleep(0.01)""")
    log = env.variables()["log"]
    env.close()
    assert (log, capfd.readouterr()) == (["over"], ("", ""))

# Concurrency

def test_blocks_at_once_in_threads_and_tasks_do_not_mix():
    lines, mine = 200, io.StringIO()
    code = f"for i in range({lines}): print(context, i)\nfrom concurrent.futures import ThreadPoolExecutor\n" \
           f"with ThreadPoolExecutor(3) as p: list(p.map(lambda i: print(context, 'pool'), range(10)))"
    def block(i):
        with contextlib.closing(local(i)) as env: return ok(env, code).stdout
    async def task(i): return await asyncio.to_thread(block, i)
    async def tasks(): return await asyncio.gather(*(task(i) for i in range(8)), asyncio.to_thread(user))
    def user():
        for i in range(1000): print("mine", i)
    with contextlib.redirect_stdout(mine): *results, _ = asyncio.run(tasks())
    for i, stdout in enumerate(results):
        assert stdout == "".join(f"{i} {n}\n" for n in range(lines)) + f"{i} pool\n" * 10
    assert mine.getvalue() == "".join(f"mine {i}\n" for i in range(1000))

def test_a_run_inside_a_block(env):
    inner = local("inner context")
    env.namespace["child"] = inner
    result = ok(env, """
        print('outer')
        r = child.run('print(context); FINAL(7)', 'iteration 1')
        print('outer again')
        r.stdout, r.answer.value""")
    assert (result.stdout, result.shown, result.answer) == ("outer\nouter again\n", "('inner context\\n', 7)", None)
    inner.close()

def test_a_pool_that_outlives_its_block_prints_into_the_block_that_uses_it(env):
    ok(env, "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)")
    assert ok(env, "pool.submit(print, 'one').result()").stdout == "one\n"
    assert ok(env, "pool.submit(print, 'two').result()").stdout == "two\n"
    ok(env, "pool.shutdown()")

# Interrupts

STATE = """
def state(): return sys.stdout, sys.stderr, sys.stdin, threading.Thread.start, signal.getsignal(signal.SIGINT)
before = state()
"""
BUSY = {
    "a loop": "while True: pass",
    "a sleep": "time.sleep(30)",
    "an endless print": "try:\n    while True: print('x')\nexcept Exception: pass",
    "a repr": "class Slow:\n    def __repr__(self): time.sleep(30)\nSlow()",
    "an await": "await asyncio.sleep(30)",
    "a loop in an awaiting block": "await asyncio.sleep(0)\nwhile True: pass",
    "a sleep in an awaiting block": "await asyncio.sleep(0)\ntime.sleep(30)"}

@pytest.mark.slow
@pytest.mark.parametrize("caller", ["go()", "asyncio.run(main())"])
@pytest.mark.parametrize("busy", BUSY)
def test_an_interrupt_ends_the_block_with_everything_in_order(busy, caller):
    code = f"import time, asyncio\nkept = 1\ncontext = 2\nprint('partial')\n{BUSY[busy]}"
    done = script(STATE + f"""
import asyncio
code = {code!r}
def go():
    result = run(code)
    print(result.interrupted, result.error, result.stdout[:8])
async def main(): go()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
{caller}
print(env.variables()["kept"], env.variables()["context"])
print(run("await asyncio.sleep(0, 'awaited')").shown)
print(state() == before, repr(run("print('next')").stdout))""")
    assert done.stdout.startswith("True KeyboardInterrupt partial\n\n1 the context\n'awaited'\n")
    left_behind = "main" in caller and busy.endswith("awaiting block")  # a thread that can't be stopped
    if not left_behind: assert (done.stdout.splitlines()[4:], done.stderr) == (["True 'next\\n'"], "")

@pytest.mark.slow
def test_random_interrupts_leave_nothing_behind():
    done = script(STATE + r"""
import random
random.seed(1)
hits = 0
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
for i in range(2000):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 3e-4))
        hits += run("context = 1\nFINAL = 2\nprint('x')").interrupted
        for _ in range(100): pass
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt: hits += 1
    assert state() == before, i
    assert env.variables() == {"context": "the context"}, i
result = run("print('clean')")
print(hits > 200, result.stdout, result.error, result.restored)""")
    assert (done.stdout, done.stderr) == ("True clean\n None ()\n", "")

def test_an_interrupt_that_the_code_raises_itself_is_an_error():
    done = script("""
        result = run("raise KeyboardInterrupt")
        print(result.interrupted, result.error.splitlines()[-1])""")
    assert (done.stdout, done.stderr) == ("False KeyboardInterrupt\n", "")

def test_an_interrupt_handler_of_the_users_is_called():
    done = script("""
        def mine(signum, frame): raise TimeoutError("mine")
        signal.signal(signal.SIGINT, mine)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        print(run("import time\\ntime.sleep(30)").error.splitlines()[-1], signal.getsignal(signal.SIGINT) is mine)""")
    assert (done.stdout, done.stderr) == ("TimeoutError: mine True\n", "")

# Letting go

def test_an_environment_that_is_dropped_is_collected():
    env = local("x")
    ok(env, "import asyncio\nclass A: pass\na = A()\ndef f(): FINAL(1)\nawait asyncio.sleep(0)")
    gone, thing = weakref.ref(env), weakref.ref(env.variables()["a"])
    del env
    gc.collect()
    assert gone() is None and thing() is None

def test_a_pool_that_is_the_answer_ends_with_its_result():
    pool = "import concurrent.futures as cf\npool = cf.ThreadPoolExecutor(2)\nlist(pool.map(str, range(5)))"
    rlm = RLM(ScriptedLM([f"```repl\n{pool}\n```", "FINAL_VAR(pool)"]), verbose=False)
    before = threading.active_count()
    assert type(rlm.completion("Make a pool.").value).__name__ == "ThreadPoolExecutor" and threading.active_count() > before
    del rlm
    end = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < end:
        gc.collect()
        time.sleep(0.02)
    assert threading.active_count() <= before  # fewer where a thread of an earlier test has ended

def test_the_model_is_told_where_the_output_of_a_program_went(env):
    note = "(What os.system prints is not shown to you. Print what you need of subprocess.run(command, shell=True, capture_output=True, text=True).)"
    result = ok(env, "import os, sys\nprint('careful', file=sys.stderr)\nos.system('true')")
    assert (result.shown, result.stderr) == ("0", f"careful\n{note}")
    assert ok(env, "import os\nif False: os.system('true')").stderr == note
    assert ok(env, "import subprocess\nprint(subprocess.run('echo hi', shell=True, capture_output=True, text=True).stdout)").stderr == ""

# Figures

DRAW = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\n"

def pngs(result) -> list[bytes]:
    return [base64.b64decode(o["data"]["image/png"]) for o in result.outputs if "image/png" in o["data"]]

def test_figures_that_are_shown_or_left_open_are_outputs(env):
    shown = ok(env, DRAW + "plt.show()\nplt.plot([1, 2])\nprint(plt.get_fignums())")
    assert [png[:4] for png in pngs(shown)] == [b"\x89PNG"] * 2 and shown.stdout == "[1]\n" and shown.stderr == ""
    assert shown.shown == "<Figure size 640x480 with 1 Axes>\n<Figure size 640x480 with 1 Axes>"
    assert pngs(ok(env, DRAW + "plt.close('all')")) == [] and ok(env, "plt.get_fignums()").shown == "[]"
    failed = run(env, DRAW + "1 / 0")
    assert len(pngs(failed)) == 1 and "ZeroDivisionError" in failed.error

def test_the_users_figures_are_neither_seen_nor_closed(env):
    import matplotlib.pyplot as plt
    mine = plt.figure()
    result = ok(env, DRAW + "print(plt.get_fignums(), plt.gcf() is plt.figure(1))\nplt.close('all')\nplt.plot([1])")
    assert result.stdout == "[1] True\n" and len(pngs(result)) == 1
    assert plt.get_fignums() == [mine.number] and plt.gcf() is mine and not mine.axes
    plt.close(mine)
    assert plt.get_fignums() == []

def test_blocks_that_draw_at_the_same_time_get_their_own_figures():
    both, results = threading.Barrier(2), {}
    def draw(count):
        env = local(tools={"both": lambda: both.wait(60)})
        results[count] = env.run(DRAW + f"both()\nfor i in range({count}): plt.figure()\nboth()\nplt.get_fignums()", "iteration 1")
        env.close()
    threads = [threading.Thread(target=draw, args=[count]) for count in (1, 3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(60)
    assert {n: (len(pngs(r)), r.outputs[-1]["data"]["text/plain"]) for n, r in results.items()} == {1: (2, "[1, 2]"), 3: (4, "[1, 2, 3, 4]")}

def test_a_block_within_a_block_draws_on_a_figure_of_its_own(env):
    inner = local()
    env.helpers["child"] = env._fixed["__builtins__"]["child"] = lambda: len(pngs(inner.run(DRAW + "plt.show()", "iteration 1")))
    assert ok(env, DRAW + "print(child(), len(plt.gca().lines))").stdout == "1 1\n"
    inner.close()

WINDOWS = """
import sys, types
import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg, new_figure_manager
def window(*args, **kw): raise SystemExit('a window opened')
class FigureCanvas(FigureCanvasAgg): pass
windows = types.ModuleType('windows')
vars(windows).update(FigureCanvas=FigureCanvas, show=window, new_figure_manager=window)
sys.modules['windows'] = windows
matplotlib.use('module://windows')
"""

@pytest.mark.slow
@pytest.mark.parametrize("loaded, code", [("", "import pandas as pd\npd.Series([1, 2]).plot()"),
                                          ("import matplotlib.pyplot as plt\n", DRAW + "plt.show()")])
def test_no_window_opens(loaded, code):
    done = script(WINDOWS + loaded + f"result = run({code!r})\nprint([list(o['data']) for o in result.outputs if 'image/png' in o['data']], result.error)\n"
                  "import matplotlib; print(matplotlib.get_backend())")
    assert done.stdout == "[['image/png', 'text/plain']] None\nmodule://windows\n", done.stderr

def test_matplotlib_is_not_loaded_for_code_that_does_not_draw():
    done = script("""
        print(run("plot = 'The plot thickens. '\\nlen(plot)").error, 'matplotlib' in sys.modules)
        sys.modules['matplotlib'] = None
        print(run("import matplotlib.pyplot").error.splitlines()[-1], run("1").shown)""")
    assert done.stdout == "None False\nModuleNotFoundError: No module named 'matplotlib.pyplot'; 'matplotlib' is not a package 1\n", done.stderr

def test_a_figure_that_cannot_be_drawn_is_told_of(env):
    result = ok(env, DRAW + "from matplotlib.artist import Artist\nclass Bad(Artist):\n    def draw(self, renderer): raise OSError('zq')\n"
                            "plt.gca().add_artist(Bad())\nprint('done')")
    assert result.stdout == "done\n" and result.stderr == "A figure could not be shown: OSError\n"
    assert run(env, "import matplotlib.pyplot as plt\nplt.get_fignums()").shown == "[]"

# -- what a run changes of the user's

class Touchy:
    "An object that nobody may compare."
    def __eq__(self, other): raise SystemExit("compared")
    def __hash__(self): return 12345

class Exits:
    "An object that nobody may look at."
    def __repr__(self): raise SystemExit("shown")

def frame(**more): return pd.DataFrame({"x": [1.0, float("nan"), 3.0], "y": ["a", "b", "c"], "o": [[1], {"k": 2}, None]} | more)

def changes_of(code, value, **tools):
    "What a run of one block changes of its context and of its tools."
    env = local(value, tools)
    ok(env, code)
    return env.end()

@pytest.mark.parametrize("value, code", [
    (frame, "context['x'] = context['x'] * 1"), (frame, "s = context.x.sum(); c = context[context.x > 1]; c['x'] = 0"),
    (frame, "context['x'] = context['x'].to_list()"), (frame, "context.o[1]['k'] = 2"), (frame, "v = context.to_numpy(); v[0, 0] = 9"),
    (lambda: np.array([1.0, float("nan")]), "context *= 1"), (lambda: np.array(["a", "b"]), "context.sort()"),
    (lambda: pd.Series(pd.to_datetime(["2026-01-01", None])), "context.sort_index(inplace=True)"),
    (lambda: [Touchy(), 1, (2, [3])], "context.append(1); context.pop()"), (lambda: {"n": float("nan"), "t": (1, Touchy())}, "context['n'] = float('nan')"),
    (lambda: {Touchy(), 1}, "context.discard(5)"), (lambda: bytearray(b"ab"), "context.upper()"), (lambda: "text", "context.upper()"),
    (lambda: [(1, 2.5), None, True], "context[0] = (1, 2.5)"), (lambda: __import__("decimal").Decimal(1), "context.sqrt()"),
])
def test_nothing_is_said_of_an_object_that_holds_what_it_held(value, code):
    changes = changes_of(code, value())
    assert (changes.modified, list(changes.unchecked)) == ({}, [] if Snapshot(value()).whole or not can_change(type(value())) else ["context"])

@pytest.mark.parametrize("value, code", [
    (frame, "context['new'] = 1"), (frame, "context.loc[0, 'x'] = 9"), (frame, "context.iloc[0, 0] = float('nan')"), (frame, "del context['y']"),
    (frame, "context.drop(index=0, inplace=True)"), (frame, "context.loc[9] = [1, 'd', None]"), (frame, "context.sort_values('y', ascending=False, inplace=True)"),
    (frame, "context.columns = ['a', 'b', 'c']"), (frame, "context.index = [5, 6, 7]"), (frame, "context['y'] = context['y'].astype(object)"),
    (frame, "context['o'][0].append(5)"), (frame, "context.o[1]['k'] = 3"), (frame, "context.rename_axis('rows', inplace=True)"), (frame, "context['y'].array[0] = 'z'"),
    (frame, "f = context.pop\nf('x')"), (frame, "context.insert(0, 'x2', 1)"), (frame, "context.columns = ['x', 'x', 'x']; context['z'] = 1"),
    (lambda: pd.Series([1, 2], name="s"), "context[0] = 5"), (lambda: pd.Series([1, 2]), "context.name = 't'"), (lambda: pd.Series([[1], [2]]), "context[0].append(3)"),
    (lambda: np.arange(6).reshape(2, 3), "context[1, 1] = 0"), (lambda: np.arange(1000.0), "context.sort(); context[::-1].sort()"), (lambda: np.array([[1], {}], dtype=object), "context[1]['k'] = 1"),
    (lambda: np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), "context['a'] = 5"), (lambda: np.array(5.0), "context[...] = 2"),
    (lambda: {"a": [1, {"b": {2}}]}, "context['a'][1]['b'].add(3)"), (lambda: {"a": 1, "b": 2}, "context['a'] = context.pop('a')"), (lambda: [1, 2, 3], "context[0] = True"),
    (lambda: [1, 2, 3], "context.sort(reverse=True)"), (lambda: [[1], [2]], "context[0], context[1] = context[1], context[0]"), (lambda: ({"a": 1}, 2), "context[0].clear()"),
    (lambda: {Touchy(), 1}, "context.clear()"), (lambda: bytearray(b"ab"), "context[0] = 0"), (lambda: [Touchy()], "context.append(1)"),
    (lambda: __import__("collections").Counter("aab"), "context['a'] += 1"), (lambda: __import__("collections").deque([1, 2], maxlen=2), "context.append(3)"),
    (lambda: __import__("collections").OrderedDict(a=1, b=2), "context.move_to_end('a')"), (lambda: __import__("collections").defaultdict(list), "context['k'].append(1)"),
    (lambda: {"df": frame()}, "context['df'].loc[0, 'x'] = 5"), (lambda: [1] + [0] * 5000, "def f(): rows.append(1)\nrows = context\nf()"),
])
def test_what_was_changed_is_told_and_taken_back(value, code):
    context = value()
    before, inside = Snapshot(context), list(context) if isinstance(context, (list, dict)) else []
    changes = changes_of(code, context)
    assert list(changes.modified) == ["context"] and "context" in repr(changes) and before.changed(Snapshot(context))
    one, other = changes.modified["context"]
    assert one or other
    undone = changes.undo()
    assert undone.restored == ["context"] and not before.changed(Snapshot(context)) and not changes
    if isinstance(context, list): assert all(a is b for a, b in zip(context, inside))

def test_data_of_tools_and_what_you_did_since():
    stock, rows = {"a": 1}, [1]
    changes = changes_of("stock['b'] = rows.pop()", None, stock=stock, rows=rows)
    assert sorted(changes.modified) == ["rows", "stock"]
    stock["mine"] = 3
    assert changes.undo().left == {"stock": "it has been changed since"} and (stock, rows) == ({"a": 1, "b": 1, "mine": 3}, [1])
    del stock["mine"]
    assert changes.undo().restored == ["stock"] and stock == {"a": 1}
    assert not changes.undo().restored

def test_objects_that_hold_each_other_go_back_together():
    table, rows = frame(), [1]
    both = {"table": table, "rows": rows}
    changes = changes_of("both['table']['new'] = 1; table['more'] = 2; rows.append(2); both['k'] = rows; again = rows; again.append(3)", rows, both=both, table=table, rows=rows)
    assert sorted(changes.modified) == ["both", "rows", "table"]
    assert (sorted(changes.undo().restored), list(table), rows, list(both)) == (["both", "rows", "table"], ["x", "y", "o"], [1], ["table", "rows"])

def test_content_goes_back_in_any_order():
    for order in (0, 1), (1, 0):
        rows = {"n": [0]}
        runs = [changes_of(f"context['n'].append({i})", rows) for i in (1, 2)]
        for i in order: runs[i].undo()
        assert rows == {"n": [0]}
    runs = [changes_of("context['n'].append(1)", rows)]
    rows["mine"] = 1
    runs.append(changes_of("context['n'].append(2)", rows))
    assert runs[0].undo().left and runs[1].undo().restored and rows == {"n": [0, 1], "mine": 1}, "what you did in between stays"

def test_above_the_size_nothing_is_copied():
    big, deep, table = [0] * (ITEMS + 1), [[i] for i in range(ITEMS)], pd.DataFrame(np.zeros((CELLS // 10 + 1, 10), dtype="int8"))
    for value, code in ((big, "context[0] = 1"), (deep, "context[5].append(1)"), (table, "context.iloc[0, 0] = 1"), (Touchy(), "context.x = 1")):
        changes = changes_of(code, value)
        assert (list(changes.modified), list(changes.unchecked)) == ([], ["context"]) and "could not be checked" in repr(changes)
        assert list(changes.undo().left) == ["context"]
        assert not changes_of("print(len(str(type(context))))", value), "it was only looked at"

@pytest.mark.parametrize("rows", [5, 3_000_000])
def test_a_table_of_any_size_is_compared_by_columns(rows):
    table = pd.DataFrame({"a": np.arange(rows), "b": 0.5, "c": "x"})
    changes = changes_of("context.loc[2, 'b'] = 7\ncontext['d'] = 1", table)
    before, after = changes.modified["context"]
    assert "a" not in before.splitlines()[1] and before.splitlines()[1:] == ["     b", "2  0.5"]
    assert after.splitlines()[0] == f"{rows:,} rows, 4 columns" and after.splitlines()[1:] == ["     b  d", "2  7.0  1"]
    changes.undo()
    assert list(table) == ["a", "b", "c"] and table.loc[2, "b"] == 0.5

@pytest.mark.slow
@pytest.mark.parametrize("last", ["ring", "tower", "tree", "shown", "compared"])
def test_any_value_becomes_a_dict(last):
    ring, tower, tree = [1], [], []
    ring.append(ring)
    for _ in range(100_000): tower = [tower]
    for _ in range(60): tree = [tree, tree]
    value = {"ring": ring, "tower": tower, "tree": tree, "shown": Exits(), "compared": {Touchy(): 1}}[last]
    made = RLMChatCompletion("m", "q", "a", value).to_dict()
    assert made["response"] == "a" and (last in ("shown", "compared") or "..." in json.dumps(made))

def test_a_repr_that_exits_hurts_nobody_and_an_interrupt_does_arrive():
    assert bounded_repr([Exits()]) == "<list whose repr raised SystemExit>"
    class Waits:
        def __repr__(self): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): bounded_repr(Waits())

