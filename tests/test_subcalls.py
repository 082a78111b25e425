"""What the model's code asks of models: batches, children, other models, and servers that fail; all over real HTTP."""
import dataclasses, inspect, threading, time

import openai  # takes its time, which no limit of a test should have to pay for
import pytest
from rlm import RLM
from rlm.environments.jupyter import configure
from rlm.lm import ScriptedLM
from rlm.types import *
from server import HANG, RESET, ChatServer, Http, completion, task_at

def rlm_for(server, **options) -> RLM:
    kwargs = {"model_name": "test-model", "base_url": server.base_url, "max_retries": 0}
    kwargs |= options.pop("backend_kwargs", {})
    return RLM(backend_kwargs=kwargs, verbose=False, **options)

def is_root(body) -> bool: return len(body["messages"]) > 1
def task(body) -> str: return body["messages"][task_at(body)]["content"]
def iteration(body) -> int: return (len(body["messages"]) - task_at(body) - 1) // 2

def code_then_answer(code, sub="yes"):
    "A server's replies: the root runs `code` and is done; `sub` answers everything else."
    def reply(body):
        if not is_root(body): return sub(body) if callable(sub) else sub
        return "FINAL(done)" if iteration(body) else f"```repl\n{code}\n```"
    return reply

def first_block(result) -> CodeResult: return result.iterations[0].code_blocks[0].result

# -- batches

@pytest.mark.parametrize("n", [0, 1, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_batch_keeps_its_order(n):
    code = (f"replies = llm_query_batched([f'number {{i}}' for i in range({n})])\n"
            f"print(replies == [f'you said number {{i}}' for i in range({n})])")
    with ChatServer(code_then_answer(code, lambda body: "you said " + body["messages"][0]["content"])) as s:
        result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "True\n"
    assert [c.prompt for c in first_block(result).rlm_calls] == [f"number {i}" for i in range(n)]
    assert len(s.requests) == n + 2 == result.usage.calls

def test_one_item_that_fails_leaves_the_others():
    def sub(body):
        said = body["messages"][0]["content"]
        replies = {"a": Http(500, {"error": {"message": "broken"}}), "b": RESET, "c": Http(200, '{"choices": [{"mess'),
                   "d": Http(200, "<html>"), "e": completion("x") | {"choices": []}}
        return replies.get(said, "fine")
    code = "for r in llm_query_batched(['ok', 'a', 'b', None, 'c', 'd', 'e', 7, 'ok']): print(r.splitlines()[0])"
    with ChatServer(code_then_answer(code, sub)) as s: result = rlm_for(s).completion("go", context=1)
    lines, block = first_block(result).stdout.splitlines(), first_block(result)
    assert [line == "fine" for line in lines] == [True] + [False] * 7 + [True]
    assert all(line.startswith("[failed: ") for line in lines[1:-1])
    assert "takes a string, not NoneType" in lines[3] and "broken" in lines[1]
    assert block.stderr.startswith("7 of 9 sub-calls failed; the first: ")
    # None and 7 asked nobody
    assert [bool(c.error) for c in block.rlm_calls] == [False, True, True, True, True, True, False]

def test_a_tool_call_instead_of_text_is_an_empty_reply():
    called = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    tool = {"content": None, "tool_calls": [called]}
    with ChatServer(code_then_answer("print(repr(llm_query('hi')))", tool)) as s:
        result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "''\n"
    with ChatServer([tool, "FINAL(x y)"]) as s: result = rlm_for(s).completion("go")
    assert "Nothing was run" in s.messages[1][-1]["content"] and result.response == "x y"

@pytest.mark.slow
def test_a_429_is_waited_for_as_long_as_it_says():
    waits = iter([Http(429, {"error": {"message": "slow down"}}, {"retry-after": "1"}), "fine"])
    with ChatServer(code_then_answer("print(llm_query('hi'))", lambda body: next(waits))) as s:
        began = time.monotonic()
        result = rlm_for(s, backend_kwargs={"max_retries": 2}).completion("go", context=1)
    assert first_block(result).stdout == "fine\n" and time.monotonic() - began >= 1

def test_a_failed_call_is_an_error_in_the_code_and_the_run_goes_on():
    with ChatServer(code_then_answer("llm_query('hi')", Http(503, {"error": {"message": "down"}}))) as s:
        result = rlm_for(s).completion("go", context=1)
    assert "SubcallError: llm_query failed" in first_block(result).error and "down" in first_block(result).error
    assert result.response == "done" and "LMServerError" in first_block(result).rlm_calls[0].error

def test_a_server_that_hangs_ends_with_the_time_out():
    with ChatServer(code_then_answer("llm_query('hi')", HANG)) as s:
        result = rlm_for(s, backend_kwargs={"timeout": 0.3}).completion("go", context=1)
    assert "did not answer within 0.3 s" in first_block(result).error

# -- how many at a time

@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 3, 16])
def test_no_more_at_a_time_than_asked_for(most):
    with ChatServer(code_then_answer("llm_query_batched(['x'] * 40)"), delay=0.01 * most) as s:
        rlm_for(s, max_concurrent_subcalls=most).completion("go", context=1)
    assert s.most == most

