"Every notebook runs from top to bottom, in a process of its own, and counts under its own name."
import ast
import contextlib
import functools
import inspect
import json
import pkgutil
import re
import shutil
import subprocess
import sys
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

import pytest

import rlm
from notebooks import Runner
from rlm.environments.confine import check_sandbox
from rlm.types import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
NAMES = sorted(p.relative_to(NBS).with_suffix("").as_posix() for p in NBS.rglob("*.ipynb")
               if not re.search(r"/[._]", p.as_posix().removeprefix(NBS.as_posix())))

IN_A_KERNEL = """
import re, sys, nbformat
from kernel import run_notebook
nb = nbformat.read(sys.argv[1], 4)
left_out = "|".join(["eval: *false", "notest", *sys.argv[3:]])
nb.cells = [c for c in nb.cells if not re.search(rf"^#[|] *({left_out})", c.source, re.M)]
run_notebook(nb, sys.argv[2], timeout=300)
"""

@functools.cache
def walls():
    "The flag of the cells that need bubblewrap, where it works."
    try: check_sandbox("bwrap")
    except ConfigurationError: return ()
    return ("wall",)

@pytest.fixture(scope="session")
def runner():
    "What runs notebooks as nbdev does, where it is installed."
    if not find_spec("nbdev"): yield
    else:
        with contextlib.closing(Runner()) as runner: yield runner

def in_its_place(name):
    "While chapters are edited, pages that are made of them can wait."
    return pytest.param(name, marks=[pytest.mark.slow] if "/" in name and not name.startswith(("environments/", "utils/")) else [])

@pytest.mark.parametrize("name", map(in_its_place, NAMES))
def test_notebook(name, runner, request):
    nb = NBS / f"{name}.ipynb"
    if runner:
        flags = () if request.config.getoption("quick") else ("slow", *walls())  # also what needs the weights, or a wall
        said, passed = runner.run(nb, flags)
    else:
        done = subprocess.run([sys.executable, "-c", IN_A_KERNEL, nb, nb.parent, *({"wall"} - {*walls()})], cwd=ROOT / "tests", capture_output=True, text=True, timeout=600)
        said, passed = done.stdout + done.stderr, done.returncode == 0
    assert passed, f"{name}.ipynb\n" + re.sub(r"\x1b\[[\d;]*m", "", said)

def test_title_cells_hold_a_title_and_a_sentence():
    "nbdev makes a page's title and description of that cell, and drops whatever else is in it."
    first = {name: json.loads((NBS / f"{name}.ipynb").read_text())["cells"][0]["source"] for name in NAMES}
    assert [name for name, lines in first.items() if not re.fullmatch(r"# .+\n\n> .+\n?", "".join(lines))] == []

def cells(name):
    "The source of each code cell of a page, and what it shows."
    for cell in json.loads((NBS / f"{name}.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code": yield "".join(cell["source"]), cell["outputs"]

def is_question(source):
    "True for a cell of words, which the magic `%%rlm` begins."
    return bool(re.match(r"(#\|.*\n)*%%rlm", source))

def imported(source):
    "The packages that a cell imports; magics are no Python."
    if is_question(source): return
    for node in ast.walk(ast.parse(re.sub(r"^ *[%!].*", "", source, flags=re.M))):
        match node:
            case ast.Import(): yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(level=0): yield node.module.partition(".")[0]

def test_a_downloaded_page_finds_what_it_imports():
    "What pip installs with the library, and packages that a page names; nothing of this tree."
    installed = sys.stdlib_module_names | {"rlm", "fastcore", "IPython", "openai", "tomli", "pydantic", "pydantic_core", "pygments", "markdown_it"}
    named = {"pandas", "numpy", "matplotlib", "nbformat", "huggingface_hub", "filelock", "tqdm"}  # the last three: rlm[local]
    named |= {"rich", "duckdb", "pypdf", "mammoth", "markdownify", "charset_normalizer", "prompt_toolkit"}  # rlm[terminal], rlm[files], and IPython's
    named |= {"genai_prices", "polars", "typing_extensions"}  # rlm[prices], where it is there, and of pydantic
    named |= {"pydantic_monty", "zmq", "jupyter_client", "ipykernel", "traitlets", "pyarrow", "dask", "distributed", "cloudpickle", "PIL"}  # rlm[monty], rlm[kernel], rlm[dask], and what they bring
    found = {(name, package) for name in NAMES for source, _ in cells(name) for package in imported(source)}
    assert ("tutorials/get_started", "pandas") in found
    assert [(name, package) for name, package in found if package not in installed | named] == []
    assert [name for name in NAMES for source, _ in cells(name) if "sys.path" in source and "#| hide" in source] == []

def shows(source):
    "True if a cell ends on something to look at: a value, or a call of `print`."
    if is_question(source): return True
    *_, last = ast.parse(re.sub(r"^ *[%!].*", "pass", source, flags=re.M)).body or [None]
    match last:
        case ast.Expr(ast.Call(ast.Name("print"))): return True
        case ast.Expr(ast.Name() | ast.Attribute() | ast.Subscript() | ast.Tuple() | ast.List() | ast.ListComp()): return True
    return False

def test_what_a_cell_shows_is_on_the_page():
    "Outputs are committed, those of the embedded model too."
    shown = [(name, source, outputs) for name in NAMES for source, outputs in cells(name)
             if shows(source) and not re.search(r"^#\| *(hide|export)", source, re.M)]
    assert len([name for name, source, _ in shown if "slow" in source]) >= 4
    assert [(name, source) for name, source, outputs in shown if not outputs] == []

@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("tutorials/", "guides/"))])
def test_a_downloaded_page_runs_in_an_empty_folder(name, runner, tmp_path):
    "With the data that it links to."
    if not runner: pytest.skip("needs nbdev")
    for path in [f"{name}.ipynb", *re.findall(r"\]\(\.\./((?:data|traces)/[^)]+(?:txt|csv|jsonl?))\)", (NBS / f"{name}.ipynb").read_text())]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(NBS / path, tmp_path / path)
    said, passed = runner.run(tmp_path / f"{name}.ipynb")
    assert passed, said

def test_sidebar_lists_every_chapter():
    listed = re.findall(r"- (?:text: .*\n *href: |href: )?(\S+)\.ipynb", (ROOT / "_quarto.yml").read_text())
    assert sorted(listed) == NAMES

def is_method(x):
    "A field's default, and what is kept in one line as a field is, are no methods."
    named = getattr(getattr(x, "fget", x), "__name__", "") != "<lambda>"
    return named and isinstance(x, (FunctionType, property, cached_property, classmethod, staticmethod))

def public_names():
    "What the modules export, and the methods of exported classes."
    for info in pkgutil.walk_packages(rlm.__path__, "rlm."):
        if re.search(r"\._|\.core\b", info.name): continue
        module = import_module(info.name)
        for name in getattr(module, "__all__", ()):
            yield name
            thing = getattr(module, name)
            fields = getattr(thing, "__dataclass_fields__", ())
            if inspect.isclass(thing): yield from (f"{name}.{m}" for m, f in vars(thing).items() if m[0] != "_" and m not in fields and is_method(f)
                                                 and getattr(f, "__name__", m) == m)  # another name for the same is not listed

def test_api_reference_lists_every_public_name():
    output = json.loads((NBS / "api.ipynb").read_text())["cells"][-1]["outputs"][0]
    listed = re.findall(r"^ *- \[(.+?)\]", "".join(output["data"]["text/markdown"]), re.M)
    assert sorted(listed) == sorted(public_names())
