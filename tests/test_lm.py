"""`rlm.openai_lm` against a real server: what goes over the wire, and what a user is told when it goes wrong."""
import gzip, inspect, json, socket, subprocess, sys, time, traceback, zlib
from concurrent.futures import ThreadPoolExecutor

import openai, pytest
from rlm import RLM
from rlm.backends import create_lm
from rlm.lm import ScriptedLM, ask
from rlm.logger import RLMLogger, read_log
from rlm.openai_lm import OpenAILM
from rlm.text import without
from rlm.types import (ConfigurationError, ContextWindowExceededError, LMAuthenticationError, LMConnectionError, LMError, LMRateLimitError,
                       LMRequestError, LMResponseError, LMServerError, LMTimeoutError, ModelNotFoundError, Reply, Usage)
from server import HANG, RESET, ChatServer, Http, completion

HELLO = [{"role": "user", "content": "hello there"}]
KEY = "sk-very-secret-1234"

@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENROUTER_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)

def lm_for(s, model="test-model", **options):
    return OpenAILM(model, base_url=s.base_url, **{"api_key": KEY, "max_retries": 0, **options})

def error_of(replies, models=("test-model",), kind=LMError, **options) -> LMError:
    "The error that a server with these replies leads to: of one kind exactly, short, and free of the key."
    with ChatServer(replies, models) as s:
        with pytest.raises(LMError) as e: lm_for(s, **options).complete(HELLO)
        assert s.base_url in str(e.value)
    return checked(e.value, kind)

def checked(e, kind):
    assert type(e) is kind
    assert KEY not in "".join(_shown(e)) and len(str(e).splitlines()) <= 2 and len(str(e)) < 700
    assert e.result is None
    return e

def _shown(e):
    return traceback.format_exception(type(e), e, e.__traceback__)

# -- replies

def test_a_reply():
    with ChatServer(["FINAL(Blue)"]) as s:
        reply = lm_for(s).complete(HELLO)
    assert (reply.content, reply.model, reply.finish_reason) == ("FINAL(Blue)", "test-model", "stop")
    assert reply.usage == Usage(2, 1, calls=1)
    assert 0 < reply.execution_time < 10
    assert reply.extra["id"] == "chatcmpl-1" and reply.extra["created"] == 1700000000

def reply_to(sent) -> Reply:
    with ChatServer([sent]) as s: return ask(lm_for(s), HELLO)

@pytest.mark.parametrize("message", [{"content": None}, {"content": ""}, {}, {"content": []}, {"tool_calls": [{}]}])
def test_no_text(message):
    assert reply_to(message).content == ""

def test_a_tool_call_is_kept():
    assert reply_to({"content": None, "tool_calls": [{"id": "call_1"}]}).extra["tool_calls"] == [{"id": "call_1"}]

@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "many"}, [], "absent", {"prompt_tokens": 10**400},
    {"prompt_tokens": -5, "completion_tokens": [1]}, {"prompt_tokens": {}, "completion_tokens": 10**400, "prompt_tokens_details": 3}])
def test_no_usage(usage):
    sent = completion("hi")
    if usage == "absent": del sent["usage"]
    else: sent["usage"] = usage
    usage = reply_to(sent).usage
    assert usage == Usage(3, 1, calls=1, estimated_tokens=4) and usage.cost is None  # "hello there", "hi": one token for four characters
    assert str(usage) == "3 tokens in, 1 out (4 tokens estimated), 1 call, cost unknown"

def test_what_is_counted_is_not_estimated():
    sent = completion("hi", {"model": "m", "messages": HELLO})
    assert reply_to(sent).usage == Usage(2, 1, calls=1)
    del sent["usage"]["completion_tokens"]
    assert reply_to(sent).usage == Usage(2, 1, calls=1, estimated_tokens=1)

@pytest.mark.parametrize("field, odd", [("model", 5), ("model", {"a": 1}), ("model", ["x"]), ("model", None), ("usage", "much"), ("choices", [1])])
def test_fields_of_another_type(field, odd):
    sent = completion("hi") | {field: odd}
    with ChatServer(sent) as s:
        if field == "choices":
            with pytest.raises(LMResponseError, match="without a message"): lm_for(s).complete(HELLO)
        else:
            reply = ask(lm_for(s), HELLO)
            assert (reply.content, reply.model) == ("hi", "test-model")
            assert reply.extra.get(field) == odd

