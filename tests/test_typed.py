"What code gets that asks for a type: over real HTTP, with servers that know structured outputs and servers that don't."
import dataclasses, json
from typing import Literal, Optional

import pytest
from hypothesis import given, settings, strategies as st
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.limits import Ledger
from rlm.logger import RLMLogger, read_log
from rlm.openai_lm import OpenAILM
from rlm.prompts import PROFILES
from rlm.replay import Replay, replay
from rlm.subcalls import SubCalls
from rlm.typed import Wanted, as_items, as_type, wanted
from rlm.types import ConfigurationError, OutputTypeError
from server import ChatServer, Http
from test_local_lm import asks_the_model
from test_subcalls import code_then_answer, first_block, is_root, rlm_for

def sent(server): return [r.body for r in server.requests if not is_root(r.body)]
def asked(server): return [body for body in (r.body for r in server.requests) if not body["messages"][0]["content"].startswith("You solve")]

# -- on the wire

def test_a_server_with_structured_outputs_is_sent_the_schema():
    code = "print(llm_query('How many?', type=int), llm_query_batched(['a', 'b'], type='bool'))"
    def sub(body):
        kind = body["response_format"]["json_schema"]["schema"]["properties"]["value"]["type"]
        return json.dumps({"value": {"integer": 3, "boolean": True}[kind]})
    with ChatServer(code_then_answer(code, sub)) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "3 [True, True]\n"
    first = sent(s)[0]["response_format"]
    assert first == {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": {
        "type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"], "additionalProperties": False}}}
    assert "schema" not in sent(s)[0]["messages"][0] and "response_format" not in s.requests[0].body

REFUSAL = Http(400, {"error": {"message": "response_format json_schema is not supported by this model"}})

def test_a_server_that_refuses_a_schema_is_asked_in_words_and_remembered():
    code = "print([llm_query('How many?', type=int) for _ in range(3)], llm_query('Which?', type=['a', 'b']), llm_query('How high?', type=float))"
    def sub(body):
        if "response_format" in body: return REFUSAL
        text = body["messages"][0]["content"]
        return "a" if "a, b" in text else "3"
    with ChatServer(code_then_answer(code, sub)) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "[3, 3, 3] a 3.0\n"
    assert ["response_format" in body for body in sent(s)] == [True, False, False, False, True, False, False]
    assert result.usage.calls == 2 + 5

@pytest.mark.parametrize("reply", [Http(400, {"error": {"message": "bad key in the request"}}), Http(500, {"error": {"message": "down"}})])
def test_a_refusal_that_has_nothing_to_do_with_the_schema_is_not_remembered(reply):
    code = "llm_query('How many?', type=int)"
    with ChatServer(code_then_answer(code, reply)) as s: result = rlm_for(s).completion("go", context=1)
    assert "SubcallError: llm_query failed" in first_block(result).error
    assert s.requests and OpenAILM("m", s.base_url, "")._refused == []

def test_options_of_the_users_own_come_first():
    own = {"backend_kwargs": {"response_format": {"type": "json_object"}}}
    with ChatServer(code_then_answer("print(llm_query('How many?', type=int))", "3")) as s: rlm_for(s, **own).completion("go", context=1)
    assert sent(s)[0]["response_format"] == {"type": "json_object"}

@pytest.mark.parametrize("given, reply, kept", [
    (bool, '{"value": false}', "false"), (["a", "b"], '{"value": "a"}', "a"), (list[str], '{"value": ["x"]}', '["x"]'), (int, "7", "7"),
    (Optional[str], '{"value": null}', '{"value": null}'), ({"value": int}, '{"value": 7}', '{"value": 7}'), (int, "**7**", "**7**")])
def test_what_is_recorded_reads_as_the_same_value(given, reply, kept):
    kind = Wanted(given)
    assert kind.plain(reply) == kept and kind.read(kept) == kind.read(reply)

@asks_the_model
def test_the_embedded_model_is_held_to_the_schema():
    from rlm.local_lm import LocalLM
    calls = SubCalls([LocalLM("small")], Ledger())
    assert type(calls.llm_query("How many legs does a dog have?", type=int)) is int
    assert calls.llm_query("Is this happy or sad? 'I love it!'", type=["happy", "sad"]) in ("happy", "sad")
    assert [c.usage.calls for c in calls.take()] == [1, 1]

# -- the second try

def misfit_first(body): return "many" if len(body["messages"]) == 1 else "3"

def replies(code, sub):
    "Like `code_then_answer`, for sub-calls of more than one message."
    def reply(body):
        if body["messages"][0]["role"] != "system": return sub(body)
        return "FINAL(done)" if body["messages"][-1]["content"].startswith("Output:") else f"```repl\n{code}\n```"
    return reply