def test_the_bound_holds_for_all_descendants_together():
    def reply(body):
        if not is_root(body): return "yes"
        if iteration(body): return "FINAL(done)"
        if "piece" in task(body): return "```repl\nllm_query_batched(['x'] * 6)\n```"
        return "```repl\nrlm_query_batched([f'piece {i}' for i in range(6)])\n```"
    with ChatServer(reply, delay=0.02) as s:
        result = rlm_for(s, max_depth=2, max_concurrent_subcalls=4).completion("go", context=1)
    assert s.most == 4
    assert len(s.requests) == 2 + 6 * 2 + 6 * 6 == result.usage.calls

def test_children_asked_for_from_threads_keep_to_the_bound():
    code = ("from concurrent.futures import ThreadPoolExecutor\n"
            "with ThreadPoolExecutor(20) as pool: list(pool.map(rlm_query, ['piece'] * 20))")
    now, most, lock = [0], [0], threading.Lock()
    def reply(body):
        if "piece" not in task(body): return "FINAL(done)" if iteration(body) else f"```repl\n{code}\n```"
        if not iteration(body):
            with lock: now[0] += 1; most[0] = max(most[0], now[0])
            return "```repl\nimport time\ntime.sleep(0.02)\n```"
        with lock: now[0] -= 1
        return "FINAL(done)"
    with ChatServer(reply) as s: rlm_for(s, max_depth=2, max_concurrent_subcalls=3).completion("go", context=1)
    assert most[0] == 3 and len(s.requests) == 42

def test_a_run_with_children_as_a_dict_has_no_key():
    with ChatServer(recursive) as s:
        result = rlm_for(s, max_depth=2, backend_kwargs={"api_key": "sk-secret-0123456789"}).completion("go", context=1)
    assert first_block(result).rlm_calls[0].run.secrets and "sk-secret" not in str(result.to_dict())
    assert result.to_dict()["iterations"][0]["code_blocks"][0]["result"]["rlm_calls"][0]["run"]["response"] == "4"

def test_a_backend_that_wraps_another_rlm_may_come_to_its_limits():
    inner = RLM(ScriptedLM(["```repl\n1/0\n```"] * 9), verbose=False, max_errors=2)
    class Wrapping:
        model = "wrapping"
        def complete(self, messages): return inner.completion(messages[-1]["content"]).response
    with ChatServer(code_then_answer("print(llm_query('go'))")) as s:
        result = rlm_for(s, other_backends=[Wrapping()]).completion("go", context=1)
    assert "SubcallError: llm_query failed: 2 times in a row" in first_block(result).error and result.response == "done"

def test_one_connection_pool_for_all():
    with ChatServer(code_then_answer("for i in range(5): llm_query('x')")) as s:
        opened, handle = [], s._server.process_request
        s._server.process_request = lambda *a: (opened.append(a), handle(*a))
        rlm_for(s).completion("go", context=1)
    assert len(s.requests) == 7 and len(opened) == 1

# -- children

def recursive(body):
    "The root gives two words to children, which measure them in their own REPLs."
    if not is_root(body): return "plain"
    if body["messages"][-1]["content"].startswith("Output"):
        return f"FINAL({body['messages'][-1]['content'].split()[-1]})"
    if "Measure" in task(body): return "```repl\nprint(len(context.split()[-1]))\n```"
    return "```repl\nn = rlm_query_batched(['Measure kiwi', 'Measure banana'])\nprint(n)\nprint(sum(map(int, n)))\n```"

