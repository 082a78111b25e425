"""Seconds for 200 sub-calls in one batch, and for fifty runs at once beside one, in one system. Part of `benchmark.py`.

    python fan_out.py rlm|rlms|dspy BASE_URL
"""
import asyncio, json, os, sys, time
from concurrent.futures import ThreadPoolExecutor

CODE = "import time\nbegan = time.perf_counter()\nreplies = llm_query_batched(['x'] * 200)\nassert len(replies) == 200\nbatch_seconds = str(time.perf_counter() - began)"

def script(body):
    "What the server answers: `x` with a word, a fan-out question with code, anything else with an answer."
    said = str(body["messages"])
    if len(body["messages"]) == 1 and body["messages"][0]["content"] == "x": return "yes"
    for_dspy = lambda code: f"[[ ## reasoning ## ]]\nNone.\n\n[[ ## code ## ]]\n```python\n{code}\n```\n\n[[ ## completed ## ]]"
    if "[[ ## " in said: return for_dspy(f"{CODE}\nSUBMIT(batch_seconds)" if "fan out" in said else "SUBMIT('done it')")
    if "fan out" not in said or "batch_seconds" in said: return "FINAL(done it)"
    return f"```repl\n{CODE}\nanswer['content'], answer['ready'] = batch_seconds, True\n```"

def rlm(url):
    from rlm import RLM
    it = RLM(backend_kwargs={"model_name": "m", "base_url": url}, verbose=False, max_concurrent_subcalls=64)
    async def many(n): return await asyncio.gather(*[it.acompletion("pick one") for _ in range(n)])
    return lambda: it.completion("fan out", context="some data").response, lambda n: asyncio.run(many(n))

def threads(ask, n):
    with ThreadPoolExecutor(n) as pool: return list(pool.map(ask, range(n)))

def rlms(url):
    from rlm import RLM
    make = lambda: RLM(backend="openai", backend_kwargs=dict(model_name="m", base_url=url, api_key="none"), environment="local", max_concurrent_subcalls=64)
    return lambda: make().completion("some data", root_prompt="fan out").response, lambda n: threads(lambda _: make().completion("some data", root_prompt="pick one"), n)

def dspy(url):
    import dspy
    dspy.configure(lm=dspy.LM("openai/m", api_base=url, api_key="none", cache=False))
    it = dspy.RLM("question -> answer", max_llm_calls=1_000, interpreter_factory=dspy.LocalInterpreter)
    return lambda: it(question="fan out").answer, lambda n: threads(lambda _: it(question="pick one"), n)

if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")  # what a system prints goes to stderr
    os.dup2(2, 1)
    fan_out, many = dict(rlm=rlm, rlms=rlms, dspy=dspy)[sys.argv[1]](sys.argv[2])
    def timed(f, *args):
        began = time.perf_counter()
        f(*args)
        return time.perf_counter() - began
    fan_out(), many(2)
    print(json.dumps({"batch": sorted(float(fan_out()) for _ in range(5))[2], "one": timed(many, 1), "fifty": timed(many, 50)}), file=out, flush=True)
