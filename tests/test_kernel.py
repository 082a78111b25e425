"The environment `kernel`, with real kernels. Each costs a second, so most tests share one."
import datetime, gc, os, shutil, subprocess, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from rlm import RLM
from rlm.environments.base import Task
from rlm.environments.kernel import configure
from rlm.environments.stopping import Stop
from rlm.lm import ScriptedLM
from rlm.preview import describe
from rlm.types import Answer, ConfigurationError, Refuse, RLMError, RunEndedError

pytestmark = pytest.mark.slow

def code(text): return f"```repl\n{text}\n```"

def scripted(*replies, **kw):
    lm = ScriptedLM([r if r.startswith("FINAL") else code(r) for r in replies])
    return RLM(lm, environment="kernel", verbose=False, **kw)

def blocks(result): return [b.result for i in result.iterations for b in i.code_blocks]

def rate(currency, day=None):
    "Units of a currency for a dollar."
    print("looking up", currency)
    if currency == "XXX": raise KeyError(currency)
    if currency == "YYY": return object()
    return {"EUR": 0.9, "day": day}

async def later(x): return x + 1

class Asked:
    "Answers sub-calls."
    model = "asked"
    def __init__(self): self.threads = set()
    def complete(self, messages, heard=None):
        from rlm.types import Reply, Usage
        self.threads.add(threading.get_ident())
        time.sleep(0.2)
        return Reply(messages[-1]["content"].upper(), "asked", Usage(1, 1, 1))

@pytest.fixture(scope="module", autouse=True)
def folder():
    "Kernels have their folders in one of ours, whose path is short, and none stands in reserve: each costs a second."
    from rlm.environments import kernel
    before, tempfile.tempdir = tempfile.tempdir, tempfile.mkdtemp(dir="/tmp")
    pool, kernel.pool_for = kernel.pool_for, lambda make, options: None
    yield
    gc.collect()
    for _ in range(100):
        if not any(n.startswith("rlm-") for n in os.listdir(tempfile.tempdir)): break
        time.sleep(0.1)
    shutil.rmtree(tempfile.tempdir, ignore_errors=True)
    tempfile.tempdir, kernel.pool_for = before, pool

@pytest.fixture(scope="module")
def environment(folder):
    found = configure()(True)
    yield found
    found.close()

@pytest.fixture
def here(environment):
    "The shared environment in a run, of which nothing stays."
    environment.begin(Task("What?", {"context": "some text"}, {"rate": rate, "later": later, "limit": (1, 2)}, "run 1"))
    yield environment
    environment.end(keep=False)

def test_what_a_block_did_is_told_as_everywhere(here):
    result = here.run("print(len(context)); x = [1, 2]\nx", "iteration 1")
    assert (result.stdout, result.shown, result.error) == ("9\n", "[1, 2]", None)
    error = here.run("x[5]", "iteration 2").error
    assert 'File "<run 1 iteration 2>", line 1' in error
    assert error.endswith("IndexError: list index out of range\n(with x = [1, 2])")
    assert here.run("import sys; print('a warning', file=sys.stderr)", "iteration 3").stderr == "a warning\n"
    assert here.run("context = 3", "iteration 4").restored == ("context",)
    assert here.run("context", "iteration 5").shown == "'some text'"
    assert here.run("FINAL(x)", "iteration 6").answer == Answer([1, 2])
    assert "x: list" in here.run("SHOW_VARS()", "iteration 7").shown
    assert here.run("await later(41)", "iteration 8").shown == "42"
    assert here.run("limit", "iteration 9").shown == "(1, 2)"

def test_magics_and_figures(here):
    assert "5" in here.run("%time 2 + 3", "iteration 1").text
    assert here.run("!echo hello", "iteration 2").stdout.strip() == "hello"
    shown = here.run("import matplotlib.pyplot as plt; plt.plot([1, 2])", "iteration 3").outputs
    assert [list(o["data"]) for o in shown if "image/png" in o["data"]] == [["image/png", "text/plain"]]

def test_functions_of_the_host(here):
    result = here.run("rate('EUR', day='Monday')", "iteration 1")
    assert (result.shown, result.stdout) == ("{'EUR': 0.9, 'day': 'Monday'}", "looking up EUR\n")
    assert here.run("rate('XXX')", "iteration 2").error.endswith("KeyError: 'XXX'")
    assert "can't be copied into the kernel: it is a object" in here.run("rate('YYY')", "iteration 3").error
    assert "rate is given data only, and this is a builtin" in here.run("rate(print)", "iteration 4").error
    assert "Units of a currency" in here.run("print(rate.__doc__)", "iteration 5").stdout
    assert "TypeError" in here.run("rate()", "iteration 6").error
    assert here.run("import os\npid = os.fork()\nif not pid: rate('EUR')\nos.waitpid(pid, 0)[1]", "iteration 7").shown != "0"