def test_children_answer_in_repls_of_their_own():
    with ChatServer(recursive) as s: result = rlm_for(s, max_depth=2).completion("go", context=1)
    block = first_block(result)
    assert result.response == "10" and block.stdout == "['4', '6']\n10\n"
    assert [c.run.iterations[0].code_blocks[0].result.stdout for c in block.rlm_calls] == ["4\n", "6\n"]
    assert [c.run.prompt for c in block.rlm_calls] == ["Measure kiwi", "Measure banana"]
    assert all(c.run.messages[-1] == {"role": "assistant", "content": f"FINAL({c.response})"} for c in block.rlm_calls)

def test_depth_spent_means_a_plain_call():
    code = "print(rlm_query('Measure kiwi'), rlm_query_batched(['a']))"
    with ChatServer(code_then_answer(code)) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "yes ['yes']\n"
    assert [c.run for c in first_block(result).rlm_calls] == [None, None]

def test_a_child_sees_nothing_of_its_parent_but_the_tools_it_is_given():
    def reply(body):
        if iteration(body): return "FINAL(done)"
        if "child" in task(body):
            return ("```repl\nfor n in ('secret', 'helper', 'sub_helper'):\n    try: print(n, eval(n)())\n"
                    "    except NameError: print(n, 'unknown')\n```")
        return "```repl\nsecret = lambda: 1\nrlm_query('you are the child')\n```"
    tools = dict(custom_tools={"helper": lambda: "h"}, custom_sub_tools={"sub_helper": lambda: "s"})
    with ChatServer(reply) as s: result = rlm_for(s, max_depth=2, **tools).completion("go", context=1)
    child = first_block(result).rlm_calls[0].run
    assert first_block(child).stdout == "secret unknown\nhelper unknown\nsub_helper s\n"
    with ChatServer(reply) as s:
        result = rlm_for(s, max_depth=2, custom_tools=tools["custom_tools"]).completion("go", context=1)
    assert first_block(first_block(result).rlm_calls[0].run).stdout == "secret unknown\nhelper h\nsub_helper unknown\n"

def test_what_children_print_stays_theirs(capsys):
    with ChatServer(recursive) as s: rlm_for(s, max_depth=2).completion("go", context=1)
    assert capsys.readouterr() == ("", "")

def test_a_child_that_fails_is_an_error_in_its_parents_code_and_leaves_its_story():
    def reply(body):
        if "child" in task(body):
            return Http(500, {"error": {"message": "broken"}}) if iteration(body) else "```repl\nprint('so far')\n```"
        return "FINAL(done)" if iteration(body) else "```repl\nrlm_query('you are the child')\n```"
    with ChatServer(reply) as s: result = rlm_for(s, max_depth=2).completion("go", context=1)
    call = first_block(result).rlm_calls[0]
    assert "SubcallError: rlm_query failed" in first_block(result).error and "broken" in call.error
    assert (first_block(call.run).stdout, call.run.stop_reason, call.usage.calls) == ("so far\n", "error", 1)
    assert result.response == "done"

def test_recursion_that_would_not_end():
    def reply(body):
        if not is_root(body): return "enough"
        return "FINAL(done)" if iteration(body) else "```repl\nprint(rlm_query(context + '!'))\n```"
    with ChatServer(reply) as s: result = rlm_for(s, max_depth=5).completion("go on")
    prompts, run = [], result
    while run:
        calls = first_block(run).rlm_calls
        prompts, run = prompts + [calls[0].prompt], calls[0].run
    assert prompts == ["go on" + "!" * i for i in range(1, 6)]
    assert result.usage.calls == len(s.requests) == 11

def test_an_rlm_that_the_code_calls_itself_is_refused():
    rlm = RLM(ScriptedLM(["```repl\nme.completion('again')\n```", "FINAL(no)"]), verbose=False, custom_tools={})
    rlm.tools["me"] = rlm
    assert "is running the code that calls it" in first_block(rlm.completion("go", context=1)).error

