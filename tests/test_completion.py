"""`RLM.completion()` from end to end: over real HTTP, in threads, in a terminal, and when things go wrong."""
import asyncio, inspect, json, os, pty, subprocess, sys, textwrap, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from rlm import RLM, Session
from rlm.lm import ScriptedLM
from rlm.preview import describe
from rlm.types import *
from leaks import CASES
from server import HANG, ChatServer, Http, completion

LOOK = "```repl\nprint(len(context))\n```"

def rlm_for(server, **options) -> RLM:
    kwargs = {"model_name": "test-model", "base_url": server.base_url, "max_retries": 0}
    kwargs |= options.pop("backend_kwargs", {})
    return RLM(backend_kwargs=kwargs, verbose=False, **options)

def scripted(*replies, **options) -> RLM: return RLM(ScriptedLM(list(replies)), **{"verbose": False, **options})

# -- what goes over the wire

def test_two_iterations_over_http():
    with ChatServer([LOOK, "FINAL(1000)"]) as s:
        result = rlm_for(s).completion("How long is it?", context="x" * 1_000)
    assert (result.response, result.value, result.stop_reason, result.computed) == ("1000", 1000, "final", False)
    assert [i.code_blocks[0].result.stdout for i in result.iterations if i.code_blocks] == ["1000\n"]
    assert result.usage.calls == 2 == len(s.requests)
    assert list(result.messages) == s.messages[-1] + [{"role": "assistant", "content": "FINAL(1000)"}]

def test_each_request_extends_the_one_before():
    with ChatServer([LOOK, "Hmm.", "FINAL(nope_nope)", LOOK + "\nFINAL(3)", "FINAL(1000)"]) as s:
        rlm_for(s).completion("How long is it?", context="x" * 1_000)
    for a, b in zip(s.messages, s.messages[1:]):
        assert b[:len(a)] == a and len(b) == len(a) + 2
        assert [m["role"] for m in b[-2:]] == ["assistant", "user"]

def test_the_context_is_not_sent():
    with ChatServer([LOOK, "FINAL(done)"]) as s:
        rlm_for(s).completion("What is it about?", context="".join(f"line {i}\n" for i in range(50_000)))
    assert all("line 25000" not in m["content"] for m in s.messages[-1])
    assert sum(len(m["content"]) for m in s.messages[-1]) < 10_000

def test_only_given_parameters_are_sent():
    with ChatServer(["FINAL(x y)"]) as s: rlm_for(s, backend_kwargs={"temperature": 0}).completion("Pick a color.")
    assert set(s.requests[0].body) == {"model", "messages", "temperature"}

def test_a_short_prompt_costs_one_call():
    with ChatServer(["FINAL(Blue)"]) as s: result = rlm_for(s).completion("Pick a color.")
    assert result.response == "Blue" and len(s.requests) == 1
    assert s.messages[0][-1]["content"] == "Task: Pick a color."

def test_preview_is_the_first_request():
    with ChatServer("FINAL(Blue)") as s:
        rlm = rlm_for(s)
        for ask in [dict(prompt="Pick one.", context=["red", "blue"]), dict(prompt=["red"], root_prompt="Pick one."),
                    dict(prompt="Pick a color."), dict(prompt="x" * 9_000)]:
            looked, before = rlm.preview(**ask), len(s.requests)
            rlm.completion(**ask)
            assert s.messages[before] == looked

def test_schema_sends_no_values_on_its_own():
    with ChatServer(["```repl\nname = context\nname[99]\n```", "FINAL(nobody)", "FINAL(nobody)"]) as s:
        rlm_for(s, environment_kwargs={"preview": "schema"}).completion("Who is it?", context="Ada Lovelace")
    assert "context: str, 12 characters" in s.messages[0][-1]["content"]
    assert "IndexError" in s.messages[1][-1]["content"] and "Ada" not in str(s.messages)

def preview(context, **options) -> str:
    return scripted(environment_kwargs=options).preview("Well?", context=context)[-1]["content"]

def test_the_preview_of_a_megabyte_of_bytes_has_two_ends_and_no_number_but_the_size():
    told = preview(b"\x89PNG" + bytes(10 ** 6) + b"IEND")
    assert "1,000,008 bytes" in told and "b'\\x89PNG\\x00" in told and "IEND'" in told and "cut" not in told
    assert len(told) < 2_000 and preview(bytearray(b"abc")).splitlines()[2] == "b'abc'"