def test_a_misfit_goes_back_once_with_the_reason():
    with ChatServer(replies("print(llm_query('How many?', type=int))", misfit_first)) as s:
        result = rlm_for(s).completion("go", context=1)
    (call,), again = first_block(result).rlm_calls, asked(s)[1]["messages"]
    assert first_block(result).stdout == "3\n"
    assert [m["role"] for m in again] == ["user", "assistant", "user"] and again[1]["content"] == "many"
    assert "must be of type int, and is a str: 'many'" in again[2]["content"]
    assert (call.type, call.misfit, call.response, call.usage.calls) == ("int", "many", "3", 2)
    assert result.usage.calls == 4 and call.usage.input_tokens == sum(u["prompt_tokens"] for u in s.usage[1:3])

def test_listeners_hear_of_it_and_the_trace_shows_it():
    heard = []
    with ChatServer(replies("print(llm_query('How many?', type=int))", misfit_first)) as s:
        result = rlm_for(s, logger=heard.append).completion("go", context=1)
    assert [e.why for e in heard if type(e).__name__ == "Retrying"][0].startswith("the reply must be of type int")
    assert "(int): How many?\n-> many (no int; asked again)\n-> 3" in result.trace_markdown

def test_what_never_fits_is_an_error_a_failed_item_or_none_with_the_reason():
    code = ("try: llm_query('How many?', type=int)\nexcept Exception as e: print(type(e).__name__, e)\n"
            "print(llm_query_batched(['How many?'], type=int))\nm = llm_map(['x', 'y'], 'How many?', int)\nprint(m, m.errors[1])")
    with ChatServer(replies(code, lambda body: "many")) as s: result = rlm_for(s).completion("go", context=1)
    lines, block = first_block(result).stdout.splitlines(), first_block(result)
    assert lines[0].startswith("SubcallError llm_query failed: the reply must be of type int, and is a str: 'many'")
    assert lines[1].startswith('["[failed: llm_query failed: the reply must be of type int')
    assert lines[2].startswith("[None, None] llm_query failed: the reply must")
    assert "2 of 2 sub-calls failed; the first: " in block.stderr
    assert {(c.usage.calls, c.response, c.misfit, bool(c.error)) for c in block.rlm_calls} == {(2, "", "many", True)}

def test_limits_hold_for_second_tries_too():
    code = "llm_map(['x'] * 40, 'How many?', int)"
    with ChatServer(replies(code, lambda body: "many")) as s:
        with pytest.raises(Exception) as e: rlm_for(s, max_errors=3, max_concurrent_subcalls=1).completion("go", context=1)
    assert e.value.stop_reason == "max_errors" and len(s.requests) == 1 + 3 * 2

# -- what may be written as a type

@pytest.mark.parametrize("given, reply, value", [
    ("int", "7", 7), (int, "1,234", 1234), ("float", "3", 3.0), ("integer", "7", 7), ("number", "2.5", 2.5), ("boolean", "No.", False),
    (bool, "True", True), (["pos", "neg"], "POS", "pos"), (("a", "b"), "`b`", "b"), ("Literal['a', 'b']", "a.", "a"),
    ("['yes', 'no']", "Yes", "yes"), ([1, 2, 3], "2", 2), ("list[str]", '["a"]', ["a"]), (list[int], "```json\n[1, 2]\n```", [1, 2]),
    ("typing.List[int]", "[1]", [1]), ("Optional[int]", "null", None), ("int | None", "5", 5), ("dict[str, int]", '{"a": 1}', {"a": 1}),
    ({"name": str, "year": int}, 'Sure: {"name": "Emma", "year": 1815}', {"name": "Emma", "year": 1815}),
    ({"name": "str", "tags": ["a", "b"]}, '{"name": "x", "tags": "b"}', {"name": "x", "tags": "b"}),
    ("{'name': 'str'}", '{"name": "x"}', {"name": "x"}), ([{"name": "str"}][0], "{'name': 'x'}", {"name": "x"}),
    ({"type": "array", "items": {"type": "integer"}}, "[1]", [1]), ({"enum": ["a", "b"]}, "b", "b"),
    ({"type": "object", "properties": {"n": {"type": "integer"}}}, '{"n": 1}', {"n": 1}),
    ({"type": "object", "additionalProperties": {"type": "number"}}, '{"a": 1}', {"a": 1.0}), ("dict", '{"value": 1}', {"value": 1}),
    ({"value": int}, '{"value": 1}', {"value": 1}), ("date", "2026-11-29", __import__("datetime").date(2026, 11, 29)),
    (tuple[int, str], '[1, "a"]', (1, "a")), (Optional[str], "text", "text")])
