"What can be asked from here, what is settled, and which model the command asks: real files, real servers."
import os, socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest
from rlm import RLM, ConfigurationError
from rlm.backends import ENDPOINTS
from rlm.models import Offer, Offers, Settings, available, choose, on_servers, read_settings, served, with_keys, with_weights
from rlm.weights import MODELS
from server import HANG, RESET, ChatServer, Http

NONE = Settings()
needs_xllamacpp = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs the extra `local`")

@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    "An environment with nothing in it, and a folder for the settings."
    ours = ("OPENAI_", "RLM_", "XDG_CONFIG")
    for name in [n for n in os.environ if n.startswith(ours) or n.endswith("_API_KEY")]: monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / ".config" / "rlm").mkdir(parents=True)
    return tmp_path

def settle(home, text):
    (home / ".config" / "rlm" / "rlm.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_settings()

def put_weights(home, name):
    "A file of the length of a model's weights, with nothing in it."
    (home / "cache").mkdir(exist_ok=True)
    with (home / "cache" / MODELS[name].file).open("wb") as f: f.truncate(MODELS[name].size)

# -- what is settled

def test_nothing_is_settled(): assert read_settings() == NONE

def test_the_file(home):
    written = 'model = "ollama/llama3.2"\nbase_url = "http://gpu:8000/v1"\nmax_budget = 1\nmax_timeout = 2.5\ntrace = "~/traces"\n'
    for text in (written, "\ufeff" + written, written.replace("\n", "\r\n")):
        assert settle(home, text) == Settings("ollama/llama3.2", "http://gpu:8000/v1", 1, 2.5, "~/traces")

def test_where_the_file_is(home, monkeypatch):
    settle(home, 'model = "at-1"')
    (home / "other" / "rlm").mkdir(parents=True)
    (home / "other" / "rlm" / "rlm.toml").write_text('model = "xdg-1"')
    (home / "mine").write_text('model = "mine-1"')
    assert read_settings().model == "at-1"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "other"))
    assert read_settings().model == "xdg-1"
    monkeypatch.setenv("RLM_CONFIG", "~/mine")
    assert read_settings().model == "mine-1"

def test_a_file_in_the_current_folder_is_not_read(home, monkeypatch):
    (home / "rlm.toml").write_text('base_url = "http://evil.example/v1"')
    monkeypatch.chdir(home)
    assert read_settings() == NONE

def test_the_environment_comes_first(home, monkeypatch):
    monkeypatch.setenv("RLM_MODEL", " gpt-4o-mini\n")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://here:1/v1")
    assert settle(home, 'model = "o3"\nbase_url = "http://gpu:8000/v1"') == Settings("gpt-4o-mini", "http://here:1/v1")
    monkeypatch.setenv("RLM_MODEL", "")
    assert read_settings().model == "o3"

@pytest.mark.parametrize("text, line, said", [
    ('model = "o3"\n\nmax_bugdet = 1', 3, "There is no setting 'max_bugdet'. Did you mean 'max_budget'?"),
    ('# key = 1\n[model]\nname = "o3"', 2, "model must be a text"), ("model = 7", 1, "model must be a text"), ('trace = ""', 1, "trace must be a text"),
    ('max_budget = "1"', 1, "max_budget must be a number above 0"), ("max_budget = true", 1, "a number above 0"), ("max_timeout = 0", 1, "a number above 0"),
    ("max_timeout = -1.5", 1, "a number above 0"), ("max_timeout = nan", 1, "a number above 0"), ("max_timeout = inf", 1, "a number above 0"),
    ('\nmodel = "olama/llama3.2"', 2, "Did you mean 'ollama/llama3.2'?"), ('"odd word" = 1', 1, "There is no setting 'odd word'"), ('max_tokens = 9', 1, "There is no setting 'max_tokens'"), ('"" = 1', 1, "no setting ''"),
    ('api_key = "sk-secret-1"', 1, "api_key does not belong here"), ('\nOPENAI_API_KEY = "sk-secret-1"', 2, "does not belong here"),
    ('[keys]\ntoken = "sk-secret-1"', 1, "keys does not belong here")])
def test_what_is_wrong_is_said_with_its_line(home, text, line, said):
    with pytest.raises(ConfigurationError) as e: settle(home, text)
    assert str(e.value).startswith(f"{home}/.config/rlm/rlm.toml, line {line}: ") and said in str(e.value) and "sk-secret" not in str(e.value)