# What becomes of each setting in a child. Whoever adds one decides here whether it guards a run, and then it guards children.
IN_A_CHILD = {
    "backend": lambda up, child: child.lm is not up.lm, "backend_kwargs": lambda up, child: child.secrets == up.secrets == ("sk-0123456789",),
    "other_backends": lambda up, child: child.lms is up.lms, "other_backend_kwargs": lambda up, child: child.lms is up.lms,
    "environment": lambda up, child: child.environment == "local", "environment_kwargs": lambda up, child: child.environment_kwargs == up.environment_kwargs,
    "max_iterations": lambda up, child: child.max_iterations == up.max_iterations == 7, "sub_calls": lambda up, child: child.sub_calls is up.sub_calls is True, "max_depth": lambda up, child: child.max_depth == up.max_depth == 3,
    "max_timeout": lambda up, child: child.limits is up.limits, "max_tokens": lambda up, child: child.limits is up.limits,
    "max_budget": lambda up, child: child.limits is up.limits, "max_errors": lambda up, child: child.limits is up.limits,
    "max_concurrent_subcalls": lambda up, child: child.max_concurrent_subcalls == up.max_concurrent_subcalls == 2,
    "prompts": lambda up, child: child.profile is up.profile,
    "custom_system_prompt": lambda up, child: child.custom_system_prompt == up.custom_system_prompt == "Be brief.",
    "custom_tools": lambda up, child: child.tools is up.sub_tools, "custom_sub_tools": lambda up, child: child.tools.keys() == {"only_this"},
    "persistent": lambda up, child: not child.persistent and child.repl is None, "logger": lambda up, child: child.logger is None,
    "verbose": lambda up, child: child.verbose is False, "model": lambda up, child: child.lm is not up.lm,
    "context_window": lambda up, child: child.context_window is None and up.child(up.lm).context_window == up.context_window == 9_000,
    "cache": lambda up, child: child.cache is up.cache and child.cache.path.name == "kept.sqlite"}
IN_ITS_ENVIRONMENT = {"preview": "the same", "approve": "the same", "sync_from_user_ns": "a child sees nothing of the user's",
                      "sync_to_user_ns": "and gives nothing", "sync_vars": "and gives nothing"}
IN_ITS_RECORD = {"parent", "sub_calls", "environment", "environment_kwargs", "persistent", "tools", "models", "sampling", "repl", "session", "continues", "names",
                 "data_of"}

def test_what_guards_a_run_guards_its_children():
    assert inspect.signature(RLM).parameters.keys() == IN_A_CHILD.keys()
    assert {"preview", *inspect.signature(configure).parameters} == IN_ITS_ENVIRONMENT.keys()
    assert {f.name for f in dataclasses.fields(RunSettings)} == IN_ITS_RECORD
    up = RLM("openai", {"model_name": "m", "api_key": "sk-0123456789", "prices": {"input": 1, "output": 1}}, environment_kwargs={"preview": "schema"},
             context_window=9_000, max_iterations=7, max_depth=3, max_timeout=60, max_tokens=10**6, max_budget=5, max_errors=9, max_concurrent_subcalls=2,
             other_backends=["openai"], other_backend_kwargs=[{"model_name": "n", "api_key": "sk-0123456789", "prices": {"input": 1, "output": 1}}],
             custom_system_prompt="Be brief.", custom_tools={"mine": 1}, custom_sub_tools={"only_this": 2}, persistent=True, logger=print, verbose=True, cache="kept.sqlite")
    child = up.child(up.lms[0])
    assert [name for name, holds in IN_A_CHILD.items() if not holds(up, child)] == []
    assert [name for name, holds in IN_A_CHILD.items() if not holds(up, child.child(up.lms[0]))] == []
    assert child.new_repl()._create().show_values is False is child.show_values

