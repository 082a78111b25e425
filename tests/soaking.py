"""One run of `soak.py`, what is done to it, and what must be true afterwards. It works in any process: a plain one, or a kernel.

    python tests/soaking.py   # reads orders, one JSON object a line: {"run": 7}, {"look": true}; answers each with a line
"""
from __future__ import annotations
import asyncio, collections, contextlib, faulthandler, gc, json, linecache, os, random, signal, subprocess, sys, tempfile, threading, time, traceback
from dataclasses import dataclass, field
from pathlib import Path

from rlm import RLM, Cache, RLMLogger, read_log
from rlm.lm import ScriptedLM
from rlm.openai_lm import OpenAILM
from rlm.replay import ReplayDivergenceError, replay
from rlm.run import Run
from rlm.environments.repl import Repl
from rlm.session import Session
from rlm.types import ConfigurationError, RLMChatCompletion, RLMError
from rlm.utils.trace_notebook import enable_trace_notebook

SEED, SERVER, FOLDER = (os.environ.get(name, "") for name in ("SOAK_SEED", "SOAK_SERVER", "SOAK_FOLDER"))
SMALL = Path(FOLDER, "small")  # a disk of a few pages, where there is one
QUESTIONS = ["How long is it?", "Summarize `context`.", "Which word comes first?", "Go.", "Is 7 a prime? " * 30]
CONTEXTS = ["one two three", ["ab", "cd"], {"rows": [1, 2, 3]}, "line\n" * 20_000, None, "", [["x" * 100] * 30] * 30, b"bytes", 7, "FINAL(never)", {"é": "\ud800"}]
KINDS = ["plain", "asks", "raises", "exits", "floods", "leaves", "breaks", "ends"]
WAYS = ["completion", "acompletion", "stream", "left stream", "async stream", "chat", "achat", "gather", "threads", "persistent", "resume", "replay", "cache"]
STOPS = {"final", "max_iterations", "repetition", "max_timeout", "max_tokens", "max_errors", "error", "interrupted", "cancelled"}

class Plan:
    "What run number `n` is. The seed and the number say it all."
    def __init__(self, seed, n: int):
        chance = self.chance = random.Random(f"{seed}:{n}")
        self.n, maybe = n, lambda share, x, other=None: x if chance.random() < share else other
        self.way = chance.choice(WAYS)
        self.options = {"max_iterations": chance.choice([1, 2, 3, 4, 6]), "max_depth": maybe(.3, 2, 1), "max_tokens": maybe(.05, chance.choice([50, 500, 3_000])),
                        "max_errors": maybe(.1, chance.choice([1, 2])), "max_concurrent_subcalls": maybe(.2, 2, 16), "persistent": self.way == "persistent" or chance.random() < .1,
                        "verbose": chance.choice([False, False, True, None])}
        self.kinds = [k for k in KINDS if chance.random() < .6] or ["plain"]
        self.question, self.context = chance.choice(QUESTIONS), chance.choice(CONTEXTS)
        self.output_type = maybe(.1, chance.choice([int, str, list[int], dict[str, int]]))
        self.last = chance.randint(1, 5)                      # the reply at which the model begins to end
        self.faults = maybe(.35, chance.choice([.1, .4, .9]), 0)   # the share of the server's answers that go wrong
        self.client = {"max_retries": chance.choice([0, 0, 1, 2])}
        self.fate = maybe(.5, chance.choice(["interrupt", "interrupt", "cancel", "close", "clock", "garbage", "kill"]), "")
        self.when = chance.uniform(0, .25) * chance.choice([.2, 1, 3])
        self.log = chance.choice(["", "log", "log", "trace", "trace", "full disk"])
        self.limited = self.fate == "" and chance.random() < .25     # code that hangs, and a limit to the time
        self.timeout = self.limited or self.fate == "interrupt" and chance.random() < .3
        if self.limited: self.kinds += ["hangs"] * 2
        if self.timeout: self.options["max_timeout"] = chance.choice([.1, .3, .8])
        self.hangs = self.limited or self.fate in ("interrupt", "cancel") and self.way not in ("threads",)   # the server may never answer
        if self.hangs: self.client["timeout"] = 1.5   # nobody waits for a request of a run that is over, but for its client
        if self.way == "threads" and self.fate in ("interrupt", "cancel"): self.fate = "garbage"
        if self.way in ("replay", "resume", "cache") and self.fate == "cancel": self.fate = "interrupt"
        if self.fate == "kill" and self.log not in ("log", "trace"): self.log = "log"
    def fate_in(self, environment: str) -> str:
        "What comes over it there."
        if self.fate == "cancel" and self.way not in ("acompletion", "achat", "gather"): return ""   # no task to cancel
        return "" if self.fate == "kill" and environment == "jupyter" else self.fate   # no process to kill but the user's own
    @property
    def awaits(self) -> bool: return self.way in ("acompletion", "achat", "gather", "async stream")
    @property
    def exact(self) -> bool:
        "Whether each request of it is answered while somebody waits."
        return not (self.timeout or self.hangs or self.fate in ("interrupt", "cancel", "close", "kill") or self.way in ("left stream", "async stream"))

