"The house: imports go one way, what a room keeps private stays in it, no place breaks a rule of `scripts/house.py`, and pages lead on."
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "rlm").is_dir(): pytest.skip("the library is installed, and its source is not here", allow_module_level=True)
sys.path.append(str(ROOT / "scripts"))
from house_rooms import Cell, Room, read_rooms
from house_rules import broken, circles, mixed_imports, private_names

def private(rooms): return [place for name in rooms for place in private_names(name, rooms)]

def test_imports_go_one_way():
    assert list(circles(read_rooms(ROOT))) == []

def test_no_room_takes_what_another_keeps_private():
    assert private(read_rooms(ROOT)) == []

def test_no_place_breaks_a_rule():
    assert list(broken(ROOT)) == []

def written(**code): return {name.replace("_", "."): Room(source, f"{name.replace('_', '/')}.py") for name, source in code.items()}

@pytest.mark.parametrize("back", ["import rlm.a", "from rlm.a import x", "from rlm import a", "from . import a", "from .a import x",
                                  "def f():\n    from rlm.a import x", "class A:\n    def f(self):\n        import rlm.a as other"])
def test_every_way_to_import_is_seen(back):
    assert list(circles(written(rlm_a="from rlm.b import y", rlm_b="import os"))) == []
    assert list(circles(written(rlm_a="from rlm.b import y", rlm_b=back))) == ["rlm.a imports rlm.b imports rlm.a: a circle"]

@pytest.mark.parametrize("use", ["from rlm.a import _x", "from rlm.a import _x as x", "def f():\n    from .a import _x", "import rlm.a\nrlm.a._x()",
                                 "from rlm import a\na._x = 1", "from rlm import a as other\nother._x"])
def test_every_way_to_take_a_private_name_is_seen(use):
    place, = private(written(rlm_a="_x = 1", rlm_b=use))
    assert "_x, which is private to rlm/a.py" in place
    assert private(written(rlm_a="x = 1", rlm_b=use.replace("_x", "x"))) == []

@pytest.mark.parametrize("lines, directives, named", [
    (["import os", "os.getcwd()"], set(), True), (["import os", "os.getcwd()"], {"hide"}, True),
    (["import os", "os.getcwd()"], {"export"}, False), (["import os", "from re import sub"], set(), False),
    (["def f():", "    import os"], set(), False), (["import os", "%time"], set(), False)])
def test_a_lesson_imports_in_cells_of_their_own(lines, directives, named):
    room = Room("", cells=(Cell("page", "code", directives, lines), Cell("page", "markdown", set(), lines)))
    assert len(list(mixed_imports(room))) == named

# -- the pages that people come for

def cells(page): return json.loads((ROOT / "nbs" / page).read_text())["cells"]
def text_of(page): return "\n".join("".join(c["source"]) for c in cells(page) if c["cell_type"] == "markdown")

def test_the_home_page_leads_to_every_guide():
    guides = {f"guides/{p.name}" for p in (ROOT / "nbs" / "guides").glob("*.ipynb")}
    assert guides - set(re.findall(r"\]\(([^()#\s]+)\)", text_of("index.ipynb"))) == set()

def test_the_home_page_is_short():
    assert len(text_of("index.ipynb")) < 4_000  # characters, links included: two screens

def test_set_up_takes_two_commands():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert [[line.partition("#")[0].strip() for line in b.splitlines()] for b in blocks] == [["make demo", "make test"]]

@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "nbs" / "guides").glob("*.ipynb")))
def test_a_guide_opens_with_its_task_and_leads_on(page):
    text = text_of(f"guides/{page}")
    assert re.match(r"# \S.*\n\n> [A-Z].+\.\n", text)
    assert "To read on: " in text

def test_completion_is_used_before_it_is_made():
    made = [i for i, c in enumerate(cells("00_completion.ipynb")) if "#| export" in "".join(c["source"])]
    sections = [i for i, c in enumerate(cells("00_completion.ipynb")) if "".join(c["source"]).startswith("## ")]
    assert sum(i < made[0] for i in sections) > 5
