"What events tell of batches, children, output and money, and what is left of sub-calls when a run is stopped."
import os, signal, threading, time

import pytest

from rlm import RLM
from rlm.events import BlockStarted, ChildStep, ModelAsked, SubCallEnded, SubCallStarted
from rlm.lm import ScriptedLM
from rlm.types import Reply, TimeoutExceededError, Usage

class Paid:
    "Answers by rules, and each reply costs ten tokens."
    model = "paid"
    def __init__(self, *rules): self.rules = rules
    def complete(self, messages):
        said = messages[-1]["content"]
        answer = next(answer for words, answer in self.rules if words in said)
        return Reply(answer, usage=Usage(8, 2, 1, 0.01))

def run(lm, question="go", **more):
    heard = []
    result = RLM(lm, logger=heard.append, verbose=False, **more).completion(question, context=[1, 2, 3])
    return result, heard

def test_the_calls_of_a_batch_know_their_place():
    code = "```repl\nllm_query('alone')\nllm_query_batched(['a', 'b', 'c'])\nFINAL(1)\n```"
    _, heard = run(ScriptedLM([code, *"wxyz"]))
    started = [e for e in heard if type(e) is SubCallStarted]
    assert sorted((e.number, e.first, e.batch) for e in started) == [(0, 0, 1), (1, 1, 3), (2, 1, 3), (3, 1, 3)]
    ended = {e.number: e.call for e in heard if type(e) is SubCallEnded}
    assert {e.number: e.prompt for e in started} == {n: call.prompt for n, call in ended.items()}

CHILD = ("go", "```repl\nanswers = rlm_query_batched(['one', 'two'], [[1], [2]])\nFINAL(answers)\n```")
GRANDCHILD = ("one", "```repl\nx = llm_query('deep')\nprint(x)\nFINAL(x)\n```")

def test_whose_sub_call_it_is_and_what_a_child_does():
    lm = Paid(("deep", "blue"), ("Task: one", GRANDCHILD[1]), ("Task: two", "```repl\nFINAL(2)\n```"), CHILD)
    result, heard = run(lm, max_depth=2)
    assert result.value == ["blue", 2]
    deep = next(e for e in heard if type(e) is SubCallStarted and e.prompt == "deep")
    assert (deep.path, deep.depth) == ((0,), 2)
    steps = [(e.path, type(e.event).__name__) for e in heard if type(e) is ChildStep]
    assert set(steps) == {((n,), kind) for n in (0, 1) for kind in
                          ("ModelAsked", "ModelReplied", "BlockStarted", "BlockEnded", "IterationEnded")}

def test_what_was_spent_never_goes_down():
    lm = Paid(("deep", "blue"), ("Task: one", GRANDCHILD[1]), ("Task: two", "```repl\nFINAL(2)\n```"), CHILD)
    result, heard = run(lm, max_depth=2)
    spent = [e.spent.total_tokens for e in heard if hasattr(e, "spent")]
    assert spent == sorted(spent) and spent[-1] == result.usage.total_tokens == 40
    inner = [e.event.spent.total_tokens for e in heard if type(e) is ChildStep and hasattr(e.event, "spent")]
    assert inner == sorted(inner)

def test_what_a_block_prints_can_be_read_while_it_runs():
    seen = []
    def watch(event):
        if type(event) is not BlockStarted: return
        def look():
            while not seen or "row 3" not in seen[-1]:
                seen.append(event.printed())
                time.sleep(0.01)
        threading.Thread(target=look, daemon=True).start()
    code = "import time\nfor i in range(4):\n    print('row', i)\n    time.sleep(0.1)\nFINAL(1)"
    result = RLM(ScriptedLM([f"```repl\n{code}\n```"]), logger=watch, verbose=False).completion("go")
    assert {"row 0\n", "row 0\nrow 1\n"} <= set(seen)
    assert result.iterations[0].code_blocks[0].result.stdout == "row 0\nrow 1\nrow 2\nrow 3\n"

def test_the_stream_that_was_written_to_last_is_read():
    seen = []
    def watch(event): seen.append(event.printed) if type(event) is BlockStarted else None
    def look(): return seen[-1]()
    code = "import sys\nprint('out')\nprint('bar', file=sys.stderr)\na = look()\nprint('more')\nFINAL([a, look()])"
    rlm = RLM(ScriptedLM([f"```repl\n{code}\n```"]), logger=watch, verbose=False, custom_tools={"look": look})
    assert rlm.completion("go").value == ["bar\n", "out\nmore\n"]

def test_records_know_when_they_began():
    code = "```repl\nimport time\ntime.sleep(0.2)\nllm_query('a')\nFINAL(1)\n```"
    result, _ = run(ScriptedLM([code, "x"]))
    block = result.iterations[0].code_blocks[0].result
    assert 0 <= result.iterations[0].reply.start <= block.start < 0.2 <= block.rlm_calls[0].start < result.execution_time

class Slow:
    model = "slow"
    def complete(self, messages):
        time.sleep(0.05 if messages[-1]["content"] == "quick" else 1.5)
        return "at last"

CODE = "```repl\nllm_query_batched(['quick', 'slow', 'slower'])\n```"

def test_calls_in_flight_at_a_time_out_are_in_the_result():
    rlm = RLM(ScriptedLM([CODE]), other_backends=[Slow()], verbose=False, max_timeout=0.6)
    with pytest.raises(TimeoutExceededError) as e: rlm.completion("go")
    calls = e.value.result.iterations[0].code_blocks[0].result.rlm_calls
    assert [c.prompt for c in calls] == ["quick", "slow", "slower"] and [bool(c.error) for c in calls] == [False, True, True]
    assert calls[0].response == "at last" and calls[1].execution_time > 0.3

def test_calls_in_flight_at_an_interrupt_are_in_the_result():
    rlm = RLM(ScriptedLM([CODE]), other_backends=[Slow()], verbose=False)
    threading.Timer(0.6, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt): rlm.completion("go")
    calls = rlm.last_result.iterations[0].code_blocks[0].result.rlm_calls
    assert [c.error for c in calls] == [None, *["The run was stopped before the answer came."] * 2]
    assert rlm.last_result.usage.unanswered == 2