@dataclass
class Report:
    "What became of a run."
    n: int
    kind: str = "local"                                     # the environment
    way: str = ""
    fate: str = ""
    log: str = ""
    ended: list = field(default_factory=list)               # each question's stop reason, or its error's name
    calls: int = 0                                          # requests that the usage says were answered
    unanswered: int = 0
    reused: int = 0
    logs: int = 0                                           # that were read
    exact: bool = False
    wrong: list = field(default_factory=list)               # what must not be

# -- what must be true of a result, an error and a log

def check_result(report: Report, result: RLMChatCompletion) -> None:
    "A result's parts are there, can be shown, and add up."
    if result.stop_reason not in STOPS: report.wrong.append(f"stop_reason {result.stop_reason!r}")
    if type(result.response) is not str: report.wrong.append(f"response of type {type(result.response)}")
    repr(result), result._repr_html_(), result.trace_markdown, json.dumps(result.to_dict())
    report.calls += result.usage.calls
    report.unanswered += result.usage.unanswered
    report.reused += result.usage.reused
    replies = list(result.replies.values())
    inside = [call.usage for i in replies for b in i.code_blocks for call in b.result.rlm_calls]
    told = sum(i.reply.usage.calls for i in replies) + sum(u.calls for u in inside)
    if told > result.usage.calls: report.wrong.append(f"its parts have {told} calls, and its usage {result.usage.calls}")

def check_log(report: Report, logger: RLMLogger, results: list[RLMChatCompletion], whole: bool) -> None:
    "A log can be read, no line but the last is torn, and it has the runs that were had. `whole`: the disk was not full."
    try: runs = {run.id: run for run in read_log(logger.path)}
    except RLMError as e:
        if whole: report.wrong.append(f"the log can't be read: {e}")
        return
    report.logs += 1
    lines = logger.path.read_bytes().split(b"\n")
    if not whole: return
    if lines.pop(): report.wrong.append("the log's last line has no end")
    for n, line in enumerate(lines, 1):
        try: json.loads(line)
        except ValueError: report.wrong.append(f"line {n} of the log is torn")
    for result in results:
        if result.stop_reason != "final" and not result.iterations and result.id not in runs: continue   # it ended before it was told of
        if not (run := runs.get(result.id)): report.wrong.append("a run is not in the log")
        elif (run.result.response, run.result.stop_reason, len(run.result.iterations)) != (result.response.encode(errors="surrogatepass").decode(errors="surrogatepass"), result.stop_reason, len(result.iterations)):
            report.wrong.append(f"the log has {run.result!r}, and the result is {result!r}")
        elif run.result.usage != result.usage: report.wrong.append(f"the log has {run.result.usage}, and the result {result.usage}")