def test_types_and_replies(given, reply, value):
    found = Wanted(given).read(reply)
    assert found == value and type(found) is type(value)

@pytest.mark.parametrize("given", [5, "it", "__import__('os').system('x')", "int(5)", "list[it]", "lambda: 1", "(", object(), [], {}, [[]],
                                   {"name": "it"}, {"type": "array", "items": {"type": "object", "$ref": "#/x"}}, type(json), "x" * 10_000])
def test_what_is_no_type_is_refused_before_anything_is_asked(given):
    with pytest.raises(TypeError, match="type is a type such as int"): Wanted(given)
    def fail(messages): raise AssertionError("was asked")
    script = ScriptedLM(["```repl\ntry: llm_query('x', type=tool)\nexcept TypeError as e: print(str(e)[:22])\n```", "FINAL(no)", fail])
    result = RLM(script, custom_tools={"tool": given}, verbose=False).completion("go", context=1)
    assert first_block(result).stdout == "type is a type such as\n" and len(script.calls) == 2

@pytest.mark.parametrize("given, reply", [(int, "2 of 3"), (int, ""), (["a", "b"], "a or b"), (["a", "b"], "c"), (list[str], "a, b"),
                                          ({"n": int}, '{"m": 1}'), (bool, "perhaps"), (int, "<think>3"), (float, "n/a")])
def test_what_does_not_fit_is_not_guessed_at(given, reply):
    with pytest.raises(OutputTypeError, match="the reply must be of type"): Wanted(given).read(reply)

def test_the_reason_is_of_the_value_that_was_meant():
    with pytest.raises(OutputTypeError, match="year: Input should be a valid integer"):
        Wanted({"name": str, "year": int}).read('Here: {"name": "Emma", "year": "early"}')

@settings(deadline=None)
@given(st.text())
def test_any_reply_is_read_or_refused(text):
    for kind in (int, ["a", "b"], list[str], {"n": int}):
        try: Wanted(kind).read(text)
        except OutputTypeError: pass

@given(st.text(max_size=60))
def test_any_text_is_a_type_or_refused(text):
    try: Wanted(text)
    except TypeError: pass

def test_a_type_that_is_text_asks_as_ever():
    assert [wanted(given) for given in (None, str, "str", "string")] == [None] * 4
    with ChatServer(code_then_answer("print(llm_query('hi', type=str))", "yes")) as s: rlm_for(s).completion("go", context=1)
    assert sent(s)[0]["messages"] == [{"role": "user", "content": "hi"}] and "response_format" not in sent(s)[0]

def test_a_dataclass_that_the_code_makes():
    code = ("from dataclasses import dataclass\n@dataclass\nclass City:\n    name: str\n    people: int = 0\n"
            "found = llm_query('Which?', type=City)\nprint(found, llm_query('Which?', type=list[City]))")
    def sub(body):
        schema = body["response_format"]["json_schema"]["schema"]
        return '{"name": "Lima"}' if "name" in schema["properties"] else '{"value": [{"name": "Oslo", "people": 7}]}'
    with ChatServer(code_then_answer(code, sub)) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "City(name='Lima', people=0) [City(name='Oslo', people=7)]\n"
    assert sent(s)[0]["response_format"]["json_schema"]["schema"]["required"] == ["name", "people"]

# -- llm_map

def test_a_map_keeps_its_order_and_takes_what_json_can_tell():
    code = "print(llm_map(['a', {'b': 1}, 2, None, ['c']], 'Say it.'))\nprint(llm_map('Say it.', ['a']), llm_map([], 'x', int))"
    with ChatServer(code_then_answer(code, lambda body: body["messages"][0]["content"].partition("\n\n")[2])) as s:
        result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "['a', '{\"b\": 1}', '2', None, '[\"c\"]']\n['a'] []\n"
    assert "1 of 5 sub-calls failed" in first_block(result).stderr

@pytest.mark.parametrize("items", ["a text", {"a": 1}, 5, b"x"])
def test_what_is_no_list_of_items_is_refused(items):
    with pytest.raises(TypeError, match="llm_map takes a list of items"): as_items(items)

def test_a_frame_is_no_list_and_a_column_is():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": ["x", "y"]})
    with pytest.raises(TypeError): as_items(frame)
    assert as_items(frame["a"]) == ["x", "y"]

def test_the_model_may_be_named_in_any_place():
    code = "print(llm_query('hi', 'test-model'), llm_query('hi', None, 'test-model'), llm_map(['a'], 'hi', 'test-model'))"
    with ChatServer(code_then_answer(code, "yes")) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "yes yes ['yes']\n"