DEEP = '{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}"
LONG = '{"choices": [], "n": ' + "7" * 5_000 + "}"
@pytest.mark.parametrize("body", [DEEP, LONG])
@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_json_that_no_reader_takes(body, status):
    kinds = {200: LMResponseError, 400: LMRequestError, 404: ModelNotFoundError, 500: LMServerError}
    said = str(error_of(Http(status, body), kind=kinds[status]))
    assert "number too long" in said or "nested too deep" in said or status != 200

@pytest.mark.parametrize("depth", [60, 300, 900])
def test_a_reply_with_a_deep_field_is_one_or_is_none(tmp_path, depth):
    deep = json.dumps(completion("FINAL(4)"))[:-1] + ', "note": ' + "[" * depth + "]" * depth + "}"
    logger = RLMLogger(tmp_path)
    with ChatServer(lambda body: Http(body=deep)) as s:
        try: result = RLM(lm_for(s), logger=logger, verbose=False).completion("Two and two?")
        except LMResponseError as e: assert "nested too deep" in str(e)
        else: assert result.response == "4" == read_log(logger.path)[0].result.response

@pytest.mark.parametrize("code", [10**400, -1, True, 200])
def test_an_odd_code_in_an_error(code):
    error_of({"error": {"code": code, "message": "broken"}}, kind=LMServerError)

@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_an_answer_of_a_hundred_megabytes_is_not_read_to_its_end(encoding, status, monkeypatch):
    zeros = zlib.compressobj(wbits={"gzip": 31, "deflate": 15}.get(encoding, 31))
    body = b"".join(zeros.compress(b"0" * 10**7) for _ in range(30)) + zeros.flush()
    if encoding == "identity": body = b"0" * 10**8
    parsed, loads = [], json.loads
    monkeypatch.setattr("rlm.openai_lm.json.loads", lambda text, **kw: (parsed.append(len(text)), loads(text, **kw))[1])
    e = error_of(Http(status, body, {"content-encoding": encoding}), kind=LMServerError if status == 500 else LMResponseError)
    assert "more than 20,000,000 bytes" in str(e) and max(parsed, default=0) < 100

def test_a_long_answer_that_a_reply_may_have_is_read():
    text = "word " * 1_000_000
    packed = gzip.compress(json.dumps(completion(text)).encode())
    assert reply_to(Http(body=packed, headers={"content-encoding": "gzip"})).content == text

def test_cost():
    sent = completion("hi")
    sent["usage"]["cost"] = 0.0125
    assert reply_to(sent).usage.cost == 0.0125

def test_cut_by_length():
    assert reply_to(completion("```repl\nx =", finish_reason="length")).finish_reason == "length"

@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning(field):
    reply = reply_to({"content": "FINAL(4)", field: "2 + 2"})
    assert (reply.content, reply.reasoning) == ("FINAL(4)", "2 + 2")
    assert field not in reply.extra

def test_content_in_parts():
    parts = [{"type": "text", "text": "FINAL("}, {"type": "image_url"}, {"type": "text", "text": "4)"}]
    assert reply_to({"content": parts}).content == "FINAL(4)"

def test_a_refusal_is_what_the_model_said():
    assert reply_to({"content": None, "refusal": "I can't do that."}).content == "I can't do that."

def test_unknown_fields_are_kept():
    sent = completion({"content": "hi", "annotations": [1]}, system_fingerprint="fp", prompt_token_ids=[1, 2])
    sent["choices"][0] |= {"token_ids": [3], "logprobs": {"content": [{"token": "hi", "logprob": -0.1}]}}
    extra = reply_to(sent).extra
    assert extra["system_fingerprint"] == "fp" and extra["prompt_token_ids"] == [1, 2] and extra["token_ids"] == [3]
    assert extra["logprobs"]["content"][0]["logprob"] == -0.1 and extra["annotations"] == [1]

def test_a_server_that_does_not_name_its_model():
    sent = completion("hi")
    del sent["model"]
    assert reply_to(sent).model == "test-model"

# -- requests