def test_columns_that_are_named_like_secrets_are_not_previewed():
    told = preview(pd.DataFrame({"city": ["Lima"] * 9, "api_key": "k-123", "password": "hunter2"}))
    assert "Lima" in told and "k-123" not in told and "hunter2" not in told
    for secret in (pd.Series(["hunter2"], name="password"), pd.Index(["hunter2"], name="api_key")): assert preview(secret).count("value hidden") == 1
    assert preview(pd.Series(["Lima"], name="city")).count("Lima") == 1
    assert describe("passwords", pd.Series(["hunter2"]).to_numpy()).endswith(", value hidden")

def test_the_preview_of_a_long_table_ends_with_its_fifth_row_however_pandas_is_set():
    with pd.option_context("display.max_rows", None, "display.max_columns", None):
        told = preview(pd.DataFrame({"n": range(100_000)}, index=[x / 10 for x in range(100_000)]))
    assert told.splitlines()[4:9] == ["0.0  0", "0.1  1", "0.2  2", "0.3  3", "0.4  4"] and told.splitlines()[9] == "…"

def test_schema_shows_no_default_of_a_function():
    def score(patient="Ada", limit: int = 3): ...
    told = preview({}, preview="schema") + scripted(custom_tools={"score": score}, environment_kwargs={"preview": "schema"}).preview("?")[0]["content"]
    assert "score(patient=..., limit: int = ...)" in told and "Ada" not in told

def test_a_files_name_as_context_is_told_before_anything_is_asked(tmp_path, capsys):
    file = tmp_path / "sales.csv"
    file.write_text("city,sales")
    heard = []
    rlm = RLM(ScriptedLM(["FINAL(ok ok)"] * 2), logger=heard.append, verbose=True)
    assert rlm.completion("Well?", context=str(file)).response == "ok ok"
    kinds = [type(e).__name__ for e in heard]
    assert kinds.index("Notice") < kinds.index("ModelAsked") and f"context=Path({str(file)!r})" in capsys.readouterr().out

def test_other_texts_are_no_paths():
    heard = []
    rlm = RLM(ScriptedLM(["FINAL(ok ok)"] * 9), logger=heard.append, verbose=False)
    for context in ("nowhere.csv", "", "a\0b", "x" * 999, ".", "../" * 300): rlm.completion("Well?", context=context)
    assert "Notice" not in [type(e).__name__ for e in heard]

class Echo:
    "A model for sub-calls that says in its errors what it was asked."
    def complete(self, messages): raise ValueError(f"never heard of {messages[-1]['content']}")

@pytest.mark.parametrize("error, code", CASES)
def test_under_schema_no_message_of_an_error_is_sent(error, code):
    if "ExceptionGroup" in error and sys.version_info < (3, 11): pytest.skip("new in Python 3.11")
    patient = "zqlovelace"
    lm = ScriptedLM([f"```repl\npatient, df = context['patient'], context['df']\n{code}\n```", *["FINAL(no luck)"] * 2])
    rlm = RLM(lm, other_backends=[Echo()], environment_kwargs={"preview": "schema"}, verbose=False)
    result = rlm.completion("Who?", context={"patient": patient, "df": pd.DataFrame({"name": [patient]}, index=["x"])})
    block = result.iterations[0].code_blocks[0].result
    assert patient not in str(result.messages) and error in (block.error or "")
    assert bool(block.error) == bool(error)

def test_under_schema_an_error_tells_what_the_code_itself_says():
    codes = ["print(amuont)", "context.colums", "import sklaern.cluster", "x = (1,\ny = 2", "print('shown')\n1/0", "llm_query_batched([1, 'a'])"]
    lm = ScriptedLM([f"```repl\n{code}\n```" for code in codes] + ["FINAL(no luck)"] * 2)
    result = RLM(lm, other_backends=[ScriptedLM(["yes"])], environment_kwargs={"preview": "schema"}, verbose=False).completion("?", context="x" * 700)
    *errors, batch = [i.code_blocks[0].result for i in result.iterations if i.code_blocks]
    assert [e.error.splitlines()[-1] for e in errors] == ["NameError: 'amuont'", "AttributeError: 'colums'",
        "ModuleNotFoundError: 'sklaern'", "SyntaxError: '(' was never closed", "ZeroDivisionError: (its message is left out)"]
    assert "line 2" in errors[4].error and errors[4].stdout == "shown\n"
    assert batch.stderr == "1 of 2 sub-calls failed\n(the rest of stderr is left out)"