@pytest.mark.parametrize("text", ["model = o3", 'model = "o3', "model", 'model = "a"\nmodel = "b"', b"\xff\xfe\x00", b"model = '\xe9'"])
def test_what_is_no_toml(home, text):
    with pytest.raises(ConfigurationError) as e: settle(home, text)
    assert "rlm.toml is not TOML: " in str(e.value) and len(str(e.value).splitlines()) == 1

def test_a_file_that_is_named_is_there(home, monkeypatch):
    monkeypatch.setenv("RLM_CONFIG", str(home / "none.toml"))
    with pytest.raises(ConfigurationError, match="none.toml can't be read: No such file"): read_settings()
    monkeypatch.setenv("RLM_CONFIG", str(home))
    with pytest.raises(ConfigurationError, match="can't be read: Is a directory"): read_settings()
    monkeypatch.setenv("RLM_CONFIG", os.devnull)
    assert read_settings() == NONE

def test_a_slip_in_the_variable(monkeypatch):
    monkeypatch.setenv("RLM_MODEL", "loacl")
    with pytest.raises(ConfigurationError, match="^RLM_MODEL: There is no backend 'loacl'. Did you mean 'local'?"): choose()

# -- what a server has

def test_the_models_of_a_server():
    with ChatServer(models=["b", "a/b:7"]) as s:
        for url in (s.base_url, s.base_url + "/", s.base_url + "/?q=1#x", f" {s.base_url}\n"):
            if "?" not in url: assert served(url, "sk-1", 5) == ["b", "a/b:7"]
        assert [headers.get("authorization") for headers in s.lookups] == ["Bearer sk-1"] * 3
        served(s.base_url, seconds=5)
        assert "authorization" not in s.lookups[-1]

@pytest.mark.parametrize("said, names", [
    ({"data": []}, []), ({"data": [{"id": 7}, {"id": "m"}, {"id": None}]}, ["m"]), ({"data": [{"id": "\x1b[31mred"}, {"id": "two\nlines"}, {"id": "é"}]}, ["é"])])
def test_names_that_can_be_shown(said, names):
    with ChatServer(models=Http(body=said)) as s: assert served(s.base_url, seconds=5) == names

@pytest.mark.parametrize("said", [Http(404), Http(500), RESET, Http(body="<html>"), Http(body=b"\xff"), Http(body=[]), Http(body={}), Http(body={"data": 7}),
    Http(body={"data": [7]}), Http(body={"data": [{}]}), Http(body='{"data": ' + "[" * 100_000), Http(body=b'{"data": [' + b" " * 3_000_000 + b"]}"),
    Http(body='{"data": null}'), Http(body=b"\x1f\x8b", headers={"content-encoding": "gzip"})], ids=lambda s: str(s)[:40])
def test_what_lists_no_models(said):
    with ChatServer(models=said) as s:
        with pytest.raises(OSError): served(s.base_url, seconds=5)

@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/v1", "localhost:8000", "", "http://", "http://[::1", "http://127.0.0.1:99999/v1", "http://a b/v1"])
def test_what_is_no_address(url):
    with pytest.raises(OSError): served(url)

def test_another_server_does_not_see_the_key():
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("location", f"{there.base_url}/models")
            self.end_headers()
        def log_message(self, *args): pass
    with ChatServer() as there, ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as here:
        threading.Thread(target=here.serve_forever, daemon=True).start()
        assert served(f"http://127.0.0.1:{here.server_port}/v1", "sk-1", 5) == ["test-model"]
        here.shutdown()
        assert "sk-1" not in str(there.lookups)

def test_a_proxy_is_not_asked_about_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"): monkeypatch.setenv(name, "http://127.0.0.1:9")
    with ChatServer() as s: assert served(s.base_url, seconds=5) == ["test-model"]

# -- what can be asked from here

def test_the_servers_that_answer():
    with ChatServer(models=["m-1", "m-2"]) as a, ChatServer(models=Http(404)) as b:
        offers = on_servers({"vllm": a.base_url, "ollama": b.base_url, "lmstudio": "http://127.0.0.1:9/v1"}, seconds=5)
        assert offers == (Offer("vllm/m-1", a.base_url), Offer("vllm/m-2", a.base_url))

