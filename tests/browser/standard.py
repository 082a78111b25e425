"""The standard case: six iterations, an error and its repair, a figure, a block that takes its time and prints, forty sub-calls and two
children, then an answer with a table. `Analyst` is a model made of a script; it takes `pace` seconds for a reply, more or less.
"""
import itertools, threading, time

QUESTION = "What do the notes say about deliveries, and which city brings the most revenue?"

LOOK = '''The data is a table of orders. I look at its columns first.
```repl
print(orders.shape)
print(orders.dtypes)
print(orders.head(3))
```'''

WRONG = '''The revenue by city shows where the money comes from.
```repl
revenue = orders.groupby("town")["amount"].sum()
print(revenue)
```'''

REPAIR = '''The column is named city, not town. I repair that and draw the revenue by city.
```repl
import matplotlib.pyplot as plt
revenue = orders.groupby("city")["amount"].sum().sort_values()
ax = revenue.plot.barh(figsize=(6, 2.2), color="#4c78a8")
ax.set_xlabel("revenue")
ax.set_ylabel("")
plt.tight_layout()
plt.show()
print(revenue)
```'''

SLOW = '''A bootstrap tells how sure the order of the cities is.
```repl
import time
import numpy as np
rng, first = np.random.default_rng(0), []
for n in range(1, 21):
    sample = orders.sample(len(orders), replace=True, random_state=n)
    first.append(sample.groupby("city")["amount"].sum().idxmax())
    time.sleep(SLEEP)
    print(f"sample {n} of 20: {first[-1]} leads in {first.count(first[-1]) / n:.0%}")
```'''

BATCH = '''Now the notes: each is read on its own, and two long ones by a model with a REPL of its own.
```repl
asked = [f"What does the customer say about the delivery? In three words. Note: {note}" for note in notes]
said = llm_query_batched(asked)
longer = rlm_query_batched("Sum up this complaint in a sentence.", [notes[0] * 40, notes[1] * 40])
late = sum("late" in s for s in said)
print(f"{late} of {len(said)} notes complain about a late delivery")
print(longer[0])
```'''

ANSWER = '''I have what I need.
```repl
rows = "\\n".join(f"| {city} | {amount:,.0f} | {first.count(city)} of 20 |" for city, amount in revenue[::-1].items())
answer = f"""**{revenue.index[-1]}** brings the most revenue, and {late} of {len(said)} notes complain about *a late delivery*.

| city | revenue | leads in |
|------|--------:|---------:|
{rows}"""
```
FINAL_VAR(answer)'''

CHILD = ['''I read it first.
```repl
print(len(context), context[:60])
```''', "FINAL(The parcel came nine days late, and nobody answered the phone.)"]

def tables():
    "The user's data: `orders` and `notes`."
    import numpy as np, pandas as pd
    rng = np.random.default_rng(1)
    orders = pd.DataFrame({"city": rng.choice(["Lima", "Oslo", "Turin"], 300, p=[.4, .3, .3]), "amount": rng.gamma(4, 17, 300).round(2)})
    moods = ["came late again", "arrived on time, thank you", "was left in the rain", "came a day late"]
    return orders, [f"Order {n}: the parcel {moods[n % 4]}." for n in range(40)]

def asked(messages):
    "The task of a conversation."
    tasks = [m["content"] for m in messages if m["role"] == "user" and "Task: " in str(m["content"])]
    return tasks[-1] if tasks else None

class Analyst:
    "Answers as the root model, as the child's, and the sub-calls."
    model = "scripted/analyst"
    priced = True
    def __init__(self, pace: float = 1.5, slow_block: float = 10.0, script=(LOOK, WRONG, REPAIR, SLOW, BATCH, ANSWER)):
        self.pace, self.script = pace, [s.replace("SLEEP", f"{slow_block / 20:g}") for s in script]
        self._wobble, self._lock = itertools.cycle([1, .6, 1.5, .8, 1.2]), threading.Lock()

    def sleep(self, seconds: float):
        with self._lock: wobble = next(self._wobble)
        time.sleep(seconds * wobble)

    def complete(self, messages):
        from rlm.types import Reply, Usage
        said = self.say(messages)
        sent = sum(len(str(m["content"])) for m in messages) // 4
        return Reply(said, usage=Usage(sent, len(said) // 4, 1, cost=sent * 1e-6 + len(said) * 1e-6))

    def say(self, messages):
        task = asked(messages)
        self.sleep(self.pace)
        if task is None: return "it came late" if "late" in str(messages[-1]["content"]) else "nothing to complain"
        if "Sum up this complaint" in task: return CHILD[min(self.turns(messages), 1)]
        return self.script[min(self.turns(messages), len(self.script) - 1)]

    def turns(self, messages):
        "The replies since the task."
        at = max(i for i, m in enumerate(messages) if m["role"] == "user" and "Task: " in str(m["content"]))
        return sum(m["role"] == "assistant" for m in messages[at:])

def rlm(pace: float = 1.5, slow_block: float = 10.0, **kw):
    "The RLM that plays it, on the user's `orders` and `notes`."
    from rlm import RLM
    shared = {"sync_from_user_ns": True, "sync_vars": ["orders", "notes"]}
    kw = {"environment": "jupyter", "environment_kwargs": shared, "max_depth": 2} | kw
    return RLM(Analyst(pace, slow_block), **kw)
