#!/usr/bin/env python3
"""Measure the house: how large each room of `rlm/` is, how soon its chapter runs, and where a rule is broken.

    scripts/house.py            prints the table of CONTRIBUTING.md for the working tree
    scripts/house.py --write    puts it there; what stands before an arrow stays
    scripts/house.py --rev REV  measures a revision for what stands before the arrows; goes with --write
    scripts/house.py --check    names every place that breaks a rule, and fails if there is one
"""
import argparse, ast, io, re, subprocess, sys, tempfile, zipfile
from pathlib import Path
from statistics import fmean
from house_rooms import Room, read_rooms
from house_rules import broken

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "CONTRIBUTING.md"
TABLE = re.compile("(?<=<!-- house: begin -->\n).*?(?=<!-- house: end -->)", re.S)
COLUMNS = ["lines", "characters", "longest line", "longest function", "longest cell", "before the first run",
           "characters a line", "words a line"]
NOT_THERE = ["–"] * len(COLUMNS)
Rows = dict[str, list[str]]  # the figures of each room

def figures(*rooms: Room) -> list[str]:
    "The columns for one room, or for several together: sums, the largest, and means."
    written = [len(line) for room in rooms for _, line in room.written] or [0]
    nodes = [node for room in rooms for node in ast.walk(ast.parse(room.code))]
    functions = [n.end_lineno - n.lineno + 1 for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    exported = [len(cell.lines) for room in rooms for cell in room.exported]
    words = sum(room.words for room in rooms)
    sums = [sum(len(room.code.splitlines()) for room in rooms), sum(len(room.code) for room in rooms)]
    largest = [max(written), max(functions, default=0), max(exported, default=0),
               max(room.before_the_first_run for room in rooms)]
    return [f"{n:,}" for n in sums + largest] + [f"{fmean(written):.0f}", f"{words / max(1, sum(exported)):.1f}"]

def rows(rooms: dict[str, Room]) -> Rows:
    "The figures of every room with a chapter, and of all the modules together."
    chapters = {name.removeprefix("rlm."): figures(room) for name, room in rooms.items() if room.chapter}
    return chapters | {"rlm": figures(*rooms.values())}

def at_revision(rev: str) -> Rows:
    "The figures of a revision."
    command = ["git", "archive", "--format=zip", rev, "rlm", "nbs", "_quarto.yml"]
    git = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE)
    if git.returncode: sys.exit(f"The figures of {rev} can't be measured: git does not have it here.")
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(git.stdout)).extractall(folder)
        return rows(read_rooms(Path(folder)))

def before_the_arrows(table: str) -> tuple[str, Rows]:
    "The revision that a table begins with, and its figures."
    lines = [[cell.partition(" → ")[0].strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    kept = {re.sub(r"\[(.*)\].*", r"\1", name): cells for name, *cells in lines[2:] if cells != NOT_THERE}
    return lines[0][0] if lines else "", kept

def make_table(rev: str, before: Rows, rooms: dict[str, Room]) -> str:
    "The table in Markdown: the rooms in reading order, those that are gone, the whole."
    after = rows(rooms)
    total = {"rlm": after.pop("rlm")}
    gone = dict.fromkeys(sorted(before.keys() - after.keys() - total.keys()), NOT_THERE)
    lines = [[f"{rev} → now", *COLUMNS], ["---"] + ["--:"] * len(COLUMNS)]
    for name, now in (after | gone | total).items():
        label = f"[{name}]({rooms[f'rlm.{name}'].chapter})" if name in after else name
        lines.append([label] + [f"{old} → {new}" for old, new in zip(before.get(name, NOT_THERE), now)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--rev")
    args = parser.parse_args()
    if args.check:
        places = list(broken(ROOT))
        for place in places: print(place)
        sys.exit(f"{len(places)} places break a rule of the house." if places else 0)
    page = PAGE.read_text("utf-8")
    if not (there := TABLE.search(page)): sys.exit(f"{PAGE} lacks the lines between which the table stands.")
    rev, before = (args.rev, at_revision(args.rev)) if args.rev else before_the_arrows(there[0])
    table = make_table(rev, before, read_rooms(ROOT))
    if args.write: PAGE.write_text(page[:there.start()] + table + page[there.end():], "utf-8")
    else: print(table, end="")

if __name__ == "__main__": main()