class Asked:
    "Asks questions, and takes down how each ended."
    def __init__(self, plan: Plan, report: Report, may_refuse: bool):
        self.plan, self.report, self.results, self.may_refuse = plan, report, [], may_refuse

    def take(self, result) -> RLMChatCompletion | None:
        if not isinstance(result, RLMChatCompletion): return self.report.wrong.append(f"{type(result)} instead of a result")
        self.report.ended.append(result.stop_reason)
        self.results.append(result)
        check_result(self.report, result)
        return result

    def fail(self, e: BaseException) -> None:
        "Take down an error, if it is of a kind that the documentation has."
        self.report.ended.append(type(e).__name__)
        result = getattr(e, "result", None)
        known = isinstance(e, (RLMError, KeyboardInterrupt, asyncio.CancelledError))
        if not known: self.report.wrong.append("".join(traceback.format_exception(e))[-3_000:])
        if result is not None:
            self.results.append(result)
            check_result(self.report, result)
        elif isinstance(e, RLMError) and not (self.may_refuse or "closed" in str(e) or "could not begin" in str(e) or isinstance(e, ConfigurationError)): self.report.wrong.append(f"no .result: {type(e).__name__}: {e}")

    def ask(self, f, *args, **more):
        "What `f` gives; None where it failed as it may."
        try: return self.take(f(*args, **more))
        except (Exception, KeyboardInterrupt, asyncio.CancelledError) as e: self.fail(e)

    async def aask(self, awaitable):
        try: return self.take(await awaitable)
        except (Exception, KeyboardInterrupt) as e: self.fail(e)
        except asyncio.CancelledError as e:
            self.fail(e)
            if (task := asyncio.current_task()).cancelling() if hasattr(asyncio.Task, "cancelling") else False: task.uncancel()

# -- the ways to ask

def question(plan: Plan) -> dict:
    given = {"prompt": plan.question, "output_type": plan.output_type}
    return given if plan.context is None else given | {"context": plan.context}

def asked_plainly(plan: Plan, rlm: RLM, a: Asked) -> None:
    given = question(plan)
    if plan.way in ("completion", "persistent"):
        for _ in range(1 + (plan.way == "persistent")): a.ask(rlm.completion, **given)
    elif plan.way == "chat":
        session = rlm.start_session()
        for _ in range(plan.chance.randint(2, 3)):
            before, result = len(session), a.ask(session.chat, **given)
            if len(session) - before != (result is not None): a.report.wrong.append("a turn that raised was kept, or one that returned was not")
    elif plan.way == "threads":
        threads = [threading.Thread(target=a.ask, args=[rlm.completion], kwargs=given) for _ in range(3)]
        for t in threads: t.start()
        for t in threads: t.join()
    elif plan.way == "stream": a.ask(streamed, rlm, given)
    elif plan.way == "left stream":
        stream = rlm.stream(**given)
        try:
            for _ in zip(range(plan.chance.randint(0, 12)), stream): pass
            stream.close()
        except (RLMError, KeyboardInterrupt) as e: a.report.ended.append(type(e).__name__)
        else: a.report.ended.append("left")
        if stream.result:
            a.results.append(stream.result)
            check_result(a.report, stream.result)
    elif plan.way == "cache":
        for _ in range(2): a.ask(rlm.completion, **given)
    elif plan.way == "resume": asked_again(plan, rlm, a, given)
    elif plan.way == "replay": replayed(plan, rlm, a, given)

def streamed(rlm: RLM, given: dict) -> RLMChatCompletion:
    stream = rlm.stream(**given)
    for event in stream: repr(event)
    return stream.result

def asked_again(plan: Plan, rlm: RLM, a: Asked, given: dict) -> None:
    "A run, and one that goes on from one of its iterations."
    a.ask(rlm.completion, **given)
    first, a.may_refuse = rlm.last_result, True
    if first is None: return
    of = rlm.logger.path if isinstance(rlm.logger, RLMLogger) and rlm.logger.path and plan.chance.random() < .5 else first
    number = plan.chance.randint(1, max(1, len(first.iterations)))
    a.ask(rlm.resume, of, number, plan.chance.choice([None, "Be brief.", {"reply": "```repl\nFINAL(1)\n```"}]))

def replayed(plan: Plan, rlm: RLM, a: Asked, given: dict) -> None:
    "A run, and its replay, which asks nobody. Code that has to do with time, or with chance, may end elsewhere."
    a.ask(rlm.completion, **given)
    first = rlm.last_result
    if first is None or not isinstance(rlm.logger, RLMLogger) or rlm.logger.path is None or plan.log == "full disk": return
    try: RLM(replay(rlm.logger.path), verbose=False, **{k: v for k, v in plan.options.items() if k != "verbose"}).completion(**given)
    except (RLMError, KeyboardInterrupt) as e: a.report.ended.append(f"replay: {type(e).__name__}")
    else: a.report.ended.append("replay")