@pytest.mark.parametrize("environment, needs", [("local", "rlm"), ("monty", "pydantic_monty"), ("kernel", "jupyter_client")])
def test_types_cross_every_wall(environment, needs):
    pytest.importorskip(needs)
    code = ("print(llm_query('How many?', type=int), llm_query('How many?', type='float'), llm_map(['a', {'b': 1}], 'Is it?', type=['yes', 'no']))\n"
            "print(llm_map(['a'], 'Which?', {'name': str, 'years': list[int]}))")
    def sub(body):
        properties = body["response_format"]["json_schema"]["schema"]["properties"]
        if "name" in properties: return '{"name": "Emma", "years": [1815]}'
        return json.dumps({"value": "yes" if "enum" in properties["value"] else 3})
    with ChatServer(code_then_answer(code, sub)) as s: result = rlm_for(s, environment=environment).completion("go", context=1)
    assert first_block(result).text.strip() == "3 3.0 ['yes', 'yes']\n[{'name': 'Emma', 'years': [1815]}]"

# -- logs, replay, the cache

CODE = ("a = llm_query('How many?', type=int)\nb = llm_map(['x', 'fail'], 'How many?', int)\n"
        "try: llm_query('never', type=['a', 'b'])\nexcept Exception as e: print(e)\nFINAL([a, list(b), sorted(b.errors)])")

def sub(body):
    text = body["messages"][0]["content"]
    return "never" if "fail" in text or "never" in text else misfit_first(body)

def test_a_log_has_it_all_and_its_replay_is_equal(tmp_path):
    logger = RLMLogger(tmp_path)
    with ChatServer(replies(CODE, sub)) as s: result = rlm_for(s, logger=logger).completion("go", context=1)
    assert result.value == [3, [3, None], [1]]
    run, = read_log(logger.path)
    calls = run.result.iterations[0].code_blocks[0].result.rlm_calls
    assert calls == first_block(result).rlm_calls and [c.type for c in calls] == ["int"] * 3 + ["Literal['a', 'b']"]
    r = Replay(logger.path, run.id)
    r.block(1, CODE)
    assert r.end().startswith("The same as then")
    assert RLM(replay(logger.path), verbose=False).completion("go", context=1).value == result.value

def test_a_run_is_resumed_from_its_log(tmp_path):
    logger = RLMLogger(tmp_path)
    code = "a = llm_query('How many?', type=int)\nprint(a + 1)"
    with ChatServer(replies(code, misfit_first)) as s:
        rlm_for(s, logger=logger).completion("go", context=1)
        before = len(s.requests)
        result = rlm_for(s).resume(logger.path, from_iteration=2)
    assert result.response == "done" and len(s.requests) == before + 1 and first_block(result).stdout == "4\n"

def test_the_cache_keeps_replies_by_type(tmp_path):
    code = "print(llm_query('How many?', type=int), llm_query('How many?', type=float), llm_query('How many?'))"
    with ChatServer(code_then_answer(code, "3")) as s:
        for _ in range(2): result = rlm_for(s, cache=tmp_path/"replies.sqlite").completion("go", context=1)
    assert first_block(result).stdout == "3 3.0 3\n"
    assert len(sent(s)) == 3 and [c.usage.reused for c in first_block(result).rlm_calls] == [1, 1, 1]

# -- no sub-calls

@pytest.mark.parametrize("profile", PROFILES)
def test_without_sub_calls_the_model_is_told_of_none_and_has_none(profile):
    code = "for f in (llm_query, llm_query_batched, llm_map, rlm_query, rlm_query_batched):\n    try: f(['x'], 'y')\n    except Exception as e: print(e)"
    script = ScriptedLM([f"```repl\n{code}\n```", "FINAL(none)"])
    result = RLM(script, sub_calls=False, prompts=profile, verbose=False).completion("go", context=1)
    assert not any(word in m["content"] for m in script.calls[0] for word in ("llm_", "rlm_", "language model"))
    lines = first_block(result).stdout.splitlines()
    assert len(lines) == 5 and all("is turned off" in line for line in lines) and not first_block(result).rlm_calls

def test_without_sub_calls_a_replay_has_none_either(tmp_path):
    logger, code = RLMLogger(tmp_path), "try: llm_query('x')\nexcept Exception as e: FINAL(str(e))"
    RLM(ScriptedLM([f"```repl\n{code}\n```"]), sub_calls=False, logger=logger, verbose=False).completion("go", context=1)
    run, = read_log(logger.path)
    assert run.settings.sub_calls is False
    r = Replay(logger.path, run.id)
    r.block(1, code)
    assert r.end().startswith("The same as then")

def test_nobody_to_ask_and_somebody_to_ask_is_an_error():
    with pytest.raises(ConfigurationError, match="Leave out other_backends"): RLM(ScriptedLM([]), sub_calls=False, other_backends=[ScriptedLM([])])
