"The site, built as `make docs` builds it where there is no Quarto: links, anchors, search, what nbdev alone leaves out."
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [pytest.mark.skipif(not (find_spec("nbdev") and find_spec("smalldocs")), reason="the site is built with nbdev and smalldocs"),
              pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The folder with the pages."
    tree = tmp_path_factory.mktemp("tree")
    for name in ("nbs", "rlm", "scripts"): shutil.copytree(ROOT / name, tree / name, symlinks=True)
    for name in ("settings.ini", "_quarto.yml", "CHANGELOG.md", "README.md"): shutil.copy(ROOT / name, tree)
    tools = [tree / "scripts" / "quarto-standin", Path(sys.executable).parent, os.environ["PATH"]]
    env = os.environ | {"PATH": os.pathsep.join(map(str, tools)), "PYTHONPATH": str(tree / "scripts")}
    done = subprocess.run(["nbdev_docs"], cwd=tree, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()
    return tree / "_docs"

class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src"): self.links.append(value)
            if name == "id": self.ids.add(value)

def outside(link): return re.match(r"[a-z]+:|//", link)

def test_every_link_leads_somewhere(site):
    pages = {p.relative_to(site).as_posix(): Page(p) for p in site.rglob("*.html")}
    lost = []
    for name, page in pages.items():
        for link in page.links:
            if not link.strip("#") or outside(link): continue
            path, _, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if not (site / target).exists() or anchor and target in pages and anchor not in pages[target].ids: lost.append((name, link))
    assert lost == []

def test_links_of_the_markdown_copies_lead_somewhere(site):
    lost = []
    for md in site.rglob("*.llms.md"):
        prose = re.sub(r"^(`{3,}).*?^\1", "", md.read_text(), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^()\s#]+)", prose):
            if not outside(link) and not (md.parent / link).exists(): lost.append((md.name, link))
    assert lost == []

def test_pages_load_nothing_from_elsewhere(site):
    "Offline they look the same, and nobody is told who reads them."
    for p in site.rglob("*.html"): assert not re.findall(r"<(?:script|img|link)[^>]*(?:src|href)=\"(?:https?:)?//[^>]*", p.read_text()), p
    for p in site.rglob("*.css"): assert "@import" not in p.read_text(), p

def test_search_and_llms_txt_know_every_page(site):
    pages = {p.relative_to(site).with_suffix("").as_posix() for p in site.rglob("*.html")}
    assert {e["href"].partition("#")[0] for e in json.loads((site / "search.json").read_text())} == {f"{p}.html" for p in pages}
    assert set(re.findall(r"\((\S+)\.llms\.md\)", (site / "llms.txt").read_text())) == pages

def test_a_chapter_shows_its_source_below_the_signatures(site):
    md = (site / "completion.llms.md").read_text()
    signature, source = md.index("### RLM.preview"), md.index('id="source-RLM.preview"')
    assert signature < source < md.index("def preview(self: RLM,", source) < md.index("</details>", source)
    assert "import contextvars" not in md
