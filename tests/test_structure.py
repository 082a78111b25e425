"How the rooms of the house lie: imports go one way, and what a room keeps private stays in it."
import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

def imports(tree: ast.AST, module: str, is_package: bool):
    "Each import in a module, those inside functions too: the module it is from, the name it takes and the name it gets."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names: yield a.name, None, a.asname or a.name
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[:len(module.split(".")) + is_package - node.level] if node.level else []
            source = ".".join([*package, *filter(None, [node.module])])
            for a in node.names: yield source, a.name, a.asname or a.name

def rooms(root: Path = ROOT) -> dict[str, tuple[ast.AST, bool]]:
    "The modules of the library that somebody wrote, parsed."
    paths = [p for p in (root / "rlm").rglob("*.py") if p.name != "_modidx.py"]
    return {module_name(p): (ast.parse(p.read_text()), p.name == "__init__.py") for p in paths}

def import_graph(modules: dict) -> dict[str, set[str]]:
    "For each module the modules of the library that it names in an import."
    graph = {}
    for name, (tree, is_package) in modules.items():
        found = {f"{source}.{taken}" if f"{source}.{taken}" in modules else source
                 for source, taken, _ in imports(tree, name, is_package)}
        graph[name] = found & modules.keys()
    return graph

def circle(graph: dict[str, set[str]]) -> list[str]:
    "A way that leads back to where it began; empty if there is none."
    try: TopologicalSorter(graph).prepare()
    except CycleError as e: return e.args[1]
    return []

def private_uses(modules: dict) -> list[str]:
    "Every private name that a module takes from another one, by an import or as an attribute of the module."
    private = lambda name: name.startswith("_") and not name.startswith("__")
    found = []
    for name, (tree, is_package) in modules.items():
        others = {}
        for source, taken, called in imports(tree, name, is_package):
            whole = f"{source}.{taken}" if taken else source
            if whole in modules: others[called] = whole
            elif source in modules and source != name and private(taken or ""): found.append(f"{name} takes {taken} from {source}")
        found += [f"{name} takes {node.attr} from {others[ast.unparse(node.value)]}" for node in ast.walk(tree)
                  if isinstance(node, ast.Attribute) and private(node.attr) and ast.unparse(node.value) in others]
    return sorted(set(found))

def parsed(**sources): return {f"rlm.{n}" if n != "rlm" else n: (ast.parse(s), n == "rlm") for n, s in sources.items()}

def test_imports_go_one_way():
    assert circle(import_graph(rooms())) == []

def test_no_room_takes_what_another_keeps_private():
    assert private_uses(rooms()) == []

@pytest.mark.parametrize("back", ["import rlm.a", "from rlm.a import x", "from rlm import a", "from . import a", "from .a import x",
                                  "def f():\n    from rlm.a import x", "class A:\n    def f(self):\n        import rlm.a as other"])
def test_every_way_to_import_is_seen(back):
    assert circle(import_graph(parsed(a="from rlm.b import y", b="import os")) ) == []
    assert set(circle(import_graph(parsed(a="from rlm.b import y", b=back)))) == {"rlm.a", "rlm.b"}

@pytest.mark.parametrize("use", ["from rlm.a import _x", "from rlm.a import _x as x", "def f():\n    from .a import _x", "import rlm.a\nrlm.a._x()",
                                 "from rlm import a\na._x = 1", "from rlm import a as other\nother._x"])
def test_every_way_to_take_a_private_name_is_seen(use):
    assert private_uses(parsed(rlm="", a="_x = 1", b=use)) == ["rlm.b takes _x from rlm.a"]
    assert private_uses(parsed(rlm="", a="_x = 1", b=use.replace("_x", "x"))) == []
