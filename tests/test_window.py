"""Conversations that outgrow the model's window, against a server that refuses what is too long."""
import json, re
import pytest
from rlm.completion import RLM
from rlm.events import Folded
from rlm.lm import ScriptedLM
from rlm.logger import RLMLogger, read_log
from rlm.openai_lm import OpenAILM
from rlm.replay import replay
from rlm.servers import limits_named
from rlm.types import ConfigurationError, ContextWindowExceededError, LMRequestError, RLMError
from rlm.utils.trace_notebook import trace_notebook, verify
from rlm.window import foldable, to_sum_up
from server import ChatServer, Http, completion

REFUSALS = {  # who says so -> the words, and the limit and the tokens of the request that they name
    "openai": ("This model's maximum context length is 8192 tokens. However, your messages resulted in 9312 tokens. "
               "Please reduce the length of the messages.", 8192, 9312),
    "openai, with a completion": (
        "This model's maximum context length is 4097 tokens. However, you requested 4203 tokens (3703 in the messages, "
        "500 in the completion). Please reduce the length of the messages or completion.", 4097, 3703),
    "openai, configured": ("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300123 "
                           "tokens. Please reduce the length of the messages.", 272000, 300123),
    "openai, without figures": ("Your input exceeds the context window of this model. Please adjust your input and try "
                                "again.", None, None),
    "openai, tokens a minute": ("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41234. The "
                                "input or output tokens must be reduced in order to run successfully.", 30000, 41234),
    "openrouter": ("This endpoint's maximum context length is 32768 tokens. However, you requested about 42832 tokens "
                   "(42832 of text input). Please reduce the length of either one, or use the \"middle-out\" transform "
                   "to compress your prompt automatically.", 32768, 42832),
    "openrouter, all for the output": (
        "This endpoint's maximum context length is 131072 tokens. However, you requested about 141607 tokens (10535 of "
        "text input, 131072 in the output). Please reduce the length of either one", 131072, None),
    "vllm": ("This model's maximum context length is 2048 tokens. However, your request has 2100 input tokens. Please "
             "reduce the length of the input messages. (parameter=input_tokens, value=2100)", 2048, 2100),
    "vllm, max_tokens": ("'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum context length "
                         "is 4096 tokens and your request has 3500 input tokens (1024 > 4096 - 3500).", 4096, 3500),
    "vllm, decoder": ("The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that "
                      "`max_model_len` is no smaller than the number of text tokens.", 4096, 5000),
    "llama.cpp": ("request (9312 tokens) exceeds the available context size (8192 tokens), try increasing it", 8192, 9312),
    "llama-cpp-python": ("Requested tokens (4348) exceed context window of 4096", 4096, 4348),
    "ollama": ("the input length exceeds the context length", None, None),
    "litellm": ("litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: "
                "OpenAIException - This model's maximum context length is 8,192 tokens. However, your messages resulted "
                "in 9,312 tokens.", 8192, 9312),
    "litellm, another": ("litellm.APIConnectionError: OpenAIException - Requested token count exceeds the model's maximum "
                         "context length of 163840 tokens. You requested a total of 183491 tokens: 169651 tokens from "
                         "the input messages and 13840 tokens for the completion.", 163840, 169651),
    "anthropic": ("prompt is too long: 208310 tokens > 200000 maximum", 200000, 208310),
    "anthropic, max_tokens": ("input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, decrease input "
                              "length or `max_tokens` and try again", 200000, 199759),
    "gemini": ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
               1048576, 1200000),
    "mistral": ("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
                32768, 40000),
    "tgi": ("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and "
            "512 `max_new_tokens`", 8193, 9000),
    "xai": ("This model's maximum prompt length is 131072 but the request contains 140000 tokens.", 131072, 140000),
    "sglang": ("The input (9000 tokens) is longer than the model's context length (8192 tokens).", 8192, 9000),
    "lm studio": ("Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded with "
                  "context length of only 32768 tokens, which is not enough.", 32768, 111490),
    "cohere": ("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.", 4081, 4292),
}
NONE = ["max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "Invalid value for temperature: 7", "The model is not loaded"]

@pytest.mark.parametrize("who", REFUSALS)
def test_a_refusal_is_recognised_and_read_in_the_words_of_many_servers(who):
    words, limit, tokens = REFUSALS[who]
    assert limits_named(words) == (limit, tokens)
    with ChatServer(Http(400, {"error": {"message": words}})) as s:
        with pytest.raises(ContextWindowExceededError) as e: OpenAILM("m", s.base_url).complete([{"role": "user", "content": "x"}])
    assert (e.value.limit, e.value.tokens) == (limit, tokens)

BODIES = {
    "llama.cpp": (400, {"error": {"code": 400, "message": "the request exceeds the available context size. try increasing "
                                  "the context size or enable context shift", "type": "exceed_context_size_error",
                                  "n_prompt_tokens": 14429, "n_ctx": 8192}}),
    "llama.cpp, with status 200": (200, {"error": {"code": 400, "message": "the request exceeds it", "n_ctx": 8192,
                                                   "type": "exceed_context_size_error", "n_prompt_tokens": 14429}}),
    "vllm, flat": (400, {"object": "error", "message": "This model's maximum context length is 8192 tokens. However, your "
                         "request has 14429 input tokens.", "code": 400}),
    "passed on": (400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": json.dumps(
        {"message": "prompt is too long: 14429 tokens > 8192 maximum"}), "provider_name": "P"}}}),
    "a minute's tokens": (429, {"error": {"message": "Request too large for m on tokens per min (TPM): Limit 8192, "
                                          "Requested 14429."}}),
}

