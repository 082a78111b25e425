"""`rlm.environments.capture`: the model's output is caught, everyone else's is left alone, whatever runs at once."""
import asyncio, contextlib, io, logging, re, subprocess, sys, threading, time, warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from rlm import RLM
from rlm.environments.capture import (KEEP, LIMIT, Capture, CapturedStream, OutputLimit, not_caught, only_warnings,
                                      uncaptured)
from rlm.environments.stopping import BlockEnd
from rlm.lm import ScriptedLM

@pytest.fixture(autouse=True)
def streams_are_put_back():
    before = sys.stdin, sys.stdout, sys.stderr, threading.Thread.start
    yield
    assert (sys.stdin, sys.stdout, sys.stderr, threading.Thread.start) == before

def screen(): return contextlib.redirect_stdout(io.StringIO())  # what the user sees

def captured(f, capture=None) -> str:
    capture = capture or Capture()
    with capture: f()
    return capture.take()[0]

def in_threads(*functions):
    threads = [threading.Thread(target=f) for f in functions]
    for t in threads: t.start()
    for t in threads: t.join(20)
    assert not any(t.is_alive() for t in threads)

# Who gets what

def test_concurrent_captures_and_the_users_own_threads_lose_and_mix_nothing():
    with screen() as seen:
        got, start = {}, threading.Barrier(9)
        def run(i):
            start.wait(10)
            for round in range(20):
                got[i, round] = captured(lambda: [print(i, round, n) for n in range(50)])
        def mine():
            start.wait(10)
            for n in range(2_000): print(f"mine {n}")
        in_threads(*(lambda i=i: run(i) for i in range(8)), mine)
        for (i, round), text in got.items(): assert text == "".join(f"{i} {round} {n}\n" for n in range(50))
        assert seen.getvalue().splitlines() == [f"mine {n}" for n in range(2_000)]

def test_asyncio_tasks_do_not_mix():
    with screen() as seen:
        async def run(i):
            capture = Capture()
            with capture:
                for n in range(20):
                    print(i, n)
                    await asyncio.sleep(0)
            return capture.take()[0]
        async def everything():
            print("mine, before")
            return await asyncio.gather(*(run(i) for i in range(20)))
        texts = asyncio.run(everything())
        assert texts == ["".join(f"{i} {n}\n" for n in range(20)) for i in range(20)]
        assert seen.getvalue() == "mine, before\n"

def test_threads_and_pools_of_a_block_are_captured_and_so_are_their_threads():
    with screen() as seen:
        def grandchild(): in_threads(lambda: print("grandchild"))
        def block():
            in_threads(lambda: print("child"), grandchild)
            with ThreadPoolExecutor(4) as pool: list(pool.map(lambda n: print("pool", n), range(20)))
            timer = threading.Timer(0.01, print, ["timer"])
            timer.start()
            timer.join()
        lines = captured(block).splitlines()
        assert sorted(lines) == sorted(["child", "grandchild", "timer"] + [f"pool {n}" for n in range(20)])
        assert seen.getvalue() == ""

def test_a_capture_inside_a_capture():
    with screen() as seen:
        outer, inner = Capture(), Capture()
        with outer:
            print("outer 1")
            with inner: print("inner")
            print("outer 2")
            with uncaptured():
                print("mine")
                in_threads(lambda: print("mine too"))
        assert (outer.take()[0], inner.take()[0], seen.getvalue()) == ("outer 1\nouter 2\n", "inner\n",
            "mine\nmine too\n")

def test_a_log_handler_of_the_users_keeps_its_output():
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream): handler = logging.StreamHandler()
    logger = logging.getLogger("test of the user's log")
    logger.addHandler(handler)
    capture = Capture()
    with capture: logger.warning("from inside a block")
    assert (stream.getvalue(), capture.take()) == ("from inside a block\n", ("", ""))

def test_what_a_lingering_thread_prints_is_not_the_users_and_comes_with_the_next_block():
    with screen() as seen:
        capture, go_on, printed = Capture(), threading.Event(), threading.Event()
        def linger():
            go_on.wait(10)
            print("late")
            print("late error", file=sys.stderr)
            printed.set()
        def block():
            threading.Thread(target=linger).start()
            print("on time")
        assert captured(block, capture) == "on time\n"
        go_on.set()
        assert printed.wait(10)
        print("mine")
        with capture: print("next")
        assert capture.take() == ("late\nnext\n", "late error\n")
        assert seen.getvalue() == "mine\n"
        wait_for(lambda: not any(t.name.endswith("(linger)") for t in threading.enumerate()))