@pytest.mark.slow
def test_who_keeps_silent_is_not_waited_for():
    drip = socket.create_server(("127.0.0.1", 0))  # accepts, and says nothing
    with ChatServer() as a, ChatServer(models=HANG) as b:
        offers = on_servers({"vllm": a.base_url, "ollama": b.base_url, "lmstudio": f"http://127.0.0.1:{drip.getsockname()[1]}/v1"}, seconds=4)
    assert [o.name for o in offers] == ["vllm/test-model"]
    drip.close()

def test_the_usual_ports():
    from rlm.models import _SERVERS
    assert _SERVERS == {"ollama": "http://127.0.0.1:11434/v1", "vllm": "http://127.0.0.1:8000/v1", "lmstudio": "http://127.0.0.1:1234/v1",
                        "llamacpp": "http://127.0.0.1:8080/v1"}

def test_keys_are_named_and_not_shown(monkeypatch):
    assert with_keys() == ()
    for _, variable in [("", "OPENAI_API_KEY"), *ENDPOINTS.values()]:
        if variable: monkeypatch.setenv(variable, "sk-secret-1")
    monkeypatch.setenv("GROQ_API_KEY", " ")
    names = {o.name for o in with_keys()}
    assert names == {f"{b}/MODEL" for b in ("openai", "anthropic", "gemini", "mistral", "deepseek", "together", "openrouter")}
    assert "sk-secret" not in repr(with_keys()) + with_keys()._repr_html_()

def test_weights_that_are_here(home):
    assert not any(o.name == "local/small" for o in with_weights())
    put_weights(home, "small")
    assert [o for o in with_weights() if o.name == "local/small"][0].where.startswith(MODELS["small"].file + " is here")

def test_all_of_it(home, monkeypatch):
    put_weights(home, "small")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-1")
    with ChatServer(models=["m-1"]) as s:
        monkeypatch.setenv("OPENAI_BASE_URL", s.base_url.replace("//", "//me:pass@"))
        shown = available()
        assert "pass" not in repr(shown) and s.lookups == []  # who puts a password into an address is not asked this way
        monkeypatch.setenv("OPENAI_BASE_URL", s.base_url)
        names = [o.name for o in available()]
        assert {"local/small", "openai/m-1", "groq/MODEL"} <= set(names) and "openai/MODEL" not in names
        assert s.lookups[-1]["authorization"] == "Bearer sk-1"

def test_a_table_in_both_places():
    two = Offers([Offer("ollama/llama3.2", "http://localhost:11434/v1"), Offer("x/<b>", "a & b")])
    assert repr(two).splitlines() == ["ollama/llama3.2  http://localhost:11434/v1", "x/<b>            a & b"]
    assert "<td><code>x/&lt;b&gt;</code></td><td>a &amp; b</td>" in two._repr_html_()
    for shown in (repr(Offers()), Offers()._repr_html_()): assert "OPENAI_API_KEY" in shown and "rlm_get_model" in shown

# -- which one answers

URL = "http://gpu:8000/v1"
AT = {"base_url": URL}
@pytest.mark.parametrize("typed, settings, given", [
    (dict(model="gpt-4o-mini"), NONE, dict(backend="openai", model="gpt-4o-mini")),
    (dict(model="local"), NONE, dict(backend="local")),
    (dict(model="local/small"), Settings("o3", URL), dict(backend="local", model="small")),
    (dict(model="anthropic/claude-sonnet-4-5"), Settings("o3", URL), dict(backend="anthropic", model="claude-sonnet-4-5")),
    (dict(model="o3"), Settings("ollama/qwen3", URL), dict(backend="openai", model="o3", backend_kwargs=AT)),
    (dict(model="ollama/x", backend="openrouter"), NONE, dict(backend="openrouter", model="ollama/x")),
    (dict(backend="ollama/qwen3"), NONE, dict(backend="ollama", model="qwen3")),
    (dict(backend="local"), Settings("o3", URL), dict(backend="local")),
    (dict(model="m", backend="vllm", base_url=URL), Settings("o3"), dict(backend="vllm", model="m", backend_kwargs=AT)),
    *((dict(model=name, base_url=URL), NONE, dict(backend="openai", model=name, backend_kwargs=AT)) for name in ("m", "Qwen/Qwen3", "olama")),
    (dict(model="m-1", base_url=URL), Settings(None, "http://other/v1"), dict(backend="openai", model="m-1", backend_kwargs=AT)),
    (dict(), Settings("ollama/qwen3", URL), dict(backend="ollama", model="qwen3")),
    (dict(), Settings("o3", URL), dict(backend="openai", model="o3", backend_kwargs=AT)),
    (dict(base_url=URL), Settings("o3"), dict(backend="openai", model="o3", backend_kwargs=AT))])
