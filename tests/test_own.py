"An environment and a backend of one's own, with nothing but what the protocols ask for."
import asyncio
import contextlib
import io
import traceback

import pytest

from rlm import ConfigurationError, LMServerError, RLM, RLMError
from rlm.environments.base import Surroundings
from rlm.lm import ScriptedLM, Traits, ask, name_of, trait
from rlm.types import Answer, CodeResult, Reply

class Tiny:
    "Runs Python in a dict. It has the five methods of an environment and no other."
    def __init__(self): self.names, self.ended, self.closed = {}, [], False

    def begin(self, task):
        self.brought, self.before = task.data | task.tools, dict(self.names)
        return Surroundings(own=self.before)

    def run(self, code, name):
        answers, out = [], io.StringIO()
        with contextlib.redirect_stdout(out):
            try: exec(code, self.brought | {"FINAL": answers.append}, self.names)
            except Exception as e: return CodeResult(error="".join(traceback.format_exception_only(e)))
        return CodeResult(out.getvalue(), answer=Answer(answers[0]) if answers else None)

    def resolve(self, source, variable):
        if not variable: return CodeResult()
        if source in self.names: return CodeResult(answer=Answer(self.names[source]))
        return CodeResult(error=f"no variable {source}")

    def end(self, keep=True):
        self.ended.append(keep)
        if not keep: self.names = self.before

    def close(self): self.closed = True

def block(code): return f"```repl\n{code}\n```"

def rlm_for(*replies, environment=Tiny, **options):
    return RLM(ScriptedLM(list(replies)), environment=environment, verbose=False, **options)

def test_the_five_methods_are_enough_for_a_completion():
    mine = Tiny()
    rlm = rlm_for(block("print(len(context))"), block("total = sum(context)\n1 / 0"), "FINAL_VAR(totl)", "FINAL_VAR(total)", environment=mine)
    result = rlm.completion("What is the sum?", context=[1, 2, 3])
    assert (result.value, result.stop_reason, result.changes) == (6, "final", None)
    shown, failed = (i.code_blocks[0].result for i in result.iterations[:2])
    assert shown.stdout == "3\n" and "ZeroDivisionError" in failed.error
    assert "Output:\n3" in result.messages[-6]["content"] and "no variable totl" in result.messages[-2]["content"]
    assert (mine.ended, mine.closed) == ([True], False)

def test_it_is_asked_what_an_answer_in_code_is():
    assert rlm_for(block("FINAL(context * 2)")).completion("Twice that?", context=21).value == 42

def test_code_in_it_asks_models():
    result = rlm_for(block("print(llm_query('Angry? ' + context))"), "yes", "FINAL(angry)").completion("Angry?", context="Grr " * 2_000)
    assert [c.response for c in result.iterations[0].code_blocks[0].result.rlm_calls] == ["yes"]
    assert result.usage.calls == 3

def test_a_class_gives_each_run_a_new_one():
    rlm = rlm_for(block("x = 1\nFINAL(x)"), block("FINAL('x' in locals())"))
    assert [rlm.completion("Go.").value for _ in range(2)] == [1, False]
    assert repr(rlm).startswith("RLM(") and rlm.environment == "Tiny"

def test_an_object_is_one_repl_for_all_runs():
    mine = Tiny()
    with rlm_for(block("x = 1\nFINAL(x)"), block("x += 1\nFINAL(x)"), environment=mine) as rlm:
        assert [rlm.completion("Go.").value for _ in range(2)] == [1, 2]
        assert "x: int" in rlm.preview("Go on.")[-1]["content"]
        assert not mine.closed
    assert mine.closed
    with pytest.raises(RLMError, match="closed"): rlm.completion("Go.")

def test_persistent_keeps_the_one_of_a_class():
    rlm = rlm_for(block("x = 1\nFINAL(x)"), block("x += 1\nFINAL(x)"), persistent=True)
    assert [rlm.completion("Go.").value for _ in range(2)] == [1, 2]

@pytest.mark.parametrize("make", [lambda: Tiny, Tiny], ids=["class", "object"])
def test_a_session_keeps_it_and_takes_back_a_turn_that_failed(make):
    rlm = rlm_for(block("x = 1\nFINAL(x)"), block("x = 2"), LMServerError("503"), block("FINAL((x, session_context_0))"), environment=make())
    session = rlm.start_session()
    session.chat("Set it.", context="first")
    with pytest.raises(LMServerError): session.chat("Set it again.")
    assert session.chat("What is it?").value == (1, "first")

def test_two_sessions_of_a_class_share_nothing():
    rlm = rlm_for(block("x = 1\nFINAL(x)"), block("FINAL('x' in locals())"))
    assert [rlm.start_session().chat("Go.").value for _ in range(2)] == [1, False]

