"""One system, answering the tasks that arrive on stdin, a JSON line each, with a JSON line on stdout.

Runs in the environment of the system: `python systems.py rlm|local|rlms|dspy OPTIONS`, where OPTIONS are those of `run.py` as
JSON. Its first line says, as JSON too, which version of the system it is, and which prompts it has.
"""
import json, os, signal, subprocess, sys
from importlib.metadata import version
from types import SimpleNamespace


def rlm(o, backend=None):
    "This package, from a checkout, with the recorder as its server."
    sys.path.insert(0, o.rlm)
    import rlm.prompts
    from rlm import RLM
    more = {"prompts": o.prompts} if o.prompts else {}
    if backend: more["backend"] = backend()
    else: more.update(backend="openai", backend_kwargs=dict(model_name=o.model, base_url=o.url, temperature=0))
    model = RLM(max_iterations=o.max_iterations, verbose=False, **more)
    def ask(question, context):
        if context is None: return model.completion(question).response
        return model.completion(question, context=context).response
    if profile := getattr(model, "profile", None): o.prompts = next(n for n, p in rlm.prompts.PROFILES.items() if p is profile)
    git = subprocess.run(["git", "-C", o.rlm, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return ask, f"{rlm.__version__} {git.stdout.strip()}".strip()


class Kept:
    "A backend of `rlm` whose calls are kept, in the recorder's form."
    def __init__(self, lm, calls):
        self.lm, self.calls = lm, calls
        if hasattr(lm, "sub_lms"): self.sub_lms = tuple(Kept(x, calls) for x in lm.sub_lms)

    def __getattr__(self, name): return getattr(self.lm, name)

    def complete(self, messages):
        call = dict(messages=[dict(m) for m in messages])
        self.calls.append(call)
        try: reply = self.lm.complete(messages)
        except Exception as e:
            call.update(error=str(e))
            raise
        call.update(reply=reply.content,
                    usage=dict(prompt_tokens=reply.usage.input_tokens, completion_tokens=reply.usage.output_tokens))
        return reply


def local(o):
    "This package with its own server and options for a model, as `RLM(\"local\")` has them."
    def backend():
        from rlm.local_lm import LocalLM
        return Kept(LocalLM(o.gguf, **({"n_threads": o.threads} if o.threads else {})), o.calls)
    return rlm(o, backend)


def rlms(o):
    "The reference implementation: the context is its prompt, the question its root prompt."
    from rlm import RLM
    model = RLM(backend="openai", backend_kwargs=dict(model_name=o.model, base_url=o.url, api_key="none"),
                sampling_args=dict(temperature=0), environment="local", max_iterations=o.max_iterations)
    def ask(question, context):
        return model.completion(question if context is None else context, root_prompt=question).response
    return ask, version("rlms")


def dspy(o):
    "DSPy's module, with its CPython interpreter: the default one downloads a sandbox when it is first used."
    import dspy
    lm = dspy.LM(f"openai/{o.model}", api_base=o.url, api_key="none", temperature=0, max_tokens=1024, cache=False)
    dspy.configure(lm=lm)
    options = dict(max_iters=o.max_iterations, interpreter_factory=dspy.LocalInterpreter)
    about = dspy.RLM("context, question -> answer", **options)
    alone = dspy.RLM("question -> answer", **options)
    def ask(question, context):
        if context is None: return alone(question=question).answer
        return about(question=question, context=context).answer
    return ask, version("dspy")


if __name__ == "__main__":
    _, name, options = sys.argv
    out = os.fdopen(os.dup(1), "w")  # stdout proper is ours: what a system prints goes to stderr
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, lambda *args: sys.exit())  # so that a system can stop what it has started
    o = SimpleNamespace(**json.loads(options), calls=[])
    ask, which = dict(rlm=rlm, local=local, rlms=rlms, dspy=dspy)[name](o)
    print(json.dumps(dict(version=which, prompts=o.label or o.prompts or "default")), file=out, flush=True)
    for line in sys.stdin:
        o.calls.clear()
        try: answer = dict(reply=str(ask(**json.loads(line))))
        except Exception as e: answer = dict(reply=None, error=f"{type(e).__name__}: {e}")
        print(json.dumps(answer | dict(calls=o.calls)), file=out, flush=True)