def test_after_close_it_is_dropped():
    with screen() as seen:
        capture, go_on = Capture(), threading.Event()
        def block():
            global lingering
            lingering = threading.Thread(target=lambda: (go_on.wait(10), print("late")))
            lingering.start()
        captured(block, capture)
        capture.close()
        go_on.set()
        lingering.join(10)
        assert (capture.take(), seen.getvalue()) == (("", ""), "")

def test_an_error_in_a_thread_is_reported_to_the_model_only(capfd):
    capture = Capture()
    def fail(): raise ValueError("in the thread")
    with capture: in_threads(fail)
    stderr = capture.take()[1]
    assert "in fail" in stderr and stderr.endswith("ValueError: in the thread\n")
    assert capfd.readouterr().err == ""

def test_a_thread_that_is_ended_says_nothing(capfd):
    capture = Capture()
    def end(): raise BlockEnd
    with capture: in_threads(end)
    assert capture.take() == ("", "")
    assert capfd.readouterr().err == ""

def test_an_endlessly_printing_thread_is_ended(capfd):
    def endless():
        while True:
            try: print("x" * 10_000)
            except Exception: pass
    text = captured(lambda: in_threads(endless))
    assert len(text) < 2 * KEEP + 100
    assert capfd.readouterr().err == ""

def test_a_thread_that_can_not_start_leaves_nothing_behind():
    thread = threading.Thread(target=print)
    def block():
        thread.start()
        with pytest.raises(RuntimeError, match="once"): thread.start()
        thread.join()
    captured(block)

# Putting `sys.stdout` back

def test_a_stream_that_someone_set_meanwhile_stays():
    before, theirs = sys.stdout, io.StringIO()
    with Capture(): sys.stdout = theirs
    assert sys.stdout is theirs
    sys.stdout = before

def test_one_that_the_code_has_set_goes():
    capture, before = Capture(), sys.stdout
    capture.reclaim = {"stdout"}
    with capture: sys.stdout = io.StringIO()
    assert sys.stdout is before

def test_a_redirect_of_the_users_that_outlives_a_capture():
    mine, inside, done = io.StringIO(), threading.Event(), threading.Event()
    before, capture = sys.stdout, Capture()
    def user():
        with contextlib.redirect_stdout(mine):
            inside.set()
            done.wait(10)
            print("mine")
    with capture:
        with uncaptured():
            thread = threading.Thread(target=user)
            thread.start()
        inside.wait(10)
    assert sys.stdout is mine
    done.set()
    thread.join()
    assert mine.getvalue() == "mine\n"
    with capture: print("captured")  # the proxy that the redirect has put back works, and goes
    assert capture.take()[0] == "captured\n"
    assert sys.stdout is before

def test_a_redirect_in_the_code_works_also_around_another_capture():
    outer, inner, buffer = Capture(), Capture(), io.StringIO()
    with outer, contextlib.redirect_stdout(buffer):
        print("redirected")
        with inner: print("inner")
        print("still redirected")
    assert (buffer.getvalue(), inner.take()[0], outer.take()[0]) == ("redirected\nstill redirected\n", "inner\n", "")

def test_a_wrapper_that_someone_put_around_thread_start_stays():
    before, calls = threading.Thread.start, []
    with Capture():
        ours = threading.Thread.start
        def theirs(thread):
            calls.append(thread)
            return ours(thread)
        threading.Thread.start = theirs
    assert threading.Thread.start is theirs
    with Capture() as capture: in_threads(lambda: print("hi"))
    assert (capture.take()[0], len(calls)) == ("hi\n", 1)
    assert threading.Thread.start is theirs
    threading.Thread.start = before

def test_a_process_without_streams():
    code = "import sys\nfrom rlm.environments.capture import Capture\nc = Capture()\nsys.stdout = sys.stdin = None\n" \
           "with c: print('hi')\nprint('nobody')\nsys.exit(c.take()[0] != 'hi\\n' or sys.stdout is not None)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

# The stream itself

