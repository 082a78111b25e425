#%% md 3d43dcee
# Running code

> Run a string of Python as a notebook cell runs: show its last value, explain its errors, allow `await`.

#%% md 5315cbf8
A Recursive Language Model thinks by writing Python, and something has to run it. Python's `exec` nearly does. This chapter starts from `exec` and adds what a model needs in order to work with it, and what you need in order to let it: short errors, values that can be shown whatever their size, `await`, and a way back to your program whatever the code does.

#%% code ad87c833
#| default_exp environments.execution

#%% code 861da004
#| export
from __future__ import annotations
import ast, builtins, linecache, os, threading, traceback
from contextlib import contextmanager
from inspect import CO_COROUTINE
from types import CodeType
from typing import Any
from rlm.environments.stopping import BlockEnd
from rlm.text import brief, clip, names_in, type_name

#%% code 0b4a60a1
#| hide
import asyncio
from concurrent.futures import ThreadPoolExecutor
from fastcore.test import *
from rlm.environments.stopping import InterruptGate, Stop, Stopped

#%% md 480d4880
## The last value

`exec` runs statements in a dict of names. What it lacks is the echo: the last line below has a value, and nobody sees it.

#%% code 54a9df59
names = {}
exec("x = 6 * 7\nx", names)
names["x"]

#%% md da4bfefd
So the last expression is split off and compiled by itself; `eval` of that part gives the value. Three more things happen on the way. Top-level `await` is allowed, as in a notebook. A script's `if __name__ == "__main__":` holds, although the code's module has another name (it needs its own, or its classes could not be pickled). And a bare `except:` catches what the code did, not what ends the block: before each of those stands `except BlockEnd: raise`, so that [what ends a block](00_stopping.ipynb) gets through.

#%% code 260dc584
#| export
_MAIN_GUARD = ast.dump(ast.parse("__name__ == '__main__'", mode="eval").body)

_END = "\0 BlockEnd"  # stands for the class until the code is compiled

def _let_ends_pass(tree: ast.Module) -> None:
    "Put `except BlockEnd: raise` before the handlers that would catch it."
    catches = lambda h: h.type is None or any(getattr(n, "id", getattr(n, "attr", "")) == "BaseException" for n in ast.walk(h.type))
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(map(catches, node.handlers)):
            passing = ast.ExceptHandler(ast.Constant(_END), None, [ast.Raise()])
            node.handlers.insert(0, ast.fix_missing_locations(ast.copy_location(passing, node.handlers[0])))

def _with_ends(code: CodeType) -> CodeType:
    real = lambda x: BlockEnd if x == _END else _with_ends(x) if isinstance(x, CodeType) else x
    return code.replace(co_consts=tuple(map(real, code.co_consts)))

def compile_block(
    source: str,    # a block of Python
    filename: str,  # the name it has in tracebacks
) -> list[CodeType]:
    "The block's code: its statements and, if it ends in an expression, that expression."
    tree = ast.parse(source, filename)
    for node in tree.body:
        if isinstance(node, ast.If) and ast.dump(node.test) == _MAIN_GUARD:
            node.test = ast.copy_location(ast.Constant(True), node.test)
    parts = {"exec": tree}
    if tree.body and isinstance(tree.body[-1], ast.Expr): parts["eval"] = ast.Expression(tree.body.pop().value)
    if not tree.body and "eval" in parts: del parts["exec"]
    flags, guarded = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, "except" in source
    if guarded: _let_ends_pass(tree)
    codes = [compile(part, filename, mode, flags, dont_inherit=True) for mode, part in parts.items()]
    return [_with_ends(code) for code in codes] if guarded else codes

#%% code 3264f9a6
statements, last = compile_block("x = 6 * 7\nx + 1", "<demo>")
exec(statements, names)
eval(last, names)

#%% code cef573a9
caught = []
try: exec(compile_block("try: raise BlockEnd\nexcept: caught.append(1)", "<demo>")[0], {"BlockEnd": BlockEnd, "caught": caught})
except BlockEnd: pass
exec(compile_block("try: 1/0\nexcept: caught.append(2)", "<demo>")[0], {"caught": caught})
test_eq(caught, [2])

#%% md e1063988
## An error in a few lines

Python's traceback of an error in such code starts in this library, walks through every library that the code called, and lacks the one thing that would help: the source of the block, which is in no file. `linecache` is where tracebacks look source up, so we put it there. A name in use gets a number: two runs must not read each other's lines.