def test_streamed_and_awaited():
    rlm = rlm_for(block("x = 1"), "FINAL_VAR(x)", block("FINAL(context)"), block("FINAL(context)"))
    names = [type(e).__name__ for e in rlm.stream("Go.")]
    assert names[0] == "RunStarted" and names[-1] == "RunEnded" and "BlockEnded" in names
    async def both(): return await asyncio.gather(*[rlm.acompletion("Which?", context=c) for c in ("a", "b")])
    assert [r.value for r in asyncio.run(both())] == ["a", "b"]

def test_awaited_questions_to_an_object_come_one_after_the_other():
    rlm = rlm_for(block("seen = [context]"), block("FINAL(seen)"), block("seen.append(context)"), block("FINAL(seen)"), environment=Tiny())
    async def both(): return [await rlm.acompletion("Which?", context=c) for c in ("a", "b")]
    assert [r.value for r in asyncio.run(both())][-1] == ["a", "b"]

def test_children_of_a_class_work_in_one_of_their_own():
    made = []
    class Counted(Tiny):
        def __init__(self): super().__init__(); made.append(self)
    rlm = rlm_for(block("x = 1\nprint(rlm_query('How long is this?'))"), block("FINAL((len(context), 'x' in locals()))"), "FINAL(done)",
                  environment=Counted, max_depth=2)
    result = rlm.completion("Ask a child.")
    assert result.iterations[0].code_blocks[0].result.stdout == "(17, False)\n"
    assert len(made) == 2 and all(m.closed for m in made)

def test_children_of_an_object_work_in_a_local_one():
    mine = Tiny()
    rlm = rlm_for(block("print(rlm_query('How long is this?'))"), block("FINAL(len(context))"), "FINAL(done)", environment=mine, max_depth=2)
    assert rlm.completion("Ask a child.").iterations[0].code_blocks[0].result.stdout == "17\n"
    assert mine.ended == [True]

def test_it_can_say_what_the_model_is_told():
    class Other(Tiny):
        def begin(self, task): return Surroundings(system_prompt="Write Forth. {tools}")
    tools = {"rate": lambda x: x}
    told = lambda **options: rlm_for(environment=Other, custom_tools=tools, **options).preview("Go.")
    assert [m["role"] for m in told()] == ["system", "user"]
    assert told()[0]["content"].startswith("Write Forth. - rate(x)")
    assert [m["content"] for m in told(custom_system_prompt="Mine.")][:1] == ["Mine."]

def test_begin_may_return_nothing_and_end_anything():
    class Silent(Tiny):
        def begin(self, task): super().begin(task)
        def end(self, keep=True): return ["what it changed"]
    assert rlm_for(block("FINAL(context)"), environment=Silent).completion("Go.", context=1).changes == ["what it changed"]

def test_a_run_that_returns_no_result_is_an_error_that_names_it():
    class Wrong(Tiny):
        def run(self, code, name): return "3"
    with pytest.raises(ConfigurationError, match=r"Wrong.run\(\) returned a str, not an rlm.types.CodeResult"):
        rlm_for(block("3"), environment=Wrong).completion("Go.")

class NoClose(Tiny): close = None

@pytest.mark.parametrize("given, said", [
    (print, "it has no begin, run, resolve, end, close"), (NoClose, "it has no close"), (NoClose(), "it has no close"), (None, "it has no begin"),
])
def test_what_is_no_environment_says_what_it_lacks(given, said):
    with pytest.raises(ConfigurationError, match=said): RLM(ScriptedLM([]), environment=given)

def test_one_that_is_given_has_no_options():
    with pytest.raises(ConfigurationError, match="only an environment that is named has options"):
        RLM(ScriptedLM([]), environment=Tiny, environment_kwargs={"depth": 1})
    RLM(ScriptedLM([]), environment=Tiny, environment_kwargs={"preview": "schema"})

class Echo:
    "A backend with nothing but `complete`."
    def complete(self, messages): return f"FINAL({messages[-1]['content'].split()[-1]})"

def test_complete_is_enough_for_a_backend():
    result = RLM(Echo(), verbose=False).completion("Say Blue")
    assert (result.response, result.root_model, result.usage.calls, result.usage.cost) == ("Blue", "Echo", 1, None)

def test_what_a_backend_does_not_say_has_defaults():
    mine = Echo()
    assert name_of(mine) == "Echo"
    for name in ("priced", "sampling", "secrets", "sub_lms", "recorded"): assert trait(mine, name) == getattr(Traits, name)
    with pytest.raises(ConfigurationError, match="not known what Echo costs"): RLM(mine, max_budget=1)

def test_a_backend_may_answer_with_a_reply():
    class Full(Echo):
        model = "full"
        def complete(self, messages): return Reply(super().complete(messages), model="full-2", finish_reason="stop")
    reply = ask(Full(), [{"role": "user", "content": "Say Blue"}])
    assert (reply.content, reply.model, reply.finish_reason) == ("FINAL(Blue)", "full-2", "stop")
    assert name_of(Full()) == "full"

@pytest.mark.parametrize("given", [print, Echo, 3, b"openai"])
def test_what_is_no_backend_is_refused(given):
    with pytest.raises(ConfigurationError, match=r"is no backend.*complete\(messages\)"): RLM(given)
