"""What a confined program can reach, use up and leave behind: real programs that try it.

The tests that need a wall are skipped where bubblewrap does not work. What a program writes in them is bounded, so that a wall
with a hole costs a failure and no machine.
"""
import gc, json, os, signal, socket, subprocess, sys, threading, time
from pathlib import Path

import pytest
from rlm.environments import confine
from rlm.environments.confine import Confined, Limits, check_sandbox, read_limits
from rlm.environments.keeper import remove, tree
from rlm.types import ConfigurationError

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="confined programs are watched on Linux only")]

def no_wall():
    try: return check_sandbox("bwrap")
    except ConfigurationError as e: return str(e)

behind_a_wall = pytest.mark.skipif(no_wall() is not None, reason=f"no wall here: {no_wall()}")
WALL = pytest.param("bwrap", marks=behind_a_wall)
either = pytest.mark.parametrize("sandbox", [WALL, None])

def run(code, sandbox="bwrap", *, limits=None, timeout=60, **options):
    "How a program in Python ended."
    with Confined(limits, sandbox, **options) as confined:
        confined.start([sys.executable, "-uc", code])
        return confined.wait(timeout)

def answers(code, sandbox="bwrap", **options):
    "The JSON that a program in Python wrote last."
    ended = run(code, sandbox, **options)
    assert ended.code == 0, ended
    return json.loads(ended.said.splitlines()[-1])

def programs(word):
    "The processes whose command line holds a word."
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes(): found.append(int(path.parent.name))
        except OSError: pass
    return found

def until(condition, seconds=20):
    "Wait for it; False if it does not come."
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end: time.sleep(0.02)
    return met

# -- what it reaches