def test_answers_outside_code(here):
    here.run("total = 7\nlabels = {'a': 1}", "iteration 1")
    assert here.resolve("total", True).answer == Answer(7)
    assert here.resolve("total + 1", False).answer == Answer(8)
    assert here.resolve("Blue", False).answer is None
    assert "no variable named nothing" in here.resolve("nothing", True).error

VALUES = {
    "text": "é" * 60_000 + "\ud800", "number": 1.5, "large": 10**400, "nothing": None, "words": ["a", "half \ud800", {"b": (1, 2)}], "bytes": b"\0\1",
    "day": datetime.date(2026, 1, 2), "set": {1, 2}, "array": np.arange(6).reshape(2, 3), "words_array": np.array(["a", "bc"]),
    "table": pd.DataFrame({"c": pd.Categorical(["x", "y"]), "t": pd.to_datetime(["2026-01-01", None])}, index=["p", "q"]),
    "column": pd.Series([1, 2], name="n")}

def test_values_go_in_and_come_out(environment):
    environment.begin(Task("What?", VALUES, {}, "run 1"))
    for name, x in VALUES.items():
        back = environment.run(f"FINAL({name})", "iteration 1").answer.value
        assert type(back) is type(x)
        if isinstance(x, (pd.DataFrame, pd.Series)): getattr(pd.testing, f"assert_{type(x).__name__.lower().replace('data', '')}_equal")(back, x)
        elif isinstance(x, np.ndarray): np.testing.assert_array_equal(back, x)
        else: assert back == x
    assert environment.run("import decimal\nclass Point:\n    def __repr__(self): return 'a point'\nFINAL({'p': Point()})",
                           "iteration 2").answer.value == {"p": "a point"}
    environment.end()

def test_tables_of_polars_cross():
    polars = pytest.importorskip("polars")
    from rlm.environments.crossing import pack, unpack
    table = polars.DataFrame({"n": [1, 2], "s": ["x", None], "d": [datetime.date(2026, 1, 1), None], "l": [[1], [2, 3]]})
    assert unpack(*pack(table)).equals(table) and unpack(*pack(table["s"])).equals(table["s"])

def test_files_go_in_as_what_is_in_them(tmp_path):
    from rlm.logger import RLMLogger, read_log
    from rlm.strangers import verify_log
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fares.csv").write_text("port,crowns\nOslo,40\nLima,20\n")
    (tmp_path / "data" / "note.txt").write_text("hello")
    asked = code("FINAL([type(context).__name__, context['note.txt'], int(context['fares.csv'].crowns.sum())])"), code("FINAL(context.shape)")
    logger = RLMLogger(tmp_path)
    for reply, context, answer in zip(asked, (tmp_path / "data", tmp_path / "data" / "fares.csv"), (["dict", "hello", 60], [2, 2])):
        with RLM(ScriptedLM([reply]), environment="kernel", logger=logger, verbose=False) as rlm:
            result = rlm.completion("?", context=context)
        assert list(result.value) == answer and "sql" not in result.messages[-1]["content"]
    assert list(read_log(logger.path)[1].payload.columns) == ["port", "crowns"]
    assert set(verify_log(logger.path, "kernel").values()) == set(verify_log(logger.path, "local").values()) == {"equal"}

def test_what_cannot_go_in_is_said_before_anything_runs():
    started = scripted("1", "FINAL(2)")
    for context in (lambda: 1, threading.Lock(), [object()], pd.DataFrame({"x": [1, "a"]}), np.array([object()])):
        with pytest.raises(ConfigurationError, match="context can't be copied into a kernel: there is a"):
            started.completion("What?", context=context)
    assert started.lm.requests == [] if hasattr(started.lm, "requests") else True

def test_printing_is_seen_while_a_block_runs(here):
    found = here.begin(Task("What?", {"context": ""}, {}, "run 2"))
    seen = []
    def look():
        while not seen or "two" not in seen[-1]:
            seen.append(found.printed())
            time.sleep(0.05)
    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    here.run("import time\nprint('one'); time.sleep(.6); print('two'); time.sleep(.6)", "iteration 1")
    watcher.join(5)
    assert "one\n" in seen and "one\ntwo\n" in seen

