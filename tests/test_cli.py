"""The command `rlm`, as a shell's user meets it: real processes, pipes, a terminal, Ctrl-C, and a server on loopback."""
import datetime, fcntl, json, os, pty, select, shutil, struct, subprocess, sys, tempfile, termios, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rlm import ConfigurationError
from rlm.cli import as_json, ask_parser, command_parser, read_type
from server import HANG, RESET, ChatServer, Http, completion

RLM = [sys.executable, "-m", "rlm"]
LOOK = "```repl\nprint(len(context))\n```"
NAMED = "--model", "openai/test-model"

@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    "A folder with a few files, and nobody's settings."
    for name in [n for n in os.environ if n.endswith("_API_KEY") or n.startswith(("OPENAI_", "RLM_"))]: monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    Path("access.log").write_text("GET / 200\nGET /x 500\nGET /y 500\n")
    return tmp_path

def rlm(*args, server=None, text=b"", **env):
    "A finished process. `text` comes through a pipe."
    at = ["--base-url", server.base_url] if server else []
    text = text.encode() if isinstance(text, str) else text
    done = subprocess.run([*RLM, *at, *args], input=text, capture_output=True, timeout=60, env=os.environ | env)
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode

def asked(replies, *args, **kwargs):
    "What a process says that asks a server with these replies."
    with ChatServer(replies) as s: return rlm(*NAMED, *args, server=s, **kwargs)

def shell(line: str, **env):
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env=os.environ | {"RLM_CALLED": " ".join(RLM)} | env)
    return done.stdout, done.stderr, done.returncode

def test_a_question_without_quotation_marks_is_told():
    said = 'rlm: Put the question in quotation marks: rlm "How many failed in" access.log\n'
    assert rlm("How", "many", "failed", "in", "access.log") == ("", said, 2)

def test_a_pipe_that_nobody_asked_for_is_told():
    assert asked(["FINAL(4)"], "What is 2 + 2?", text="ignored") == ("4\n", "rlm: What comes through the pipe is not read. Add - for it.\n", 0)
    assert asked(["FINAL(4)"], "What is 2 + 2?") == ("4\n", "", 0)

# -- arguments

def test_options_and_words_come_in_any_order():
    for args in (["q", "a", "b", "--json", "--model", "m"], ["--json", "q", "a", "--model=m", "b"], ["--model", "m", "--json", "q", "a", "b"]):
        given = ask_parser().read(args)
        assert (given.question, given.files, given.json, given.model) == ("q", ["a", "b"], True, "m")

@pytest.mark.parametrize("args, question, files", [
    (["-how many?", "a"], "-how many?", ["a"]), (["-5 or 5?"], "-5 or 5?", []), (["--", "-x", "-y"], "-x", ["-y"]),
    (["q", "-", "a"], "q", ["-", "a"]), (["q", "--quiet", "--", "--json"], "q", ["--json"])])
def test_words_that_begin_with_a_dash(args, question, files):
    given = ask_parser().read(args)
    assert (given.question, given.files, given.json) == (question, files, False)

@pytest.mark.parametrize("args, said", [
    ([], "what is the question?"), (["q", "--modle", "x"], "no option --modle. Did you mean --model?"), (["q", "--jso"], "Did you mean --json?"),
    (["q", "-x"], "no option -x. A name that begins with a dash goes behind --."), (["q", "--model"], "--model: expected one argument"),
    (["q", "--model", ""], "--model: it is empty"), (["q", "--max-budget", "0"], "'0' is no number above 0"),
    (["q", "--max-timeout", "nan"], "'nan' is no number"), (["q", "--max-timeout", "-1"], "'-1' is no number"), (["q", "--max-timeout", "soon"], "'soon' is no number")])
def test_a_slip_is_told_in_a_line(args, said, capsys):
    with pytest.raises(SystemExit) as e: ask_parser().read(args)
    told = capsys.readouterr()
    assert e.value.code == 2 and said in told.err and told.err.count("\n") == 1 and not told.out

