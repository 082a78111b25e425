"Names: which backend and model a string means, and what each named server is sent by the real client."
import os
from urllib.parse import urlsplit

import pytest
from rlm import RLM, ConfigurationError, ModelNotFoundError
from rlm.backends import BACKENDS, ENDPOINTS, create_lm, read_name
from rlm.lm import ScriptedLM
from server import ChatServer, Http

HELLO = [{"role": "user", "content": "hello there"}]
VARIABLES = {variable for _, variable in ENDPOINTS.values() if variable}
OF_OPENAI = {"OPENAI_API_KEY": "sk-of-openai", "OPENAI_ADMIN_KEY": "sk-of-the-admin", "OPENAI_ORG_ID": "org-of-openai",
             "OPENAI_PROJECT_ID": "proj-of-openai", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_WEBHOOK_SECRET": "whsec-of-openai",
             "OPENAI_CUSTOM_HEADERS": "X-Team: of-openai\nAuthorization: Bearer custom-of-openai"}

@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in [n for n in os.environ if n.startswith("OPENAI_") or n.endswith("_API_KEY")]: monkeypatch.delenv(name)

@pytest.fixture
def all_keys(monkeypatch):
    "An environment with every key, and with all that the `openai` package reads."
    for name, value in OF_OPENAI.items(): monkeypatch.setenv(name, value)
    for name in VARIABLES: monkeypatch.setenv(name, f" key-in-{name}\n")

# -- the servers of the table