def test_the_time_limit_interrupts_then_kills(environment):
    stop = Stop(1.0)
    environment.begin(Task("What?", {"context": "c"}, {}, "run 1", stop))
    environment.run("kept = 1", "iteration 1")
    stop.begin()
    result = environment.run("print('so far')\nwhile True: pass", "iteration 2")
    assert result.stdout == "so far\n" and result.error.startswith("Stopped:") and not result.interrupted
    environment.end()
    assert environment.begin(Task("What?", {"context": "c"}, {}, "run 2")).own["kept"] == 1  # the same kernel
    environment.end()
    stop = Stop(1.0)
    environment.begin(Task("What?", {"context": "c"}, {}, "run 3", stop))
    stop.begin()
    stubborn = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    assert environment.run(stubborn, "iteration 1").error.startswith("Stopped:")
    environment.end()
    environment.begin(Task("What?", {"context": "c"}, {}, "run 4"))
    assert environment.run("context", "iteration 1").shown == "'c'"
    environment.end()

def test_ctrl_c_ends_the_run_and_keeps_the_kernel(environment):
    import _thread
    environment.begin(Task("What?", {"context": "c"}, {}, "run 1"))
    def press():
        until = time.monotonic() + 20
        while "begun" not in environment._printed and time.monotonic() < until: time.sleep(0.02)
        _thread.interrupt_main()
    threading.Thread(target=press).start()
    result = environment.run("y = 5\nimport time\nprint('begun')\ntime.sleep(60)", "iteration 1")
    assert result.interrupted and result.execution_time < 40
    environment.end()
    assert environment.begin(Task("What?", {"context": "c"}, {}, "run 1")).own["y"] == 5
    environment.end(keep=False)

def test_a_kernel_that_dies_is_replaced(environment):
    environment.begin(Task("What?", {"context": "c"}, {"rate": rate}, "run 1"))
    environment.run("mine = 1", "iteration 1")
    error = environment.run("import os\nos.kill(os.getpid(), 9)", "iteration 2").error
    assert error.startswith("The kernel died in this block") and "with context. Gone are: " in error and "mine." in error
    assert environment.run("rate('EUR'); (context, 'mine' in globals())", "iteration 3").shown == "('c', False)"
    environment.end()

def test_a_new_kernel_has_what_was_folded(environment):
    class Outputs(dict): replies = {1: "a reply"}
    environment.begin(Task("What?", {"context": pd.DataFrame({"replies": [1, 2]})}, {}, "run 1"))
    assert environment.bring("history", Outputs({1: "an output"})) == "history"
    assert "new kernel, with context, history" in environment.run("import os; os._exit(3)", "iteration 1").error
    assert environment.run("history[1], list(context.replies)", "iteration 2").shown == "('an output', [1, 2])"
    environment.end(keep=False)

def test_ctrl_c_while_data_is_handed_over_loses_none_of_it(environment, monkeypatch):
    def interrupted(*args, **more): raise KeyboardInterrupt
    task = Task("What?", {"context": pd.DataFrame({"n": [1, 2]})}, {}, "run 1")
    with monkeypatch.context() as m:
        m.setattr(type(environment), "_ask", interrupted)
        with pytest.raises(KeyboardInterrupt): environment.begin(task)
    environment.begin(task)
    assert environment.run("int(context.n.sum())", "iteration 1").shown == "3"
    environment.end(keep=False)

def test_what_arrow_cannot_hold_is_refused_going_in_and_text_coming_out(here):
    for bad in ("pd.DataFrame({'x': pd.cut(pd.Series([1, 4]), [0, 2, 5])})", "pd.Series([1], index=pd.period_range('2026-01', periods=1, freq='M'))"):
        with pytest.raises(ConfigurationError, match="whose columns Arrow can't hold"):
            scripted("1").completion("x", context=eval(bad))
        answer = here.run(f"import pandas as pd\nFINAL({bad})", "iteration 1").answer
        assert type(answer.value) is str and ("2026-01" in answer.value or "(2, 5]" in answer.value)

def test_three_deaths_in_a_row_end_the_run():
    dying = scripted(*["import os; os._exit(3)"] * 3, "FINAL(7)")
    with pytest.raises(RLMError, match="The kernel died three times in a row, the last time because it ended with code 3"):
        dying.completion("What?", context="c")