def test_long_output_keeps_both_ends():
    def block():
        for n in range(100_000): print(n)
    text, full = captured(block), "".join(f"{n}\n" for n in range(100_000))
    cut = f"\n… [{len(full) - 2 * KEEP:,} of {len(full):,} characters cut] …\n"
    assert text == full[:KEEP] + cut + full[-KEEP:]

@pytest.mark.parametrize("size", [0, 1, KEEP, 2 * KEEP - 1, 2 * KEEP, 2 * KEEP + 1, 3 * KEEP, 5 * KEEP + 7])
@pytest.mark.parametrize("piece", [1, 999, 10 ** 9])
def test_the_ends_are_exact_however_it_is_written(size, piece):
    full = "".join(chr(97 + n % 26) for n in range(size))
    stream = CapturedStream()
    for i in range(0, size, piece): stream.write(full[i:i + piece])
    text = stream.take()
    if size <= 2 * KEEP: assert text == full
    else: assert text == f"{full[:KEEP]}\n… [{size - 2 * KEEP:,} of {size:,} characters cut] …\n{full[-KEEP:]}"
    assert stream.take() == ""

def test_endless_output_is_stopped():
    def endless():
        while True:
            try: print("hello, world, " * 10)
            except Exception: pass
    with pytest.raises(OutputLimit, match="10,000,000"): captured(endless)
    with pytest.raises(OutputLimit): captured(lambda: sys.stdout.write("x" * (LIMIT + 1)))

def test_it_behaves_like_a_stream():
    def block():
        saved = sys.stdout
        assert not sys.stdout.isatty() and sys.stdout.encoding == "utf-8" and sys.stdout.writable()
        assert sys.stdout.write("a") == 1
        sys.stdout.writelines(["b", "c"])
        print("d", file=saved, flush=True)
        sys.stdout.buffer.write("é\n".encode())
        sys.stdout.reconfigure(encoding="latin-1")
        sys.stdout.close()
        with pytest.raises(io.UnsupportedOperation, match="capture_output"): subprocess.run(["true"], stdout=sys.stdout)
        with pytest.raises(TypeError, match="must be str, not int"): sys.stdout.write(1)
    assert captured(block) == "abcd\né\n"

def test_there_is_nothing_to_read():
    def block():
        print([sys.stdin.read(), sys.stdin.readline(), list(sys.stdin)])
        with pytest.raises(EOFError): input("name? ")
    assert captured(block) == "['', '', []]\nname? "

def test_attributes_that_a_kernel_needs_reach_the_real_stream():
    class OutStream(io.StringIO):
        def set_parent(self, parent): self.parent = parent
    real = OutStream()
    with contextlib.redirect_stdout(real), Capture(): sys.stdout.set_parent("cell 3")
    assert real.parent == "cell 3"

def test_a_saved_reference_is_the_real_stream_after_the_block():
    with screen() as seen:
        def block():
            global saved
            saved = sys.stdout
        captured(block)
        print("mine", file=saved)
        assert seen.getvalue() == "mine\n"

# Warnings

COPY = """notebook.py:3: SettingWithCopyWarning: 
A value is trying to be set on a copy of a slice from a DataFrame

See the caveats in the documentation: https://pandas.pydata.org/
  df['x'] = 1
"""

@pytest.mark.parametrize("text", ["", "\n", COPY, COPY * 3, "a b/c.py:10: DeprecationWarning: old\n  f()\n",
    "x.py:1: UserWarning: no source\n",
    "x.py:1: pkg.errors.SlowWarning: careful\n  f(\n" + COPY])
def test_only_warnings(text): assert only_warnings(text)

@pytest.mark.parametrize("text", ["Warning: disk full\n", "oops\n", COPY + "oops\n", "oops\n" + COPY,
    COPY + "\n  oops\n", COPY + "  oops\n",
    "x.py:1: UserWarning: no source\noops\n",
    "Traceback (most recent call last):\n  File 'x.py', line 1\nUserWarning: raised\n"])
def test_not_only_warnings(text): assert not only_warnings(text)

def test_real_warnings(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import warnings\nfrom rlm.environments.capture import Capture, only_warnings\nc = Capture()\n"
                      "with c:\n    warnings.warn('two\\nlines')\n    warnings.warn('more')\n"
                      "stderr = c.take()[1]\nassert stderr.count('UserWarning') == 2 and only_warnings(stderr), stderr")
    assert subprocess.run([sys.executable, "-W", "always", script]).returncode == 0