def sent_by(lm_of, reply="hi"):
    with ChatServer(reply) as s:
        lm_of(s).complete(HELLO)
        return s.requests[-1]

def test_nothing_is_sent_that_was_not_given():
    assert sent_by(lm_for).body == {"model": "test-model", "messages": HELLO}

def test_sampling_passes_through():
    body = sent_by(lambda s: lm_for(s, temperature=0, top_k=5, stop=["\n"], chat_template_kwargs={"x": 1})).body
    assert body == {"model": "test-model", "messages": HELLO, "temperature": 0, "top_k": 5, "stop": ["\n"],
                    "chat_template_kwargs": {"x": 1}}

def test_any_text_goes_through():
    text = "naïve 🐋 \x00 \u2028 \\n \""
    with ChatServer(lambda body: body["messages"][0]["content"]) as s:
        assert lm_for(s).complete([{"role": "user", "content": text}]).content == text

def newer_model(body):
    if "max_tokens" not in body: return "hi"
    return Http(400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                                           "'max_completion_tokens' instead.", "param": "max_tokens"}})

def test_max_tokens_under_its_other_name():
    with ChatServer(newer_model) as s:
        lm = lm_for(s, max_tokens=7)
        for _ in range(2): assert lm.complete(HELLO).content == "hi"
        limits = [{k: v for k, v in r.body.items() if k.startswith("max")} for r in s.requests]
    assert limits == [{"max_tokens": 7}, {"max_completion_tokens": 7}, {"max_completion_tokens": 7}]

def test_the_request_that_is_sent_again_is_the_same_otherwise():
    with ChatServer(newer_model) as s:
        lm_for(s, max_tokens=7, extra_body={"top_k": 5}).complete(HELLO)
        assert [r.body["top_k"] for r in s.requests] == [5, 5]

def test_max_tokens_stays_where_it_is_understood():
    assert sent_by(lambda s: lm_for(s, max_tokens=7)).body["max_tokens"] == 7

@pytest.mark.slow
def test_retries_are_the_clients():
    flaky = [Http(429, {"error": {"message": "slow down"}}, {"retry-after": "0.01"}), Http(503), "hi"]
    with ChatServer(flaky) as s:
        assert lm_for(s, max_retries=2).complete(HELLO).content == "hi"
        assert len(s.requests) == 3

def test_a_proxy_is_not_asked_about_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"): monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert sent_by(lm_for).body["messages"] == HELLO

def test_threads_share_one_client():
    with ChatServer("hi", delay=0.02) as s:
        lm = lm_for(s)
        with ThreadPoolExecutor(16) as pool:
            clients = list(pool.map(lambda _: (lm.complete(HELLO), id(lm._connect()))[1], range(64)))
        assert len(s.requests) == 64
    assert len(set(clients)) == 1

def test_openai_is_imported_by_the_first_request():
    code = ("import sys, rlm.backends; lm = rlm.backends.create_lm('openai', {'model_name': 'm', 'api_key': 'k'}); "
            "print('openai' in sys.modules, 'IPython' in sys.modules)")
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"

# -- a client that the user brought

class Traced:
    "A client wrapped the way tracing packages wrap one: only `chat.completions.create` is there, and it is counted."
    def __init__(self, client):
        self.calls = []
        def create(**kwargs):
            self.calls.append(kwargs)
            return client.chat.completions.create(**kwargs)
        self.chat = type("Chat", (), {"completions": type("Completions", (), {"create": staticmethod(create)})})

def brought(s, **options): return openai.OpenAI(base_url=s.base_url, api_key=KEY, **{"max_retries": 0, **options})

def test_a_brought_client_is_called_through_create():
    sent = completion({"content": [{"type": "text", "text": "hi"}], "odd": 1}, system_fingerprint="fp")
    sent["choices"][0]["token_ids"] = [3]
    with ChatServer(sent) as s:
        client = Traced(brought(s))
        lm = create_lm("openai", {"model_name": "test-model", "client": client, "temperature": 0})
        reply = lm.complete(HELLO)
        assert s.requests[0].body == {"model": "test-model", "messages": HELLO, "temperature": 0}
    assert client.calls == [{"model": "test-model", "messages": HELLO, "temperature": 0}]
    assert reply.content == "hi" and reply.usage.calls == 1
    assert (reply.extra["system_fingerprint"], reply.extra["token_ids"], reply.extra["odd"]) == ("fp", [3], 1)