def test_sub_calls_children_and_sessions():
    lm = Asked()
    root = ScriptedLM([code("a = llm_query('one')\nb = llm_query_batched('ask', ['x', 'y', 'z'])\n(a, b)"), "FINAL_VAR(b)"])
    result = RLM(root, environment="kernel", other_backends=[lm], verbose=False).completion("What?", context="c")
    assert result.value == ["ASK\n\nX", "ASK\n\nY", "ASK\n\nZ"]
    assert [c.response for c in blocks(result)[0].rlm_calls] == ["ONE", "ASK\n\nX", "ASK\n\nY", "ASK\n\nZ"]

def test_threads_ask_at_the_same_time():
    lm = Asked()
    root = ScriptedLM([code("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(8) as pool: found = list(pool.map(llm_query, 'abcdefgh'))\nFINAL(found)")])
    began = time.perf_counter()
    result = RLM(root, environment="kernel", other_backends=[lm], verbose=False).completion("What?", context="c")
    assert result.value == list("ABCDEFGH") and len(lm.threads) > 1

def test_a_thread_gets_its_answer_in_a_later_block():
    started = "import threading\nheard = []\nt = threading.Thread(target=lambda: heard.append(llm_query('hello')))\nt.start()"
    result = scripted(started, "t.join(20)\nFINAL(heard)", other_backends=[Asked()]).completion("Go.")
    assert result.value == ["HELLO"]

def test_a_thread_that_outlives_its_run_is_told_so():
    class Slow:
        model = "slow"
        def complete(self, messages): return over.wait(60) and "late"
    over = threading.Event()
    ask = """import threading
heard = []
def ask():
    try: heard.append(llm_query('hello'))
    except Exception as e: heard.append(str(e))
t = threading.Thread(target=ask)
t.start()
FINAL(1)"""
    with scripted(ask, "t.join(20)\nFINAL(heard)", other_backends=[Slow()], persistent=True) as rlm:
        rlm.completion("Go.")
        found = rlm.completion("And?").value
    over.set()
    assert "has ended" in found[0]

def test_a_child_has_a_kernel_of_its_own():
    table = "import pandas as pd\nimport os\nx = rlm_query('Sum it', context=pd.DataFrame({'n': [1, 2]}))\nFINAL((os.getpid(), x))"
    child = ScriptedLM([code("import os\nFINAL({'pid': os.getpid(), 'sum': context.sum().to_frame()})")])
    result = RLM(ScriptedLM([code(table)]), environment="kernel", environment_kwargs={"sandbox": None},
                 max_depth=2, other_backends=[child], verbose=False).completion("What?", context="c")
    mine, found = result.value
    assert len({mine, found["pid"], os.getpid()}) == 3 and found["sum"].loc["n", 0] == 3

def test_a_session_keeps_its_variables_and_sends_its_data_once():
    data = pd.DataFrame({"n": range(1_000)})
    lm = ScriptedLM([code("total = int(context.n.sum())\nheavy = context * 2\ndef f(x): return x"), "FINAL_VAR(total)",
                     code("context.shape, context_history[0] is session_context_0, int(heavy.n.max())"), "FINAL(done)"])
    with RLM(lm, environment="kernel", verbose=False) as rlm:
        session = rlm.start_session()
        assert session.chat("Add it up.", context=data).value == 499_500
        second = session.chat("And now?")
        assert blocks(second)[0].shown == "((1000, 1), True, 1998)"
        asked = "\n".join(m["content"] for m in second.messages)
        assert "Still there: " in asked or "heavy" in asked
        assert not second.changes and repr(second.undo()) == "nothing to restore"

def test_what_code_did_to_its_copy_is_not_there_for_equal_data():
    with scripted("context.append(4)", "FINAL(context)", "FINAL(context)", persistent=True) as rlm:
        assert [rlm.completion("Go.", context=[1, 2, 3]).value for _ in range(2)] == [[1, 2, 3, 4], [1, 2, 3]]

def test_approval_sees_the_code_and_answers():
    seen = []
    def approve(text):
        seen.append(text)
        return Refuse("no files") if "open(" in text else text.replace("1", "2")
    result = scripted("open('x', 'w')", "x = 1\nx", "FINAL(x + 1)", environment_kwargs={"approve": approve}).completion("What?", context="c")
    refused, changed = blocks(result)[:2]
    assert refused.ran == "" and "no files" in refused.error
    assert changed.ran == "x = 2\nx" and changed.shown == "2"
    assert seen[-1] == "x + 1" and result.value == 4