async def awaited(plan: Plan, rlm: RLM, a: Asked) -> None:
    given = question(plan)
    if plan.way == "achat":
        session = rlm.start_session()
        for _ in range(2): await cancelled(plan, a, session.achat(**given))
    elif plan.way == "gather": await asyncio.gather(*(cancelled(plan, a, rlm.acompletion(**given)) for _ in range(3)))
    elif plan.way == "acompletion": await cancelled(plan, a, rlm.acompletion(**given))
    elif plan.way == "async stream":
        stream, most = rlm.stream(**given), plan.chance.choice([3, 8, 10_000])
        try:
            events = aiter_of(stream)
            try:
                async for event in events:
                    most -= 1
                    if most < 0: break
            finally: await events.aclose()
        except (RLMError, KeyboardInterrupt, asyncio.CancelledError) as e: a.report.ended.append(type(e).__name__)
        else: a.report.ended.append(stream.result.stop_reason if stream.result else "left")
        if stream.result:
            a.results.append(stream.result)
            check_result(a.report, stream.result)

def aiter_of(stream): return stream.__aiter__()

async def cancelled(plan: Plan, a: Asked, awaitable) -> None:
    "Await, or be cancelled meanwhile where that is the run's fate."
    if plan.fate != "cancel": return await a.aask(awaitable)
    task = asyncio.ensure_future(a.aask(awaitable))
    await asyncio.wait([task], timeout=plan.when)
    task.cancel()
    await asyncio.wait([task])

# -- what is done to a run meanwhile

@contextlib.contextmanager
def fated(plan: Plan, rlm: RLM, in_kernel: bool):
    "Inside, the run's fate comes over it. A kernel is interrupted from outside."
    undo, timers = [], []
    def later(f, seconds=plan.when):
        timers.append(threading.Timer(seconds, f))
        timers[-1].daemon = True
        timers[-1].start()
    def closing():
        with contextlib.suppress(RLMError): rlm.close()
    try:
        if plan.fate == "interrupt" and not in_kernel: later(lambda: os.kill(os.getpid(), signal.SIGINT))
        elif plan.fate == "close": later(closing)
        elif plan.fate == "clock":
            real, jump = time.time, plan.chance.choice([-1e9, -3600, 3600, 1e9])
            time.time = lambda: real() + jump
            undo.append(lambda: setattr(time, "time", real))
            later(lambda: setattr(time, "time", lambda: real() - jump))
        elif plan.fate == "garbage":
            before = gc.get_threshold()
            gc.set_threshold(plan.chance.choice([5, 50]))
            undo.append(lambda: gc.set_threshold(*before))
            for i in range(10): later(gc.collect, i * .02)
        elif plan.fate == "kill" and rlm.environment in ("monty", "kernel"): later(kill_workers)
        yield
    finally:
        for timer in timers: timer.cancel()
        for timer in timers: timer.join()
        for f in undo: f()

def children() -> list[int]:
    "The processes that this one has started, and that live."
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError): found += map(int, Path(task, "children").read_text().split())
    return found

def program(pid: int) -> str:
    "Its name, and `Z` where it has ended and nobody has asked how."
    try: return " ".join(Path("/proc", str(pid), "stat").read_text().partition("(")[2].replace(")", "").split()[:2]).replace(" S", "").replace(" R", "")
    except OSError: return "gone"

def confined() -> list[str]:
    "The programs that work in this soak's folder for temporary files, whoever has started them."
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if tempfile.gettempdir().encode() in Path("/proc", name, "cmdline").read_bytes(): found.append(Path("/proc", name, "comm").read_text().strip())
    return found

def kill_workers() -> None:
    for pid in children():
        with contextlib.suppress(OSError): os.kill(pid, signal.SIGKILL)