def test_who_was_named(typed, settings, given, monkeypatch):
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY"): monkeypatch.setenv(variable, "sk-1")
    assert choose(**typed, settings=settings) == (given, "")

@pytest.mark.parametrize("typed, variable", [
    (dict(model="o3"), "OPENAI_API_KEY"), (dict(backend="openai"), "OPENAI_API_KEY"), (dict(model="groq/m"), "GROQ_API_KEY"),
    (dict(model="m", backend="gemini", base_url=URL), "GEMINI_API_KEY"), (dict(backend="mistral"), "MISTRAL_API_KEY")])
def test_a_key_that_is_not_set_is_named(typed, variable):
    with pytest.raises(ConfigurationError, match=f"wants a key: set {variable}. .*--base-url.*--model local"): choose(**typed, settings=NONE)

def test_a_server_of_yours_wants_no_key():
    for typed, settings in ((dict(model="o3"), Settings(base_url=URL)), (dict(model="o3", base_url=URL), NONE), (dict(model="vllm/m"), NONE)):
        assert choose(**typed, settings=settings)[0]["model"] in ("o3", "m")

@pytest.mark.parametrize("typed", [dict(model="olama"), dict(model="loacl/small"), dict(backend="gorq", model="m")])
def test_a_slip_is_one_line(typed):
    with pytest.raises(ConfigurationError, match="Did you mean .* If it is a model, write openai/") as e: choose(**typed, settings=NONE)
    assert "\n" not in str(e.value)

@pytest.mark.parametrize("typed, settings", [(dict(), "its"), (dict(base_url="its"), NONE), (dict(base_url="its"), Settings("ollama/qwen3")), (dict(backend="vllm", base_url="its"), NONE),
                                             (dict(backend="openai"), "its")])
def test_the_only_model_of_a_server(typed, settings):
    with ChatServer(models=["m-1"]) as s:
        typed = typed | ({"base_url": s.base_url} if "base_url" in typed else {})
        given, note = choose(**typed, settings=Settings(base_url=s.base_url) if settings == "its" else settings)
    assert given == {"backend": typed.get("backend", "openai"), "model": "m-1", "backend_kwargs": {"base_url": s.base_url}} and "m-1" in note

def test_one_of_several_is_not_chosen(monkeypatch):
    with ChatServer(models=[f"m-{i}" for i in range(20)]) as s:
        with pytest.raises(ConfigurationError, match=r"has 20\. Choose one by --model: openai/m-0, .*m-7 …$"): choose(base_url=s.base_url)
    with ChatServer(models=[]) as s:
        with pytest.raises(ConfigurationError, match="Which model"): choose(base_url=s.base_url)
    with pytest.raises(ConfigurationError, match="does not say what it has: Connection refused. Write --model vllm/MODEL"): choose(backend="vllm", base_url="http://127.0.0.1:9/v1")

def test_what_it_returns_makes_an_RLM(home, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    settle(home, 'base_url = "http://gpu:8000/v1"')
    for model, url, key in (("anthropic/c-1", "https://api.anthropic.com/v1/", "sk-ant-1"), ("o3", URL, "sk-1")):
        lm = RLM(**choose(model)[0]).lm
        assert (lm.base_url, lm.secrets) == (url, (key,))

@needs_xllamacpp
def test_the_embedded_model_where_nothing_is_named(home, monkeypatch):
    put_weights(home, "coder")
    given, note = choose()
    assert given == {"backend": "local"} and "the embedded one answers, Qwen2.5-Coder-1.5B" in note and "set" not in note
    monkeypatch.setenv("GROQ_API_KEY", "gsk-1")
    assert "GROQ_API_KEY is set" in choose()[1] and "--model groq/MODEL" in choose()[1] and "gsk-1" not in choose()[1]

def test_what_to_do_where_there_is_none(home):
    with pytest.raises(ConfigurationError) as e: choose()
    assert all(way in str(e.value) for way in ("--model gpt-4o-mini", "RLM_MODEL", "ollama/", "rlm_get_model", "1.1 GB", "rlm models"))
    assert not (home / "cache").exists()  # nothing was fetched
