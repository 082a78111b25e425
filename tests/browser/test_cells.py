"`%%rlm` and help, as JupyterLab shows them."
import re

import pytest

SET_UP = "import standard\norders, notes = standard.tables()\nanalyst = standard.Analyst(.1, 1.)\n%load_ext rlm"

@pytest.fixture(scope="module")
def asking(lab):
    cells = [SET_UP, "%rlm analyst", f"%%rlm --vars orders,notes --as said\nWhich city brings the most revenue?", "said", "%rlm",
             "%%rlm --vras orders\nHow many?", "%%rlm --dry --new --vars notes\nHow many of {len(notes)} are angry?", "", "", ""]
    return lab.open("asking.ipynb", cells).run(0, 1, 2, 3, 4, 5, 6)

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
    asking.write_in(8, "model = standard.rlm()").run(8).write_in(8, "\nmodel.completion('x', conte", "Tab")
    asking.page.wait_for_timeout(2000)
    assert "context=" in asking.sources()[8] or "context=" in asking.completions()
    asking.page.keyboard.press("Escape")

def test_shift_tab_says_what_each_parameter_is(asking):
    asking.write_in(9, "from rlm import RLM\nRLM(")
    asking.page.keyboard.press("Shift+Tab")
    shown = asking.tooltip()
    assert "max_budget" in shown and "environment_kwargs" in shown
    asking.page.keyboard.press("Escape")