def test_changes_are_asked_about_by_what_the_kernel_reads(environment):
    environment.begin(Task("What?", {"context": ["c"]}, {}, "run 1"))
    assert environment._effects("open('x', 'w')") and not environment._effects("1 + 1")
    environment.end()

def test_sync_vars_need_a_notebook():
    with pytest.raises(ConfigurationError, match="this is none. Hand your data over as context"):
        RLM(ScriptedLM([]), environment="kernel", environment_kwargs={"sync_vars": ["df"]})
    with pytest.raises(ConfigurationError, match="a list of names"):
        RLM(ScriptedLM([]), environment="kernel", environment_kwargs={"sync_vars": "df"})
    with pytest.raises(ConfigurationError, match="limit"):
        RLM(ScriptedLM([]), environment="kernel", environment_kwargs={"limits": {"ram": 3}})

def processes():
    "Those that this process has started, and theirs."
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.splitlines()
    below = {int(line.split()[0]): (int(line.split()[1]), line) for line in listed}
    mine = {os.getpid()}
    for _ in range(8): mine |= {pid for pid, (parent, _) in below.items() if parent in mine}
    return {below[pid][1] for pid in mine - {os.getpid()} if "ps -eo" not in below[pid][1]}

def traces():
    "What could be left: processes, threads, open files, folders."
    gc.collect()
    files = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")}
    return processes(), set(threading.enumerate()), files, set(os.listdir(tempfile.gettempdir()))

def left(before, seconds=20):
    "What is there that was not, once it had the time to go."
    for _ in range(seconds * 10):
        found = [after - had for had, after in zip(before, traces())]
        if not any(found): break
        time.sleep(0.1)
    return found

linux = pytest.mark.skipif(sys.platform != "linux", reason="counts processes and open files as Linux lists them")

@linux
def test_nothing_is_left():
    warm_up = configure()(True)  # what is loaded once
    warm_up.begin(Task("What?", {"context": "c"}, {}, "run 1"))
    warm_up.close()
    before = traces()
    closed = configure()(True)
    closed.begin(Task("What?", {"context": "c"}, {}, "run 1"))
    closed.run("import subprocess; subprocess.Popen(['sleep', '100'])", "iteration 1")
    closed.close()
    with pytest.raises(RunEndedError): closed.run("1", "iteration 2")
    assert left(before) == [set()] * 4
    dropped = configure(sandbox=None)(True)
    dropped.begin(Task("What?", {"context": "c"}, {}, "run 1"))
    dropped.run("import subprocess; subprocess.Popen(['sleep', '100'], start_new_session=True)", "iteration 1")
    del dropped
    assert left(before) == [set()] * 4

def test_a_run_does_not_wait_for_the_end_of_its_kernel(monkeypatch, tmp_path):
    from rlm.environments.kernel_process import Kernel
    go, close, closed = threading.Event(), Kernel.close, []
    def slowly(self):
        go.wait(20)
        close(self)
        closed.append(self)
    monkeypatch.setattr(Kernel, "close", slowly)
    assert scripted("1", "FINAL(2)").completion("What?", context="c").response == "2" and closed == []
    go.set()
    while not closed: time.sleep(0.01)
    assert not closed[0].alive
    scripted("1", "FINAL(2)", environment_kwargs={"folder": tmp_path}).completion("What?", context="c")
    assert len(closed) == 2 and not closed[1].alive  # in a folder of the user's nothing goes on

@linux
@pytest.mark.parametrize("broken", ["import nowhere", "import os; os._exit(4)"])
def test_nothing_is_left_where_the_kernel_does_not_start(broken, monkeypatch):
    from rlm.environments import kernel_process
    before = traces()
    monkeypatch.setattr(kernel_process, "_SERVE", broken)
    with pytest.raises(RLMError, match="The kernel could not begin: .*(nowhere|code 4)"):
        scripted("1", "FINAL(2)").completion("What?", context="c")
    assert left(before) == [set()] * 4