def killed(plan: Plan, report: Report) -> None:
    "A run in a process of its own, which is killed; its log; and a run that goes on from there."
    folder = Path(FOLDER, "logs", f"killed{plan.n}")
    pid = os.fork()
    if not pid:
        try: rlm_of(plan, "local", RLMLogger(folder)).completion(**question(plan))
        finally: os._exit(0)
    time.sleep(plan.when)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    report.ended.append("killed")
    for log in folder.glob("*.jsonl"):
        runs = read_log(log)
        report.logs += 1
        lines = log.read_bytes().split(b"\n")
        for line in lines[:-1]: json.loads(line)
        if runs and runs[0].result.iterations and runs[0].result.stop_reason == "unfinished":
            try: report.ended.append("resumed: " + rlm_of(plan, "local", None).resume(log).stop_reason)
            except RLMError as e: report.ended.append(f"resumed: {type(e).__name__}")

# -- one run

def rlm_of(plan: Plan, environment: str, logger, **more) -> RLM:
    lm = OpenAILM(f"soak-{plan.n}", SERVER, api_key="any", **plan.client)
    if plan.way == "cache": more["cache"] = Cache(cache_of(plan), turns=plan.chance.random() < .5, days=plan.chance.choice([None, 1]), megabytes=plan.chance.choice([500, .02]))
    return RLM(lm, environment=environment, logger=logger, **more, **plan.options)

def cache_of(plan: Plan) -> Path:
    "The cache's file, which is now and then no database."
    path = Path(SMALL if plan.log == "full disk" else FOLDER, f"replies{plan.n}.sqlite")
    if plan.chance.random() < .2 and plan.log != "full disk": path.write_bytes(b"SQLite format 3\0" + plan.chance.randbytes(5_000))
    return path

@contextlib.contextmanager
def little_room(plan: Plan):
    "Inside, the small disk has room for a few lines, or none."
    ballast = SMALL / "ballast"
    for file in SMALL.iterdir(): file.unlink()
    free = os.statvfs(SMALL)
    left = plan.chance.choice([0, 4_096, 8_192, 20_480, 40_960])
    try:
        ballast.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - left))
        yield
    finally:
        for file in SMALL.iterdir(): file.unlink()

def logger_of(plan: Plan):
    folder = SMALL if plan.log == "full disk" else Path(FOLDER, "logs")
    if plan.log == "trace" or plan.log == "full disk" and plan.chance.random() < .5: return enable_trace_notebook(folder)
    return (RLMLogger(folder) if plan.log else None), None

def in_kernel() -> bool: return "ipykernel" in sys.modules and getattr(sys.modules["ipykernel.kernelapp"].IPKernelApp, "_instance", None) is not None

def finish(plan: Plan, a: Asked, rlm: RLM, trace) -> Report:
    "Look at the log and the trace, take back what was done to the notebook, and let everything go."
    if rlm.logger is not None: check_log(a.report, rlm.logger, a.results, plan.log != "full disk")
    if trace is not None:
        trace.close()
        if trace.path.exists() and plan.log != "full disk": json.loads(trace.path.read_text())
    if rlm.environment == "jupyter":
        for result in a.results[::-1]: result.changes and result.undo()
    rlm.close()
    return a.report

reserve: list[RLM] = []   # which holds a kernel that stands ready, for the next run of the batch

def steps(n: int, environment: str, options: dict):
    "Run number `n`. Hands out what is to be awaited, and in the end its report."
    plan = Plan(SEED, n)
    if plan.log == "full disk" and not SMALL.exists(): plan.log = "log"
    report = Report(n, environment, plan.way, plan.fate_in(environment), plan.log, exact=plan.exact)
    if plan.fate == "kill" and environment == "local" and not in_kernel():
        killed(plan, report)
        return report
    with little_room(plan) if plan.log == "full disk" else contextlib.nullcontext():
        try: logger, trace = logger_of(plan)
        except RLMError as e:   # no room for a log
            if plan.log != "full disk": raise
            report.ended.append(f"refused: {type(e).__name__}")
            return report
        if environment == "kernel" and not reserve: reserve.append(RLM(ScriptedLM([]), environment=environment, environment_kwargs=options))
        a, rlm = Asked(plan, report, may_refuse=plan.fate == "close"), rlm_of(plan, environment, logger, environment_kwargs=options)
        try:
            with fated(plan, rlm, in_kernel()):
                if plan.awaits: yield awaited(plan, rlm, a)
                else: asked_plainly(plan, rlm, a)
        except (KeyboardInterrupt, asyncio.CancelledError) as e: report.ended.append(type(e).__name__)   # between two questions
        return finish(plan, a, rlm, trace)