def test_azure():
    with ChatServer("hi") as s:
        client = openai.AzureOpenAI(azure_endpoint=s.base_url, api_key=KEY, api_version="2024-10-21", max_retries=0)
        with pytest.raises(ModelNotFoundError, match="POST /v1/openai/deployments/gpt-4o/chat/completions"):
            OpenAILM("gpt-4o", client=client).complete(HELLO)

HTML = Http(200, "<html>login</html>", {"content-type": "text/html"})

@pytest.mark.slow
@pytest.mark.parametrize("replies, kind", [
    (Http(401, {"error": {"message": f"bad key {KEY}"}}), LMAuthenticationError),
    (Http(404), ModelNotFoundError),
    (Http(429), LMRateLimitError),
    (Http(502, "<html>", {"content-type": "text/html"}), LMServerError),
    (HTML, LMResponseError),
    (Http(200, '{"choices": ['), LMResponseError),
    (Http(200, []), LMResponseError),
    ({"choices": []}, LMResponseError),
    (HANG, LMTimeoutError),
    (RESET, LMConnectionError)])
def test_a_brought_clients_errors(replies, kind):
    with ChatServer(replies) as s:
        with pytest.raises(LMError) as e: OpenAILM("m", client=brought(s, timeout=0.2)).complete(HELLO)
    checked(e.value, kind)

def test_a_brought_client_and_max_tokens():
    with ChatServer(newer_model) as s:
        assert OpenAILM("m", client=brought(s), max_tokens=7).complete(HELLO).content == "hi"

def test_an_option_that_create_does_not_know():
    with ChatServer("hi") as s:
        with pytest.raises(ConfigurationError, match="'extra_body': {'top_k': ...}"):
            OpenAILM("m", client=brought(s), top_k=5).complete(HELLO)
        OpenAILM("m", client=brought(s), extra_body={"top_k": 5}).complete(HELLO)
        OpenAILM("m", base_url=s.base_url, extra_body={"top_k": 5}).complete(HELLO)
        assert [r.body["top_k"] for r in s.requests] == [5, 5]

def test_clients_that_will_not_do():
    with pytest.raises(ConfigurationError, match="AsyncOpenAI"):
        OpenAILM("m", client=openai.AsyncOpenAI(api_key="k"))
    with pytest.raises(ConfigurationError, match="set them there"):
        OpenAILM("m", client=openai.OpenAI(api_key="k"), timeout=3)

# -- every option of create()

SENT = dict(temperature=0.5, max_completion_tokens=9, max_tokens=8, stop=["x"], seed=7, metadata={"a": "b"}, logit_bias={"5": 1}, tools=[{"type": "function",
            "function": {"name": "f", "parameters": {}}}], response_format={"type": "json_object"}, user="me", n=2, logprobs=True, store=False,
            extra_headers={"X-Title": "Mine"}, extra_query={"api-version": "2"}, extra_body={"top_k": 5, "seed": 8}, timeout=30.0)
NOT_OURS = {"self", "messages", "model", "stream", "stream_options"}

def seen(request):
    headers = {k: v for k, v in request.headers.items() if k not in ("user-agent", "content-length", "x-stainless-raw-response", "host", "accept-encoding")}
    return request.body, headers, request.path

@pytest.mark.slow
@pytest.mark.parametrize("options", [{k: v} for k, v in SENT.items()] + [SENT], ids=[*SENT, "all"])
def test_every_option_goes_where_the_client_puts_it(options):
    with ChatServer() as s:
        client = openai.OpenAI(base_url=s.base_url, api_key=KEY, max_retries=0)
        OpenAILM("m", client=client).complete(HELLO, **options)
        OpenAILM("m", base_url=s.base_url, api_key=KEY, max_retries=0, **options).complete(HELLO)
        OpenAILM("m", base_url=s.base_url, api_key=KEY, max_retries=0).complete(HELLO, **options)
        theirs, ours, once = map(seen, s.requests)
        assert theirs == ours == once