def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end: time.sleep(0.01)
    assert condition()

# Programs that the code starts

@pytest.mark.parametrize("code, told", [
    ("import os; os.system('true')", "os.system"), ("subprocess.run(['ls'])", "subprocess.run"), ("from subprocess import run; run(['ls'])", ""),
    ("subprocess.run(\n    ['ls'],\n    capture_output=True)", ""), ("subprocess.Popen('ls', stdout = subprocess.PIPE)", ""),
    ("subprocess.check_output('ls')", ""), ("os.systemd", ""), ("subprocess.call('ls', check=(1))", "subprocess.call")])
def test_programs_whose_output_is_not_caught(code, told):
    assert not_caught(code).startswith(f"(What {told} prints" if told else "") and bool(not_caught(code)) == bool(told)

@pytest.mark.parametrize("code", ["print('x' * {n})", "'x' * {n}", "print('x' * 7)\n'x' * {n}", "print('x' * 3_000)\nprint('x' * {n})", "b'x' * {n}",
                                  "print('x' * 6_000 + 'y' * 60_000)\n'x' * {n}"])
@pytest.mark.parametrize("n", [7_000, 8_050, 20_100, 39_999, 40_001, 66_427, 120_000])
def test_the_model_is_told_how_much_a_block_really_printed(code, n):
    "Whatever was cut before: while it was printed, in a value's `repr`, and both at once."
    lm = ScriptedLM(["```repl\n" + code.format(n=n) + "\n```", "FINAL(done)"])
    result = RLM(lm, verbose=False).completion("go", context=1)
    said = result.messages[-2]["content"].removeprefix("Output:\n")
    notes = re.findall(r"(?:\n… | \.\.\. )\[([\d,]+) of ([\d,]+) \w+ cut\](?: …\n| \.\.\. )", said)
    shown = len(re.sub(r"(\n… | \.\.\. )\[[\d,]+ of [\d,]+ \w+ cut\]( …\n| \.\.\. )", "", said))
    cut, total = sum(int(c.replace(",", "")) for c, _ in notes), [int(t.replace(",", "")) for _, t in notes]
    really = n + sum(int(x.replace("_", "")) + 1 for x in re.findall(r"print\('x' \* ([\d_]+)\)", code)) + 66_001 * ("60_000" in code)
    assert 0 <= cut + shown - really <= 10 and all(0 <= t - really <= 10 for t in total)  # quotes and ends of lines
    assert len(notes) == (really > 8_005) and len(said) < 8_100

WIDE = "import pandas as pd\ndf = pd.DataFrame({f'column {i}': range(200) for i in range(40)})\n"

@pytest.mark.parametrize("code", ["print(df.head(3))", "df.head(3)", "[df.head(3)]", "print(f'{df.head(3)}')", "display(df.head(3))",
                                  "with pd.option_context('display.max_columns', 0, 'display.width', 40): print(df.head(3))"])
def test_a_wide_table_has_all_its_columns_in_a_block(code):
    lm = ScriptedLM(["```repl\n" + WIDE + code + "\n```", "FINAL(done)"])
    said = RLM(lm, verbose=False).completion("go", context=1).messages[-2]["content"]
    assert all(re.search(rf"\bcolumn {i}\b", said) for i in range(40)) and "..." not in said

def test_the_options_that_code_sets_for_tables_hold():
    code = ("import pandas as pd\nx = pd.DataFrame({'a': ['y' * 200] * 70})\n"
            "with pd.option_context('display.max_colwidth', None, 'display.max_rows', None): print(str(x).count('y'))\nprint(str(x).count('y') < 500)")
    assert RLM(ScriptedLM([f"```repl\n{code}\n```", "FINAL(done)"]), verbose=False).completion("go", context=1).messages[-2]["content"] == "Output:\n14000\nTrue"

def test_the_text_of_a_wide_table_as_an_answer():
    result = RLM(ScriptedLM(["```repl\n" + WIDE + "FINAL(df)\n```"]), verbose=False).completion("go", context=1)
    lines = result.response.split("\n")
    assert repr(result.value) != result.response  # outside of blocks pandas is as it was
    assert lines[0].split() == [x for i in range(40) for x in ("column", str(i))] and lines[-1] == "[200 rows x 40 columns]"
    assert result.value.shape == (200, 40) and len(lines) == 14