def test_a_schema_and_limits_hold_in_a_child():
    def reply(body):
        if iteration(body): return "FINAL(done)"
        return "```repl\n" + ("name = 'Ada' + ' Lovelace'\nlen(5 if name else 6)" if "child" in task(body) else "rlm_query('child')") + "\n```"
    for preview, told in (("values", True), ("schema", False)):
        with ChatServer(reply) as s: rlm_for(s, max_depth=2, environment_kwargs={"preview": preview}).completion("go", context=1)
        said = next(r.body["messages"][-1] for r in s.requests if "Task: child" in task(r.body) and iteration(r.body))["content"]
        assert "TypeError" in said and ("Ada Lovelace" in said) == told
    with ChatServer(lambda body: "```repl\nrlm_query('child')\n```") as s:
        with pytest.raises(TokenLimitExceededError): rlm_for(s, max_depth=9, max_tokens=2_000).completion("go", context=1)
    assert len(s.requests) < 9

# -- a second argument

def prompts_sent(server): return [r.body["messages"][0]["content"] for r in server.requests if not is_root(r.body)]

def test_the_calls_that_everybody_writes():
    code = ("text = 'A long story.'\nprint(llm_query('Summarize', text), llm_query('Summarize', context=text), llm_query('Summarize', 'test-model'))\n"
            "print(llm_query_batched('Summarize', ['one', 'two']), llm_query_batched(['who', 'when'], ['one', 'two']))\n"
            "print(llm_query_batched(['who', 'when'], text), llm_query_batched(['who'], 'test-model'), llm_query_batched('Sum', (t for t in 'ab')))")
    with ChatServer(code_then_answer(code)) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).error is None
    below = lambda *pairs: ["\n\n".join(p) for p in pairs]
    assert [c.prompt for c in first_block(result).rlm_calls] == [
        *below(["Summarize", "A long story."], ["Summarize", "A long story."]), "Summarize", *below(["Summarize", "one"], ["Summarize", "two"]),
        *below(["who", "one"], ["when", "two"], ["who", "A long story."], ["when", "A long story."]), "who", *below(["Sum", "a"], ["Sum", "b"])]
    assert sorted(prompts_sent(s)) == sorted(c.prompt for c in first_block(result).rlm_calls)
    assert all(c.context == "" and c.value == "yes" for c in first_block(result).rlm_calls)

@pytest.mark.parametrize("call, says", [
    ("llm_query('Sum', model=context)", "SubcallError: there is no model 'xxx"),
    ("llm_query('Sum', [context])", "For each of a list of texts: llm_query_batched(prompt, texts)"),
    ("llm_query('Sum', {context: context})", "is of type dict"), ("llm_query('Sum', 7)", "is of type int"),
    ("llm_query([context])", "takes a string, not list"), ("rlm_query({context: 1})", "takes a string, not dict"),
    ("llm_query_batched(context)", "for one string use llm_query"), ("llm_query_batched('Sum', context)", "for one string use llm_query"),
    ("llm_query_batched('Sum', {context: context})", "a list of contexts, one for each call, not dict"),
    ("rlm_query_batched('Sum', 7)", "a list of contexts, one for each call, not int"),
    ("llm_query_batched(['a', 'b'], [context] * 3)", "2 prompts and 3 contexts"), ("rlm_query('Sum', [context])", "there is no REPL for a child here"),
    ("rlm_query('Sum', object())", "there is no REPL for a child here")])
def test_a_wrong_argument_gets_a_short_error(call, says):
    with ChatServer(code_then_answer(call)) as s: result = rlm_for(s).completion("go", context="x" * 120_000)
    error = first_block(result).error
    assert says in error and len(error) < 1_000 and prompts_sent(s) == []

def test_an_item_that_is_no_text_fails_alone():
    with ChatServer(code_then_answer("print(llm_query_batched('Sum', ['a', ['b'], 'c']))")) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout.startswith("['yes', '[failed: llm_query reads a text") and first_block(result).stdout.endswith("'yes']\n")

def test_without_a_repl_a_child_is_sent_text_or_json():
    code = "print(rlm_query('Sum', 'a text'), rlm_query('Sum', {'é': [1, None]}), rlm_query('Sum', context=[]))"
    with ChatServer(code_then_answer(code)) as s: result = rlm_for(s).completion("go", context=1)
    assert prompts_sent(s) == ["Sum\n\na text", 'Sum\n\n{"é": [1, null]}', "Sum\n\n[]"]
    assert [(c.prompt, c.context, c.run) for c in first_block(result).rlm_calls][:2] == [("Sum", "str, 6 characters, 1 line", None), ("Sum", "dict, 1 key", None)]