def test_every_option_that_is_no_field_of_the_body_is_known():
    "A new option of `create()` that goes elsewhere wants a place in `OpenAILM`, too."
    options = set(inspect.signature(openai.resources.chat.completions.Completions.create).parameters) - NOT_OURS
    assert {o for o in options if o.startswith("extra_") or o == "timeout"} == {"extra_headers", "extra_query", "extra_body", "timeout"}

def test_a_time_limit_for_one_request():
    with ChatServer(HANG) as s:
        with pytest.raises(LMTimeoutError): lm_for(s).complete(HELLO, timeout=0.2)

def test_options_of_the_client():
    own = dict(default_headers={"X-Team": "blue-4711"}, default_query={"v": "2"}, organization="org-1", project="proj-1")
    with ChatServer() as s:
        lm = lm_for(s, **own)
        lm.complete(HELLO)
        request, = s.requests
        assert request.path.endswith("?v=2") and request.headers["x-team"] == "blue-4711" and request.body.keys() == {"model", "messages"}
        assert (request.headers["openai-organization"], request.headers["openai-project"]) == ("org-1", "proj-1")
        with pytest.raises(ConfigurationError, match="set them there"): OpenAILM("m", client=brought(s), **own)

# -- what is secret

@pytest.mark.parametrize("options, secret", [
    (dict(extra_headers={"X-Pass": "Basic dXNlcjpwYXNz"}), "dXNlcjpwYXNz"), (dict(default_headers={"Cookie": "sid=1f2e3d4c"}), "sid=1f2e3d4c"),
    (dict(extra_body={"plugins": [{"id": "web", "api_key": "tvly-12345678"}]}), "tvly-12345678"), (dict(extra_body={"token": {"value": "abc1def2"}}), "abc1def2"),
    (dict(extra_query={"key": "9f8e7d6c"}), "9f8e7d6c"), (dict(default_query={"sig": "sk-proj-4f9aTq2mW8zL1c"}), "sk-proj-4f9aTq2mW8zL1c"),
    (dict(base_url="http://me:hunter2hunter2@localhost/v1"), "hunter2hunter2"), (dict(base_url="http://localhost/v1?token=5f4e3d2c"), "5f4e3d2c"),
    (dict(client=openai.OpenAI(api_key="k", default_headers={"Authorization": "Bearer 0a1b2c3d4e5f"})), "0a1b2c3d4e5f"),
    (dict(client=openai.OpenAI(api_key="k", default_query={"api_key": "0a1b2c3d"})), "0a1b2c3d")])
def test_credentials_in_options_are_known(options, secret):
    lm = OpenAILM("m", **({} if "client" in options else {"api_key": ""}), **({"base_url": "http://localhost/v1"} if not {"client", "base_url"} & options.keys() else {}), **options)
    assert secret in lm.secrets and secret not in repr(lm)
    assert without(f"It is {secret}.", lm.secrets) == "It is [key removed]."

def test_options_that_are_no_credentials():
    assert OpenAILM("m", base_url="http://localhost/v1", extra_body={"top_k": 5, "provider": {"order": ["openai"]}}, temperature=0).secrets == ()

@pytest.mark.parametrize("key", ["EMPTY", "none", "lm-studio", "not-needed", "no-key-required", "sk-no-key-required", "messages", "placeholder"])
def test_a_placeholder_makes_no_holes(key):
    text = f"The model in {key} said {key}."
    assert without(text, OpenAILM("m", base_url="http://localhost/v1", api_key=key).secrets) == text

# -- faults

def refusal(status, words, **headers): return Http(status, {"error": {"message": words}}, headers)

@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_never_shown(status):
    e = error_of(refusal(status, f"Incorrect API key provided: {KEY}."), kind=LMAuthenticationError)
    assert "Incorrect API key provided: [key removed]" in str(e) and 'backend_kwargs["api_key"]' in str(e)

def test_a_key_is_wanted():
    with ChatServer(refusal(401, "no key")) as s:
        with pytest.raises(LMAuthenticationError, match="It wants a key"):
            OpenAILM("m", base_url=s.base_url).complete(HELLO)

def test_the_key_is_in_no_repr():
    shown = repr(OpenAILM("m", base_url="http://me:pass@host/v1?token=pass", api_key=KEY))
    assert shown == "OpenAILM('m', 'http://host/v1')"

