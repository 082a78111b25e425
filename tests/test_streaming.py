"Replies in pieces, over real HTTP under the real client: the same as whole ones, and what happens when they break off."
import threading, time

import pytest

from rlm import RLM
from rlm.events import ModelAsked, Retrying
from rlm.openai_lm import OpenAILM
from rlm.streaming import Heard, assembled
from rlm.types import LMConnectionError, LMRateLimitError, LMRequestError, LMServerError, RunEndedError
from server import RESET, ChatServer, Http, completion, pieces

HELLO = [{"role": "user", "content": "Hello there, you."}]

def lm_for(server, **options): return OpenAILM("test-model", server.base_url, **{"max_retries": 0, **options})

class Reads:
    "A listener that reads along."
    reads_along = True
    def __init__(self): self.events = []
    def __call__(self, event): self.events.append(event)

@pytest.mark.parametrize("message", ["FINAL(Blue)", "", "Grüße, 世界 \u2028 \n\n data: x", {"content": None},
    {"content": "an answer", "reasoning_content": "First I think."}, {"content": None, "refusal": "I won't."},
    {"content": "x", "annotations": [{"a": 1}], "token_ids": [1, 2, 3]}])
def test_a_reply_in_pieces_is_the_same_as_whole(message):
    sent = completion(message, {"model": "test-model", "messages": HELLO}, system_fingerprint="fp_1")
    sent["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.5}]}
    heard = Heard(wanted=True)
    with ChatServer(sent, streams=True) as s:
        whole, streamed = lm_for(s).complete(HELLO), lm_for(s).complete(HELLO, heard)
        assert [r.body.get("stream") for r in s.requests] == [None, True]
    pop = lambda r: (r.content, r.reasoning, r.model, r.usage, r.finish_reason, r.extra)
    assert pop(whole) == pop(streamed)
    assert heard.text == (whole.reasoning or "") + whole.content

def test_nobody_looks_and_nothing_is_streamed():
    with ChatServer(["FINAL(1)"] * 3, streams=True) as s:
        assert RLM(lm_for(s), verbose=False).completion("go").response == "1"
        assert lm_for(s, stream=False).complete(HELLO, Heard(wanted=True)).content == "FINAL(1)"
        assert lm_for(s, n=2).complete(HELLO, Heard(wanted=True)).content == "FINAL(1)"
        assert not any("stream" in r.body for r in s.requests)

def test_a_run_is_the_same_for_those_who_read_along():
    results, listener = [], Reads()
    for logger in (None, listener):
        with ChatServer(["```repl\nprint(len(context))\n```", "FINAL(three words)"], streams=True) as s:
            results.append(RLM(lm_for(s), verbose=False, logger=logger).completion("How long?", context="abc"))
            assert [r.body.get("stream") for r in s.requests] == [logger and True] * 2
    assert results[0].messages == results[1].messages and results[0].usage == results[1].usage
    assert [e.heard.text for e in listener.events if type(e) is ModelAsked] == [
        "```repl\nprint(len(context))\n```", "FINAL(three words)"]

def test_a_text_can_be_read_while_it_comes():
    with ChatServer("one two three four five", streams=True, pause=0.1) as s:
        heard, seen = Heard(wanted=True), []
        asking = threading.Thread(target=lambda: lm_for(s).complete(HELLO, heard))
        asking.start()
        while asking.is_alive():
            seen.append(heard.text)
            time.sleep(0.02)
    assert {"one two", "one two three"} <= set(seen) and heard.text == "one two three four five"

def test_a_server_that_can_not_stream_sends_the_whole():
    with ChatServer("FINAL(1)") as s:
        assert lm_for(s).complete(HELLO, Heard(wanted=True)).content == "FINAL(1)"
        assert len(s.requests) == 1

@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_server_that_refuses_to_stream_is_asked_for_the_whole_from_then_on(status):
    def answer(body):
        if not body.get("stream"): return "FINAL(1)"
        return Http(status, {"error": {"message": "Your organization must be verified to stream this model."}})
    with ChatServer(answer) as s:
        lm = lm_for(s)
        for _ in range(2): assert lm.complete(HELLO, Heard(wanted=True)).content == "FINAL(1)"
        assert [r.body.get("stream") for r in s.requests] == [True, None, None]

def test_other_refusals_are_errors_as_ever():
    with ChatServer(Http(400, {"error": {"message": "no such option"}})) as s:
        with pytest.raises(LMRequestError, match="no such option"): lm_for(s).complete(HELLO, Heard(wanted=True))
        assert len(s.requests) == 1

@pytest.mark.parametrize("breaks", [[RESET], ["{not json"], []], ids=["reset", "garbage", "no end"])
def test_a_stream_that_breaks_off_is_asked_for_whole(breaks):
    def answer(body):
        if not body.get("stream"): return "FINAL(whole)"
        start = list(pieces(completion("FINAL(half an answer)", body), body))[:3]
        return Http(body=iter([*start, *breaks]))
    again = []
    with ChatServer(answer, streams=True) as s:
        heard = Heard(wanted=True, again=again.append)
        assert lm_for(s).complete(HELLO, heard).content == "FINAL(whole)" and heard.text == ""
        assert again == ["its stream broke off"]

def test_an_error_in_the_midst_of_a_stream():
    def answer(body):
        start = list(pieces(completion("FINAL(half)", body), body))[:2]
        return Http(body=iter([*start, {"error": {"message": "overloaded", "code": 503}}]))
    with ChatServer(answer) as s:
        with pytest.raises(LMServerError, match="503.*overloaded"): lm_for(s).complete(HELLO, Heard(wanted=True))

def test_no_bill_at_the_end_of_a_stream_and_no_stream_after_it():
    def answer(body):
        if not body.get("stream"): return "FINAL(1)"
        return Http(body=iter([p for p in pieces(completion("FINAL(1)", body), body) if p["choices"]]))
    with ChatServer(answer) as s:
        lm = lm_for(s)
        first, second = (lm.complete(HELLO, Heard(wanted=True)) for _ in range(2))
        assert first.usage.estimated_tokens and not second.usage.estimated_tokens
        assert [r.body.get("stream") for r in s.requests] == [True, None]

def test_an_endless_stream_is_left():
    def chatter():
        while True: yield {"choices": [{"index": 0, "delta": {"content": "x" * 100_000}}]}
    assert "choices" not in assembled(chatter(), Heard(), most=1_000_000)

def test_a_run_that_is_over_reads_no_more():
    def over(): raise RunEndedError("over")
    with ChatServer("one two three", streams=True) as s:
        with pytest.raises(RunEndedError): lm_for(s).complete(HELLO, Heard(wanted=True, check=over))

def test_why_a_server_is_asked_again():
    listener = Reads()
    busy = Http(429, {"error": {"message": "slow down"}}, {"retry-after-ms": "5"})
    with ChatServer([busy, Http(503, headers={"retry-after-ms": "5"}), RESET, "FINAL(1)"]) as s:
        RLM(lm_for(s, max_retries=3), verbose=False, logger=listener).completion("go")
    assert [e.why for e in listener.events if type(e) is Retrying] == [
        "it answered 429 (Error)", "it answered 503 (Error)", "it could not be reached"]

def test_nothing_is_told_of_a_retry_that_does_not_come():
    listener = Reads()
    with ChatServer(Http(429)) as s, pytest.raises(LMRateLimitError):
        RLM(lm_for(s), verbose=False, logger=listener).completion("go")
    assert not [e for e in listener.events if type(e) is Retrying]

def test_no_server():
    with ChatServer() as s: pass
    with pytest.raises(LMConnectionError): lm_for(s).complete(HELLO, Heard(wanted=True))
