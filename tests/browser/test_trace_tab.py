"What JupyterLab makes of a trace notebook: opened, saved, written anew under an open tab, replayed."
import json

import pytest
from lab import wait_until
from nbformat.v4 import new_code_cell

SET_UP = """
from rlm import RLM
from rlm.lm import ScriptedLM
from rlm.utils.trace_notebook import enable_trace_notebook
logger, trace = enable_trace_notebook({folder!r})
code = "import pandas as pd\\nprint(context)\\npd.DataFrame({{'a': [1, 2]}})"
rlm = RLM(ScriptedLM([f"```repl\\n{{code}}\\n```", "FINAL(all done)"] * 5), logger=logger, verbose=False)
"""
ASK = "rlm.completion('Go on.', context=[1]); print(trace.path)"

def traces(lab, folder): return sorted((lab.work / folder).glob("*.trace.ipynb"))

def follow(notebook, n):
    "Click the link in the output of a cell; the path of the notebook that is then in front."
    notebook.outputs(n).locator("a").click()
    in_front = "window.jupyterapp.shell.currentWidget?"
    notebook.page.wait_for_function(f"{in_front}.context?.path?.endsWith('.trace.ipynb')", timeout=30_000)
    notebook.page.wait_for_function(f"{in_front}.sessionContext?.session?.kernel?.status === 'idle'", timeout=60_000)
    return notebook.page.evaluate("window.jupyterapp.shell.currentWidget.context.path")

@pytest.fixture
def asked(opened, lab, request):
    "A notebook that has asked once, with its trace; the folder is the test's own."
    folder = f"of {request.node.name}"
    return opened(f"{request.node.name}.ipynb", SET_UP.format(folder=folder), "trace", ASK, ASK, ASK).run(0, 1, 2), folder

def test_the_link_works_from_the_first_moment(opened, lab):
    (lab.work / "mine").mkdir()
    notebook = opened("mine/first.ipynb", SET_UP.format(folder="../a #1 50%25 & ü"), "trace").run(0, 1)
    there, = traces(lab, "a #1 50%25 & ü")
    assert lab.work / follow(notebook, 1) == there
    assert "What was logged in" in notebook.panel.inner_text() and not notebook.dialogs()

def test_opening_and_saving_a_trace_is_no_edit(asked, lab):
    notebook, folder = asked
    there, = traces(lab, folder)
    before, written = there.read_bytes(), there.stat().st_mtime_ns
    assert lab.work / follow(notebook, 1) == there
    notebook.page.wait_for_timeout(2000)
    assert not notebook.dirty(there.name)
    notebook.command("docmanager:save")
    wait_until(lambda: there.stat().st_mtime_ns != written or notebook.dialogs(), 10, "saving")
    assert there.read_bytes() == before and not notebook.dialogs()

def test_a_trace_that_is_open_is_written_on(asked, lab):
    notebook, folder = asked
    there, = traces(lab, folder)
    tab = lab.open(f"{folder}/{there.name}")
    notebook.run(3)
    tab.page.wait_for_timeout(2000)
    assert traces(lab, folder) == [there] and there.read_text().count("start_replay(") == 2
    assert not tab.dirty() and not tab.dialogs()
    tab.command("docmanager:save")  # of the state before: Lab asks, and the user may say what they like
    tab.page.locator(".jp-Dialog").get_by_role("button", name="Overwrite").click()
    tab.page.wait_for_timeout(2000)
    assert there.read_text().count("start_replay(") == 1
    notebook.run(4)
    assert traces(lab, folder) == [there] and there.read_text().count("start_replay(") == 3
    tab.close()

def test_an_edited_trace_stays_as_it_was_saved(asked, lab):
    notebook, folder = asked
    there, = traces(lab, folder)
    tab = lab.open(f"{folder}/{there.name}")
    tab.command("notebook:insert-cell-below")
    tab.page.wait_for_timeout(500)
    assert tab.dirty()
    tab.save()
    edited = there.read_bytes()
    notebook.run(3)
    assert there.read_bytes() == edited and len(traces(lab, folder)) == 2
    tab.close()

def test_a_replay_keeps_the_record_until_the_notebook_has_what_it_lacks(opened, lab):
    code = "print(orders.shape)\norders.head(1)", "by = orders.city.value_counts()\nby", "orders.nope"
    defined = "import pandas as pd\norders = pd.DataFrame({'city': ['Lima', 'Oslo']})"
    notebook = opened("lacking.ipynb", f"{SET_UP.format(folder='lacking')}{defined}\ncode = {code!r}",
                      "lm = ScriptedLM([f'```repl\\n{c}\\n```' for c in code] + ['FINAL(all done)'])\n"
                      "kwargs = dict(sync_from_user_ns=True, sync_vars=['orders'])\n"
                      "RLM(lm, environment='jupyter', environment_kwargs=kwargs, logger=logger, verbose=False).completion('Go on.')").run(0, 1)
    there, = traces(lab, "lacking")
    nb = json.loads(there.read_text())
    blocks = [i for i, c in enumerate(nb["cells"]) if "".join(c["source"]).startswith("%%replay")]
    tab = lab.open(f"lacking/{there.name}")
    recorded = [tab.text(i) for i in blocks]
    assert len(recorded) == 3 and "(2, 1)" in recorded[0] and "AttributeError" in recorded[2]
    tab.command("notebook:run-all-cells")
    last = len(nb["cells"]) - 1
    tab.see(last, "Not the same as then: block 1 needs orders (pandas.DataFrame).")
    assert [tab.text(i) for i in blocks] == recorded
    assert "Define orders in a cell above and run all cells again" in tab.text(2)
    tab.close()
    nb["cells"].insert(1, new_code_cell(defined))
    supplied = there.with_name("supplied.ipynb")
    supplied.write_text(json.dumps(nb))
    tab = lab.open("lacking/supplied.ipynb")
    tab.command("notebook:run-all-cells")
    tab.see(last + 1, "The same as then.").see(3, "with orders of this notebook")
    assert ["AttributeError" in tab.text(i + 1) for i in blocks] == [False, False, True] and "Lima" in tab.text(blocks[0] + 1)
    tab.close()