def test_nothing_is_left_when_python_ends(tmp_path):
    program = tmp_path / "ends.py"
    program.write_text("import sys\nfrom rlm.environments.kernel import configure\nfrom rlm.environments.base import Task\n"
        "e = configure()(True)\ne.begin(Task('What?', {'context': 'c'}, {}, 'run 1'))\n"
        "print(e.run('import os; os.getpid()', 'i').shown, e._kernels[0].confined.door.parent)\n"
        "import os\nif 'killed' in sys.argv: sys.stdout.flush(); os._exit(1)\nif 'closed' in sys.argv: e.close()")
    for more in ([], ["closed"], ["killed"]):
        done = subprocess.run([sys.executable, program, *more], capture_output=True, text=True, timeout=100)
        assert not done.stderr
        room = done.stdout.split()[1]
        for _ in range(200):
            if not os.path.exists(room): break
            time.sleep(0.1)
        assert not os.path.exists(room)

def test_a_hostile_kernel_ends_a_block_and_not_the_host(environment):
    "What the code of a block may send in the name of the kernel's side."
    attack = ("import rlm.environments.kernel_side as k\nc = k._sides[0].channel\n"
              "def raw(text, parts=(), kind='input_request'): c.session.send(c.socket, kind, {}, ident=c.host, metadata={'rlm': text}, buffers=list(parts))\n")
    for sent in ("c.tell({'ask': 'open', 'number': 1, 'args': ['/etc/passwd'], 'keywords': {}})",
                 "c.tell({'ask': '__class__', 'number': 1, 'args': [], 'keywords': {}})",
                 "c.tell({'ask': 'rate', 'number': 'x', 'args': [], 'keywords': {}})",
                 "raw('{')", "raw('[' * 100_000)", "raw('[1]')", "raw(3)",
                 "raw('{\"$_table\": [0, \"pandas.DataFrame\"]}', [b'x'])", "raw('{\"x\": {\"$_table\": [7]}}')",
                 "c.session.key = b'another'; c.tell({'printed': 'x'})",
                 "c.socket.send_multipart([c.host, b'nothing of Jupyter'])", "c.socket.send_multipart([c.host, b'<IDS|MSG>', b'', b'', b''])"):
        environment.begin(Task("What?", {"context": "c"}, {"rate": rate}, "run 1"))
        result = environment.run(attack + sent + "\nimport time\ntime.sleep(20)", "iteration 1")
        assert result.error and result.error.startswith("The kernel died in this block: it "), (sent, result)
        environment._deaths = 0
        environment.end()

def test_what_the_code_has_bound_is_told_as_everywhere():
    steps = "import math, pandas as pd\nx, y = 1, 'left'\n_hidden = 2", "x = [1, 2]\ndel y\ndf = pd.DataFrame({'n': [1, 2]})\ndef f(n): return n", "FINAL(1)"
    there = scripted(*steps).completion("What?", context=[1])
    here = RLM(ScriptedLM([code(s) for s in steps[:2]] + ["FINAL(1)"]), verbose=False).completion("What?", context=[1])
    assert list(there.variables) == ["x", "df", "f"] and [n for n in there.variables if there.variables[n] != here.variables[n]] in ([], ["f"])
    other = scripted(steps[0], steps[1].replace("'n': [1, 2]", "'n': [1, 2, 3]"), "FINAL(1)").completion("What?", context=[1])
    assert "variable df" in [d.place for d in there.diff(other).differences] and "variable x" not in [d.place for d in there.diff(other).differences]

def test_what_is_not_there_any_more_is_not_told(here):
    assert here.bound(["bound", "context", "rate"]) == {}
    here.run("bound = 1", "iteration 1")
    assert here.bound(["never", "context", "rate", "bound"]) == {"bound": 1}
    here.run("import os; os._exit(3)", "iteration 2")
    assert here.bound(["bound"]) == {}
    here.run("bound = 2", "iteration 3")
    here._kernels[0].confined.close()
    assert here.bound(["bound"]) == {}

@pytest.mark.parametrize("lie", [
    "3", "{'x': 3}", "{'x': {}}", "{'x': {'value': '[' * 5_000}}", "{'x': {'value': '[' + '1,' * 5_000_000 + '1]'}}", "{'x': {'value': '{\"$_array\": [0, \"<i8\", [1]]}'}}",
    "{'open': {'value': '1'}, 'rate': {'value': '2'}}", "{'x': {'type': 'a' * 5_000_000, 'size': '', 'taste': ''}}", "{'x': {'type': 'os.system', 'size': 'b' * 5_000_000, 'taste': 'c'}}"])
def test_lies_about_variables(here, lie):
    here.run("x = 1", "iteration 1")
    here.run(f"import rlm.environments.kernel_side as k\nhonest = k.Side.bound\nk.Side.bound = lambda self, names: {{'own': {lie}}}", "iteration 2")
    found = here.bound(["x", "open", "rate"])
    assert list(found) in ([], ["x"]) and all(len(describe(name, x)) < 10_000 for name, x in found.items())
    assert here.run("k.Side.bound = honest", "iteration 3").error is None