def test_under_schema_an_answer_of_another_type_is_not_quoted():
    lm = ScriptedLM(["```repl\nFINAL({context: 1})\n```", "```repl\nFINAL(7)\n```"])
    rlm = RLM(lm, environment_kwargs={"preview": "schema"}, verbose=False)
    result = rlm.completion("How many?", context="zqlovelace", output_type=dict[int, int] | int)
    assert result.value == 7 and "int_parsing" in str(result.messages) and "zqlovelace" not in str(result.messages)

def test_a_traceback_shows_the_values_of_its_last_line():
    code = "```repl\npassword = 'hunter2'\nfor row in context: total = int(row.split(',')[0]) + len(password)\n```"
    result = scripted(code, "FINAL(no luck)").completion("Sum?", context=["x,1", "y,2"])
    error = result.iterations[0].code_blocks[0].result.error
    assert "row = 'x,1'" in error and "password = <hidden>" in error and "hunter2" not in error

def test_an_answer_about_data_that_was_never_looked_at_is_asked_about_once():
    guess = "FINAL(about 70)"
    with ChatServer([guess, LOOK, "FINAL(1000)"]) as s: result = rlm_for(s).completion("How long?", context="x" * 1_000)
    assert result.response == "1000" and "without having computed" in s.messages[1][-1]["content"]
    assert scripted(guess, guess).completion("How long?", context="x" * 1_000).response == "about 70"
    assert scripted(guess).completion("How long?", context="short").response == "about 70"

def test_code_that_fails_again_is_said_to_be_the_same():
    bad = "```repl\n1/0\n```"
    result = scripted(bad, bad, "FINAL(x y)").completion("Go.")
    said = [m["content"] for m in result.messages if m["role"] == "user"]
    assert said[-2].endswith("different code.") and "ran before" in said[-1] and "ran before" not in said[-2]

def test_secrets_in_the_data_stay_home():
    sent = str(scripted().preview("Which user?", context={"user": "ada", "api_key": "abcdef-not-to-be-sent"}))
    assert "ada" in sent and "not-to-be-sent" not in sent

def test_reasoning_is_kept_but_not_sent_back():
    think = {"content": LOOK, "reasoning_content": "I should look first."}
    with ChatServer([think, "<think>FINAL(7)</think>\nFINAL(1000)"]) as s:
        result = rlm_for(s).completion("How long?", context="x" * 1_000)
    assert result.response == "1000"
    assert result.iterations[0].reply.reasoning == "I should look first."
    assert "look first" not in str(result.messages) and "FINAL(7)" not in str(result.messages)

def test_a_reply_cut_by_length_does_not_run():
    cut = completion("```repl\nprint(len(contex", finish_reason="length")
    with ChatServer([cut, LOOK, "FINAL(5)"]) as s:
        result = rlm_for(s).completion("How long?", context="abcde")
    assert result.iterations[0].code_blocks == ()
    assert "cut off" in s.messages[1][-1]["content"]

@pytest.mark.parametrize("empty", ["", {"content": None}, {"tool_calls": [{"id": "1"}], "content": None}])
def test_an_empty_reply_is_answered_with_what_to_do(empty):
    with ChatServer([empty, "FINAL(Blue)"]) as s: result = rlm_for(s).completion("Pick a color.")
    assert result.response == "Blue"
    assert s.messages[1][-1]["content"].startswith("Nothing was run")

# -- what the model's code can do

def test_values_survive_as_objects():
    result = scripted("```repl\nclass Point: x = 3\nFINAL(Point())\n```").completion("A point, please.")
    assert result.value.x == 3 and result.computed

def test_the_context_is_bound_by_reference():
    basket = ["apple"]
    scripted("```repl\ncontext.append('pear')\n```", "FINAL(done)").completion("Add a pear.", context=basket)
    assert basket == ["apple", "pear"]

def test_llm_query_and_its_accounts():
    def reply(body): return "angry" if body["messages"][-1]["content"].startswith("Mood") else script.pop(0)
    ask = "```repl\nmoods = llm_query_batched(['Mood of ' + r for r in context])\nprint(moods)\n```"
    script = [ask, "FINAL(angry)"]
    with ChatServer(reply) as s: result = rlm_for(s).completion("What mood?", context=["r1", "r2", "r3"])
    block = result.iterations[0].code_blocks[0]
    assert block.result.stdout == "['angry', 'angry', 'angry']\n"
    assert sorted(c.prompt for c in block.result.rlm_calls) == ["Mood of r1", "Mood of r2", "Mood of r3"]
    assert result.usage.calls == 5 == len(s.requests)
    counted = [i.reply.usage for i in result.iterations] + [c.usage for c in block.result.rlm_calls]
    assert sum(counted, Usage()) == result.usage

