"`rlm chat`, as somebody at a terminal meets it, and through a pipe: real processes, a server on loopback."
import os, sys
from pathlib import Path

import pytest
from rlm import RLMError
from server import ChatServer
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