def test_a_model_that_is_not_there():
    models = ["qwen3-4b", "llama3.2:latest", "phi4"]
    e = error_of(refusal(404, "model not found"), models, ModelNotFoundError, model="llama3.2")
    assert "has no model 'llama3.2'. It has llama3.2:latest, qwen3-4b, phi4.\nDid you mean 'llama3.2:latest'?" in str(e)

def test_a_model_that_is_not_there_among_hundreds():
    models = [f"vendor/model-{i}" for i in range(400)] + ["openai/gpt-4o-mini"]
    e = error_of(Http(404), models, ModelNotFoundError, model="gpt-4o-mini")
    assert "openai/gpt-4o-mini" in str(e) and "and 393 more" in str(e)

def test_a_gateway_that_says_400_for_a_model_it_does_not_have():
    e = error_of(refusal(400, "gpt-9 is not a valid model ID"), ["gpt-4o"], ModelNotFoundError, model="gpt-9")
    assert "It has gpt-4o" in str(e)

@pytest.mark.parametrize("models", [Http(404), Http(500), Http(200, "<html>"), Http(200, {"data": None}), Http(200, []),
                                    HANG, RESET, []])
def test_a_404_without_a_list_of_models(models):
    start = time.perf_counter()
    e = error_of(Http(404, {"detail": "Not Found"}), models, ModelNotFoundError, timeout=0.3)
    assert "Not Found" in str(e) and "most end in /v1" in str(e) and "'test-model'" in str(e)
    assert time.perf_counter() - start < 20

def test_too_many_requests_until_the_retries_run_out():
    slow_down = refusal(429, "You exceeded your current quota", **{"retry-after": "0.01"})
    with ChatServer(slow_down) as s:
        with pytest.raises(LMRateLimitError, match="You exceeded your current quota\n.*max_retries"):
            lm_for(s, max_retries=3).complete(HELLO)
        assert len(s.requests) == 4

@pytest.mark.parametrize("status, body, words", [
    (500, {"error": {"message": "CUDA out of memory"}}, "CUDA out of memory"),
    (502, "<html><h1>Bad Gateway</h1></html>", "an HTML page"), (503, "", "no reason given")])
def test_a_server_that_fails(status, body, words):
    e = error_of(Http(status, body), kind=LMServerError)
    assert f"({status}): {words}" in str(e) and "log" in str(e)

@pytest.mark.parametrize("status", [400, 402, 413, 418, 422])
def test_a_refused_request(status):
    e = error_of(refusal(status, "temperature must be below 2"), kind=LMRequestError)
    assert f"refused the request ({status}): temperature must be below 2" in str(e)

@pytest.mark.parametrize("words", [
    "This model's maximum context length is 8192 tokens.", "prompt is too long: 210000 tokens",
    "request (9031 tokens) exceeds the available context size (8192 tokens)"])
def test_a_conversation_that_does_not_fit(words):
    e = error_of(refusal(400, words), kind=ContextWindowExceededError)
    assert words in str(e) and "a model with a larger one" in str(e) and "It had 1 message with" in str(e)

@pytest.mark.parametrize("body, words", [
    ([{"error": {"message": "over quota"}}], "over quota"), ({"detail": [{"loc": ["body"]}]}, "['body']"),
    ({"error": "wrong"}, "wrong"), ("plain words", "plain words"), ({"error": {"message": "word " * 5000}}, "word w")])
def test_errors_in_other_shapes(body, words):
    assert words in str(error_of(Http(400, body), kind=LMRequestError))

@pytest.mark.parametrize("sent, what", [
    (HTML, "an HTML page"), (Http(200, "hello"), "not JSON"), (Http(200, '{"choices": [{"mess'), "not JSON"),
    (Http(200, ""), "not JSON"), (Http(200, b"\xff\xfe"), "not JSON"), (Http(200, "[]"), "of a chat completion"),
    (Http(200, f'"{KEY}"'), "[key removed] instead of a chat completion"), (Http(204), "instead of a chat completion")])
def test_something_that_is_no_completion(sent, what):
    e = error_of(sent, kind=LMResponseError)
    assert what in str(e) and "/v1" in str(e)