def test_a_failed_sub_call_is_the_codes_problem():
    def reply(body): return Http(500, "boom") if len(body["messages"]) == 1 else script.pop(0)
    script = ["```repl\nllm_query('hello')\n```", "FINAL(no luck)"]
    with ChatServer(reply) as s: result = rlm_for(s).completion("Ask.")
    assert result.response == "no luck"
    assert "SubcallError" in result.iterations[0].code_blocks[0].result.error
    assert result.iterations[0].code_blocks[0].result.rlm_calls[0].error

def test_in_a_batch_the_others_survive():
    def reply(body):
        if len(body["messages"]) > 1: return script.pop(0)
        return Http(500, "boom") if body["messages"][0]["content"] == "b" else "fine"
    script = ["```repl\nr = llm_query_batched(['a', 'b', 'c'])\nprint(r)\n```", "FINAL(ok then)"]
    with ChatServer(reply) as s: result = rlm_for(s).completion("Ask.")
    done = result.iterations[0].code_blocks[0].result
    assert done.stdout.startswith("['fine', \"[failed: llm_query failed: ") and done.stdout.endswith(", 'fine']\n")
    assert done.stderr.startswith("1 of 3 sub-calls failed")

def test_tools_and_reserved_names_are_restored():
    def double(x): "Twice `x`."; return 2 * x
    steal = "```repl\nllm_query = double = context = None\n```"
    result = scripted(steal, "```repl\nFINAL([double(4), context, callable(llm_query)])\n```",
                      custom_tools={"double": double}).completion("Go.", context="here")
    assert result.value == [8, "here", True]
    assert "context, double, llm_query: put back" in result.messages[-2]["content"]

def test_a_tool_that_is_a_value():
    rlm = scripted("```repl\nFINAL(limit + 1)\n```", custom_tools={"limit": 41})
    assert "limit: int = 41" in rlm.preview("Go.")[0]["content"]
    assert rlm.completion("Go.").value == 42

def test_what_escapes_from_a_run_says_that_it_is_over():
    code = "```repl\ndef ask(): return llm_query('hi')\nFINAL(ask)\n```"
    ask = scripted(code).completion("A function, please.").value
    with pytest.raises(RunEndedError, match="ended"): ask()

def test_the_reference_implementations_way_to_answer():
    code = "```repl\nanswer['content'] = sum(context)\nanswer['ready'] = True\n```"
    assert scripted(code).completion("Sum?", context=[1, 2, 3]).value == 6

# -- answers that are hard to take

HOSTILE = "class A:\n    def __str__(self): raise SystemExit(3)\n"

@pytest.mark.parametrize("code, said", [(HOSTILE + "FINAL(A())", "<A; its str() raised SystemExit>"),
                                        ("FINAL(2**20000)", str(__import__("decimal").Decimal(2**20000)))])
def test_a_value_without_a_str_is_still_an_answer(code, said):
    assert scripted(f"```repl\n{code}\n```").completion("Go.").response == said

def test_a_task_that_dies_badly_does_not_take_the_answer_along():
    code = """
import asyncio
async def t():
    try: await asyncio.sleep(100)
    except asyncio.CancelledError: raise SystemExit(1)
task = asyncio.create_task(t())
await asyncio.sleep(0)
FINAL(5)"""
    assert scripted(f"```repl{code}\n```").completion("Go.").value == 5

def test_an_answer_that_a_python_block_computes():
    assert scripted("```python\nname = 'Bob'\n```\nFINAL(f'Hi {name}')").completion("Go.").response == "Hi Bob"

def test_an_answer_that_asks_a_model_asks_once():
    result = scripted("FINAL(llm_query('a'))", "sub one").completion("Go.")
    assert (result.response, result.usage.calls) == ("sub one", 2)
    assert [c.response for c in result.iterations[0].code_blocks[0].result.rlm_calls] == ["sub one"]

def test_an_answer_that_asks_a_model_and_fails_skips_no_block():
    result = scripted("FINAL(llm_query('a') + 1)", "sub one", "FINAL(gave up)").completion("Go.")
    said = result.messages[-2]["content"]
    assert "could not be worked out" in said and "did not run" not in said

def test_a_best_answer_that_cannot_be_had_is_empty():
    result = scripted("Hmm.", "FINAL_VAR(total_sum)", max_iterations=1).completion("Go.")
    assert (result.response, result.value, result.stop_reason) == ("", None, "max_iterations")

# -- data that is hard to show

class Closed:
    def __getattr__(self, name): raise RuntimeError("closed")

