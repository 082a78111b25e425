"The rules of the house, and the places that break one."
import ast, re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path, PurePosixPath
from house_rooms import Room, notebooks, read_rooms

CELL = 40        # lines in an exported cell
FIRST_RUN = 60   # exported lines before something runs
WIDTH = 120      # characters in a line
HOUSE = 19000    # lines in rlm/

Found = Iterator[str]  # a place and what is wrong there

def broken(root: Path) -> Found:
    "Every place that breaks a rule."
    rooms = read_rooms(root)
    for room in rooms.values():
        yield from too_much_at_once(room)
        yield from long_lines(room)
        yield from packed_values(room)
        yield from mixed_imports(room)
    for name in rooms: yield from private_names(name, rooms)
    yield from circles(rooms)
    yield from numbers(notebooks(root))
    lines = sum(len(room.code.splitlines()) for room in rooms.values())
    if lines > HOUSE: yield f"rlm/: {lines:,} lines, at most {HOUSE:,}"

def too_much_at_once(room: Room) -> Found:
    for cell in room.exported:
        length = len(cell.lines)
        if length > CELL: yield f"{cell.place}: an exported cell of {length} lines, at most {CELL}: {cell.lines[0]:.60}"
    before = room.before_the_first_run
    if before > FIRST_RUN: yield f"{room.chapter}: {before} exported lines before anything runs, at most {FIRST_RUN}"

def long_lines(room: Room) -> Found:
    "Those of the chapter, and those of the module that the chapter has not in the same words."
    chapter = [(cell.place, line) for cell in room.exported for line in cell.lines]
    told = {line for _, line in chapter}
    module = [(f"{room.path}:{number}", line) for number, line in room.written if line not in told]
    for place, line in chapter + module:
        if len(line) > WIDTH: yield f"{place}: a line of {len(line)} characters, at most {WIDTH}: {line.strip():.60}"

def packed_values(room: Room) -> Found:
    "Three or more values in one assignment. The values of a call are one; names that change places are no new values."
    for node in ast.walk(ast.parse(room.code)):
        if not isinstance(node, ast.Assign): continue
        values = elements(node.value)
        targets = [t for t in map(elements, node.targets) if len(t) == len(values) > 2 and set(t) != set(values)]
        line = room.code.splitlines()[node.lineno - 1].strip()
        if targets: yield f"{room.path}:{node.lineno}: an assignment of {len(values)} values: {line:.60}"

def elements(node: ast.expr) -> list[str]:
    "The source of each element of a tuple or list."
    return [ast.unparse(e) for e in node.elts] if isinstance(node, (ast.Tuple, ast.List)) else []

def mixed_imports(room: Room) -> Found:
    "Cells of a lesson that import and do something else too. The site's builder runs every cell with an import."
    for cell in room.cells:
        if cell.kind != "code" or cell.exported: continue
        try: body = ast.parse("\n".join(cell.lines)).body
        except SyntaxError: continue  # a magic
        if len({isinstance(node, (ast.Import, ast.ImportFrom)) for node in body}) == 2:
            yield f"{cell.place}: imports and other code in one cell: {cell.lines[0]:.60}"

def imports(name: str, rooms: dict[str, Room]) -> Iterator[tuple[int, str, str]]:
    "What a module takes from others of `rlm`, inside functions too: the line, the module and the name."
    for node in ast.walk(ast.parse(rooms[name].code)):
        match node:
            case ast.Import(names=aliases): asked = [(alias.name, "") for alias in aliases]
            case ast.ImportFrom(module=module, level=level, names=aliases):
                folder = list(PurePosixPath(rooms[name].path).parts)[:-level] if level else []
                asked = [(".".join(folder + [module] * bool(module)), alias.name) for alias in aliases]
            case _: continue
        for module, what in asked:
            if what.startswith("__"): continue  # `__version__` belongs to no room
            for target in (f"{module}.{what}", module):
                if target in rooms:
                    yield node.lineno, target, what
                    break

def private_names(name: str, rooms: dict[str, Room]) -> Found:
    "What a module imports of another's private names, or reaches as `module._name`."
    for line, module, what in sorted({*imports(name, rooms), *attributes(name, rooms)}):
        if what.startswith("_") and module != name and f"{module}.{what}" not in rooms:
            yield f"{rooms[name].path}:{line}: takes {what}, which is private to {rooms[module].path}"

def attributes(name: str, rooms: dict[str, Room]) -> Iterator[tuple[int, str, str]]:
    "The attributes of imported modules that a module uses: the line, the module and the attribute."
    tree, called = ast.parse(rooms[name].code), {}
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)): continue
        for alias in node.names:
            module = alias.name if isinstance(node, ast.Import) else f"rlm.{alias.name}"  # `from rlm import module`
            if module in rooms: called[alias.asname or alias.name] = module
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in called and not node.attr.startswith("__"):
            yield node.lineno, called[ast.unparse(node.value)], node.attr

def circles(rooms: dict[str, Room]) -> Found:
    "Circles of imports; one import is taken out of each, until none is left."
    graph = {name: sorted({module for _, module, _ in imports(name, rooms)}) for name in rooms}
    while True:
        try: return TopologicalSorter(graph).prepare()
        except CycleError as e:
            circle = e.args[1][:0:-1]
            start = circle.index(min(circle))
            circle = circle[start:] + circle[:start + 1]
            graph[circle[0]].remove(circle[1])
            yield f"{' imports '.join(circle)}: a circle"

def numbers(names: list[str]) -> Found:
    "Within a folder each number stands once, and they rise in the order of the sidebar."
    folders = {}
    for name in names:
        path = PurePosixPath(name)
        number = re.match(r"(\d+)_", path.name)
        if number: folders.setdefault(path.parent, []).append((int(number[1]), name))
    for chapters in folders.values():
        for (number, name), (following, other) in pairwise(sorted(chapters)):
            if number == following: yield f"nbs/{other}: has the number of nbs/{name}"
        for (number, name), (following, other) in pairwise(chapters):
            if number > following: yield f"nbs/{other}: stands after nbs/{name} in the sidebar"