def test_a_command_takes_what_it_takes(capsys):
    assert command_parser("chat").read(["--quiet", "a", "--model", "m", "b"]).files == ["a", "b"]
    for args in (["models", "x"], ["replay"], ["completion", "tcsh"]):
        with pytest.raises(SystemExit, match="2"): command_parser(args[0]).read(args[1:])
    assert "unrecognized arguments: x" in capsys.readouterr().err

def test_the_manual_fits_80_columns(monkeypatch):
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        page = ask_parser().format_help()
        assert max(map(len, page.splitlines())) < 80
    for word in ("RLM_MODEL", "OPENAI_API_KEY", "rlm.toml", "130", "is sent to the model", "--trace", "source <(rlm completion bash)", "stranger"):
        assert word in page

# -- types and values

@pytest.mark.parametrize("text, kind", [("int", int), (" list[str] ", list[str]), ("dict[str, list[float]]", dict[str, list[float]]), ("int | None", int | None),
                                        ("tuple[int, str]", tuple[int, str]), ("date", datetime.date), ("None", None)])
def test_types(text, kind): assert read_type(text) == kind

@pytest.mark.parametrize("text", ["", "integer", "list[", "list[open]", "open('x')", "__import__('os')", "int[str]", "Literal[x]", "(" * 500, "a\0b", "int; str"])
def test_what_is_no_type(text):
    with pytest.raises(ConfigurationError, match="is no type that can be asked for. Examples: int"): read_type(text)

def test_values_as_JSON_has_them():
    circle = []
    circle.append(circle)
    assert as_json(float("nan")) is as_json(float("inf")) is as_json(object()) is as_json(datetime.date) is None
    assert as_json({"a": {1.5, }, 2: b"x", (1, 2): True}) == {"a": [1.5], "2": None, "(1, 2)": True}
    assert as_json(pd.DataFrame({"a": [1, 2], "b": [np.nan, "x"]})) == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert as_json([np.int64(3), np.array([1.5]), pd.Series([1]), datetime.date(2026, 1, 2)]) == [3, [1.5], [1], "2026-01-02"]
    json.dumps(as_json(circle), allow_nan=False)

def test_answers_of_a_type():
    cases = [("list[str]", "['b', 'a\\nc']", "b\na c\n"), ("list[list[int]]", "[]", ""), ("set[date]", "{__import__('datetime').date(2026, 1, 2)}", "2026-01-02\n"),
             ("dict[str, float]", "{'a': float('nan'), 'ö': 1.5}", '{"a": null, "ö": 1.5}\n')]
    def ask(case):
        kind, value, expected = case
        return asked(f"```repl\nx = {value}\nFINAL_VAR('x')\n```", "q", "access.log", "--quiet", "--output-type", kind)
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(ask, cases))
    assert found == [(expected, "", 0) for *_, expected in cases]

# -- outcomes

def test_the_answer_alone_is_on_stdout():
    with ChatServer([LOOK, "FINAL(32 characters)"]) as s: told = rlm("How long?", "access.log", server=s)
    assert told == ("32 characters\n", "rlm: No model is named, so the only one that the server has answers, test-model.\n", 0)
    assert "GET / 200" in str(s.messages[0]) and "32" in s.messages[1][-1]["content"]

def test_json_is_one_object():
    value = "{'when': __import__('datetime').date(2026, 1, 2), 'rate': float('nan')}"
    out, err, code = asked(f"```repl\nx = {value}\nFINAL_VAR('x')\n```", "--json", "--quiet", "q", "access.log", "--trace", "kept")
    got = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert list(got) == ["answer", "value", "stop_reason", "model", "usage", "seconds", "trace"] and (err, code) == ("", 0)
    assert got["value"] == {"when": "2026-01-02", "rate": None} and got["usage"]["calls"] == 1 and Path(got["trace"]).exists()

@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "monty", "kernel"])
def test_the_code_runs_where_it_is_told_to(where):
    Path("b.txt").write_text("beside it")
    reply = "```repl\ntry: found = len(open('access.log').read())\nexcept Exception as e: found = 'no file'\nFINAL([sorted(context), found])\n```"
    said, errors, exit_code = asked([reply], "How many?", "access.log", "b.txt", "--environment", where)
    assert (said, exit_code) == (f"[['access.log', 'b.txt'], {32 if where == 'local' else repr('no file')}]\n", 0), errors
    if where == "local": assert "There is no environment 'docker'" in asked([], "How many?", "--environment", "docker")[1]