def run(n: int, environment: str = "local", options: dict = {}) -> Report:
    "Run number `n`, whatever it is."
    todo = steps(n, environment, options)
    try: work = next(todo)
    except StopIteration as end: return end.value
    try: asyncio.run(work)
    except KeyboardInterrupt as e: return resumed(todo, e)
    return resumed(todo)

def resumed(todo, error: BaseException | None = None) -> Report:
    try: todo.throw(error) if error else next(todo)
    except StopIteration as end: return end.value

async def arun(n: int, environment: str, options: dict) -> Report:
    "The same, awaited in a cell."
    todo = steps(n, environment, options)
    try: work = next(todo)
    except StopIteration as end: return end.value
    try: await work
    except (KeyboardInterrupt, asyncio.CancelledError) as e: return resumed(todo, e)
    return resumed(todo)

# -- what must be as it was

def state() -> dict:
    "What runs could leave behind in a process."
    import builtins
    files = collections.Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError): files[os.readlink(f"/proc/self/fd/{name}").partition(":")[0]] += 1
    alive = collections.Counter(type(x).__name__ for x in gc.get_objects() if type(x) in (RLM, Run, Repl, Session, RLMChatCompletion))
    return {"threads": collections.Counter(t.name.partition("-")[0] for t in threading.enumerate()), "files": files, "children": collections.Counter(map(program, children())), "confined": collections.Counter(confined()), "builtins": collections.Counter(vars(builtins).keys()), "alive": alive,
            "temporary": collections.Counter(os.path.splitext(n)[0][:4] for n in os.listdir(tempfile.gettempdir())), "half": collections.Counter(p.name for p in Path(FOLDER, "logs").glob(".*")),
            "modules": collections.Counter(n for n in (*sys.modules, *linecache.cache) if n.startswith(("rlm_repl", "<rlm"))),
            "process": {"stdin": id(sys.stdin), "stdout": id(sys.stdout), "stderr": id(sys.stderr), "SIGINT": str(signal.getsignal(signal.SIGINT)), "SIGALRM": str(signal.getsignal(signal.SIGALRM)), "start": id(threading.Thread.start),
                        "print": id(builtins.print), "input": str(getattr(builtins.input, "__func__", builtins.input)), "folder": os.getcwd(), "excepthook": str(sys.excepthook), "recursion": sys.getrecursionlimit(),
                        "gc": gc.isenabled(), "environment": len(os.environ), "time": id(time.time)}}

def more(before: dict, now: dict) -> dict:
    "What there is now and was not before."
    found = {}
    for name, was in before.items():
        if name == "process": left = {k: (v, now[name][k]) for k, v in was.items() if now[name][k] != v}
        else: left = dict(now[name] - was)
        if left: found[name] = left
    return found

def look(before: dict | None, patience: float = 12) -> tuple[dict, dict]:
    "What is as it should be, and what is left of runs. Waits a while for what is about to end."
    end, now, left = time.monotonic() + patience, None, None
    reserve.clear()
    while True:
        with contextlib.suppress(Exception): subprocess._cleanup()   # what the code has started and forgotten
        gc.collect()
        now = state()
        left = more(before, now) if before else {}
        if not left or time.monotonic() > end: return now, left
        time.sleep(.1)

def in_a_cell(report: Report, before: set) -> None:
    "Tell the report of a run in a kernel, and which names it has left in the notebook."
    from IPython import get_ipython
    if left := set(get_ipython().user_ns) - before - {"_exit_code", "__warningregistry__"}:   # which IPython and Python bind
        report.wrong.append(f"names left in the notebook: {sorted(left)}")
    print("\n@ " + json.dumps(vars(report)))

def main() -> None:
    "Take orders from stdin, answer on what was stdout."
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    out, before = os.fdopen(os.dup(1), "w"), None
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        order = json.loads(line)
        if "run" in order:
            try: answer = vars(run(order["run"], order["environment"], order["options"]))
            except Exception: answer = vars(Report(order["run"], order["environment"], wrong=[traceback.format_exc()[-3_000:]]))
        else:
            now, left = look(before)
            before, answer = before or now, {"left": left}
            if left: before = now   # told once
        print(json.dumps(answer), file=out, flush=True)

if __name__ == "__main__": main()