@pytest.mark.parametrize("which", BODIES)
def test_a_refusal_is_read_in_whatever_shape_it_comes(which):
    with ChatServer(Http(*BODIES[which])) as s:
        with pytest.raises(ContextWindowExceededError) as e:
            OpenAILM("m", s.base_url, max_retries=0).complete([{"role": "user", "content": "x"}])
    assert (e.value.limit, e.value.tokens) == (8192, 14429)

@pytest.mark.parametrize("words", NONE)
def test_other_refusals_are_not_taken_for_it(words):
    with ChatServer(Http(400, {"error": {"message": words}})) as s:
        with pytest.raises(LMRequestError) as e: OpenAILM("m", s.base_url).complete([{"role": "user", "content": "x"}])
    assert type(e.value) is LMRequestError

def tokens(messages): return sum(len(m["content"]) for m in messages) // 4

class Narrow(ChatServer):
    "A server that refuses more than `most` tokens, a token for four characters, and has a scripted model behind it."
    def __init__(self, model, words=REFUSALS["openai"][0], most=8_000, counts=True, **more):
        super().__init__(self.give, **more)
        self.model, self.words, self.most = model, words, most
        self.refused, self.counts = 0, counts

    def give(self, body):
        n = tokens(body["messages"])
        if n > self.most:
            self.refused += 1
            return Http(400, {"error": {"message": re.sub(r"\d{4,}", lambda m: str(self.figures(m[0], n)), self.words)}})
        said = self.model(body["messages"])
        reply = completion(said, body)
        if self.counts: reply["usage"] = {"prompt_tokens": n, "completion_tokens": len(said) // 4}
        else: del reply["usage"]
        return reply

    def figures(self, figure, n):
        "The limit, or the size of this request, in the place of a figure of the words."
        return self.most if int(figure) == self.limit else n

    @property
    def limit(self): return limits_named(self.words)[0]

def asked(messages): return messages[-1]["content"].rpartition("Task: ")[2] if "Task: " in messages[-1]["content"] else ""

def talker(messages):
    "Prints a page about each question, and answers with what it is about. The last question is about the first."
    if messages[0]["content"].startswith("Below is"): return "They asked for pages, and got them. The first was about a fox."
    question = asked(messages)
    if question.startswith("At last"):
        name = re.search(r"in `?((?:rlm_)?history)\b", "".join(m["content"] for m in messages))[1]
        return f"```repl\nFINAL({name}[1].split()[-1] + ' ' + session_history[0]['prompt'].split()[-1])\n```"
    if question:
        n = int(question.split()[2])
        return f"```repl\n# about page {n}\nwords = 'line of page {n} ' * 60\nprint(words, 'code', {n} * 7919)\n```"
    return f"FINAL(It is done, with number {messages[-1]['content'].split()[-1]}.)"

def converse(server, n, **more):
    rlm = RLM(OpenAILM("m", server.base_url, "", max_retries=0), verbose=False, **more)
    session = rlm.start_session()
    for i in range(1, n + 1): session.chat(f"Print page {i} and tell me its number; remember the word fox{i}")
    return session, session.chat("At last: which number and which word had the first question?")

@pytest.mark.parametrize("who", ["openai", "openai, without figures", "openrouter", "vllm", "llama.cpp", "ollama", "litellm"])
def test_a_session_goes_on_whatever_the_server_says(who):
    with Narrow(talker, REFUSALS[who][0]) as s:
        session, last = converse(s, 45)
        assert last.response == "7919 fox1"
        assert 1 <= s.refused <= 3 and all(tokens(m) <= 8_000 for m in s.messages) is False
        assert len(session) == 46 and session[-1].folding.name == "history"

def test_two_hundred_questions_go_on_and_the_last_knows_the_first():
    with Narrow(talker) as s:
        session, last = converse(s, 200)
        sums = [m for m in s.messages if m[0]["content"].startswith("Below is")]
    assert last.response == "7919 fox1" and len(session) == 201
    assert s.refused == 1 and 1 <= len(sums) <= 6
    sent = [m for m in s.messages if m not in sums]
    assert max(map(tokens, sent[-100:])) <= 8_000
    grown = [b[:len(a)] == a for a, b in zip(sent, sent[1:])]
    assert grown.count(False) < 40  # of 401: else each request begins as the one before did
    opening = sent[0][:-1]
    assert all(m[:len(opening)] == opening and m[-1]["role"] == "user" for m in sent)
    for m in sent:
        said = [x["role"] for x in m[1:]]
        assert all(a != b for a, b in zip(said, said[1:]))
    assert "a fox" in last.folding.summary and any("a fox" in m["content"] for m in last.messages)

def worker(messages):
    "Prints a long page in each of thirty iterations, then answers with the beginning of the first and its own summary."
    if messages[0]["content"].startswith("Below is"): return "Pages one to some were printed."
    n = max([int(n) for n in re.findall(r"page (\d+)", messages[-1]["content"])] or [0]) + 1
    if n <= 30: return f"Page {n}.\n```repl\nimport sys\na = {n}\nb = a + 1\nc = b + 1\nprint('page {n} ' * 900)\n```"
    return "```repl\nFINAL(history[1][:6] + history.replies[2][:7] + str(len(history)))\n```"

@pytest.mark.parametrize("who", ["openai", "ollama", "llama.cpp"])
def test_thirty_long_iterations(who, tmp_path):
    logger, seen = RLMLogger(tmp_path), []
    def hear(event):
        seen.append(event)
        logger(event)
    with Narrow(worker, REFUSALS[who][0]) as s:
        rlm = RLM(OpenAILM("m", s.base_url, "", max_retries=0), verbose=False, max_iterations=40, logger=hear)
        result = rlm.completion("Print thirty pages.")
    assert result.response == "page 1Page 2.30"
    assert s.refused <= 3
    folds = [e for e in seen if isinstance(e, Folded)]
    assert [(e.iteration, e.told) for e in folds] == list(result.folding.steps) and "folded" in repr(folds[0])
    assert folds[0].told in result.trace_markdown
    check_replay(logger.path, result)

def check_replay(log, result):
    "What a log has of a run that was folded is all of it, and it comes out the same once more, in both ways."
    run = read_log(log)[-1]
    assert run.result.messages == result.messages and run.result.folding == result.folding
    assert [i.response for i in run.result.iterations] == [i.response for i in result.iterations]
    with open(log) as f: assert "page 1 page 1 page 1" in f.read()
    again = RLM(replay(log), verbose=False, max_iterations=40).completion(result.prompt)
    assert (again.response, again.messages, again.folding) == (result.response, result.messages, result.folding)
    notebook = log.with_suffix(".trace.ipynb")
    notebook.write_text(trace_notebook(log))
    assert result.folding.steps[0][1] in json.loads(notebook.read_text())["cells"][
        [c["id"].partition("-")[0] for c in json.loads(notebook.read_text())["cells"]].index("folded")]["source"][0]
    assert set(verify(notebook).values()) == {"equal"}

def test_a_session_that_was_folded_replays_equal(tmp_path):
    logger = RLMLogger(tmp_path)
    with Narrow(talker, most=4_000) as s: session, last = converse(s, 24, logger=logger)
    runs = read_log(logger.path)
    assert [r.result.messages for r in runs] == [r.messages for r in session]
    assert [r.result.folding for r in runs] == [r.folding for r in session]
    again = RLM(replay(logger.path), verbose=False).start_session()
    for turn in session: again.chat(turn.prompt)
    assert again[-1].response == last.response == "7919 fox1" and again[-1].messages == last.messages
    notebook = logger.path.with_suffix(".trace.ipynb")
    notebook.write_text(trace_notebook(logger.path))
    assert set(verify(notebook).values()) == {"equal"}

def test_a_server_that_always_refuses_ends_the_run():
    with Narrow(worker) as s:
        def until_then(messages):
            if len(messages) > 20: s.most = 10
            return worker(messages)
        s.model = until_then
        rlm = RLM(OpenAILM("m", s.base_url, "", max_retries=0), verbose=False, max_iterations=40)
        with pytest.raises(ContextWindowExceededError, match="refused the request as too long") as e: rlm.completion("Print!")
    assert s.refused <= 12
    assert e.value.result.iterations and e.value.result.folding.steps

def test_a_first_request_that_does_not_fit_is_refused_once():
    with Narrow(worker, most=10) as s:
        with pytest.raises(ContextWindowExceededError) as e:
            RLM(OpenAILM("m", s.base_url, "", max_retries=0), verbose=False).completion("Print!")
    assert s.refused == len(s.requests) == 1 and not e.value.result.folding.name

def test_a_known_window_is_never_exceeded():
    with Narrow(worker) as s:
        rlm = RLM(OpenAILM("m", s.base_url, "", max_retries=0), verbose=False, max_iterations=40, context_window=8_000)
        assert rlm.completion("Print thirty pages.").response == "page 1Page 2.30"
        assert s.refused == 0 and not s.lookups

@pytest.mark.parametrize("where", ["models", "props", "ps"])
def test_the_server_is_asked_once_and_only_in_a_long_conversation(where):
    class Telling(Narrow):
        asked = 0
        def answer(self, method, path, headers, raw):
            found = {"models": ("/v1/models", {"data": [{"id": "m", "max_model_len": 8_000}, {"id": "other"}]}),
                     "props": ("/props", {"default_generation_settings": {"n_ctx": 8_000}}),
                     "ps": ("/api/ps", {"models": [{"name": "m", "context_length": 8_000}]})}[where]
            if method == "GET": self.asked += 1
            if method == "GET" and path == found[0]: return Http(body=found[1])
            return super().answer(method, path, headers, raw)
    with Telling(worker) as s:
        rlm = RLM(OpenAILM("m", s.base_url, "", max_retries=0), verbose=False, max_iterations=40)
        s.model = lambda messages: "FINAL(Oslo)"
        rlm.completion("What is the capital of Norway?")
        assert s.asked == 0
        s.model = worker
        rlm.completion("Print thirty pages.")
        rlm.completion("Print thirty pages.")
        assert s.refused == 0 and s.asked == {"models": 1, "props": 2, "ps": 3}[where]

class Script(ScriptedLM):
    "Scripted replies of a model that takes so many tokens."
    def __init__(self, replies, most=8_000):
        super().__init__(replies)
        self.most, self.refused = most, 0

    def complete(self, messages):
        if tokens(messages) <= self.most: return super().complete(messages)
        self.refused += 1
        raise ContextWindowExceededError("the input length exceeds the context length")

PAGES = [f"```repl\nprint('page {i} ' * 1_000)\n```" for i in range(1, 7)]

def test_the_codes_own_history_stays_and_the_outputs_have_another_name():
    lm = Script(["```repl\nhistory = ['mine']\nprint('page 0 ' * 900)\n```", *PAGES,
                 "```repl\nFINAL([history, rlm_history[1][:6], sorted(rlm_history)[:2], 9 in rlm_history])\n```"])
    result = RLM(lm, verbose=False).completion("Print!")
    assert result.value == [["mine"], "page 0", [1, 2], False] and result.folding.name == "rlm_history"
    assert any("is in rlm_history[2]" in m["content"] for m in result.messages)

def test_the_outputs_stay_what_they_are():
    lm = Script([*PAGES, "```repl\nhistory = 5\n```", "```repl\nFINAL(history[1][:6])\n```"])
    result = RLM(lm, verbose=False).completion("Print!")
    assert result.response == "page 1"
    assert result.iterations[6].code_blocks[0].result.restored == ("history",)

def test_a_short_run_has_no_history():
    lm = Script(["```repl\nprint('history' in globals() or 'history' in SHOW_VARS())\n```", "```repl\nFINAL(history)\n```",
                 "FINAL(none)"])
    result = RLM(lm, verbose=False).completion("Is there any?")
    assert "NameError" in result.iterations[1].code_blocks[0].result.error and not result.folding.steps

def test_an_environment_of_ones_own_has_no_variable_for_it():
    class Mine:
        def begin(self, task): pass
        def run(self, code, name):
            from rlm.types import CodeResult
            return CodeResult(stdout=eval(code.strip()[6:-1]))
        def resolve(self, source, variable):
            from rlm.types import CodeResult
            return CodeResult()
        def end(self, keep=True): pass
        def close(self): pass
    lm = Script([*PAGES, "FINAL(done)"])
    result = RLM(lm, environment=Mine(), verbose=False).completion("Print!")
    assert result.response == "done" and result.folding.name == "" and lm.refused == 1
    assert "(The output of iteration 1, 7,000 characters, is not kept.)" == result.messages[7]["content"]

def test_undone_turns_leave_no_trace_in_the_numbers():
    lm = Script([PAGES[0], "FINAL(one)", PAGES[1], "FINAL(two)", PAGES[2], "FINAL(three)", *PAGES[3:],
                 "```repl\nFINAL([history[n][:6] for n in history])\n```"])
    session = RLM(lm, verbose=False).start_session()
    for _ in range(2): session.chat("Print!")
    session.undo()
    session.chat("Print another!")
    last = session.chat("What was printed?")
    assert last.value == ["page 1", "", "page 3", "", "page 4", "page 5", "page 6"]

def test_a_turn_that_fails_leaves_the_conversation_as_it_was():
    lm = Script([*PAGES, "FINAL(one)", RuntimeError("no net"), "```repl\nFINAL(history[2][:6])\n```"])
    session = RLM(lm, verbose=False).start_session()
    first = session.chat("Print!")
    with pytest.raises(RuntimeError): session.chat("And now?")
    last = session.chat("And now?")
    assert last.response == "page 2" and last.messages[:len(first.messages)] == first.messages

def test_a_sub_call_that_is_too_long_fails_before_it_is_sent():
    with Narrow(lambda messages: "ok", most=8_000) as s:
        lm = OpenAILM("m", s.base_url, "", max_retries=0)
        code = "```repl\nfor n in (40_000, 300_000, 300_000):\n    try: print(llm_query('x' * n))\n" \
               "    except Exception as e: print(type(e).__name__, e)\n```"
        replies = iter([code, "FINAL(done)"])
        s.model = lambda messages: next(replies) if messages[0]["role"] == "system" else "ok"
        result = RLM(lm, verbose=False).completion("Ask!")
        assert len(s.requests) == 3 and s.refused == 1
    printed = result.iterations[0].code_blocks[0].result.stdout
    assert printed.count("takes 8,000 tokens at once, as it said when it refused a request. Cut it into pieces") == 2
    calls = result.iterations[0].code_blocks[0].result.rlm_calls
    assert [bool(c.error) for c in calls] == [True] * 3 and "300,000 characters" in calls[1].error

def test_a_child_is_kept_within_the_window_too():
    lm = Script(["```repl\nprint(rlm_query('Print all of it', context=[1, 2]))\n```", *PAGES,
                 "```repl\nFINAL(history[1][:6])\n```", "FINAL(done)"])
    result = RLM(lm, max_depth=2, verbose=False).completion("Ask!")
    child = result.iterations[0].code_blocks[0].result.rlm_calls[0].run
    assert child.response == "page 1" and child.folding.steps and not result.folding.steps and lm.refused == 1

@pytest.mark.parametrize("given", [0, -1, 1.5, "8k", True])
def test_a_window_is_a_number_of_tokens(given):
    with pytest.raises(ConfigurationError, match="context_window must be a whole number of at least 1"):
        RLM(Script([]), context_window=given)

def test_a_refusal_corrects_what_the_user_said():
    class Smaller(Script):
        def complete(self, messages):
            try: return super().complete(messages)
            except ContextWindowExceededError: raise ContextWindowExceededError("maximum context length is 8000 tokens")
    lm = Smaller([*PAGES, "FINAL(done)"])
    rlm = RLM(lm, verbose=False, context_window=100_000)
    assert rlm.completion("Print!").response == "done" and lm.refused == 1
    assert rlm.windows.of(lm).limit == 8_000

def test_a_model_that_says_its_window_is_not_refused():
    lm = Script([*PAGES, "FINAL(done)"])
    lm.context_window = 8_000
    assert RLM(lm, verbose=False).completion("Print!").response == "done" and lm.refused == 0

def test_a_limit_on_tokens_counts_the_summary():
    with Narrow(worker) as s:
        rlm = RLM(OpenAILM("m", s.base_url, "", max_retries=0), verbose=False, max_iterations=40)
        result = rlm.completion("Print thirty pages.")
        sent = sum(u["prompt_tokens"] for u in s.usage if u)
    assert result.usage.input_tokens == sent and result.usage.calls == len(s.requests) - s.refused

def test_what_may_be_folded_and_in_which_order():
    roles = ["system", "user", "assistant", "user", "assistant", "user", "assistant", "user", "assistant", "user", "assistant",
             "user"]
    marks = [0, 0, 1, 1, 2, 0, 3, 3, 4, 4, 5, 5]  # a turn of two replies, and one that has three so far
    messages = [{"role": role, "content": str(i)} for i, role in enumerate(roles)]
    assert foldable(marks, messages) == [3, 2, 7, 6]
    assert foldable(marks, messages, kept=1) == [3, 2, 7, 9, 6, 8]
    assert to_sum_up(messages, marks, goal=1) == (2, 5)
    assert to_sum_up([*messages[:2], messages[2], messages[5], messages[6] | {"content": "a long reply"},
                      *messages[7:]], [0, 0, -2, *marks[5:]], 1) == (4, 5)

_KERNEL = '''
from rlm.types import ContextWindowExceededError
history = "the user's"
class Small(ScriptedLM):
    def complete(self, messages):
        if sum(len(m["content"]) for m in messages) <= 32_000: return super().complete(messages)
        raise ContextWindowExceededError("the input length exceeds the context length")
pages = [f"```repl\\nprint('page {i} ' * 1_000)\\n```" for i in range(1, 7)]
rlm = RLM(Small([*pages, "```repl\\nFINAL(NAME[1][:6])\\n```", "```repl\\nFINAL(NAME[2][:6] + str(history)[:5])\\n```"]),
          environment="jupyter", environment_kwargs=KWARGS, verbose=False)
session = rlm.start_session()
one = session.chat("Print!")
two = session.chat("What was the second?")
'''

@pytest.mark.parametrize("kwargs, name, seen", [
    ("{}", "history", "<what"), ("READ", "rlm_history", "the u"), ("BACK", "history", "<what"), ("BOTH", "rlm_history", "the u")])
def test_in_a_notebook_the_users_history_stays(k, kwargs, name, seen):
    k.ok(_KERNEL.replace("NAME", name).replace("KWARGS", kwargs))
    assert k.value("[one.response, two.response, one.folding.name]") == ["page 1", f"page 2{seen}", name]
    assert k.value("(history, 'rlm_history' in globals())") == ("the user's", False)
    assert k.value("one.undo() is not None")
    assert k.value("history") == "the user's"

@pytest.mark.parametrize("change", [
    {"start": "1"}, {"stop": None}, {"messages": [1]}, {"messages": [{"role": "user"}]}, {"marks": ["x"]}, {"marks": 3},
    {"number": "2"}, {"name": "__builtins__"}, {"name": 5}, {"told": ["x"]}, {"summary": 1}])
def test_a_log_whose_folds_were_changed_is_refused(tmp_path, change):
    logger = RLMLogger(tmp_path)
    RLM(Script([*PAGES, "FINAL(done)"]), verbose=False, logger=logger).completion("Print!")
    lines = [json.loads(line) for line in logger.path.read_text().splitlines()]
    assert [e["type"] for e in lines].count("folded") == 1
    changed = [e | change if e["type"] == "folded" else e for e in lines]
    logger.path.write_text("".join(json.dumps(e) + "\n" for e in changed))
    with pytest.raises(RLMError, match="this is not what rlm wrote"): read_log(logger.path)