class Lazy: shape, columns, dtypes = ("Delayed", 3), ["a"], ["int"]

class Wide: shape, columns, dtypes = (10, 40), [f"Q{i} " + "w" * 200 for i in range(40)], ["int64"] * 40

@pytest.mark.parametrize("data", [
    Closed(), Lazy(), Wide(), '{"a":' * 9 + "[" * 3_000, "a\0b,c,d\n" * 9, {1, "a", None}, "\udcff in a file name",
    [Closed], type("T", (dict,), {"__len__": lambda s: 1 / 0})()], ids=lambda data: type(data).__name__)
def test_every_object_can_be_a_context(data):
    with ChatServer(["```repl\nprint(1)\n```", "FINAL(seen)"]) as s:
        assert rlm_for(s).completion("What is it?", context=data).response == "seen"
    assert "context: " in s.messages[0][-1]["content"] and len(s.messages[0][-1]["content"]) < 8_000

def test_a_large_set_costs_nothing():
    many = {f"{i * 7919 % 1_000_003:07}" for i in range(300_000)}
    assert "{" in scripted().preview("Which?", context=many)[-1]["content"]

def test_tools_come_with_a_description_as_in_rlms():
    tools = {"calc": {"tool": lambda x: x + 1, "description": "Adds one, exactly."}, "rates": {"tool": {"EUR": 1.08}, "description": "In dollars."},
             "half": {"tool": 1}, "more": {"tool": 1, "description": "data", "unit": "m"}}
    rlm = scripted("```repl\nFINAL((calc(2), rates, half, more))\n```", custom_tools=tools)
    told = rlm.preview("Go.")[0]["content"]
    assert "- calc(x): function\n  Adds one, exactly.\n" in told and "\n  In dollars.\n" in told
    assert rlm.completion("Go.").value == (3, {"EUR": 1.08}, tools["half"], tools["more"])

def test_children_get_tools_with_a_description_too():
    def reply(body):
        child = "Which?" in body["messages"][-1]["content"]
        return "```repl\nFINAL(calc(2))\n```" if child else "```repl\nFINAL(rlm_query('Which?'))\n```"
    with ChatServer(reply) as s:
        tools = {"calc": {"tool": lambda x: x + 1, "description": "Adds one."}}
        assert rlm_for(s, max_depth=2, custom_sub_tools=tools).completion("Go.").response == "3"
    assert ["Adds one." in m[0]["content"] for m in s.messages] == [False, True]

def test_defaults_of_tools_are_not_sent_blindly():
    def ask(q, key="sk-abcdefghijklmnopqrstuvwx", table=list(range(100_000)), n=3): "Ask."
    sent = scripted(custom_tools={"ask": ask}).preview("Go.")[0]["content"]
    assert "ask(q, key=..., table=..., n=3)" in sent

def test_a_preview_can_be_changed_without_harm():
    rlm = scripted()
    rlm.preview("Go.")[1]["content"] = "changed"
    assert rlm.preview("Go.")[1]["content"] != "changed"