@pytest.mark.slow
def test_exit_codes():
    tries = [f"```repl\nprint({i})\n```" for i in range(30)]
    cases = [  # replies, options, exit code, standard output, what is in standard error
        (tries + ["perhaps 7"], [], 3, "perhaps 7\n", ""),
        ([LOOK, "```repl\nprint('so far')\nwhile True: pass\n```"], ["--max-timeout", "4"], 4, "", "took longer than max_timeout"),
        (["FINAL(blue)"] * 9, ["--output-type", "int"], 1, "", "must be of type int"),
        (RESET, [], 1, "", "No server answers"),
        (Http(401, {"error": {"message": "bad key"}}), [], 1, "", "refused access (401): bad key. Look at the key in its variable"),
        (Http(404, {"error": {"message": "no such model"}}), ["--model", "other"], 2, "", "has no model 'other'. It has test-model."),
        ("FINAL(1)", ["--max-budget", "1"], 2, "", "Leave out --max-budget")]
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda c: asked(c[0], "q", "access.log", "--quiet", *c[1]), cases))
    for (_, _, code, out, said), told in zip(cases, found):
        assert (told[0], told[2]) == (out, code) and said in told[1], told
        assert "Traceback (most recent call last):\n  File \"<frozen" not in told[1] and "backend_kwargs" not in told[1] and ".result" not in told[1]
        assert code in (3, 4) or told[1].count("\n") <= 2

@pytest.mark.slow
def test_bad_input_is_a_line_and_asks_nothing(desk):
    Path("empty").mkdir()
    Path("bin.dat").write_bytes(bytes(range(256)))
    Path("bad.csv").write_text("a,b\n1,2\n3,4,5,6\n")
    (desk / "bad.toml").write_text('model = "openai/x"\nmax_budgt = 3\n')
    cases = [(["q", "acces.log"], "no file acces.log. Did you mean access.log?"), (["access.log", "How many?"], 'question comes first: rlm "How many?" access.log'),
             (["-", "How many?"], 'question comes first: rlm "How many?" -'), (["https://a.b/c", "q"], "question comes first"), ([" "], "question is empty"),
             (["q", "empty"], "holds no files"), (["q", "bin.dat"], "binary file of 256 bytes"), (["q", "bad.csv"], "line 3"), (["q", "-"], "Nothing came through"),
             (["q", "x" * 5_000], "is no path"), (["q", "https://127.0.0.1:9/x"], "can't be read"), (["modles"], "command rlm models?"), (["chatt", "access.log"], "command rlm chat?"),
             (["--quiet", "replay", "x"], "command rlm replay?"), (["q", "--output-type", "integer"], "is no type"), (["q", "--trace", "access.log"], "can't be written"),
             (["q", "--model", "olama/x"], "Did you mean 'ollama/x'"), (["replay", "nowhere.jsonl"], "can't be read"), (["replay", "access.log"], "line 1")]
    with ChatServer("FINAL(1)") as s:
        def ask(case):
            if case[0][0] == "replay": return rlm(*case[0])
            return rlm(*case[0], **({} if "olama/x" in case[0] else {"server": s}))
        with ThreadPoolExecutor(4) as pool: found = list(pool.map(ask, cases))
        settings = rlm("q", server=s, RLM_CONFIG=str(desk / "bad.toml"))
        assert not s.requests
    for (args, said), (out, err, code) in zip([*cases, ([], "bad.toml, line 2: There is no setting 'max_budgt'")], [*found, settings]):
        assert (out, code) == ("", 2) and said in err and err.startswith("rlm: ") and err.count("\n") == 1, (args, out, err, code)

def test_the_ways_out_where_there_is_no_model(desk):
    out, err, code = rlm("q", HOME=str(desk), XDG_CACHE_HOME=str(desk), HF_HOME=str(desk), RLM_CACHE=str(desk))
    assert (out, code) == ("", 2) and err.startswith("rlm: No model is named, and the embedded one is not here. Ways out:\n- name a model: --model gpt-4o-mini")
    assert err.endswith(".\nThe command rlm models lists what can be asked from here.\n")

