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
    env = os.environ | {"PATH": os.pathsep.join(map(str, tools)), "PYTHONPATH": os.pathsep.join([str(tree / "scripts"), str(tree)])}
    done = subprocess.run(["nbdev_docs"], cwd=tree, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()
    return tree / "_docs"

class Page(HTMLParser):
    "The links, ids, texts and pictures of a page: `texts` are outside of code, `code` is in `<pre>`, `contents` is *On this page*."
    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.pictures, self.open = [], set(), [], []
        self.texts, self.code, self.contents, self.onward = [], [], [], {}
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [value for name, value in attrs.items() if name in ("href", "src")]
        if "id" in attrs: self.ids.add(attrs["id"])
        if tag == "img": self.pictures.append(attrs["src"])
        if tag == "link" and attrs["rel"] == "icon": self.icon = attrs["href"]
        if tag == "a" and "pagination-link" in attrs.get("class", ""): self.onward[self.open[-1][1].rpartition("-")[2]] = attrs["href"]
        if tag not in VOID: self.open.append((tag, attrs.get("class") or attrs.get("id") or ""))

    def handle_endtag(self, tag):
        if tag not in VOID:
            while self.open.pop()[0] != tag: pass

    def handle_data(self, data):
        tags = {tag for tag, _ in self.open}
        if not tags & {"script", "style"}: (self.code if "pre" in tags else self.texts).append(data)
        if "toc-active" in {name for _, name in self.open}: self.contents.append(data)

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

@pytest.fixture(scope="module")
def pages(site): return {p.relative_to(site).as_posix(): Page(p) for p in site.rglob("*.html")}

def outside(link): return re.match(r"[a-z]+:|//", link)

def test_every_link_leads_somewhere(site, pages):
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

def test_no_page_shows_a_link_as_markdown(pages):
    assert [(name, text) for name, page in pages.items() for text in re.findall(r".*\]\([^)].*", "".join(page.texts))] == []
    linked = r".*`\]\(/.*"  # as nbdev links a name, here in the comment of a signature
    assert [(name, text) for name, page in pages.items() for text in re.findall(linked, "".join(page.code))] == []
    assert "# the options of `OpenAILM`, or for" in "".join(pages["backends.html"].code)

def test_a_link_around_a_name_keeps_its_own_target(pages):
    assert "../text.html#show" in pages["environments/changes.html"].links

def test_a_trace_in_an_output_is_not_in_the_contents(pages):
    page = pages["tutorials/get_started.html"]
    assert "How many times does the word heads occur?" in " ".join(page.texts) and {"Run Context", "Final Answer", "Model Response"}.isdisjoint(page.contents)
    assert {"Ask", "When something goes wrong"} <= set(page.contents)
    assert "RLM.completion" in pages["completion.html"].contents and "rlm.session" in pages["api.html"].contents

def test_a_figure_that_a_model_drew_is_shown(pages):
    assert [src for src in pages["guides/dataframe.html"].pictures if src.startswith("data:image/png;base64,")]

def test_every_page_leads_to_the_next(site, pages):
    listed = [posixpath.normpath(p) for p in re.findall(r'href="([^"#]+\.html)" class="sidebar-item-text', (site / "index.html").read_text())]
    assert sorted(listed) == sorted(pages)
    at = lambda name, side: posixpath.normpath(posixpath.join(posixpath.dirname(name), pages[name].onward[side]))
    for before, after in zip(listed, listed[1:]): assert (at(before, "next"), at(after, "previous")) == (after, before)

def test_every_page_has_our_icon(site, pages):
    for name, page in pages.items(): assert "</svg>" in (site / posixpath.dirname(name) / page.icon).read_text()

def test_the_reference_begins_with_what_people_use(pages):
    names = [text for text in pages["api.html"].texts if re.fullmatch(r"[A-Z]\w+(\.\w+)?", text)]
    assert names.index("RLM") + 1 == names.index("RLM.completion") < names.index("Session") == names.index("Session.chat") - 1
    assert names.index("Session.chat") < min(names.index(other) for other in ("Stream", "RLMLogger", "Usage"))

def test_search_finds_signatures_and_no_private_source(site):
    entries = json.loads((site / "search.json").read_text())
    found = "\n".join(e["text"] for e in entries)
    assert "def preview( prompt:" in found
    private = {name for p in (ROOT / "rlm").rglob("*.py") for name in re.findall(r"^ *(?:def|class) (_[a-z]\w*)", p.read_text(), re.M | re.I)}
    private = {name for name in private if name[-1] != "_"}  # `_rlm_preview_` is a protocol
    assert len(private) > 100 and [name for name in private if re.search(rf"(def|class) {name}\b", found)] == []
    assert [e["href"] for e in entries if "import contextvars" in e["text"]] == []

def test_no_heading_is_a_protocol_of_python(pages):
    "nbdev gives `Stream.__iter__` the heading `Stream.iter`, and the words that Python has for it."
    words = "Call self as a function.", "Return repr(self).", "Implement iter(self)."
    assert [name for name, page in pages.items() if set(words) & set(page.texts)] == []