def parent_and_child(parent, child):
    "The root runs the code of `parent`, and a child, whose task begins with 'Child', that of `child`; then they are done."
    def reply(body):
        if not is_root(body): return "plain"
        code = child if "Task: Child" in task(body) else parent
        return "FINAL(done)" if iteration(body) else f"```repl\n{code}\n```"
    return reply

@pytest.mark.parametrize("answer, shown", [("FINAL(context)", "True"), ("FINAL({'n': len(context)})", "{'n': 3}"), ("FINAL(len(context))", "3"),
                                           ("FINAL(f'{len(context)} words')", "'3 words'"), ("FINAL(None)", "None"), ("FINAL_VAR('context')", "True")])
def test_an_object_goes_to_a_child_and_another_comes_back(answer, shown):
    code = "x = [1, 2, 3]\na = rlm_query('Child', context=x)\nb, = rlm_query_batched('Child', [x])\nprint(True if a is x and b is x else repr(a))"
    with ChatServer(parent_and_child(code, answer)) as s: result = rlm_for(s, max_depth=2).completion("go", context=1)
    assert first_block(result).stdout == shown + "\n"
    assert {(c.prompt, c.context, c.run.prompt) for c in first_block(result).rlm_calls} == {("Child", "list, 3 items of int", "Child")}
    assert "context: list, 3 items of int" in next(task(r.body) for r in s.requests if "Task: Child" in task(r.body))

def test_a_table_goes_to_a_child_and_back_as_itself():
    code = ("import pandas as pd\ndf = pd.DataFrame({'rain': [3, 1, 2]})\ntop = rlm_query('Child', df)\n"
            "print(type(top).__name__, top['rain'].tolist(), len(df))")
    child = "context.loc[3] = [9]\nFINAL(context.sort_values('rain'))"
    with ChatServer(parent_and_child(code, child)) as s: result = rlm_for(s, max_depth=2).completion("go", context=1)
    assert first_block(result).stdout == "DataFrame [1, 2, 3, 9] 4\n"

@pytest.mark.parametrize("answer, got", [("FINAL({'n': [1, None]})", '{"n": [1, null]}'), ("FINAL(['é'])", '["é"]'), ("FINAL(3)", "3"), ("FINAL(True)", "True"),
                                         ("FINAL((1, 2))", "(1, 2)"), ("FINAL({1, 2})", "{1, 2}"), ("FINAL({(1, 2): 3})", "{(1, 2): 3}"), ("FINAL('a')", "a")])
def test_without_an_object_a_child_answers_with_text(answer, got):
    with ChatServer(parent_and_child("print(ascii(rlm_query('Child')))", answer)) as s: result = rlm_for(s, max_depth=2).completion("go", context=1)
    assert first_block(result).stdout == ascii(got) + "\n"

def test_an_answer_in_words_is_the_value_that_it_reads_as():
    said = iter(["FINAL(31)", "FINAL(1,234)", "FINAL([1, 2])", "FINAL(all of them)"])
    def reply(body):
        if "Task: Child" in task(body): return next(said)
        return "FINAL(done)" if iteration(body) else "```repl\nprint([rlm_query('Child', context=1) for i in range(4)])\n```"
    with ChatServer(reply) as s: result = rlm_for(s, max_depth=2).completion("go", context=1)
    assert first_block(result).stdout == "[31, '1,234', [1, 2], 'all of them']\n"

def test_a_child_that_finds_no_answer_fails():
    def reply(body):
        if "Task: Child" in task(body): return "I am sorry, I can't find it." if iteration(body) == 3 else f"```repl\n{iteration(body)}\n```"
        if iteration(body): return "FINAL(done)"
        return "```repl\nprint(rlm_query_batched('Child', [1, 2]))\nrlm_query('Child')\n```"
    with ChatServer(reply) as s: result = rlm_for(s, max_depth=2, max_iterations=3).completion("go", context=1)
    says = "rlm_query failed: the child found no answer in 3 iterations; its best guess: I am sorry, I can't find it."
    assert first_block(result).error.endswith(f"SubcallError: {says}")
    assert first_block(result).stdout.count(f"[failed: {says}]") == 2 and first_block(result).stderr.startswith("2 of 2 sub-calls failed")
    assert [(c.response, c.usage.calls, c.run.stop_reason) for c in first_block(result).rlm_calls] == [("", 4, "max_iterations")] * 3