@pytest.mark.parametrize("sent", [{"choices": []}, {"choices": None}, {"choices": [{"text": KEY}]}, {"choices": ["x"]}])
def test_a_completion_without_a_message(sent):
    assert "sent a completion without a message" in str(error_of(sent, kind=LMResponseError))

@pytest.mark.parametrize("code, kind", [(429, LMRateLimitError), (502, LMServerError), (401, LMAuthenticationError),
                                        ("odd", LMServerError)])
def test_an_error_with_status_200(code, kind):
    e = error_of({"error": {"code": code, "message": f"Provider returned error {KEY}"}}, kind=kind)
    assert "Provider returned error [key removed]" in str(e)

def test_no_server():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/v1"
    with pytest.raises(LMError) as e: OpenAILM("m", base_url=url, api_key=KEY, max_retries=0).complete(HELLO)
    checked(e.value, LMConnectionError)
    for words in (f"No server answers at {url}: ", "refused", "Is it running"): assert words in str(e.value)

def test_no_such_host():
    with pytest.raises(LMConnectionError, match="No server answers at http://no-such-host.invalid/v1"):
        OpenAILM("m", base_url="http://no-such-host.invalid/v1", max_retries=0, timeout=10).complete(HELLO)

def test_a_broken_connection():
    error_of(RESET, kind=LMConnectionError)

def test_a_server_that_does_not_answer():
    start = time.perf_counter()
    e = error_of(HANG, kind=LMTimeoutError, timeout=0.2)
    assert "did not answer within 0.2 s" in str(e) and '"timeout"' in str(e)
    assert time.perf_counter() - start < 20

# -- backends by name

def test_no_key_names_three_ways_out():
    with pytest.raises(ConfigurationError) as e: create_lm("openai", {"model_name": "gpt-4o-mini"})
    for way in ("OPENAI_API_KEY", '"base_url"', 'RLM("local")'): assert way in str(e.value)

@pytest.mark.parametrize("key", ["", "  \n"])
def test_an_empty_key_is_no_key(key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigurationError, match="Three ways out"): create_lm("openai", {"model_name": "m"})

def test_key_and_address_from_the_environment(monkeypatch):
    with ChatServer("hi") as s:
        monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
        monkeypatch.setenv("OPENAI_BASE_URL", s.base_url)
        assert create_lm("openai", {"model_name": "m"}).complete(HELLO).content == "hi"
        assert s.requests[0].headers["authorization"] == f"Bearer {KEY}"

def test_arguments_win_over_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert sent_by(lm_for).headers["authorization"] == f"Bearer {KEY}"

def test_an_address_needs_no_key():
    assert sent_by(lambda s: create_lm("openai", {"model_name": "m", "base_url": s.base_url})).body["model"] == "m"

