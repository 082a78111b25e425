"""One system, answering the tasks that arrive on stdin, a JSON line each, with a JSON line on stdout.

Runs in the environment of the system: `python systems.py rlm|rlms|dspy BASE_URL MAX_ITERATIONS`.
"""
import json, os, signal, sys
from pathlib import Path

MODEL = "coder"  # a server of one model takes any name


def rlm(url, max_iterations):
    "This package, from this checkout."
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from rlm import RLM
    model = RLM(backend="openai", backend_kwargs=dict(model_name=MODEL, base_url=url, temperature=0),
                max_iterations=max_iterations, verbose=False)
    def ask(question, context):
        if context is None: return model.completion(question).response
        return model.completion(question, context=context).response
    return ask


def rlms(url, max_iterations):
    "The reference implementation: the context is its prompt, the question its root prompt."
    from rlm import RLM
    model = RLM(backend="openai", backend_kwargs=dict(model_name=MODEL, base_url=url, api_key="none"),
                sampling_args=dict(temperature=0), environment="local", max_iterations=max_iterations)
    def ask(question, context):
        return model.completion(question if context is None else context, root_prompt=question).response
    return ask


def dspy(url, max_iterations):
    "DSPy's module, with its CPython interpreter: the default one downloads a sandbox when it is first used."
    import dspy
    lm = dspy.LM(f"openai/{MODEL}", api_base=url, api_key="none", temperature=0, max_tokens=1024, cache=False)
    dspy.configure(lm=lm)
    about = dspy.RLM("context, question -> answer", max_iters=max_iterations, interpreter_factory=dspy.LocalInterpreter)
    alone = dspy.RLM("question -> answer", max_iters=max_iterations, interpreter_factory=dspy.LocalInterpreter)
    def ask(question, context):
        if context is None: return alone(question=question).answer
        return about(question=question, context=context).answer
    return ask


if __name__ == "__main__":
    _, name, url, max_iterations = sys.argv
    out = os.fdopen(os.dup(1), "w")  # stdout proper is ours: what a system prints goes to stderr
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, lambda *args: sys.exit())  # so that a system can stop what it has started
    ask = dict(rlm=rlm, rlms=rlms, dspy=dspy)[name](url, int(max_iterations))
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        try: answer = dict(reply=str(ask(**json.loads(line))))
        except Exception as e: answer = dict(reply=None, error=f"{type(e).__name__}: {e}")
        print(json.dumps(answer), file=out, flush=True)