def test_a_file_that_changes_meanwhile():
    told = asked("```repl\nopen('access.log', 'a').write('more')\nFINAL('x')\n```", "q", "access.log")
    assert told == ("x\n", "rlm: access.log changed meanwhile. Ask again.\n", 0)

def test_a_model_is_named_as_its_server_names_it():
    with ChatServer("FINAL(1)") as s:
        assert rlm("q", "--model", "Qwen/Qwen3", server=s) == ("1\n", "", 0)
        assert s.requests[0].body["model"] == "Qwen/Qwen3"

# -- pipes

@pytest.mark.slow
def test_what_comes_through_pipes():
    show = "```repl\nprint(context if isinstance(context, str) else dict(context))\n```"
    def sent(line, text=""):
        with ChatServer([show, "FINAL(1)"]) as s:
            told = shell(f"{line.replace('rlm', '$RLM_CALLED')} --base-url {s.base_url} {' '.join(NAMED)}")
            assert told == ("1\n", "", 0), told
            return s.messages[1][-1]["content"]
    lines = {"printf 'one two' | rlm q -": "one two", "printf 'one' | rlm q access.log - -": "'stdin': 'one'", "rlm q <(printf 'three four')": "three four",
             "mkfifo late; (sleep 0.3; printf five > late) & rlm q late access.log": "'late': 'five'", "rlm q - < access.log": "GET /y 500"}
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(sent, lines))
    for expected, message in zip(lines.values(), found): assert expected in message

@pytest.mark.slow
def test_closed_and_full_outputs():
    long = "x" * 300_000
    with ChatServer(f"```repl\nFINAL('x' * 300_000)\n```") as s:
        at = f"--base-url {s.base_url} {' '.join(NAMED)}"
        lines = {f"$RLM_CALLED q {at} | head -c 3; echo ${{PIPESTATUS[0]}}": ("xxx0\n", "", 0), "$RLM_CALLED --help | true; echo ${PIPESTATUS[0]}": ("0\n", "", 0),
                 f"$RLM_CALLED q {at} >&-": ("", "", 0), f"$RLM_CALLED q {at} 2>&-": (long + "\n", "", 0),
                 "$RLM_CALLED q - <&-": ("", "rlm: - is what comes through a pipe, and there is none. Write: cat access.log | rlm ... -\n", 2)}
        if Path("/dev/full").exists(): lines |= {f"$RLM_CALLED q {at} > /dev/full": ("", "rlm: [Errno 28] No space left on device\n", 1)}
        if shutil.which("setsid"): lines |= {f"setsid -w $RLM_CALLED q {at}": (long + "\n", "", 0)}
        with ThreadPoolExecutor(4) as pool: found = list(pool.map(shell, lines))
    assert dict(zip(lines, found)) == lines

def test_other_alphabets_in_a_plain_locale():
    with ChatServer("FINAL(größer 日本)") as s: assert rlm("¿Cuántos? 日本", *NAMED, server=s, LANG="C", LC_ALL="C") == ("größer 日本\n", "", 0)
    assert "¿Cuántos? 日本" in s.messages[0][-1]["content"]

# -- a terminal

