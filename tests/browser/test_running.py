"What a user sees of a run in JupyterLab: while it goes on, when it is stopped, and later."
import json
import re

import pytest

SET_UP = "import standard\norders, notes = standard.tables()\nrlm = standard.rlm({pace}, {slow})"
RUN = "result = rlm.completion(standard.QUESTION)"

def set_up(pace=.2, slow=2.): return SET_UP.format(pace=pace, slow=slow)

@pytest.fixture(scope="module")
def ran(lab):
    "A notebook after a run, and its result in the next cell."
    notebook = lab.open("ran.ipynb", [set_up(.1, 1.), RUN, "result", "print('a user of mine')"])
    return notebook.run(0, 1, 2)

def test_a_run_says_what_it_does(opened):
    notebook = opened("watch.ipynb", set_up(.5, 3.), RUN).run(0).start(1)
    for seen in ("iteration 3 of 30", "iteration 4 of 30"): notebook.see(1, seen)
    assert notebook.prompt(1) == "[*]:"
    notebook.wait(1)
    assert not notebook.dialogs()

def test_a_result_shows_its_answer(ran):
    shown = ran.text(2)
    assert "Lima" in shown and "8,372" in shown and "$0.0" in shown

def test_a_notebook_is_the_same_after_a_reload(ran):
    before = ran.text(1), ran.text(2)
    ran.save().reload()
    assert (ran.text(1), ran.text(2)) == before
    assert not ran.dialogs() and not ran.dirty()

def test_the_stop_button_stops_a_run_and_the_next_cell_works(opened):
    notebook = opened("stop.ipynb", set_up(.3, 20.), RUN, "print(rlm.last_result.stop_reason)", "1 + 1").run(0).start(1)
    notebook.see(1, "iteration 4 of 30")
    notebook.page.wait_for_timeout(1000)
    notebook.stop().wait(1, timeout=10)
    assert "KeyboardInterrupt" in notebook.text(1)
    stays = notebook.text(1)
    notebook.run(2, 3)
    assert notebook.text(2) == "interrupted" and notebook.text(3) == "2"
    assert notebook.text(1) == stays

def test_a_kernel_restarted_during_a_run_leaves_nothing_that_says_it_goes_on(opened):
    notebook = opened("restart.ipynb", set_up(.3, 20.), RUN, "1 + 1").run(0).start(1)
    notebook.see(1, "iteration 4 of 30")
    notebook.restart()
    stays = notebook.text(1)
    notebook.run(2)
    assert notebook.text(2) == "2" and notebook.text(1) == stays
