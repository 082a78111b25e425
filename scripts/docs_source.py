"""What nbdev leaves out of a chapter's page is put back: the source of each exported cell, folded, under an anchor for each of
its names. So the page of a chapter is the place that a link to source leads to. And what nbdev does too much is taken back:
it makes a link of each name in backticks, also in code and in the text of a link. `settings.ini` names this processor."""
import ast, re
from execnb.nbio import mk_cell
from nbdev.process import Processor
from nbdev.showdoc import showdoc_nm

SOURCE = "source quarto-exclude-from-search-index"  # the signatures are found instead
_LINKED = r"\[(`[^`]+`)\]\([^()]*\)"  # what nbdev makes of a name

def names_in(code: str) -> list[str]:
    "The names that a cell defines, methods as `RLM.completion`."
    names = []
    for node in ast.parse(code).body:
        match node:
            case ast.ClassDef(): names += [node.name] + [f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)]
            case ast.FunctionDef() | ast.AsyncFunctionDef(): names.append(showdoc_nm(node))
            case ast.Assign() | ast.AnnAssign(): names += [n.id for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Store)
                                                            and isinstance(n, ast.Name)]
    return names

def folded(code: str) -> str:
    "Markdown of an exported cell: its source, to be unfolded by a click, or by a link to one of its names."
    names = names_in(code)
    methods = [name.lower() for name in names if "." in name and f"class {name.partition('.')[0]}" in code]  # they have no heading
    anchors = "".join(f'<a id="{name}"></a>' for name in methods + [f"source-{name}" for name in names])
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`{3,}", code))])
    return f'<details class="{SOURCE}"><summary>Source</summary>\n\n{anchors}\n\n{fence}python\n{code.strip()}\n{fence}\n\n</details>'

def unnested(md: str) -> str:
    "Markdown whose links hold no links."
    around = rf"(?:[^][]|{_LINKED})*"
    return re.sub(rf"\[{around}{_LINKED}{around}\]\(", lambda m: re.sub(_LINKED, r"\1", m[0]), md)

def shown(md: str, headings: bool) -> str:
    "The Markdown of an output: no links in its code or to no repository, its headings in the page's contents if they are the page's own."
    fence, lines = "", []
    for line in md.splitlines(keepends=True):
        ticks = re.match("`{3,}|", line)[0]
        if fence or ticks: line = re.sub(_LINKED, r"\1", line)
        elif not headings: line = re.sub(r"^(#+ .*)", r"\1 {.unlisted}", line)
        if not fence: fence = ticks
        elif ticks.startswith(fence) and not line.strip("`\n"): fence = ""
        if not line.startswith("[source](/blob/"): lines.append(line)
    return "".join(lines)

class show_source(Processor):
    "Below the signatures of an exported cell, fold its source; drop links to a repository that `git_url` does not name."
    def begin(self):
        cells, rest = [], list(self.nb.cells)
        while rest:
            cell, signatures = rest.pop(0), []
            while rest and getattr(rest[0], "has_sd", False): signatures.insert(0, rest.pop(0))  # nbdev has them in reverse
            cells += [c for c in signatures if not re.search(r"\._", c.source)]  # a protocol of Python's needs no heading
            if "default_exp" in cell.directives_: continue
            if not cell.directives_.keys() & {"export", "exporti"}: cells.append(cell)
            elif names_in(cell.source): cells.append(mk_cell(folded(cell.source), "markdown"))
        self.nb.cells = cells

    def cell(self, cell):
        if cell.cell_type == "markdown": cell.source = unnested(cell.source)
        own = "exec_doc" in cell.directives_ or getattr(cell, "has_sd", False)
        for output in cell.get("outputs", []):
            if not (lines := output.get("data", {}).get("text/markdown")): continue
            md = shown("".join(lines), own)
            if name := re.search(r"^show_doc\(([\w.]+)", cell.source, re.M):  # what a decorator wraps has lost its class
                md = re.sub(r"^(#+) .*", rf"\1 {name[1]}", md, count=1, flags=re.M)
            output["data"]["text/markdown"] = md
