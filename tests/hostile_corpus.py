"""Texts and displayed values that try to get out of their place, and what must be true of every place where they are shown."""
import re
from html.parser import HTMLParser

# Each contains the word `evil` where it must not be more than text.
TEXTS = [
    # terminals
    "\x1b[31mevil\x1b[0m", "\x1b]0;evil\x07", "\x1b]52;c;ZXZpbA==\x1b\\evil", "\x1b]8;;javascript:evil\x1b\\click\x1b]8;;\x1b\\", "\x9b2Jevil", "\x1b[2J\x1b[Hevil",
    "x\x08\x08evil", "good\revil", "good\x0bevil\x0cevil\x85evil\u2028evil\u2029", "is_admin\u202e\u2066// evil\u2069 \u2066", "\x1b", "evil\x00", "\x1bPevil\x1b\\",
    # headings and rules
    "# evil", "  ## evil", "evil\n===", "evil\n-", "evil\n=", "a\n---\nevil", "- # evil", "1. # evil", "> # evil", "* * *\nevil", "- evil\n  ---", "a\r# evil", "a\u2028# evil", "#\tevil",
    # HTML
    "<script>evil()</script>", "<b>evil</b>", "a <img src=x onerror=evil()>", "<!-- evil", "<?evil?>", "<https://evil.example>", "<javascript:evil()>", "</details>evil",
    "</pre><script>evil()</script>", "'><script>evil()</script>", "&lt;evil&gt;", "&#60;evil&#62;", "<a\nhref='javascript:evil()'>x</a>",
    # links and pictures
    "[evil](javascript:evil())", "[evil]( javascript:evil() )", "[evil](data:text/html;base64,ZXZpbA==)", "![evil](https://evil.example/x.png)", "[evil][1]\n\n[1]: javascript:evil()",
    "[evil]:\njavascript:evil()\n\n[evil]", "[evil](file:///etc/passwd)",
    # fences
    "```\nevil", "```\n# evil\n````\n# evil", "```a\n```\n# evil\n```", "~~~\n# evil\n~~~~~~", "````\n```\n````\n# evil", "```{=html}\n<script>evil()</script>\n```", "``` {=html}\n<b>evil</b>\n```",
    "```{python}\nevil()\n```", "`<b>evil</b>`{=html}", "`evil`{=latex}", "- ```\n# evil\n```", "    ```\n# evil\n    ```", "```x\n   ```\n<b>evil</b>\n```", "```\r# evil\r```\r# evil",
    # Quarto and TeX
    "{{< include /etc/evil >}}", "```\n{{< include evil.qmd >}}\n```", "{{<include evil>}}", "{{% evil %}}", "::: {.evil}\nx\n:::", "[evil]{.hidden}", r"$\href{javascript:evil()}{x}$",
    r"\input{/etc/evil}", "$$\\href{javascript:evil()}{x}$$", "| evil |\n|---|\n| x |", "evil\n: definition",
]

_ON_A_TERMINAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

def check_terminal(text):
    assert not (found := _ON_A_TERMINAL.search(text)), repr(found)

VOID = {"br", "hr", "img", "line"}

class _Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.words = [], [], []
        self.feed(text)
        self.close()
    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID: self.open.append((tag, dict(attrs)))
    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open)
        self.open.pop()
    def handle_startendtag(self, tag, attrs): self.found.append((tag, dict(attrs)))
    def handle_data(self, data):
        if not any(tag in ("pre", "code") or attrs.get("class") == "tex2jax_ignore mathjax_ignore" for tag, attrs in self.open): self.words.append(data)
    def handle_comment(self, data): self.found.append(("comment", {}))
    def handle_decl(self, data): self.found.append(("declaration", {}))
    def handle_pi(self, data): self.found.append(("instruction", {}))
    unknown_decl = handle_decl

def tags(html): return _Tags(html).found

OURS = set("div b small pre code span details summary dl dt dd table caption thead tbody tfoot tr th td i em strong sub sup br p hr ul ol li blockquote "
           "a img svg g rect line text title".split())
ANYWHERE = {"style", "class"}
ATTRIBUTES = {"td": {"rowspan", "colspan"}, "th": {"rowspan", "colspan"}, "details": {"open"}, "ol": {"start"}, "a": {"href", "rel", "target"},
              "img": {"src", "alt"}, "svg": {"xmlns", "viewbox", "width"}, "rect": {"x", "y", "width", "height"},
              "line": {"x1", "x2", "y1", "y2", "stroke", "stroke-opacity"}, "text": {"x", "y", "fill", "fill-opacity"}}
