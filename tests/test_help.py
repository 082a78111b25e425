"What Shift+Tab, `?` and Tab show in a notebook: requests of a front end to real kernels."
import inspect, re, subprocess, sys

import pytest
import rlm
from rlm import RLM, Session

def reply(k, request: str) -> dict:
    "What the kernel answers to a request on its shell channel."
    while True:
        message = k.client.get_shell_msg(timeout=30)
        if message["parent_header"].get("msg_id") == request: return message["content"]

def told(k, code: str) -> str:
    "The text of the tooltip behind `code`."
    text = reply(k, k.client.inspect(code, len(code)))["data"]["text/plain"]
    return re.sub(r"\x1b\[[0-9;]*m", "", text)

def completions(k, code: str) -> list[str]:
    "What Tab offers. Jedi gives up where reading a package for the first time takes too long, and a user presses Tab again."
    for _ in range(6):
        if found := reply(k, k.client.complete(code, len(code)))["matches"]: break
    return found

def test_what_a_tooltip_tells(k):
    k.ok("rlm = scripted('1', 'FINAL(ok)')\nsession = rlm.start_session()")
    tooltip = told(k, "rlm.completion")
    assert "context: the data: a `Path`" in tooltip and "Signature:" in tooltip and "returns: with the answer as `value`" in tooltip
    assert "max_budget: US dollars that it may spend" in told(k, "RLM")
    assert re.search(r"environment_kwargs: .*\n +preview: .*\n +sync_from_user_ns: let the model's code read", told(k, "RLM("))
    assert "output_type: the type of the answer" in told(k, "session.achat")
    k.ok("from rlm import Usage, Files, RLMLogger")
    assert "calls: requests answered" in told(k, "Usage") and "log_dir: the folder" in told(k, "RLMLogger") and "paths: files" in told(k, "Files")
    k.ok("from rlm.utils.trace_notebook import enable_trace_notebook")
    assert "log_dir: the folder for the log and the notebook" in told(k, "enable_trace_notebook")
    assert "getdoc" not in completions(k, "session.g") + completions(k, "RLM.g")

@pytest.mark.parametrize("jedi", [True, False])
def test_keywords_complete(k, jedi):
    k.ok(f"rlm = scripted('1', 'FINAL(ok)')\nsession = rlm.start_session()\nget_ipython().Completer.use_jedi = {jedi}")
    for asked in ("rlm.completion", "rlm.acompletion", "rlm.preview", "rlm.stream", "session.chat", "session.achat"):
        assert "context=" in completions(k, f"{asked}(conte"), asked
    assert {"max_budget=", "max_depth="} <= set(completions(k, "RLM(max_"))
    k.ok("get_ipython().Completer.use_jedi = True")

def test_every_way_to_ask_is_known_to_editors():
    "Jedi finds only what the class, or one below it, names in its own source."
    for cls in (rlm.RLM, rlm.Session):
        named = {name for c in cls.__mro__ for name in getattr(c, "__annotations__", {})} | set(re.findall(r"def (\w+)", inspect.getsource(cls)))
        patched = {name for name, f in vars(cls).items() if inspect.isfunction(f) and name[0] != "_" and hasattr(f, "__wrapped__")}
        assert patched <= named and patched

def test_nothing_is_read_at_import():
    code = "import sys, rlm; print('fastcore.docments' in sys.modules, rlm.RLM.completion.getdoc()[:6])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False Answer\n"

def test_every_way_to_ask_is_explained_alike():
    assert RLM.stream.getdoc().splitlines()[2:] == RLM.completion.getdoc().splitlines()[2:-1]
    assert Session.achat.getdoc().splitlines()[2:] == Session.chat.getdoc().splitlines()[2:]
    assert RLM.preview.getdoc().endswith("returns: messages as dicts with `role` and `content`")
    assert "\n" not in RLM.completion.__doc__