def test_a_failing_server_is_not_quoted_at_length():
    with ChatServer(code_then_answer("llm_query('hi')")) as s:
        class Wordy:
            model = "wordy"
            def complete(self, messages): raise ValueError("no " * 50_000)
        result = rlm_for(s, other_backends=[Wordy()]).completion("go", context=1)
    assert len(first_block(result).rlm_calls[0].error) < 2_000 and len(first_block(result).error) < 4_500

# -- other models

def test_a_sub_model_serves_every_depth():
    with ChatServer(recursive) as big, ChatServer(recursive) as small:
        kwargs = {"model_name": "small", "base_url": small.base_url, "api_key": ""}
        other = dict(other_backends=["openai"], other_backend_kwargs=[kwargs])
        result = rlm_for(big, max_depth=2, **other).completion("go", context=1)
    assert {r.body["model"] for r in big.requests} == {"test-model"}
    assert {r.body["model"] for r in small.requests} == {"small"}
    assert {m: u.calls for m, u in result.usage_by_model.items()} == {"test-model": 2, "small": 4}

def test_the_code_may_name_a_model_and_only_one_that_is_there():
    code = ("print(llm_query('x', model='test-model'), llm_query('x', 'small'), llm_query('x'))\n"
            "llm_query('x', model='tiny')")
    with ChatServer(code_then_answer(code, "from the big one")) as big, ChatServer("from the small one") as small:
        kwargs = {"model_name": "small", "base_url": small.base_url}
        other = dict(other_backends=["vllm"], other_backend_kwargs=[kwargs])
        result = rlm_for(big, **other).completion("go", context=1)
    assert first_block(result).stdout == "from the big one from the small one from the small one\n"
    says = "there is no model 'tiny' here; leave `model` out, or use 'test-model' or 'small'"
    assert says in first_block(result).error

# -- who listens

def test_a_listener_that_raises_is_dropped_and_the_run_goes_on(capsys):
    def listener(event): raise ValueError("I am broken")
    with ChatServer(recursive) as s: result = rlm_for(s, max_depth=2, logger=listener).completion("go", context=1)
    assert result.response == "10"
    assert capsys.readouterr().err.count("the listener listener raised ValueError: I am broken") == 1

def test_sub_calls_of_children_are_announced_with_their_depth():
    from rlm.events import SubCallEnded, SubCallStarted
    heard = []
    def reply(body):
        if not is_root(body): return "yes"
        return "FINAL(done)" if iteration(body) else "```repl\nprint(rlm_query('deeper'))\n```"
    with ChatServer(reply) as s: rlm_for(s, max_depth=2, logger=heard.append).completion("go", context=1)
    assert [(type(e), e.depth) for e in heard if isinstance(e, (SubCallStarted, SubCallEnded))] == [
        (SubCallStarted, 1), (SubCallStarted, 2), (SubCallEnded, 2), (SubCallEnded, 1)]

def test_nothing_is_told_after_the_end():
    events, hold = [], threading.Event()
    class Slow:
        model = "slow"
        def complete(self, messages):
            if len(messages) > 1: return "```repl\nllm_query_batched(['x'] * 3)\n```"
            return hold.wait(60) and "late"
    before = threading.active_count()
    rlm = RLM(Slow(), logger=events.append, verbose=False, max_timeout=0.3)
    with pytest.raises(TimeoutExceededError): rlm.completion("go", context=1)
    hold.set()
    end = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < end: time.sleep(0.01)
    assert [type(e).__name__ for e in events].index("RunEnded") == len(events) - 1

def test_the_best_answer_has_the_sub_calls_that_it_took():
    script = ["```repl\ntext = 'abc'\n```", "FINAL(llm_query(text))", "said"]
    result = RLM(ScriptedLM(script), verbose=False, max_iterations=1).completion("go", context=1)
    block, = result.best_answer.code_blocks
    assert (result.response, result.stop_reason, result.computed) == ("said", "max_iterations", False)
    assert (block.code, [c.prompt for c in block.result.rlm_calls]) == ("FINAL(llm_query(text))", ["abc"])