STYLE = re.compile(r"[a-z-]+: ?(var\(--jp-[a-z0-9-]+, #[0-9a-f]{6}\)|[\w.%# -]|var\(--jp-[a-z0-9-]+, [\w ]+\))+")

def check_html(text):
    "Only tags and attributes of ours, all of them closed in order; links lead to the web, and pictures are in the page."
    check_terminal(text)
    assert "{{<" not in text and "{{%" not in text
    text.encode()
    tags = _Tags(text)
    assert not tags.open, tags.open
    for tag, attrs in tags.found:
        href, src, style = (attrs.pop(name, None) for name in ("href", "src", "style"))
        assert tag in OURS and attrs.keys() <= ANYWHERE | ATTRIBUTES.get(tag, set()), (tag, attrs)
        assert "evil" not in str(attrs), attrs
        assert href is None or tag == "a" and re.match(r"(https?://|mailto:)", href, re.I), href
        assert src is None or tag == "img" and re.fullmatch(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/]+={0,2}", src), src
        for part in filter(None, map(str.strip, (style or "").split(";"))): assert STYLE.fullmatch(part), style
    for words in tags.words: assert "\\href" not in words and "$" not in words, words  # where TeX would be set

HEADINGS = r"Run Context|Best Answer|Iteration \d+|Model Response|Code Block \d+|Final Answer|Trace: .*|Run \d+"

def check_markdown(text):
    "By CommonMark with tables, as Jupyter and GitHub read it."
    from markdown_it import MarkdownIt
    check_terminal(text)
    assert "{{<" not in text and "{{%" not in text
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            assert token.markup in ("#", "##", "###") and re.fullmatch(HEADINGS, tokens[i + 1].content), tokens[i + 1].content
        if token.type == "fence": assert re.fullmatch(r"[\w+-]*", token.info) and token.markup[0] == "`", token.info
        if token.type == "html_block": assert re.fullmatch(r"(<details><summary><b>[\w -]+</b>, [\d,]+ lines</summary>|</details>)\n?", token.content), token.content
        assert token.type != "hr" or token.markup == "---" and tokens[i + 1].type == "heading_open" and tokens[i + 2].content == "Run Context", "a rule"
        for child in token.children or ():
            assert child.type != "html_inline", child.content
            if child.type == "link_open": assert re.match("https?://", child.attrs["href"]), child.attrs
            if child.type == "image": assert re.fullmatch("data:image/png;base64,[A-Za-z0-9+/]+={0,2}", child.attrs["src"]), child.attrs
            if child.type == "text": assert not re.search(r"\\[a-zA-Z(\[]|\]\{|:::", child.content), child.content

# Displayed values: data by type.
BUNDLES = [
    {"image/png": "iVBOR\r<img src=x onerror=evil()>\r# evil\r"}, {"image/png": "AAAA)\n\n# evil\n\n![x](javascript:evil()"}, {"image/png": ["evil"]}, {"image/png": {"evil": 1}},
    {"text/html": "<table><tr><td onclick=evil()>6</td></tr></table><script>evil()</script>"}, {"text/html": "<table><style>evil{}</style><tr><td><a href='javascript:evil()'>x</a>"},
    {"text/html": "<table><tr><td>$\\href{javascript:evil()}{x}$</td></tr></table>"}, {"text/html": "<table></table></div></div><iframe srcdoc='evil'><!-- evil"},
    {"text/html": "<script>evil()</script>"}, {"text/html": "<table><tr><td rowspan='2\" onx=\"evil' colspan=99999999>&lt;script&gt;evil()"}, {"text/html": "<table><svg><script>evil()"},
    {"text/html": "<table><tr><td>&#0;img src=evil&#1;\0img src=evil\1<<td onx=evil>td x=evil></table>"}, {"text/html": "<table><td colspan=2 rowspan=\"3\"x=evil></td></table>"},
    {"image/svg+xml": "<svg onload=evil()></svg>"}, {"application/javascript": "evil()"}, {"text/latex": r"$\href{javascript:evil()}{x}$"}, {"application/vnd.evil+json": {"evil": 1}},
    *({"text/markdown": text} for text in TEXTS), *({"text/plain": text} for text in TEXTS),
]
