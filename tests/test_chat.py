"`rlm chat`, as somebody at a terminal meets it, and through a pipe: real processes, a server on loopback."
import fcntl, os, pty, select, signal, struct, subprocess, sys, termios, time
from contextlib import contextmanager
from pathlib import Path

import pytest
from server import HANG, ChatServer
from test_cli import NAMED, Terminal, desk, rlm

COUNT = "```repl\nprint(len(context.splitlines()))\n```"

def chat(replies, lines, *args, **env):
    with ChatServer(replies) as s: return rlm("chat", *args, *NAMED, "--base-url", s.base_url, text="".join(f"{line}\n" for line in lines), **env), s

def test_each_line_of_a_pipe_is_a_question():
    (out, err, code), server = chat([COUNT, "FINAL(3)", "FINAL(two of them)"], ["How many lines?", "", "And failed?"], "access.log")
    assert (out, err, code) == ("3\ntwo of them\n", "", 0)
    said = [m["content"] for m in server.requests[-1].body["messages"]]
    assert any("How many lines?" in text for text in said) and "And failed?" in said[-1]

def test_commands():
    (out, err, code), server = chat(["FINAL(Blue)", "FINAL(Green)"], ["Pick a color.", "/undo", "/undo", "/cost", "/fils", "Pick a color.", "/quit", "never"])
    assert (out, code) == ("Blue\nGreen\n", 0)
    assert err.splitlines()[:2] == ["Taken back: Pick a color.", "There is no turn to take back."]
    assert "test-model: " in err and "Did you mean /files?" in err and len(server.requests) == 2
    assert not any("Blue" in m["content"] for m in server.requests[-1].body["messages"])

def test_after_an_undo_the_files_are_there_again():
    (out, _, code), server = chat([COUNT, "FINAL(3)"] * 2, ["How many lines?", "/undo", "How many lines?"], "access.log")
    assert (out, code) == ("3\n3\n", 0) and "context: str" in server.requests[-2].body["messages"][-1]["content"]

def test_a_question_that_fails_leaves_the_conversation():
    (out, err, code), server = chat(["FINAL(one)", {"error": {"message": "out of order"}}, "FINAL(three)"], ["First?", "Second?", "Third?"])
    assert out == "one\nthree\n" and "out of order" in err and code == 1
    said = " ".join(m["content"] for m in server.requests[-1].body["messages"])
    assert "First?" in said and "Second?" not in said

@pytest.mark.parametrize("args, told", [(["nowhere.log"], "There is no file nowhere.log"), (["broken.csv"], "broken.csv, line 3")])
def test_bad_files_are_told_at_once(args, told):
    Path("broken.csv").write_text("a,b\n1,2\n3\n")
    (out, err, code), server = chat(["FINAL(no)"], ["How many?"], *args)
    assert out == "" and told in err and code == 2 and server.requests == []

def test_a_log_is_kept():
    (_, err, code), _ = chat(["FINAL(Blue)"], ["Pick a color.", "/trace"], "--trace", "kept")
    assert code == 0 and Path(err.replace("\n", "").rpartition("The trace is ")[2]).exists()

@pytest.mark.slow
def test_at_a_terminal(desk):
    state = {"XDG_STATE_HOME": str(desk / "state"), "PROMPT_TOOLKIT_NO_CPR": "1"}
    with ChatServer([COUNT, "FINAL(3)", "```repl\nwhile True: pass\n```", "FINAL(still here)"]) as s:
        terminal = Terminal("chat", "access.log", *NAMED, "--base-url", s.base_url, env=state)
        terminal.read("/help lists commands")
        terminal.read("\x1b[?2004h")  # it reads keys
        terminal.type(b"How many lines?\r")
        terminal.read("3\r\n\x1b[?2004h")
        terminal.type(b"And for ever?\r")
        terminal.read("running its code")
        terminal.type(b"\x03")
        terminal.read("Until then: 1 iteration")
        terminal.type(b"Are you there?\r")
        terminal.read("still here\r\n\x1b[?2004h")
        terminal.type(b"\x04")
        assert terminal.end() == 0 and "Traceback" not in terminal.seen
    kept = (desk / "state" / "rlm" / "history").read_text()
    assert "How many lines?" in kept and "Are you there?" in kept

# -- what is typed and sent in the tests below

PROMPT = "\x1b[?2004h"  # a line is read: what is pasted is to be told from what is typed

def block(code): return f"```repl\n{code}\n```"

def asked(body) -> str:
    "The latest task of a request."
    return [m["content"].rpartition("Task: ")[2] for m in body["messages"] if "Task: " in m["content"]][-1]

def model(body):
    "Answers with the question, and does what it says."
    task = asked(body)
    if "hang" in task: return HANG
    if "look" in task: return block("FINAL(context)")
    return f"FINAL(You said {task})"

def arguments(server, *more): return [sys.executable, "-m", "rlm", "chat", *map(str, more), "--base-url", server.base_url, "--model", "test-model"]

@pytest.fixture
def env(desk): return os.environ | {"XDG_STATE_HOME": str(desk / "state"), "TERM": "xterm"}

def piped(server, env, lines, *more):
    return subprocess.run(arguments(server, *more), input=lines, env=env, capture_output=True, timeout=120)

