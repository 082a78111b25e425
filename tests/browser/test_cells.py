"`%%rlm` and help, as JupyterLab shows them."
import re

import pytest

SET_UP = "import standard\norders, notes = standard.tables()\nanalyst, model = standard.Analyst(.1, 1.), standard.rlm()\n%load_ext rlm"

@pytest.fixture(scope="module")
def asking(lab):
    cells = [SET_UP, "%rlm analyst", f"%%rlm --vars orders,notes --as said\nWhich city brings the most revenue?", "said", "%rlm",
             "%%rlm --vras orders\nHow many?", "%%rlm --dry --new --vars notes\nHow many of {len(notes)} are angry?", "", "", ""]
    return lab.open("cells.ipynb", cells).run(0, 1, 2, 3, 4, 5, 6)

def test_a_cell_is_a_question(asking):
    assert "Lima" in asking.text(2) and asking.outputs(2).locator("table").count()
    assert "**Lima** brings the most revenue" in asking.text(3)
    assert re.search(r"turns\s+1", asking.text(4)) and "$0.0" in asking.text(4)

def test_an_error_names_the_option_in_a_few_lines(asking):
    assert "--vras" in asking.text(5) and "--vars" in asking.text(5) and len(asking.text(5).splitlines()) < 6

def test_dry_shows_what_would_be_sent(asking): assert "How many of 40 are angry?" in asking.text(6)

def test_tab_offers_options(asking):
    asking.write_in(7, "%%rlm --v", "Tab")
    asking.page.wait_for_timeout(2000)
    assert "--vars" in asking.sources()[7] or "--vars" in asking.completions()
    asking.page.keyboard.press("Escape")

def test_tab_completes_arguments(asking):
    asking.write_in(8, "model.completion('x', conte")
    for _ in range(10):  # Lab gives a kernel a second, and the first time takes longer
        asking.page.keyboard.press("Tab")
        asking.page.wait_for_timeout(2500)
        if "context=" in asking.sources()[8] or asking.page.locator(".jp-Completer-item", has_text="context=").count(): break
    else: raise AssertionError(asking.sources()[8])
    asking.page.keyboard.press("Escape")

def test_shift_tab_says_what_each_parameter_is(asking):
    asking.write_in(9, "from rlm import RLM").run(9).write_in(9, "\nRLM(")
    asking.page.wait_for_timeout(500)
    asking.page.keyboard.press("Shift+Tab")
    shown = asking.tooltip()
    assert "max_budget" in shown and "US dollars" in shown and "sync_from_user_ns" in shown
    asking.page.keyboard.press("Escape")
