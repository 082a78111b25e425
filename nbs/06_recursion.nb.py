#%% md 49173374
# Recursion

> Let the model's code hand a part of the work to another model that has a REPL of its own.

#%% md b53c7658
`llm_query` asks a model one thing and gets one reply. Some parts of a task need more: a chapter to be searched, a long list of notes to be sorted and counted. `rlm_query` gives such a part to a *child*, a Recursive Language Model like the one that asks: the prompt is `context` in its REPL, it writes code, looks, and answers when it is done. A child is given a text and returns a text; `rlm_query_batched` gives out many parts at once.

A plain call costs one request, and a child costs one for each of its iterations. A child pays off when a part is too long for one prompt, or needs computing. To judge a paragraph, `llm_query` is enough.

`max_depth` says how deep that may go: it is the number of REPLs one below the other. At 1, the default, there is one, and `rlm_query` is a plain call. At 2, the root's code can have children, and their code makes plain calls.

#%% code 0618cdc4
#| hide
from fastcore.test import *
from rlm.types import *

#%% md bc554248
## A root and its children

The models of this page are scripts, so that the page is the same for everybody; all code that they write runs. `Librarian` plays root and child. When it is asked about all books, it gives each to a child. When it is asked about one, it counts in its own REPL. (A conversation begins with the system prompt and a worked example, which are five messages; the sixth has the task. A plain call is one message.)

#%% code d6e581bb
from rlm import RLM
from rlm.lm import ScriptedLM

books = {"Emma": "rain sun rain", "Persuasion": "sun", "Sanditon": "rain rain rain"}

GIVE_OUT = """```repl
counts = rlm_query_batched([f"Count the rain in: {text}" for text in context.values()])
print(dict(zip(context, counts)))
print(sum(int(n) for n in counts if n.isdigit()))
```"""

class Librarian:
    model = "librarian"
    def complete(self, messages):
        if len(messages) == 1: return "a few times"
        task, heard = messages[5]["content"], messages[-1]["content"]
        if heard.startswith("Output:"): return f"FINAL({heard.split()[-1]})"
        if "Count the rain" in task: return "```repl\ntext = context.split(': ')[1]\nprint(text.count('rain'))\n```"
        return GIVE_OUT

rlm = RLM(Librarian(), max_depth=2)
result = rlm.completion("How often does it rain in these books?", context=books)
print(result.iterations[0].code_blocks[0].result.stdout)

#%% md 8e88a764
Each child is a whole run. The sub-call that it answered has it as `run`:

#%% code a3ce8800
calls = result.iterations[0].code_blocks[0].result.rlm_calls
test_eq([c.response for c in calls], ["2", "0", "3"])
child = calls[0].run
test_eq((len(child.iterations), child.iterations[0].code_blocks[0].result.stdout), (2, "2\n"))
child

#%% md 85d7a347
The root's own requests and all of its children's make the total:

#%% code 295b929c
test_eq(result.usage.calls, 2 + sum(c.usage.calls for c in calls))
result.usage

#%% md f73538e3
With the default depth the same code makes plain calls. There are no children, and each call gets a plain reply:

#%% code 3cc886f7
plain = RLM(Librarian()).completion("How often does it rain in these books?", context=books)
calls = plain.iterations[0].code_blocks[0].result.rlm_calls
test_eq([(call.run, call.error) for call in calls], [(None, None)] * 3)
print(plain.iterations[0].code_blocks[0].result.stdout)

#%% md 2b3cdc56
## What a child has

A child works in a namespace of its own, with the same system prompt and as many iterations. Its environment is [`local`](environments/04_local.ipynb), even if its parent works in your notebook. If the environment is a [class of your own](guides/your_own.ipynb), the child gets an object of that class instead. It has the tools of `custom_sub_tools`, or its parent's tools if none are given. Time, tokens, money and concurrency are [limits](05_limits.ipynb) of the whole family. The other guards of a run hold for its children, too: [`preview="schema"`](23_configuration.ipynb), and [`approve`](environments/09_jupyter.ipynb), which is asked about each block of a child and told in the first line that it is a child's. An error in a child's code is for the child to deal with. Only a child that finds no answer raises `SubcallError` in its parent's code.

A model is told about `rlm_query` only if a call would open a REPL:

#%% code 9289ca06
test_eq("rlm_query(prompt)" in RLM(Librarian(), max_depth=2).preview("?")[0]["content"], True)
test_eq("rlm_query(prompt)" in RLM(Librarian()).preview("?")[0]["content"], False)

#%% md 96b19cde
Here only the child has the tool: the root can't look the year up itself.

#%% code e2cf72e3
def published(title: str) -> int:
    "The year in which a novel came out."
    return {"Emma": 1815, "Persuasion": 1817}[title]

script = ["```repl\nFINAL(rlm_query('When did Emma come out?'))\n```", "```repl\nFINAL(published('Emma'))\n```"]
RLM(ScriptedLM(script), max_depth=2, custom_tools={}, custom_sub_tools={"published": published}).completion("When?").response

#%% md b92d0f78
## Smaller models for smaller parts

Sub-calls are many, and often simple. `other_backends` names models for them, with their `other_backend_kwargs`. The first serves all sub-calls and children, at every depth. The code can ask for another model by its name, the root's included; an unknown name is an error. The model is not told which models there are. If it should choose, name them in the question or in `custom_system_prompt`.

#%% code ef09d81e
class Assistant(Librarian): model = "assistant"

rlm = RLM(Librarian(), other_backends=[Assistant()], max_depth=2)
result = rlm.completion("How often does it rain in these books?", context=books)
test_eq({model: usage.calls for model, usage in result.usage_by_model.items()}, {"librarian": 2, "assistant": 6})
result.usage_by_model

#%% md 7bd375fa
With real models you would write, for example, `RLM(backend_kwargs={"model_name": "gpt-5.2"}, other_backends=["openai"], other_backend_kwargs=[{"model_name": "gpt-4o-mini"}])`.

#%% code 02665ab1
#| hide
bad = lambda **kw: lambda: RLM(Librarian(), **kw)
test_fail(bad(other_backends="openai"), contains="other_backends is a list")
test_fail(bad(other_backends=["openai"], other_backend_kwargs={"model_name": "m"}), contains="one dict for each")
test_fail(bad(max_depth=0), contains="max_depth must be a whole number of at least 1")
asks = ScriptedLM(["```repl\nllm_query('hi', model='gpt-9')\n```", "FINAL(no)"])
error = RLM(asks).completion("Ask gpt-9.").iterations[0].code_blocks[0].result.error
test_eq("there is no model 'gpt-9' here; leave `model` out, or use 'scripted'" in error, True)

#%% md 7b90f3bc
## Recursion that would not end

A child may be given what its parent was given, and do the same. That ends at `max_depth`, whatever the models want. This one always asks another: with three REPLs, the code in the last of them gets a plain reply.

#%% code 60befd28
class Endless:
    model = "endless"
    def complete(self, messages):
        if len(messages) == 1: return "as you say"
        if messages[-1]["content"].startswith("Output:"): return "FINAL(done)"
        return "```repl\nprint(rlm_query('Please do this: ' + context))\n```"

result = RLM(Endless(), max_depth=3).completion("Find somebody who knows.")
run, asked = result, []
while run:
    call = run.iterations[0].code_blocks[0].result.rlm_calls[0]
    asked.append(call.prompt)
    run = call.run
test_eq(len(asked), 3)
asked
