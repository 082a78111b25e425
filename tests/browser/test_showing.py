"Looking at what a model wrote, or at what its code displayed, loads nothing from elsewhere and runs nothing, in JupyterLab itself."
import http.server, threading
from pathlib import Path

import pytest

SET_UP = """
import json
from IPython.display import HTML, Markdown, display
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.utils.trace_notebook import enable_trace_notebook
here = "{here}"
texts = [f"<img src={{here}}/img>", f"![x]({{here}}/image?secret=1)", f"<script>fetch('{{here}}/script')</script>", f"<iframe src={{here}}/frame></iframe>",
         f"[x][1]\\n\\n![y][1]\\n\\n[1]: {{here}}/reference", f"<table><tr><td style='background: url({{here}}/style)'><img src=x onerror=\\"fetch('{{here}}/error')\\"></td></tr></table>",
         f"<style>@import url({{here}}/import)</style>", f"$\\\\href{{{{javascript:fetch('{{here}}/tex')}}}}{{{{x}}}}$ $\\\\includegraphics{{{{{{here}}/tex}}}}$"]
show = ["from IPython.display import *"] + [f"display(HTML({{t!r}}), Markdown({{t!r}}), Javascript(\\"fetch('{{here}}/javascript')\\"), Image(url='{{here}}/url'))\\nprint({{t!r}})" for t in texts]
show.append(f"display({{{{'image/svg+xml': \\"<svg><image href='{{here}}/svg'/></svg>\\", 'text/html': {{texts[5]!r}}, 'text/markdown': {{texts[1]!r}}}}}}, raw=True)")
logger, trace = enable_trace_notebook("shown")
rlm = RLM(ScriptedLM([f"{{''.join(texts[:4])}}\\n```repl\\n{{chr(10).join(show)}}\\n```", "```repl\\nimport time; time.sleep(1.5)\\n```", "FINAL(" + "\\n\\n".join(texts) + ")"] * 2),
          environment="jupyter", logger=logger)
result = None
"""
CELLS = ["result = rlm.completion('\\n'.join(texts), context=texts)\nresult", "result.render_trace()", "result.timeline()", "result.changes", "trace", "rlm.start_session().history",
         "session = rlm.start_session()\nsession.chat('\\n'.join(texts), context=texts)\nsession.history"]
CONTROL = "display(HTML(texts[0]), Markdown(texts[1]))"

@pytest.fixture
def elsewhere():
    "A web server, and what it was asked for."
    asked = []
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path.partition("?")[0])
            self.send_response(200)
            self.end_headers()
        do_POST = do_OPTIONS = do_GET
        def log_message(self, *_): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()

def test_nothing_is_loaded_by_looking(opened, lab, elsewhere):
    here, asked = elsewhere
    notebook = opened("showing.ipynb", SET_UP.format(here=here), *CELLS, CONTROL)
    notebook.run(*range(len(CELLS) + 1), timeout=90)
    for summary in notebook.panel.locator(".jp-OutputArea summary").all():
        if summary.is_visible(): summary.click()
    notebook.page.wait_for_timeout(1_000)
    assert "/image?secret=1" in notebook.text(1) and not asked
    notebook.save().reload().page.wait_for_timeout(1_000)
    assert not asked
    there, = (lab.work / "shown").glob("*.trace.ipynb")
    written = opened(str(there.relative_to(lab.work)))
    written.page.wait_for_timeout(1_000)
    assert "/image?secret=1" in written.panel.inner_text() and not asked
    notebook.run(len(CELLS) + 1).page.wait_for_timeout(1_000)
    assert {*asked} == {"/img", "/image"}  # an image that you show yourself is loaded