#%% code 415cb510
#| export
def remember_source(
    source: str,    # a block of Python
    filename: str,  # the name it should have in tracebacks, such as `<rlm iteration 2>`
) -> str:
    "The name it got, under which tracebacks now find its lines."
    entry, name, n = (len(source), None, [line + "\n" for line in source.split("\n")], filename), filename, 1
    while linecache.cache.setdefault(name, entry) is not entry:
        n += 1
        name = f"{filename[:-1]} ({n})>"
    return name

#%% md d7cd7168
`format_error` then tells the error as the model should read it: its own lines, the error, and what that was raised from, as far as the model's own code had a part in it. The length is bounded; a recursion is folded.

Below the error stand the values of the names in the line that failed. A person at a REPL would print them next; a model gets them without spending a turn. They are short, only plain data is shown, and what looks like a secret is not.

What has no line of the model's in it is left out: the first error of two inside a library, or one that *your* program was handling when it started the run, which Python chains to whatever the block raises.

#%% code b781cf98
#| export
_ERROR_KEEP = 2_000  # characters kept of each end of an error's text
_GROUP = getattr(builtins, "BaseExceptionGroup", ())  # Python 3.11 and later
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

def _explain(error: BaseException) -> str:
    "The last lines of a traceback: what the error is."
    if isinstance(error, SystemExit): return f"SystemExit: {error}\nThis ended the block; what it had set is kept.\n"
    if isinstance(error, BlockEnd): return f"{type(error).__name__}: {error}; the block was stopped here\n"
    only = traceback.TracebackException(type(error), error, None, limit=0, compact=True)
    return "".join(only.format_exception_only())

_DATA = (str, bytes, int, float, list, tuple, dict, set, type(None))

def _values(frame, number: int) -> str:
    "What the names in the line that failed stood for; `context` is known to be what it is."
    line = linecache.getline(frame.f_code.co_filename, number)
    found = {n: frame.f_locals[n] for n in names_in(line) if n in frame.f_locals and n != "context"}
    shown = [f"{n} = {brief(v, n, 200)[:300]}" for n, v in found.items() if type(v) in _DATA]
    return f"(with {'; '.join(shown[:4])})\n" if shown else ""

def _tell(error: BaseException, files, show_values: bool) -> tuple[str, bool]:
    "One error's traceback, and whether it has lines of `files`."
    frames = [(f, line) for f, line in traceback.walk_tb(error.__traceback__) if f.f_code.co_filename in files]
    lines = traceback.StackSummary.extract(iter(frames[-1000:])).format()
    parts = [_tell(e, files, show_values)[0] for e in error.exceptions[:3]] if isinstance(error, _GROUP) else []
    text = "".join(["Traceback (most recent call last):\n"] * bool(lines) + lines) + _explain(error)
    if show_values and frames and isinstance(error, Exception): text += _values(*frames[-1])
    return text + "".join(f"  | {line}\n" for part in parts for line in part.splitlines()), bool(lines)

def format_error(
    error: BaseException,  # what a block raised
    files,                 # the names under which the blocks' sources are known
    show_values: bool = True,   # also show what the names in the failing line stood for
) -> str:
    "A short plain traceback that shows the lines of `files` only."
    try:
        text, e = _tell(error, files, show_values)[0], error
        for _ in range(5):
            if e.__cause__ is not None: link, e = _CAUSE, e.__cause__
            else: link, e = _CONTEXT, None if e.__suppress_context__ else e.__context__
            if e is None: break
            earlier, known = _tell(e, files, False)
            if known: text = earlier + link + text
    except KeyboardInterrupt: raise
    except BaseException: text = f"{type_name(error)} (and its text could not be made)"  # an error's text is code too
    return clip(text.strip("\n"), _ERROR_KEEP, _ERROR_KEEP)

#%% code eacd1401
source = "def share(parts):\n    return 1 / len(parts)\n\nshare([])"
name = remember_source(source, "<demo>")
try: [eval(code, names) for code in compile_block(source, name)]
except ZeroDivisionError as e: text = format_error(e, [name])
print(text)

#%% code da8ef451
#| hide
test_eq("ipython" in text, False)
test_eq(remember_source("other", "<demo>"), "<demo (2)>")
for n in ("<demo>", "<demo (2)>"): del linecache.cache[n]

#%% md 630243eb
## Awaiting

