"""A real Jupyter kernel to run cells in, driven over the messaging protocol as a front end drives it.

    with Kernel() as k:
        cell = k.run("print(1); 2")
        cell.stdout, cell.result   # "1\\n", "2"
"""
from __future__ import annotations
import os, queue, re, sys, time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]

def through_files(folder: str) -> Config:
    """A kernel's configuration, by which it talks through files in `folder`, an empty one.

    Ports are chosen before a kernel binds them. Where many programs begin at once another one is sometimes quicker, and the kernel dies.
    """
    return Config(KernelManager={"transport": "ipc", "ip": f"{folder}/wire"})

def run_notebook(nb, folder, timeout: float = 120) -> None:
    "Run a notebook in a fresh kernel whose working directory is `folder`. The outputs go into `nb`, and a cell that raises ends it."
    from nbclient import NotebookClient
    with TemporaryDirectory() as wires:
        NotebookClient(nb, timeout=timeout, resources={"metadata": {"path": str(folder)}}, config=through_files(wires)).execute()

SET_UP = '''
from rlm import RLM
from rlm.lm import ScriptedLM
import pandas as pd

def block(code): return f"```repl\\n{code}\\n```"

def scripted(*replies, verbose=False, **kw):
    "An RLM whose model gives these replies, code first."
    return RLM(ScriptedLM([r if r.startswith("FINAL") else block(r) for r in replies]), environment="jupyter",
               environment_kwargs=kw, verbose=verbose)

def run(*replies, question="Go.", **kw):
    "Run blocks in a mode; the results of the blocks."
    result = scripted(*replies, "FINAL(done it)", **kw).completion(question)
    globals()["_last"] = result
    return [b.result for i in result.iterations for b in i.code_blocks]

READ, BACK = dict(sync_from_user_ns=True), dict(sync_to_user_ns=True)  # the modes read all and publish
BOTH = READ | BACK                                                     # share all
def only(*names, **kw): return dict(sync_from_user_ns=True, sync_vars=list(names), **kw)
'''

@dataclass
class Cell:
    "What a front end shows below a cell."
    id: str                                               # of the request
    outputs: list[dict] = field(default_factory=list)     # messages' contents, with their type as `output_type`
    displays: dict[str, dict] = field(default_factory=dict)  # by display id, as they look now
    count: int | None = None                              # the number in `In [..]`
    done: bool = False

    def text(self, stream: str) -> str:
        "What was written to a stream."
        return "".join(o["text"] for o in self.outputs if o["output_type"] == "stream" and o["name"] == stream)
    @property
    def stdout(self) -> str: return self.text("stdout")
    @property
    def stderr(self) -> str: return self.text("stderr")
    @property
    def result(self) -> str | None:
        "The text of the last expression."
        return next((o["data"]["text/plain"] for o in self.outputs if o["output_type"] == "execute_result"), None)
    @property
    def error(self) -> str | None:
        "The name of the exception, and its message."
        return next((f"{o['ename']}: {o['evalue']}" for o in self.outputs if o["output_type"] == "error"), None)
    @property
    def shown(self) -> list[dict]:
        "The mimebundles displayed."
        return [o["data"] for o in self.outputs if o["output_type"] == "display_data"]

class Kernel:
    "A kernel in a process of its own."
    def __init__(self, python: str = sys.executable, cwd: str | None = None):
        self.wires = TemporaryDirectory()
        self.manager, self.cwd = KernelManager(config=through_files(self.wires.name)), cwd
        start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.manager._kernel_spec = KernelSpec(argv=start, language="python", display_name="test")

    def __enter__(self) -> Kernel:
        env = {k: v for k, v in os.environ.items() if k not in ("OPENAI_API_KEY", "OPENAI_BASE_URL")}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])
        self.manager.start_kernel(env=env, cwd=self.cwd)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.wires.cleanup()

    def start(self, code: str) -> Cell:
        "Send a cell; `finish` waits for it."
        return Cell(self.client.execute(code))

    def listen(self, cell: Cell, until, timeout: float = 60) -> Cell:
        "Take in what the kernel says about `cell`, until `until(cell)`."
        end = time.monotonic() + timeout
        while not until(cell):
            if not self.manager.is_alive(): raise RuntimeError(f"the kernel died in this cell: {cell}")
            try: m = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                if time.monotonic() < end: continue
                raise TimeoutError(f"the cell did not get there; so far: {cell}") from None
            if m["parent_header"].get("msg_id") != cell.id: continue
            kind, content = m["msg_type"], m["content"]
            if kind == "status": cell.done = content["execution_state"] == "idle"
            elif kind == "execute_input": cell.count = content["execution_count"]
            elif kind == "clear_output": cell.outputs.clear()
            elif kind in ("stream", "display_data", "execute_result", "error", "update_display_data"):
                name = content.get("transient", {}).get("display_id")
                if name: cell.displays[name] = content["data"]
                if kind != "update_display_data": cell.outputs.append(content | {"output_type": kind})
        return cell

    def finish(self, cell: Cell, timeout: float = 60) -> Cell: return self.listen(cell, lambda c: c.done, timeout)

    def run(self, code: str, timeout: float = 60) -> Cell:
        "Run a cell to its end."
        return self.finish(self.start(code), timeout)

    def ok(self, code: str, timeout: float = 60) -> Cell:
        "Run a cell that must not raise."
        cell = self.run(code, timeout)
        traceback = [line for o in cell.outputs for line in o.get("traceback", [])]
        assert cell.error is None, re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback))
        return cell

    def dialog(self, code: str, *typed, timeout: float = 60) -> tuple[Cell, list[str]]:
        "Run a cell, and at each of its questions type a line, or call a function; the cell, and the questions."
        cell, questions = self.start(code), []
        for line in typed:
            questions.append(self.client.get_stdin_msg(timeout=timeout)["content"]["prompt"])
            if callable(line): line()
            else: self.client.input(line)
        return self.finish(cell, timeout), questions

    def value(self, expression: str):
        "The value of an expression of literals, in the kernel."
        import ast
        return ast.literal_eval(self.ok(f"print(repr({expression}))").stdout)

    def interrupt(self) -> None: self.manager.interrupt_kernel()