class Terminal:
    "A process in a pseudo-terminal of its own, which finds no `rich`."
    def __init__(self, *args, columns=80, env=()):
        self.fd, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        def lead():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        plain = Path(tempfile.mkdtemp(dir="."))  # one for each, since several begin at once
        (plain / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
        path = os.pathsep.join([str(plain.resolve()), os.environ.get("PYTHONPATH", "")])
        env = {name: x for name, x in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm", "PYTHONPATH": path} | dict(env)
        self.process = subprocess.Popen([*RLM, *args], stdin=other, stdout=other, stderr=other, preexec_fn=lead, env=env)
        os.close(other)
        self.seen = ""

    def read(self, until=None, seconds=40):
        "Wait until something is seen, or for the end."
        end = time.monotonic() + seconds
        while until is None or until not in self.seen:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], f"{until!r} is not in {self.seen!r}"
            try: got = os.read(self.fd, 65_536)
            except OSError: got = b""  # the other side is closed
            if not got: break
            self.seen += got.decode(errors="replace")
        return self.seen

    def type(self, keys: bytes): os.write(self.fd, keys)

    def end(self):
        self.read()
        os.close(self.fd)
        return self.process.wait(20)

def interrupted(replies, until, *options):
    "What is seen, and the exit code, where Ctrl-C is typed as soon as `until` is seen."
    with ChatServer(replies) as s:
        terminal = Terminal("How many?", "access.log", *NAMED, "--base-url", s.base_url, *options)
        terminal.read(until)
        terminal.type(b"\x03")
        return terminal.end(), terminal.seen

@pytest.mark.slow
def test_ctrl_c_tells_what_there_was():
    sub = lambda body: HANG if len(body["messages"]) == 1 else "```repl\nprint(llm_query('hi'))\n```"
    cases = {"asking": (HANG, "iteration 1 of 30: asking", "Until then: nothing."), "later": ([LOOK, HANG], "iteration 2 of 30: asking", "Until then: 1 iteration,"),
             "block": ([LOOK, "```repl\nimport os\nprint('so far')\nos.write(2, b'it loops')\nwhile True: pass\n```"], "it loops", "so far\r\n"), "sub-call": (sub, "asking test-model", "Until then: 1 iteration,")}
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda c: interrupted(*c[:2], "--trace", f"kept {c[1]}"), cases.values()))
    for (_, _, said), (code, seen) in zip(cases.values(), found):
        assert code in (130, -2) and "rlm: Stopped by Ctrl-C.\r\n" in seen and said in seen and "Traceback" not in seen, seen
        assert Path(seen.replace("\r\n", "").rpartition("rlm: the trace is ")[2]).exists()

@pytest.mark.slow
def test_ctrl_c_while_it_waits_for_a_pipe():
    os.mkfifo("never")
    terminal = Terminal("q", "never")
    time.sleep(1.5)
    terminal.type(b"\x03")
    assert terminal.end() in (130, -2) and "Traceback" not in terminal.seen.replace("<frozen", "")

@pytest.mark.slow
def test_the_status_line_in_windows_of_any_kind():
    def seen(columns, **env):
        drawn = threading.Event()  # the model takes its time until the line is there
        def reply(body):
            drawn.wait(2 if env else 40)
            return "```repl\nx = 'a\\x1b[31mred'\nFINAL_VAR('x')\n```"
        with ChatServer(reply) as s:
            terminal = Terminal("q", "access.log", *NAMED, "--base-url", s.base_url, columns=columns, env=env)
            if not env: terminal.read("asking the model" if columns == 80 else "tokens")
            drawn.set()
            assert terminal.end() == 0
            return terminal.seen
    with ThreadPoolExecutor(3) as pool: wide, narrow, dumb = pool.map(lambda c: seen(c[0], **c[1]), [(80, {}), (40, {}), (80, {"TERM": "dumb"})])
    assert "rlm: iteration 1 of 30: asking the model · 0 tokens" in wide and wide.endswith("\r\x1b[Kared\r\n")
    lines = [line for line in narrow.replace("\r\n", "").split("\r\x1b[K") if line.startswith("rlm: ")]
    assert lines and all(len(line) < 40 and line.endswith(" s") and "tokens · " in line for line in lines)
    assert dumb == "ared\r\n"

def test_a_dash_and_a_terminal():
    terminal = Terminal("q", "-")
    assert terminal.end() == 2 and "there is none. Write: cat access.log | rlm ... -" in terminal.seen

# -- the other commands

@pytest.fixture(scope="module")
def log(tmp_path_factory):
    "The bytes of a log, and the name of the log that they are of."
    folder = tmp_path_factory.mktemp("log")
    (folder / "access.log").write_text("GET / 200\nGET /x 500\nGET /y 500\n")
    with ChatServer([LOOK, "FINAL(32)"]) as s:
        subprocess.run([*RLM, "q", "access.log", "--trace", "kept", "--base-url", s.base_url, *NAMED], cwd=folder, check=True, capture_output=True,
                       env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)})
    path, = (folder / "kept").glob("*.jsonl")
    return path.read_bytes()