@pytest.mark.parametrize("backend", ENDPOINTS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_server_is_asked_below_its_path_with_its_key_alone(backend, slash, all_keys):
    url, variable = ENDPOINTS[backend]
    path = urlsplit(url).path.rstrip("/")
    with ChatServer("hi", path=path) as s:
        assert create_lm(f"{backend}/m-1", {"base_url": s.base_url + slash}).complete(HELLO).content == "hi"
        request, = s.requests
    assert request.path == f"{path}/chat/completions" and request.body == {"model": "m-1", "messages": HELLO}
    assert request.headers["authorization"] == (f"Bearer key-in-{variable}" if variable else "Bearer no-key")
    told = str(request)
    assert "of-openai" not in told and "openai-" not in str(list(request.headers))
    assert not any(f"key-in-{other}" in told for other in VARIABLES - {variable})

@pytest.mark.parametrize("backend", ["gemini", "ollama"])
def test_a_look_at_its_models_tells_it_no_more(backend, all_keys):
    with ChatServer(Http(404, {"error": {"message": "no such model"}})) as s:
        with pytest.raises(ModelNotFoundError, match="It has test-model"): create_lm(f"{backend}/m", {"base_url": s.base_url}).complete(HELLO)
    assert s.lookups and "of-openai" not in str(s.lookups)

def test_options_of_the_connection_are_sent_all_the_same(all_keys):
    with ChatServer("hi") as s:
        create_lm("groq/m", {"base_url": s.base_url, "organization": "mine", "default_headers": {"X-Mine": "yes"}}).complete(HELLO)
    headers = s.requests[0].headers
    assert (headers["openai-organization"], headers["x-mine"]) == ("mine", "yes") and "of-openai" not in str(headers)

def test_what_the_environment_says_of_openai_goes_to_openai(all_keys, monkeypatch):
    with ChatServer("hi") as s:
        monkeypatch.setenv("OPENAI_BASE_URL", s.base_url)
        monkeypatch.delenv("OPENAI_CUSTOM_HEADERS")
        create_lm("gpt-4o-mini").complete(HELLO)
    assert s.requests[0].headers["openai-organization"] == "org-of-openai"
    assert s.requests[0].headers["authorization"] == "Bearer sk-of-openai"

@pytest.mark.parametrize("key", ["", " \n"])
@pytest.mark.parametrize("backend", [b for b, (_, variable) in ENDPOINTS.items() if variable])
def test_no_key_names_the_variable(backend, key, monkeypatch):
    variable = ENDPOINTS[backend][1]
    monkeypatch.setenv(variable, key)
    with pytest.raises(ConfigurationError, match=f"set the environment variable {variable}"): RLM(f"{backend}/m")

# -- one string

NAMES = {
    "local": ("local", None), "ollama": ("ollama", None), "openai": ("openai", None), "openai/": ("openai", None),
    "local/small": ("local", "small"), "ollama/llama3.2": ("ollama", "llama3.2"), "openai/gpt-4o-mini": ("openai", "gpt-4o-mini"),
    "anthropic/claude-sonnet-4-5": ("anthropic", "claude-sonnet-4-5"), "local//models/a.gguf": ("local", "/models/a.gguf"),
    "openrouter/anthropic/claude-sonnet-4.5": ("openrouter", "anthropic/claude-sonnet-4.5"), "openai/mixtral": ("openai", "mixtral"),
    "ollama/owner/model:7b": ("ollama", "owner/model:7b"), "openai/opnai": ("openai", "opnai")}
MODELS = """gpt-4o-mini gpt-5 gpt-5.2 gpt-4.1 o1 o3 o4-mini chatgpt-4o-latest ft:gpt-4o:org::id mistral-large-latest ministral-8b gemini-2.0-flash
gemini-3 gemini-3-pro deepseek-chat deepseek-r1:8b llama3 llama3.2 llama-3.3-70b qwen2.5-coder qwen3:0.6b grok-4 claude-sonnet-4-5 mixtral-8x7b phi3
text-davinci-003 command-r a_b meta-llama/Llama-3-8B mistralai/Mistral-7B-v0.1 deepseek-ai/DeepSeek-V3 Qwen/Qwen3-8B google/gemma-3-1b
vllm-project/x together-computer/x models/7B/model.gguf model.gguf""".split()
SLIPS = {"opnai": "openai", "openia": "openai", "OpenAI": "openai", "open-ai": "openai", "olama": "ollama", "Ollama": "ollama", "antropic": "anthropic",
         "anthropics": "anthropic", "antrophic": "anthropic", "loacl": "local", "locla": "local", "Local": "local", "Gemini": "gemini", "gemni": "gemini",
         "mistrl": "mistral", "mixtral": "mistral", "gorq": "groq", "Groq": "groq", "deepsek": "deepseek", "togehter": "together", "lm-studio": "lmstudio",
         "LM Studio": "lmstudio", "lmstduio": "lmstudio", "opnrouter": "openrouter", "vlm": "vllm", "vLLM": "vllm", "llama": "ollama",
         "olama/llama3.2": "ollama/llama3.2", "Anthropic/claude-sonnet-4-5": "anthropic/claude-sonnet-4-5", "opnai/gpt-5": "openai/gpt-5",
         "loacl/small": "local/small", "anthropic-/x": "anthropic/x"}
NEITHER = ["", "cohere", "azure", "What is it?", "http://localhost:8000/v1", "https://api.openai.com/v1", "two words"]

@pytest.mark.parametrize("text, meant", NAMES.items())
def test_a_backend_and_its_model(text, meant): assert read_name(text) == meant

@pytest.mark.parametrize("model", MODELS)
def test_a_name_of_a_model_is_one(model): assert read_name(model) == ("openai", model)

@pytest.mark.parametrize("slip, meant", SLIPS.items())
def test_a_slip_is_not_taken_for_a_model(slip, meant):
    with pytest.raises(ConfigurationError) as e: RLM(slip)
    assert f"Did you mean '{meant}'?" in str(e.value) and "RLM(model=" in str(e.value) and len(str(e.value).splitlines()) == 2

@pytest.mark.parametrize("text", NEITHER)
def test_what_is_no_name_at_all(text):
    with pytest.raises(ConfigurationError, match="There is no backend"): RLM(text)

@pytest.mark.parametrize("name", BACKENDS)
def test_every_slip_of_one_letter_is_seen(name):
    swapped = [name[:i] + name[i + 1] + name[i] + name[i + 2:] for i in range(len(name) - 1)]
    slips = {*(name[:i] + name[i + 1:] for i in range(len(name))), *(name[:i] + "x" + name[i:] for i in range(len(name) + 1)), *swapped} - {name}
    for slip in slips:
        for text in (slip, f"{slip}/m-1"):
            with pytest.raises(ConfigurationError, match="Did you mean"): read_name(text)

# -- the model apart

def test_the_model_is_a_keyword():
    options = {"base_url": "http://127.0.0.1:9/v1"}
    assert RLM(model="gpt-4o-mini", backend_kwargs=options).lm.model == "gpt-4o-mini"
    assert RLM(model="opnai", backend_kwargs=options).lm.model == "opnai"  # it was said that this is a model
    assert RLM(model="ollama/llama3.2").lm.base_url == "http://localhost:11434/v1"
    assert RLM("openai", options, model="openai/gpt-oss-20b").lm.model == "openai/gpt-oss-20b"
    assert RLM("vllm", model="mixtral").lm.model == "mixtral"
    assert RLM("ollama/qwen3", {"model_name": "qwen3"}, model="qwen3").lm.model == "qwen3"

@pytest.mark.parametrize("given", [dict(backend="ollama/a", model="b"), dict(backend="ollama", backend_kwargs={"model_name": "a"}, model="b"),
                                   dict(backend="ollama/a", backend_kwargs={"model_name": "b"}), dict(model="ollama/a", backend_kwargs={"model_name": "b"})])
def test_two_names_are_one_too_many(given):
    with pytest.raises(ConfigurationError, match="named twice"): RLM(**given)

@pytest.mark.parametrize("model", [7, ["m"], "", b"m"])
def test_a_name_is_a_text(model):
    with pytest.raises(ConfigurationError, match="Which model"): RLM("ollama", model=model)

def test_a_model_of_ones_own_has_its_name():
    with pytest.raises(ConfigurationError, match="ready as it is"): RLM(ScriptedLM([]), model="m")

def test_other_backends_take_the_same_strings():
    rlm = RLM("ollama/qwen3", other_backends=["vllm/small-1", "lmstudio/m"])
    assert [lm.model for lm in rlm.lms] == ["small-1", "m", "qwen3"]
    with pytest.raises(ConfigurationError, match="Did you mean 'vllm/m'"): RLM("ollama/qwen3", other_backends=["vlm/m"])

@pytest.mark.parametrize("word, hint", [("model", r"RLM\(model=\.\.\.\)"), ("model_name", r"RLM\(model=\.\.\.\)")])
def test_a_question_has_no_model(word, hint):
    with pytest.raises(TypeError, match=hint): RLM(ScriptedLM([])).completion("?", **{word: "gpt-5"})
    with pytest.raises(TypeError, match="Did you mean 'model'"): RLM(model_name="gpt-5")