@pytest.mark.parametrize("lie", [
    "{'stdout': 3}", "{'outputs': [{'data': {'text/plain': 1}}]}", "{'error': ['x']}", "{'interrupted': 'yes'}", "3", "None",
    "{'stdout': 'x' * 40_000_000}"])
def test_lies_about_a_block(environment, lie):
    environment.begin(Task("What?", {"context": "c"}, {}, "run 1"))
    result = environment.run("import rlm.environments.kernel_side as k\n"
        f"k.Side._told = lambda self, result: {{'result': {lie}, 'names': []}}", "iteration 1")
    assert result.error or len(result.stdout) < 100_000
    environment.end()
    environment._discard()
    environment._deaths = 0

def test_what_is_shown_runs_nothing_in_the_notebook(here):
    shown = here.run("from IPython.display import HTML, SVG, Javascript, Markdown, display\n"
        "display(HTML('<script>alert(1)</script><img src=\"http://x/?q=1\"><table onclick=x><tr><td>1</td></tr></table>'))\n"
        "display(Javascript('alert(1)')); display(SVG('<svg onload=\"x\"></svg>')); display(Markdown('![a](http://x/?q=1)'))\n"
        "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text/plain': 'w', 'image/png': '<script>'}, raw=True)",
        "iteration 1").outputs
    assert {mime for o in shown for mime in o["data"]} <= {"text/plain", "text/html"}
    assert not [x for o in shown for x in [o["data"].get("text/html", "")] if "script" in x or "http" in x or "onclick" in x]

def test_sub_calls_have_types_and_pictures():
    typed = """from dataclasses import dataclass
@dataclass
class City:
    name: str
    size: int
import matplotlib.pyplot as plt
figure = plt.figure()
numbers = llm_map(['u'], 'f', type=bool)
FINAL([llm_query('a', type=int), repr(llm_query('b', type=City)), numbers, list(numbers.errors), llm_query('What?', images=figure)])"""
    sub = ScriptedLM(["true", "7", '{"name": "Oslo", "size": 3}', "a line"])
    replies = [code(typed)]
    result = RLM(ScriptedLM(replies), environment="kernel", other_backends=[sub], verbose=False).completion("What?", context="c")
    assert result.value == [7, "City(name='Oslo', size=3)", [True], [], "a line"]
    *_, (picture,) = [c.images for c in blocks(result)[0].rlm_calls]
    assert picture.kind == "png" and picture.data

def test_a_kernel_has_no_more_threads_of_ours_than_calls(environment):
    class Waits:
        model = "waits"
        def complete(self, messages): return over.wait(30) and "x"
    from rlm.limits import Ledger
    from rlm.subcalls import SubCalls
    over, before = threading.Event(), threading.active_count()
    environment.begin(Task("What?", {"context": "c"}, SubCalls([Waits()], Ledger()).functions, "run 1"))
    flood = "import rlm.environments.kernel_side as k\nfor i in range(300): k._sides[0].channel.tell({'ask': 'llm_query', 'number': 1, 'args': ['x'], 'keywords': {}})"
    result = environment.run(flood, "iteration 1")
    over.set()
    assert "two things at once under one number" in result.error and threading.active_count() < before + 100
    environment.end()
    environment._deaths = 0

@pytest.mark.parametrize("call", ["(), {'prompt': 'x', 'images': ['/etc/hostname']}", "('x', None, None, None, '/etc/hostname'), {}"])
def test_the_host_opens_no_file_for_a_kernel(environment, call):
    from rlm.limits import Ledger
    from rlm.subcalls import SubCalls
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" and args[0] == "/etc/hostname" else None)
    calls = SubCalls([ScriptedLM(["seen"])], Ledger())
    environment.begin(Task("What?", {"context": "c"}, calls.functions, "run 1"))
    result = environment.run(f"import rlm.environments.kernel_side as k\nk._sides[0].channel.ask('llm_query', {call})", "iteration 1")
    assert "it asked for a picture of the host's" in result.error and not opened
    environment.end()
    environment._deaths = 0