@pytest.mark.slow
def test_replay(log):
    Path("kept").mkdir()
    logs = {"good": log, "unequal": log.replace(b"print(len(context))", b"print(len(context) + 1)"), "torn": log[:-200], "headless": log[:300], "none": b""}
    for name, kept in logs.items(): Path("kept", f"{name}.jsonl").write_bytes(kept)
    before = sorted(os.listdir("kept"))
    names = ["good.jsonl", "good.trace.ipynb", "unequal.jsonl", "torn.jsonl", "headless.jsonl", "none.jsonl"]
    with ThreadPoolExecutor(4) as pool: good, notebook, unequal, torn, *empty = pool.map(lambda name: rlm("replay", f"kept/{name}"), names)
    assert good == notebook == ("Asked: q\nAnswered: 32\nReplayed: it came out the same.\n", "", 0)
    assert unequal == ("Asked: q\nAnswered: 32\nThis came out different: block 1 differs.\n", "", 1)
    assert torn[2] == 1 and "Answered: not before the log ends" in torn[0] and not torn[1]
    assert [(out, code) for out, _, code in empty] == [("", 2)] * 2 and all("There is no run in" in err for _, err, _ in empty)
    Path("access.log").write_text("GET / 200\nGET /x 500\nGET /y 501\n")
    out, _, code = rlm("replay", "kept/good.jsonl")
    assert code == 1 and "access.log has changed since" in out
    assert sorted(os.listdir("kept")) == before

def test_models():
    with ChatServer(models=["m-1"]) as s:
        out, err, code = rlm("models", OPENAI_BASE_URL=s.base_url, GROQ_API_KEY="gsk-secret")
    assert code == 0 and f"openai/m-1 " in out and "groq/MODEL" in out and "gsk-secret" not in out + err and not err

BASH = """source <({rlm} completion bash)
try() {{ COMP_WORDS=(rlm "$@"); COMP_CWORD=$#; COMPREPLY=(); _rlm; echo "${{COMPREPLY[@]}}"; }}
try --ma; try m; try "How many?" --js; try completion z; try "How many?" acc
complete -p rlm"""

def test_completion_in_bash():
    out, err, code = shell(BASH.format(rlm="$RLM_CALLED"))
    assert out.splitlines() == ["--max-budget --max-timeout", "models", "--json", "zsh", "", "complete -o default -F _rlm rlm"] and not err

@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not here")
def test_completion_in_fish():
    Path("rlm.fish").write_text(rlm("completion", "fish")[0])
    ask = lambda line: subprocess.run(["fish", "--no-config", "-c", f"source rlm.fish; complete -C '{line}'"], capture_output=True, text=True, timeout=30)
    told = ask("rlm --ma")
    assert [line.split("\t")[0] for line in told.stdout.splitlines()] == ["--max-budget", "--max-timeout"] and not told.stderr
    assert "models\t" in ask("rlm mo").stdout and "access.log" in ask("rlm q acc").stdout

@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not here")
def test_completion_in_zsh():
    Path("rlm.zsh").write_text(rlm("completion", "zsh")[0])
    Path(".zshrc").write_text("PS1='ready> '\nautoload -Uz compinit; compinit -u -D\nsource ./rlm.zsh\n")
    fd, other = pty.openpty()
    process = subprocess.Popen(["zsh", "-i"], stdin=other, stdout=other, stderr=other, start_new_session=True, env={**os.environ, "ZDOTDIR": ".", "TERM": "dumb"})
    os.close(other)
    terminal = Terminal.__new__(Terminal)
    terminal.fd, terminal.process, terminal.seen = fd, process, ""
    terminal.read("ready> ")
    for keys, until in ((b"rlm --quie\t", "quiet "), (b"\x15rlm mod\t", "els "), (b"\x15rlm q acce\t", "ss.log")):
        terminal.type(keys)
        terminal.read(until)
    process.kill()
    process.wait(10)
    os.close(fd)