@either
def test_no_variable_of_ours_gets_in(sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    monkeypatch.setenv("LANG", "C.UTF-8")
    there = answers("import os, json; print(json.dumps(dict(os.environ)))", sandbox)
    assert "sk-ours" not in str(there) and there["LANG"] == "C.UTF-8"
    assert not set(there) - {"PATH", "HOME", "USER", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "PYTHONUSERBASE", "PYTHONPATH", "LANG", "LC_ALL", "PWD",
                             "LC_CTYPE", "TZ", "ARROW_DEFAULT_MEMORY_POOL", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                             "MKL_NUM_THREADS", "POLARS_MAX_NUM_THREADS"}

@behind_a_wall
def test_no_file_of_ours_is_there(tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").write_text("ours")
    (tmp_path / ".env").write_text("ours")
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = [str(tmp_path / ".ssh" / "id_rsa"), str(tmp_path / ".env"), str(tmp_path), "/etc/shadow", "/etc/passwd", "/root/.bashrc",
             "/home", "/var", "/run", "/sys", "/etc/hostname", "/proc/kcore", os.getcwd() + "/settings.ini", __file__]
    seen = answers(f"""
import json, os
def seen(path):
    try: return os.listdir(path) or False if os.path.isdir(path) else open(path, 'rb').read(10) != b''
    except OSError: return False
print(json.dumps([path for path in {paths!r} if seen(path)]))""")
    assert seen == []

@behind_a_wall
def test_none_of_our_processes_is_there():
    seen = answers(f"""
import json, os
found = []
for pid in [p for p in os.listdir('/proc') if p.isdigit()]:
    found.append(open(f'/proc/{{pid}}/cmdline').read().split(chr(0))[0])
reached = []
for pid in [{os.getpid()}, {os.getppid()}]:
    for name in ('environ', 'mem', 'maps', 'cwd'):
        try: os.stat(f'/proc/{{pid}}/{{name}}'); reached.append(name)
        except OSError: pass
    try: os.kill(pid, 0); reached.append('kill')
    except OSError: pass
print(json.dumps([found, reached]))""")
    assert seen == [["bwrap", sys.executable], []]

@behind_a_wall
def test_there_is_no_network(tmp_path):
    server = socket.create_server(("127.0.0.1", 0))
    abstract, named = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    abstract.bind("\0rlm-test-" + str(os.getpid()))
    named.bind(str(tmp_path / "s"))
    for s in (abstract, named): s.listen()
    try:
        errors = answers(f"""
import json, socket
errors = []
def attempt(kind, to, family=socket.AF_INET):
    try: socket.socket(family, kind).connect(to); errors.append('connected')
    except OSError as e: errors.append(type(e).__name__)
attempt(socket.SOCK_STREAM, ('127.0.0.1', {server.getsockname()[1]}))
attempt(socket.SOCK_STREAM, ('1.1.1.1', 443))
attempt(socket.SOCK_DGRAM, ('8.8.8.8', 53))
attempt(socket.SOCK_STREAM, chr(0) + 'rlm-test-{os.getpid()}', socket.AF_UNIX)
attempt(socket.SOCK_STREAM, {str(tmp_path / "s")!r}, socket.AF_UNIX)
try: socket.getaddrinfo('example.org', 80); errors.append('resolved')
except OSError as e: errors.append(type(e).__name__)
print(json.dumps(errors))""")
    finally:
        for s in (server, abstract, named): s.close()
    assert errors == ["ConnectionRefusedError", "OSError", "OSError", "ConnectionRefusedError", "FileNotFoundError", "gaierror"]

@behind_a_wall
def test_it_writes_in_its_folders_only():
    written = answers(f"""
import json, os, sys
paths = ['/', '/usr', '/usr/bin', '/dev', '/etc', '/lib', '/proc/sys/kernel', sys.prefix, sys.base_prefix, os.path.dirname(json.__file__),
         {str(Path(confine.__file__).parent)!r}, '/tmp', '/dev/shm', os.getcwd()]
written = []
for path in paths:
    try: open(path + '/rlm-test', 'w').close(); written.append(path)
    except OSError: pass
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/1/oom_score_adj'):
    try: open(path, 'r+').close(); written.append(path)
    except OSError: pass
print(json.dumps([written, os.getcwd()]))""")
    assert set(written[0]) <= {"/tmp", "/dev/shm", written[1], "/proc/1/oom_score_adj"}
    assert len(written[0]) >= 3

@behind_a_wall
def test_it_has_no_rights_and_gains_none():
    seen = answers("""
import ctypes, json, os
status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)
libc = ctypes.CDLL(None, use_errno=True)
calls = [libc.unshare(0x10000000), libc.unshare(0x40000000), libc.mount(b'none', b'/tmp', b'tmpfs', 0, None), libc.umount(b'/proc/sys'),
         libc.sethostname(b'x', 1), libc.chroot(b'/tmp')]
print(json.dumps([{k: status[k].strip() for k in ('CapEff', 'CapPrm', 'CapBnd', 'NoNewPrivs')}, calls]))""")
    assert seen == [{"CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}, [-1] * 6]

@behind_a_wall
def test_what_may_be_read_can_be_read_and_not_written(tmp_path):
    (tmp_path / "data.csv").write_text("a,b")
    seen = answers(f"""
import json
try: open({str(tmp_path / "data.csv")!r}, 'a'); ok = True
except OSError: ok = False
print(json.dumps([open({str(tmp_path / "data.csv")!r}).read(), ok]))""", read=[tmp_path])
    assert seen == ["a,b", False]

@either
def test_a_folder_of_ours_stays(tmp_path, sandbox):
    run("open('made', 'w').write('x'); open('/tmp/other' if __import__('os').environ['TMPDIR'] == '/tmp' else 'other', 'w')", sandbox,
        folder=tmp_path)
    assert (tmp_path / "made").read_text() == "x"

@behind_a_wall
def test_a_folder_with_what_our_python_runs_is_refused(tmp_path):
    from rlm.environments.confine import python_needs
    for path in python_needs():
        for folder in (path, os.path.dirname(path)):
            with pytest.raises(ConfigurationError, match='folder="out"'): Confined(folder=folder)
    link = tmp_path / "link"
    link.symlink_to(python_needs()[0])
    with pytest.raises(ConfigurationError, match='folder="out"'): Confined(folder=link)
    Confined(folder=tmp_path).close()

@either
def test_what_was_in_a_folder_of_ours_is_not_counted(tmp_path, sandbox):
    (tmp_path / "ours").write_bytes(bytes(60_000_000))
    assert run("open('small', 'w').write('x'); import time; time.sleep(1.5)", sandbox, folder=tmp_path, limits={"disk": 40}).code == 0
    more = "open('large', 'wb').write(bytes(60_000_000))\nimport time; time.sleep(60)"
    assert "40 MB of disk" in run(more, sandbox, folder=tmp_path, limits={"disk": 40}).why

@either
def test_the_packages_are_there(sandbox):
    ended = run("""
import numpy as np, pandas as pd, matplotlib
matplotlib.use('agg')
import matplotlib.pyplot as plt, multiprocessing as mp, rlm
plt.plot(pd.DataFrame({'a': np.arange(10), 'b': list('abcdefghij')})['a'])
plt.savefig('figure.png')
with mp.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2]))""", sandbox, timeout=120)
    assert ended.code == 0 and ended.said.endswith("[1, 2]\n"), ended

# -- what it uses

@pytest.mark.parametrize("code", [
    "held = bytearray(300_000_000)",
    "import mmap; m = mmap.mmap(-1, 300_000_000, mmap.MAP_PRIVATE); m.write(bytes(299_000_000))",
    "import numpy; numpy.ones(40_000_000)"])
@either
def test_a_process_alone_is_refused_memory(code, sandbox):
    ended = run(code, sandbox, limits={"memory": 250})
    assert ended.code == 1 and ("MemoryError" in ended.said or "Cannot allocate memory" in ended.said), ended

@pytest.mark.parametrize("code", [
    "import os\nfor i in range(5): os.fork()\nheld = bytearray(os.urandom(80_000_000))",
    "import mmap; m = mmap.mmap(-1, 400_000_000)\nfor i in range(399): m.write(bytes(1_000_000))",
    "import os\nf = os.memfd_create('x'); os.truncate(f, 400_000_000)\nfor i in range(390): os.write(f, bytes(1_000_000))",
    "import os\nfor i in range(8):\n f = os.memfd_create('x')\n for j in range(50): os.write(f, bytes(1_000_000))"])
@either
def test_together_processes_are_ended_for_memory(code, sandbox):
    ended = run(code + "\nimport time; time.sleep(60)", sandbox, limits={"memory": 250, "disk": 250, "processes": 60})
    assert ended.code == -9 and "MB of" in ended.why, ended

@pytest.mark.parametrize("code", [
    "for i in range(40): open(f'f{i}', 'wb').write(bytes(2_000_000))",
    "import os\nfor i in range(40):\n f = open('f', 'wb'); os.remove('f'); f.write(bytes(2_000_000)); f.flush(); globals()[f'f{i}'] = f",
    "import os\nfor i in range(40): open(os.environ['TMPDIR'] + f'/f{i}', 'wb').write(bytes(2_000_000))",
    "import os\nfor i in range(12_000): open(f'f{i}', 'w').close()",
    "import os\nfor i in range(300): os.mkdir('d' * 50); os.chdir('d' * 50)\nfor i in range(40): open(f'f{i}', 'wb').write(bytes(2_000_000))"])
@either
def test_it_is_ended_for_what_it_puts_on_disk(code, sandbox):
    ended = run(code + "\nimport time; time.sleep(60)", sandbox, limits={"disk": 40})
    assert ended.code == -9 and "40 MB of disk" in ended.why, ended

@behind_a_wall
def test_shared_memory_is_on_that_disk():
    ended = run("for i in range(40): open(f'/dev/shm/f{i}', 'wb').write(bytes(2_000_000))\nimport time; time.sleep(60)", limits={"disk": 40})
    assert "40 MB of disk" in ended.why

@either
def test_what_it_writes_to_its_output_is_on_that_disk(sandbox):
    ended = run("while True: print('x' * 1_000_000)", sandbox, limits={"disk": 40, "file_size": 1_000})
    assert "40 MB of disk" in ended.why and set(ended.said) <= {"x", "\n"} and len(ended.said) <= 2_000

@either
def test_a_file_and_the_number_of_files_are_bounded(sandbox):
    ended = run("open('f', 'wb').write(bytes(3_000_000))", sandbox, limits={"file_size": 2})
    assert "File too large" in ended.said
    ended = run("files = [open('/dev/null') for i in range(200)]", sandbox, limits={"open_files": 100})
    assert "Too many open files" in ended.said

@behind_a_wall
def test_a_fork_bomb_ends():
    began = time.monotonic()
    ended = run("import os\nwhile True:\n try: os.fork()\n except OSError: pass", limits={"processes": 60})
    assert ended.code == -9 and ended.gone, ended
    assert not programs("os.fork()") or until(lambda: not programs("os.fork()"))
    assert time.monotonic() - began < 50

@either
def test_threads_count_too(sandbox):
    ended = run("import threading, time\nfor i in range(80): threading.Thread(target=time.sleep, args=[60]).start()", sandbox, limits={"processes": 50})
    assert ended.why == "It had more than 50 processes and threads." or "can't start new thread" in ended.said

@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [])(0)) < 2, reason="there is one processor only")
@either
def test_processors_that_it_takes_back_are_denied_again(sandbox):
    seen = answers("""
import json, os, time
first = len(os.sched_getaffinity(0))
try: os.sched_setaffinity(0, range(64))
except OSError: pass
end = time.time() + 10
while len(os.sched_getaffinity(0)) > 1 and time.time() < end: time.sleep(0.01)
print(json.dumps([first, len(os.sched_getaffinity(0)), os.nice(0) > 0]))""", sandbox, limits={"processors": 1})
    assert seen == [1, 1, True]

@either
def test_no_core_is_dumped(sandbox, tmp_path):
    assert run("import os; os.abort()", sandbox, folder=tmp_path).code == (-6 if sandbox is None else 134)
    assert list(tmp_path.iterdir()) == []

# -- how it ends

STUBBORN = """
import os, signal, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
open('ready', 'w').close()
while True: pass"""

@either
def test_what_ignores_all_signals_is_ended(sandbox):
    with Confined(sandbox=sandbox) as confined:
        confined.start([sys.executable, "-c", STUBBORN])
        assert until((confined.folder / "ready").exists)
        confined.interrupt()
        with pytest.raises(subprocess.TimeoutExpired): confined.wait(0.5)
        assert confined.alive
    assert not confined.alive and confined.wait().why == "" and not confined._room.exists()

@either
def test_an_interrupt_reaches_what_the_program_waits_for(sandbox):
    code = "import subprocess\nopen('ready', 'w').close()\ntry: subprocess.run(['sleep', '60'])\nexcept KeyboardInterrupt: print('interrupted')"
    with Confined(sandbox=sandbox) as confined:
        confined.start([sys.executable, "-uc", code])
        assert until((confined.folder / "ready").exists) and until(lambda: programs("sleep\x0060"))
        time.sleep(0.1)
        confined.interrupt()
        assert confined.wait(20).said == "interrupted\n"

SLIPPING = """
import os, sys, time
name = sys.argv[1]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', name])
    os._exit(0)
os.wait()
open('ready', 'w').close()
if name.endswith('stays'): time.sleep(60)"""

@pytest.mark.parametrize("word", ["slips-and-stays", "slips-and-goes"])
@either
def test_what_it_started_ends_too(sandbox, word):
    word = f"{os.getpid()}-{sandbox}-{word}"
    with Confined(sandbox=sandbox) as confined:
        confined.start([sys.executable, "-c", SLIPPING, word])
        if word.endswith("stays"): assert until(lambda: len(programs(word)) > 1)
        else: confined.wait(20)
    assert programs(word) == [] and confined.wait().gone

HOLDER = """
import sys, time
from rlm.environments.confine import Confined
confined = Confined(sandbox={sandbox!r})
confined.start([sys.executable, "-c", "import time, os; time.sleep(60)", {word!r}])
print(confined._room, flush=True)
{then}"""

@pytest.mark.parametrize("then, code", [("time.sleep(60)", -9), ("", 0), ("sys.exit(3)", 3), ("1 / 0", 1), ("__import__('os')._exit(4)", 4),
                                        ("del confined; import gc; gc.collect(); time.sleep(60)", -9),
                                        ("__import__('os').fork(); time.sleep(60)", -9)])
@either
def test_it_ends_with_whoever_holds_it(sandbox, then, code):
    word = f"held-{os.getpid()}-{sandbox}-{abs(hash(then))}"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER.format(sandbox=sandbox, word=word, then=then)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    room = Path(holder.stdout.readline().strip())
    try:
        if "gc" in then: assert until(lambda: len(programs(word)) == 1)
        elif code == -9: assert until(lambda: len(programs(word)) > (1 + ("fork" in then)))
        if code == -9: holder.kill()
        assert holder.wait(30) == code
        assert until(lambda: len(programs(word)) == ("fork" in then)) and until(lambda: not room.exists())
    finally:
        for pid in programs(word): os.kill(pid, signal.SIGKILL)
        holder.stdout.close()

@behind_a_wall
def test_behind_a_wall_it_ends_with_its_keeper():
    word = f"kept-{os.getpid()}"
    with Confined() as confined:
        confined.start([sys.executable, "-c", "open('ready', 'w'); import time; time.sleep(60)", word])
        assert until((confined.folder / "ready").exists)
        confined._keeper.kill()
        assert confined.wait(20).code is None
    assert until(lambda: not programs(word)) and not confined._room.exists()

@either
def test_it_outlives_the_thread_that_started_it(sandbox):
    with Confined(sandbox=sandbox) as confined:
        thread = threading.Thread(target=confined.start, args=[[sys.executable, "-c", "open('ready', 'w'); import time; time.sleep(60)"]])
        thread.start()
        thread.join()
        assert until((confined.folder / "ready").exists)
        time.sleep(0.3)
        assert confined.alive

@either
def test_a_child_of_ours_does_not_end_it(sandbox):
    with Confined(sandbox=sandbox) as confined:
        confined.start([sys.executable, "-c", "open('ready', 'w'); import time; time.sleep(60)"])
        assert until((confined.folder / "ready").exists)
        if (pid := os.fork()) == 0:
            confined._end()
            os._exit(0)
        os.waitpid(pid, 0)
        time.sleep(0.3)
        assert confined.alive

@either
def test_nothing_is_left(sandbox):
    run("pass", sandbox)
    gc.collect()
    files, threads, below = len(os.listdir("/proc/self/fd")), threading.active_count(), tree(os.getpid())
    for code in ("pass", "import os; os.kill(os.getpid(), 9)", "1 / 0"): run(code, sandbox)
    confined = Confined(sandbox=sandbox)
    confined.start([sys.executable, "-c", "import time; time.sleep(60)"])
    room = confined._room
    del confined
    unused = Confined(sandbox=sandbox)
    rooms = [room, unused._room]
    del unused
    gc.collect()
    assert [r for r in rooms if r.exists()] == []
    assert (len(os.listdir("/proc/self/fd")), threading.active_count(), tree(os.getpid())) == (files, threads, below)

HARD_TO_REMOVE = """
import os
os.makedirs('a/b'); open('a/b/file', 'w').close(); os.symlink({yours!r}, 'a/link'); os.symlink({yours!r}, 'a/b/link')
os.mkfifo('a/fifo'); open('a/b/-rf', 'w').close(); open('a/b/x\\ny', 'w').close(); open(b'a/b/\\xff', 'w').close()
os.chmod('a/b', 0); os.chmod('a', 0o500)
here = os.getcwd()
for i in range(300): os.mkdir('d' * 50); os.chdir('d' * 50)
"""

@either
def test_whatever_it_leaves_is_removed_and_no_link_followed(sandbox, tmp_path):
    (tmp_path / "yours").mkdir()
    (tmp_path / "yours" / "file").write_text("stays")
    confined = Confined(sandbox=sandbox)
    confined.start([sys.executable, "-c", HARD_TO_REMOVE.format(yours=str(tmp_path / "yours"))])
    ended = confined.wait(60)
    assert ended.code == 0, ended
    assert not confined._room.exists() and (tmp_path / "yours" / "file").read_text() == "stays"
    confined.close()

# -- what is said where it can't be

def test_without_bubblewrap_an_error_says_what_to_do(monkeypatch, tmp_path):
    fresh = lambda: confine._what_stops_bubblewrap.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    fresh()
    with pytest.raises(ConfigurationError, match="apt install bubblewrap.*sandbox=None"): Confined()
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    fresh()
    with pytest.raises(ConfigurationError, match="setting up uid map: Permission denied.*AppArmor"): Confined()
    monkeypatch.setattr(sys, "platform", "darwin")
    fresh()
    with pytest.raises(ConfigurationError, match="for Linux only"): Confined()
    monkeypatch.undo()
    fresh()

def test_bad_input_is_refused_before_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for options in ({"limits": {"ram": 1}}, {"limits": {"memory": 0}}, {"limits": {"memory": True}}, {"limits": {"memory": 1.5}},
                    {"sandbox": "docker"}, {"read": ["/not/there"]}, {"folder": "/not/there"}, {"limits": 5}):
        with pytest.raises(ConfigurationError): Confined(**{"sandbox": None} | options)
    assert list(tmp_path.iterdir()) == []
    assert read_limits({"memory": 5}) == Limits(memory=5)

def test_where_there_are_no_limits_the_room_says_so():
    code = """
import sys
sys.modules['resource'] = None
import rlm
sys.platform = 'win32'
from rlm.environments.confine import Confined
try: Confined()
except Exception as e: print(type(e).__name__, e)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("ConfigurationError Code can't be confined on Windows."), done