def test_in_a_notebook_variables_are_copied(tmp_path):
    from kernel import Kernel
    from rlm.replay import read_log
    with Kernel(cwd=str(tmp_path)) as k:
        k.ok("import pandas as pd\nfrom rlm import RLM\nfrom rlm.lm import ScriptedLM\nfrom rlm.logger import RLMLogger\n"
             "df = pd.DataFrame({'n': [1, 2, 3]}); words = ['a']\ndef block(t): return f'```repl\\n{t}\\n```'\n"
             "names = {'environment': 'kernel', 'verbose': False, 'logger': RLMLogger('logs'), 'environment_kwargs': {'sync_vars': ['words', 'df']}}")
        k.ok("""lm = ScriptedLM([block("words.append('b'); df['m'] = df.n * 2\\nwords"), "FINAL_VAR(df)", block("words, int(df.n.sum()), len(df.columns)"), "FINAL(2)",
                 block("words, int(df.n.sum()), len(df.columns)"), "FINAL(3)"])
session = RLM(lm, **names).start_session()
first, second = session.chat("What is in df?"), session.chat("And now?")
df.loc[0, "n"] = 100
third = session.chat("And now?")
shown = lambda r: r.iterations[0].code_blocks[0].result.shown""")
        assert k.value("(list(first.value.columns), list(df.columns), words)") == (["n", "m"], ["n"], ["a"])
        assert k.value("(shown(second), shown(third))") == ("(['a', 'b'], 6, 2)", "(['a', 'b'], 105, 1)")
        assert k.value("[bool(r.changes) for r in session]") == [False] * 3
        assert "pandas.DataFrame" in k.value("first.messages[-4]['content']")
        assert k.value("(await RLM(ScriptedLM([block('FINAL(len(df))')]), **names).acompletion('How many?')).value") == 3
        assert "Did you mean 'df'" in k.run("RLM(lm, environment='kernel', environment_kwargs={'sync_vars': ['dff']}).completion('x')").error
    log, = (tmp_path / "logs").glob("*.jsonl")
    assert len(read_log(log)) == 4

def test_runs_at_the_same_time_have_kernels_of_their_own():
    import asyncio
    async def several():
        rlm = scripted(*["import os\nFINAL((os.getpid(), context))"] * 3, environment_kwargs={"sandbox": None})
        return [r.value for r in await asyncio.gather(*(rlm.acompletion("What?", context=i) for i in range(3)))]
    found = asyncio.run(several())
    assert len({pid for pid, _ in found}) == 3 and sorted(i for _, i in found) == [0, 1, 2]

def test_logs_are_verified_and_resumed(tmp_path):
    from rlm.logger import RLMLogger
    first = scripted("n = len(context)\nn", "FINAL_VAR(n)", logger=RLMLogger(tmp_path)).completion("How many?", context=[1])
    log, = tmp_path.glob("*.jsonl")
    verified = subprocess.run([os.path.join(os.path.dirname(sys.executable), "rlm_trace"), str(log), "--verify"], capture_output=True, text=True)
    assert "equal" in verified.stdout, verified
    assert scripted("n = n + 1", "FINAL_VAR(n)").resume(log, from_iteration=2).value == 2
    with pytest.raises(ConfigurationError, match="can't be reached from here"):
        scripted("n = n + 1", "FINAL_VAR(n)").resume(log, from_iteration=2, edit=lambda names: names.clear())

def test_a_folder_of_the_users_is_worked_in_and_stays(tmp_path):
    (tmp_path / "in.txt").write_text("hello")
    scripted("open('out.txt', 'w').write(open('in.txt').read().upper())", "FINAL(1)", environment_kwargs={"folder": tmp_path}).completion("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out.txt"] and (tmp_path / "out.txt").read_text() == "HELLO"

def test_a_kernel_in_reserve_is_of_no_use_in_another_folder(tmp_path):
    from rlm.environments.kernel_process import Options, start_kernel
    (folder := tmp_path / "out").mkdir()
    kernel = start_kernel(Options(folder=str(folder)))
    try:
        assert kernel.alive
        (tmp_path / "another").mkdir()
        folder.rmdir()
        assert not kernel.alive
        (tmp_path / "another").rename(folder)
        assert not kernel.alive
    finally: kernel.close()

def test_what_is_missing_is_said_when_the_rlm_is_made(monkeypatch):
    from rlm.environments import kernel
    monkeypatch.setattr(kernel, "find_spec", lambda name: None if name == "pyarrow" else True)
    with pytest.raises(ConfigurationError, match=r"needs pyarrow: pip install 'rlm\[kernel\]'"): scripted("1")