A block with a top-level `await` compiles to a coroutine, and a coroutine needs an event loop. `EventLoop` keeps one for all blocks of an environment, so that what one block starts a later one can await. In a script the loop runs on the calling thread. In a notebook that thread's own loop is busy running your cell and can't be entered again; there the block's loop runs on another thread while this one waits.

An interrupt, or a `sys.exit()` in some task, stops the loop under the block's feet. Then the block is cancelled, with a second to clean up.

#%% code f75ffb48
#| export
class EventLoop:
    "Runs coroutines to their end, all on one loop, whether or not this thread is running another."
    def __init__(self): self._loop = None

    def run(self, coroutine) -> Any:
        "The coroutine's result."
        import asyncio
        if self._loop is None or self._loop.is_running(): self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(coroutine)
        try: return self._drive(task)
        finally:
            if not task.done() and not self._loop.is_running():
                task.cancel()
                self._drive(self._loop.create_task(asyncio.wait([task], timeout=1)))

    def _drive(self, task) -> Any:
        import asyncio
        try: asyncio.get_running_loop()
        except RuntimeError: return self._loop.run_until_complete(task)
        results, errors, finished = [], [], threading.Event()
        def finish():
            try: results.append(self._loop.run_until_complete(task))
            except BaseException as e: errors.append(e)
            finally: finished.set()
        thread = threading.Thread(target=finish, daemon=True)
        thread.start()
        try: finished.wait()  # an interrupted `join()` can't be repeated
        except BaseException:
            self._loop.call_soon_threadsafe(task.cancel)
            finished.wait(1)
            raise
        finally:
            if finished.is_set(): thread.join()
        if errors: raise errors[0]
        return results[0]

    def close(self) -> None:
        "Cancel what is still pending, and close the loop."
        if self._loop is None or self._loop.is_running(): return
        import asyncio
        if tasks := asyncio.all_tasks(self._loop):
            for task in tasks: task.cancel()
            self.run(asyncio.wait(tasks, timeout=1))
        self._loop.close()
        self._loop = None

#%% code 7c0dc6b0
loop = EventLoop()
test_eq(loop.run(asyncio.sleep(0.01, "slept")), "slept")

async def inside(): return loop.run(asyncio.sleep(0.01, "slept inside a running loop"))

test_eq(await inside(), "slept inside a running loop")
loop.close()

#%% md ed3de2e8
## Coming back in one piece

A fork can leave a run half way. A child process is a copy of *everything*, your program included, and if it returned from the block it would go on with your program a second time. It has to end where its block ends.

#%% code 0bca9077
#| export
@contextmanager
def _child_ends_here():
    "A process forked inside ends at the end, without running anything of its parent's."
    parent, status = os.getpid(), 1
    try:
        yield
        status = 0
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
        raise
    finally:
        if os.getpid() != parent: os._exit(status & 0xFF)

async def _await_block(codes: list[CodeType], namespace: dict) -> Any:
    with _child_ends_here():
        for code in codes:
            value = eval(code, namespace)
            if code.co_flags & CO_COROUTINE: value = await value
        return value

def run_block(
    codes: list[CodeType],  # from `compile_block`
    namespace: dict,        # the names it sees and binds
    loop: EventLoop,        # for a block that awaits
) -> Any:
    "The value of the block's last expression, or None."
    if any(code.co_flags & CO_COROUTINE for code in codes): return loop.run(_await_block(codes, namespace))
    with _child_ends_here():
        for code in codes: value = eval(code, namespace)
        return value

#%% code a8a2df18
names = {}
run_block(compile_block("import asyncio\nawait asyncio.sleep(0, 6 * 7)", "<demo>"), names, EventLoop())

#%% md abb120c1
The block that does not want to be stopped is stopped all the same, although its `except:` is bare:

#%% code 4da44c0d
stubborn = """
while True:
    try:
        while True: pass
    except:
        pass
"""
def stopped(source, seconds=0.1):
    stop = Stop(seconds)
    stop.begin()
    try:
        with InterruptGate() as gate, stop.watch(gate):
            gate.open = True
            run_block(compile_block(source, "<demo>"), {}, EventLoop())
    except Stopped: return True

test_eq(stopped(stubborn), True)

#%% code c487dac5
#| hide
with ThreadPoolExecutor(1) as pool: test_eq(pool.submit(stopped, "while True: pass").result(), True)
with ThreadPoolExecutor(1) as pool: test_eq(pool.submit(stopped, stubborn).result(), True)