@pytest.mark.slow
def test_a_thread_that_outlives_the_run_leaves_stdout_alone():
    code = """if True:
        import io, sys, time
        from rlm import RLM
        from rlm.lm import ScriptedLM
        class Slow(io.StringIO):
            def write(s, t): time.sleep(.3); return len(t)
        sys.stdout = Slow()
        block = "import threading, time\\nthreading.Thread(target=time.sleep, args=(.2,)).start()\\nFINAL(1)"
        RLM(ScriptedLM([f"```repl\\n{block}\\n```"]), verbose=False).completion("q")
        print("hello")
        sys.stderr.write("alive")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONMALLOC": "debug"})
    assert (done.returncode, done.stderr) == (0, "alive")

# -- limits

def test_out_of_iterations():
    with ChatServer([LOOK, LOOK, "FINAL(perhaps 5)"]) as s:
        result = rlm_for(s, max_iterations=2).completion("How long?", context="abcde")
    assert (result.response, result.stop_reason, result.computed) == ("perhaps 5", "max_iterations", False)
    assert "no iterations left" in s.messages[2][-1]["content"] and len(s.requests) == 3
    assert len(result.iterations) == 2 and result.best_answer.response == "FINAL(perhaps 5)"
    assert list(result.replies) == ["Iteration 1", "Iteration 2", "Best Answer"] and "2 iterations" in repr(result)

def test_an_answer_in_time_is_no_best_answer():
    result = scripted(LOOK, "FINAL(5)", max_iterations=2).completion("How long?", context="abcde")
    assert (result.stop_reason, len(result.iterations), result.best_answer) == ("final", 2, None)
    assert list(result.replies) == ["Iteration 1", "Iteration 2"]

@pytest.mark.parametrize("replies", [[LOOK, "FINAL(5)"], [LOOK + "\nFINAL(5)"]])
def test_a_best_answer_says_that_it_may_be_a_guess(replies, capfd):
    RLM(ScriptedLM(replies), max_iterations=1).completion("How long?", context="abcde")
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("rlm: The iterations are used up (max_iterations=1).") and "guess" in err
    RLM(ScriptedLM(replies), max_iterations=1, verbose=True).completion("How long?", context="abcde")
    out, err = capfd.readouterr()
    assert "rlm: The iterations are used up (max_iterations=1)." in out and "iteration 2" not in out and err == ""
    assert ("── best answer: the model" in out) == (len(replies) == 2)
    RLM(ScriptedLM(replies), max_iterations=1, verbose=False).completion("How long?", context="abcde")
    assert capfd.readouterr() == ("", "")

# -- bad input, before any request

@pytest.mark.parametrize("call, said", [
    (dict(prompt=["a", "list"]), "not list"), (dict(prompt=b"bytes"), "not bytes"), (dict(prompt=None), "not NoneType"),
    (dict(prompt={"role": "user"}), "context=data"), (dict(prompt="  "), "empty"),
    (dict(prompt="x", context="y", root_prompt="z"), "not both"), (dict(prompt="x" * 200_000, context="y"), "200,000")])
def test_prompts_that_cannot_be_used(call, said):
    with ChatServer() as s:
        with pytest.raises(ConfigurationError, match=said): rlm_for(s).completion(**call)
    assert s.requests == []

@pytest.mark.parametrize("options, said", [
    (dict(max_iterations=0), "at least 1"), (dict(max_iterations="3"), "at least 1"),
    (dict(max_iterations=True), "at least 1"),
    (dict(environment="docker"), "Valid: 'local'"), (dict(environment="Local"), "Did you mean 'local'"),
    (dict(custom_tools={"FINAL": print}), "can't be called 'FINAL'"),
    (dict(custom_tools={"a b": print}), "Python name"),
    (dict(custom_tools={"class": print}), "Python name"), (dict(custom_tools=[print]), "dict"),
    (dict(environment_kwargs={"preview": "none"}), "'schema'"),
    (dict(environment_kwargs={"previw": "schema"}), "'preview'"),
    (dict(custom_system_prompt=5), "custom_system_prompt"), (dict(verbose="yes"), "verbose must be True, False or None"),
    (dict(persistent=1), "persistent must be True or False")])
def test_configurations_that_cannot_be_used(options, said):
    with pytest.raises(ConfigurationError, match=said): scripted(**options)

@pytest.mark.parametrize("keyword, said", [("max_iteration", "'max_iterations'"), ("model_name", "backend_kwargs"),
                                           ("sampling_args", "backend_kwargs"), ("temperature", "backend_kwargs")])
def test_keywords_that_are_not_there(keyword, said):
    with pytest.raises(TypeError, match=said): RLM(ScriptedLM([]), **{keyword: 1})

@pytest.mark.parametrize("keyword, said", [
    ("question", "Did you mean 'prompt'"), ("data", "Did you mean 'context'"), ("contex", "Did you mean 'context'"),
    ("output", "Did you mean 'output_type'"), ("max_iterations", r"to RLM\(max_iterations="), ("zzz", "Valid: prompt, context")])
@pytest.mark.parametrize("ask", ["completion", "preview", "acompletion", "stream", "chat", "achat"])
def test_every_way_to_ask_names_the_keyword_that_was_meant(ask, keyword, said):
    lm = ScriptedLM([])
    asks = RLM(lm, verbose=False)
    if "chat" in ask: asks = asks.start_session()
    with pytest.raises(TypeError, match=said) as e:
        asked = getattr(asks, ask)(**{"prompt": "How many?", keyword: [1, 2]} if keyword != "question" else {keyword: "How many?"})
        if ask[0] == "a": asyncio.run(asked)
    assert f"{ask}() has no keyword {keyword!r}" in str(e.value) and lm.calls == []

def test_start_session_has_no_keywords():
    with pytest.raises(TypeError, match="start_session.. has no keyword 'context'"): scripted().start_session(context=1)

def test_every_way_to_ask_takes_the_same_in_the_same_order():
    ways = [RLM.completion, RLM.preview, RLM.acompletion, RLM.stream, Session.chat, Session.achat]
    assert {tuple(inspect.signature(way).parameters) for way in ways} == {("self", "prompt", "context", "root_prompt", "output_type", "images")}
    assert [inspect.iscoroutinefunction(way) for way in ways] == [False, False, True, False, False, True]

def test_data_comes_second_in_every_way_to_ask():
    answer = "```repl\nFINAL(sum(context))\n```"
    rlm = scripted(*[answer] * 5)
    session, stream = rlm.start_session(), rlm.stream("Sum?", [1, 2])
    list(stream)
    results = [rlm.completion("Sum?", [1, 2]), stream.result, session.chat("Sum?", [1, 2]),
               asyncio.run(rlm.acompletion("Sum?", [1, 2])), asyncio.run(session.achat("Sum?", [1, 2]))]
    assert [(r.prompt, r.value) for r in results] == [("Sum?", 3)] * 5

@pytest.mark.parametrize("wrong, said", [
    ({"type": "object"}, "must be a type"), ({}, "must be a type"), (list[{"type": "object"}], "must be a type"), (lambda: 0, "must be a type"),
    (len, "must be a type"), ("list[", "must be a type"), (5, "must be a type")])
def test_output_types_that_are_none(wrong, said):
    rlm = scripted()
    with pytest.raises(ConfigurationError, match=said): rlm.completion("How many?", output_type=wrong)
    assert rlm.lm.calls == []

def test_no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"): monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError) as e: RLM(backend_kwargs={"model_name": "gpt-4o"})
    assert all(way in str(e.value) for way in ("OPENAI_API_KEY", "base_url", 'RLM("local")'))

# -- servers that fail in the second iteration lose nothing

@pytest.mark.parametrize("fault, kind", [
    (Http(401, {"error": {"message": "bad key"}}), LMAuthenticationError), (Http(404, {}), ModelNotFoundError),
    (Http(429, {}), LMRateLimitError), (Http(503, "busy"), LMServerError), (Http(400, {}), LMRequestError),
    (Http(200, "<html>"), LMResponseError), (Http(200, {"choices": []}), LMResponseError), (HANG, LMTimeoutError)])
def test_faults_carry_the_run_so_far(fault, kind):
    with ChatServer([LOOK, fault]) as s:
        rlm = rlm_for(s, backend_kwargs={"timeout": 0.5})
        with pytest.raises(kind) as e: rlm.completion("How long?", context="abcde")
    partial = e.value.result
    assert partial.stop_reason == "error" and partial is rlm.last_result
    assert partial.iterations[0].code_blocks[0].result.stdout == "5\n"
    assert partial.usage.calls == 1 and partial.messages[-1]["content"].startswith("Output:")

def test_a_server_that_is_not_there():
    with ChatServer() as s: rlm = rlm_for(s)
    with pytest.raises(LMConnectionError, match="No server answers") as e: rlm.completion("Pick a color.")
    assert e.value.result.iterations == ()

def test_an_answer_held_back_is_in_the_partial_result():
    with ChatServer([LOOK + "\nFINAL(4)", Http(503)]) as s:
        with pytest.raises(LMServerError) as e: rlm_for(s).completion("How long?", context="abcde")
    assert e.value.result.response == "4" and not e.value.result.computed

def test_a_backend_of_ones_own():
    class Echo:
        model = "echo"
        def complete(self, messages): return "FINAL(an echo)"
    result = RLM(Echo(), verbose=False).completion("Anything?")
    assert (result.response, result.root_model, result.usage.calls) == ("an echo", "echo", 1)

# -- more than one at a time

def test_one_rlm_in_many_threads():
    def reply(body):
        if len(body["messages"]) > 6: return "FINAL_VAR(mine)"
        return "```repl\nimport time\nmine = context\nprint(mine)\ntime.sleep(.05)\nprint(mine)\n```"
    with ChatServer(reply) as s:
        rlm = rlm_for(s)
        ask = lambda i: rlm.completion("Which?", context=f"data {i}")
        with ThreadPoolExecutor(8) as pool: results = list(pool.map(ask, range(8)))
    assert [r.response for r in results] == [f"data {i}" for i in range(8)]
    assert [r.iterations[0].code_blocks[0].result.stdout for r in results] == [f"data {i}\n" * 2 for i in range(8)]

def test_an_rlm_that_its_own_code_calls_refuses():
    rlm = scripted("```repl\nask('hi')\n```", "FINAL(refused)", custom_tools={"ask": lambda q: rlm.completion(q)})
    assert rlm.completion("Call yourself.").response == "refused"
    assert "This RLM is running the code that calls it" in rlm.last_result.iterations[0].code_blocks[0].result.error

def test_an_rlm_as_a_tool_of_another():
    inner = scripted("FINAL(from inside)")
    outer = scripted("```repl\nFINAL(ask('hi').response)\n```", custom_tools={"ask": inner.completion})
    assert outer.completion("Ask the other.").response == "from inside"

@pytest.mark.slow
def test_the_readme_of_rlms_runs_as_it_stands():
    guide = (Path(__file__).parents[1] / "nbs" / "guides" / "coming_from_rlms.ipynb").read_text()
    page = "\n".join("".join(c["source"]) for c in json.loads(guide)["cells"] if c["cell_type"] == "markdown")
    code = page.partition("```python\n")[2].partition("```")[0]
    powers = "\n".join(str(2 ** i) for i in range(100))
    with ChatServer(["```repl\nFINAL('\\n'.join(str(2 ** i) for i in range(100)))\n```"]) as s:
        env = os.environ | {"OPENAI_BASE_URL": s.base_url, "OPENAI_API_KEY": "sk-test"}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(powers + "\n") and s.requests[0].body["model"] == "gpt-5-nano"

# -- what a person sees

def test_verbose_prints_each_step(capsys):
    RLM(ScriptedLM([LOOK, "FINAL(5)"]), verbose=True).completion("How long?", context="abcde")
    out = capsys.readouterr().out
    for said in ("How long?", "print(len(context))", "> 5", "answer: 5", "2 calls"): assert said in out

def test_quiet_without_a_terminal(capsys):
    RLM(ScriptedLM(["FINAL(5)"])).completion("How long?", context="abcde")
    assert capsys.readouterr() == ("", "")

def in_a_terminal(code: str) -> str:
    "What a person at a terminal, who has no `rich`, would see of a script's stderr."
    master, slave = pty.openpty()
    script = [sys.executable, "-c", "import sys\nsys.modules['rich'] = None\n" + textwrap.dedent(code)]
    done = subprocess.run(script, stderr=slave, stdout=subprocess.PIPE, timeout=60)
    os.close(slave)
    seen = b""
    try:
        while chunk := os.read(master, 65_536): seen += chunk
    except OSError: pass   # the other end is closed: all has been read
    assert done.returncode == 0, seen
    return seen.decode()

STATUS = """
    import time
    from rlm import RLM
    from rlm.lm import ScriptedLM
    def slow(messages): time.sleep(2.2); return "FINAL(Blue)"
    RLM(ScriptedLM([slow]), verbose=%s).completion("Pick a color.")