@pytest.mark.parametrize("backend", ["ollama", "vllm"])
def test_the_openai_key_stays_home(backend, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    request = sent_by(lambda s: create_lm(backend, {"model_name": "m", "base_url": s.base_url}))
    assert KEY not in str(request)

def test_openrouter(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"): create_lm("openrouter", {"model_name": "m"})
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-1")
    assert "'https://openrouter.ai/api/v1'" in repr(create_lm("openrouter", {"model_name": "m"}))
    request = sent_by(lambda s: create_lm("openrouter", {"model_name": "m", "base_url": s.base_url}))
    assert request.headers["authorization"] == "Bearer sk-or-1" and KEY not in str(request)

@pytest.mark.parametrize("backend, words", [
    ("opnai", "Did you mean 'openai'?"), ("OpenAI", "Did you mean 'openai'?"), ("cohere", "openrouter, ollama, vllm, lmstudio, llamacpp, local"),
    ("", "There is no backend ''"), (ScriptedLM, "complete(messages)"), (3, "complete(messages)")])
def test_unknown_backends(backend, words):
    with pytest.raises(ConfigurationError) as e: create_lm(backend, {})
    assert words in str(e.value)

@pytest.mark.parametrize("kwargs, words", [
    ({}, "There is no API key"), ({"api_key": "k"}, 'RLM("gpt-4o-mini")'),
    ({"api_key": "k", "model_name": ""}, "Which model?"), ({"api_key": "k", "model_name": ["m"]}, "Which model?"),
    ("gpt-4o", 'RLM("openai/gpt-4o", {"temperature": 0})'), ([1], "must be a dict"), ({1: 2}, "must be a dict"),
    ({"model": "gpt-4o"}, "'model' is called 'model_name'"),
    ({"model_name": "m", "apikey": "x"}, "is called 'api_key'"),
    ({"model_name": "m", "base_ulr": "x"}, "is called 'base_url'"),
    ({"model_name": "m", "base_url": "localhost:80"}, "'http://localhost:80'"),
    ({"model_name": "m", "api_key": "sk-1\nsk-2"}, "copied whole"), ({"model_name": "m", "api_key": 7}, "copied whole"),
    ({"model_name": "m", "api_key": "k", "stream": "yes"}, "'stream' is True")])
def test_bad_options(kwargs, words):
    with pytest.raises(ConfigurationError) as e: create_lm("openai", kwargs)
    assert words in str(e.value)

def test_a_model_of_ones_own_has_a_text_for_its_name():
    with pytest.raises(ConfigurationError, match="model. of a ScriptedLM is its name, a text, not 5"): create_lm(ScriptedLM([], model=5))

@pytest.mark.parametrize("replies", ["FINAL(3)", b"FINAL(3)", Reply("FINAL(3)"), None, len])
def test_a_script_is_a_list(replies):
    with pytest.raises(ConfigurationError, match="takes a list of replies: ScriptedLM"): ScriptedLM(replies)

def test_one_reply_is_one():
    lm = ScriptedLM(["hi"])
    assert repr(lm) == "ScriptedLM(1 reply, 0 given)" and ask(lm, HELLO).content == "hi"
    with pytest.raises(LMError, match="holds 1 reply and was asked for number 2"): ask(lm, HELLO)
    assert repr(ScriptedLM([])) == "ScriptedLM(0 replies, 0 given)"

def test_no_sampling_option_of_openai_is_taken_for_a_slip():
    names = set(inspect.signature(openai.OpenAI(api_key="k").chat.completions.create).parameters)
    OpenAILM("m", api_key="k", **{n: 0 for n in names - {"model", "messages", "timeout"}})

def test_an_object_is_a_backend():
    lm = ScriptedLM(["hi"])
    assert create_lm(lm) is lm and ask(lm, HELLO).content == "hi"
    with pytest.raises(ConfigurationError, match="ready as it is"): create_lm(lm, {"temperature": 0})

# -- models of one's own

class Own:
    def __init__(self, said): self.said = said
    def complete(self, messages): return self.said

def test_ask_fills_in_what_is_missing():
    assert ask(Own("hi"), HELLO).model == "Own"
    reply = ask(Own(Reply("hi", model="m-1", usage=Usage(1, 2, 1), execution_time=9.0)), HELLO)
    assert reply == Reply("hi", model="m-1", usage=Usage(1, 2, 1), execution_time=9.0)

@pytest.mark.parametrize("said", [None, 3, {"content": "hi"}])
def test_ask_refuses_what_is_no_reply(said):
    with pytest.raises(LMResponseError, match=f"Own.complete.* returned a {type(said).__name__}"): ask(Own(said), HELLO)

def test_a_script():
    echo = lambda messages: messages[-1]["content"]
    lm = ScriptedLM(["one", Reply("two", model="m"), echo, LMTimeoutError("too slow")])
    assert [ask(lm, HELLO).content for _ in range(3)] == ["one", "two", "hello there"]
    with pytest.raises(LMTimeoutError, match="too slow"): ask(lm, HELLO)
    with pytest.raises(LMError, match="holds 4 replies and was asked for number 5.*hello there"): ask(lm, HELLO)

def test_a_script_remembers_what_it_was_asked():
    lm, messages = ScriptedLM(["one", "two"]), [dict(HELLO[0])]
    ask(lm, messages)
    messages[0]["content"] = "changed"
    messages.append({"role": "assistant", "content": "one"})
    ask(lm, messages)
    assert lm.calls == [HELLO, messages]

def test_a_script_read_by_threads():
    lm = ScriptedLM([str(i) for i in range(200)])
    with ThreadPoolExecutor(16) as pool: said = list(pool.map(lambda _: ask(lm, HELLO).content, range(200)))
    assert sorted(said, key=int) == [str(i) for i in range(200)]