class Typing:
    "A conversation at a terminal: what is typed, and what is shown."
    def __init__(self, fd, process): self.fd, self.process, self.seen = fd, process, ""
    def type(self, text): os.write(self.fd, text.encode())
    def until(self, text, seconds=60):
        "Wait for a text. Returns what was shown up to there, which is then forgotten."
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"waited for {text!r}, saw {self.seen!r}"
            if not select.select([self.fd], [], [], left)[0]: continue
            raw = os.read(self.fd, 65536).decode(errors="replace")
            if "\x1b[6n" in raw: self.type("\x1b[1;1R")  # where the cursor is
            self.seen += raw
        before, _, self.seen = self.seen.partition(text)
        return before

@contextmanager
def typing(server, env, *more, stdin=None):
    "A conversation in a terminal of 24 lines of 80 columns. With `stdin`, only the rest is the terminal's."
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(arguments(server, *more), stdin=follower if stdin is None else stdin, stdout=follower, stderr=follower,
                               env=env, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0))
    os.close(follower)
    try: yield Typing(leader, process)
    finally:
        process.kill()
        process.wait()
        os.close(leader)

# -- bad input, and a pipe that is odd

def test_a_path_at_the_beginning_is_no_command(env):
    with ChatServer(model) as s: done = piped(s, env, b"/etc/hosts has what?\n/fils\n/quit\nnever\n")
    assert done.stdout.decode() == "You said /etc/hosts has what?\n"
    assert b"There is no /fils. Did you mean /files?" in done.stderr

def test_a_line_that_is_no_text(env):
    with ChatServer(model) as s: done = piped(s, env | {"PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}, b"h\xffllo\n")
    assert done.stdout.startswith(b"You said h") and b"Traceback" not in done.stderr

def test_stdin_is_closed(env):
    with ChatServer(model) as s:
        done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *arguments(s)], env=env, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"") and b"Traceback" not in done.stderr

def test_data_through_the_pipe_without_a_terminal(env):
    with ChatServer(model) as s:
        done = subprocess.run(arguments(s, "-"), input=b"data", env=env, capture_output=True, timeout=120, start_new_session=True)
    assert done.returncode == 2 and b"Put the data into a file" in done.stderr and not s.requests

@pytest.mark.parametrize("goes", [True, False])
def test_a_file_goes_or_changes_between_questions(env, tmp_path, goes):
    path = tmp_path / "a.txt"
    path.write_text("alpha")
    def change(body):
        path.unlink() if goes else path.write_text("beta, and more")
        return "FINAL(first one)"
    with ChatServer(change) as s:
        s.replies = lambda body: change(body) if "first" in asked(body) and path.exists() else model(body)
        done = piped(s, env, b"first\nsecond\n", path)
    assert done.stdout.decode().endswith("You said second\n") and b"Traceback" not in done.stderr
    assert done.stderr.count(b"a.txt changed meanwhile") == 1

def test_ctrl_c_ends_a_conversation_that_nobody_types(env):
    with ChatServer(model) as s:
        process = subprocess.Popen(arguments(s), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        process.stdin.write(b"hang\nnever\n")
        process.stdin.flush()
        while not s.requests: time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"") and b"Stopped" in err and b"Traceback" not in err

# -- at a terminal, key by key

@pytest.mark.slow
def test_a_conversation(env, tmp_path):
    (tmp_path / "a.txt").write_text("alpha")
    with ChatServer(model) as s, typing(s, env, tmp_path / "a.txt") as t:
        assert "test-model about a.txt" in t.until("/help lists commands, Ctrl-D leaves.")
        t.until(PROMPT)
        t.type("look\r")
        t.until("alpha")
        t.until(PROMPT)
        t.type("half a li\x03")
        t.until(PROMPT)
        t.type("hang\r")
        while not any(asked(r.body) == "hang" for r in s.requests): time.sleep(0.05)
        t.type("\x03")
        t.until("Stopped.")
        t.until(PROMPT)
        t.type("one\x1b\rtwo\r")
        t.until("You said one")
        t.until("two")
        t.until(PROMPT)
        t.type("/undo\r")
        t.until("Taken back: one two")
        t.type("/undo\r")
        t.until("Taken back: look")
        t.type("/undo\r")
        t.until("There is no turn to take back.")
        t.until(PROMPT)
        t.type("\x04")
        assert t.process.wait(60) == 0
    kept = (tmp_path / "state" / "rlm" / "history").read_text()
    assert "+look" in kept and "half a li" not in kept

@pytest.mark.slow
def test_a_history_that_cannot_be_kept(env, tmp_path):
    (tmp_path / "state" / "rlm" / "history").mkdir(parents=True)
    with ChatServer(model) as s, typing(s, env) as t:
        t.until(PROMPT)
        t.type("hello\r")
        t.until("You said hello")
        t.until(PROMPT)
        t.type("/quit\r")
        assert t.process.wait(60) == 0

@pytest.mark.slow
def test_questions_from_the_terminal_beside_data_from_a_pipe(env, tmp_path):
    (tmp_path / "data").write_text("what came before")
    with ChatServer(model) as s, (tmp_path / "data").open() as data, typing(s, env, "-", stdin=data) as t:
        t.until(PROMPT)
        t.type("look\r")
        t.until("what came before")
        t.until(PROMPT)
        t.type("\x04")
        assert t.process.wait(60) == 0