"""

@pytest.mark.slow
def test_a_notice_takes_the_place_of_the_status_line():
    seen = in_a_terminal((STATUS % None).replace("verbose=", "max_iterations=1, verbose=").replace('"FINAL(Blue)"', "'Hm.'")
                         .replace("[slow]", '[slow, "FINAL(Blue)"]'))
    assert "\x1b[Krlm: The iterations are used up (max_iterations=1)" in seen and seen.count("used up") == 1

@pytest.mark.slow
def test_the_status_line_comes_and_goes():
    seen = in_a_terminal(STATUS % None)
    assert "iteration 1 of 30: asking the model · 0 tokens · 1 s" in seen
    assert seen.rpartition("\x1b[K")[2] == ""   # the last thing written erases the line

@pytest.mark.slow
def test_verbose_false_shows_nothing(): assert in_a_terminal(STATUS % False) == ""

# -- Ctrl-C

INTERRUPT = """
    import sys, threading, time, os, signal
    from rlm import RLM
    from rlm.lm import ScriptedLM
    def slow(messages): time.sleep(30)
    out = sys.stdout
    rlm = RLM(ScriptedLM(["```repl\\nprint(len(context))\\n```", %s]), verbose=False)
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try: rlm.completion("How long?", context="abcde")
    except KeyboardInterrupt: pass
    r = rlm.last_result
    print(r.stop_reason, r.iterations[0].code_blocks[0].result.stdout.strip(), len(r.iterations), sys.stdout is out)
"""

@pytest.mark.slow
@pytest.mark.parametrize("second", ["slow", "'```repl\\nimport time\\ntime.sleep(30)\\n```'",
                                    "'```repl\\nllm_query(\"x\")\\n```', slow"])
def test_ctrl_c_keeps_the_run_so_far(second):
    began = time.monotonic()
    script = [sys.executable, "-c", textwrap.dedent(INTERRUPT % second)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("interrupted 5 ") and done.stdout.endswith("True\n"), done.stderr
    assert time.monotonic() - began < 25
