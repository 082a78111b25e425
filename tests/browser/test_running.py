"What a user sees of a run in JupyterLab: while it goes on, when it is stopped, and later."
import re

import pytest
from lab import expect

SET_UP = "import asyncio, standard\norders, notes = standard.tables()\nrlm = standard.rlm({pace}, {slow})"
RUN = "result = rlm.completion(standard.QUESTION)"
AT_WORK = re.compile(r"iteration \d+ of \d+|asking the model|running its code")

def set_up(pace=.2, slow=2.): return SET_UP.format(pace=pace, slow=slow)

@pytest.fixture(scope="module")
def ran(lab):
    "A notebook after a run, its result in the next cell, and a run that is shown where it was asked for."
    notebook = lab.open("ran.ipynb", [set_up(.1, 1.), RUN, "result", RUN + "\nresult", "result.timeline()"])
    return notebook.run(0, 1, 2, 3, 4)

def test_a_run_says_what_it_does(opened):
    notebook = opened("watch.ipynb", set_up(1., 8.), RUN).run(0).start(1)
    notebook.see(1, "iteration 2 of 30")
    notebook.see(1, "2 · The revenue by city shows where the money comes from.").see(1, "KeyError")
    notebook.see(1, re.compile(r"sample \d+ of 20"))
    first = notebook.text(1)
    notebook.see(1, "sample 20 of 20")
    assert notebook.text(1) != first
    notebook.see(1, re.compile(r"\d+ of 40"), timeout=60).see(1, "Sum up this complaint")
    assert notebook.prompt(1) == "[*]:" and re.search(r"[\d,]+ tokens · \$0\.0\d+ · \d+ s", notebook.text(1))
    notebook.wait(1)
    assert not AT_WORK.search(notebook.text(1)) and "Lima" in notebook.text(1)
    assert notebook.height(1) < 60  # one line

def test_a_fold_that_the_user_opened_stays_open(opened):
    notebook = opened("fold.ipynb", set_up(.6, 4.), RUN).run(0).start(1)
    notebook.see(1, "3 ·").click(1, "2 · The revenue")
    notebook.see(1, "groupby(\"town\")").see(1, "4 · A bootstrap", timeout=60)
    assert 'groupby("town")' in notebook.text(1)

@pytest.mark.parametrize("dark", [False, True])
def test_words_can_be_read_in_both_themes(ran, dark):
    ran.dark(dark)
    for n in (1, 2):
        for words in ran.outputs(n).locator("summary, strong, td, small").all()[:12]: assert contrast(words) > 4, words.inner_text()
    ran.dark(False)

def contrast(element) -> float:
    "Of the words and what is behind them, as WCAG counts it."
    shades = element.evaluate("""e => { const rgb = c => c.match(/[\\d.]+/g).map(Number)
        let behind = e; while (behind && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) < 1) behind = behind.parentElement
        const back = behind ? rgb(getComputedStyle(behind).backgroundColor) : [255, 255, 255]
        let seen = 1; for (let p = e; p && p.style; p = p.parentElement) seen *= Number(getComputedStyle(p).opacity)
        return [rgb(getComputedStyle(e).color).slice(0, 3).map((c, i) => c * seen + back[i] * (1 - seen)), back.slice(0, 3)] }""")
    light = [sum(k * (c / 3294.6 if c <= 10 else ((c / 255 + .055) / 1.055) ** 2.4) for k, c in zip((.2126, .7152, .0722), shade)) for shade in shades]
    return (max(light) + .05) / (min(light) + .05)

def test_a_result_is_a_page(ran):
    page = ran.outputs(2)
    expect(page.locator("strong").first).to_have_text("Lima")
    expect(page.locator("table").first).to_contain_text("8,372")
    assert page.locator("img").count() and page.locator("details").count() >= 6
    assert "$0.01" in ran.text(2) and "2 · The revenue by city" in ran.text(2)
    page.locator("summary", has_text="2 · The revenue by city").click()
    assert 'groupby("town")' in ran.text(2) and "KeyError: 'town'" in ran.text(2)

def test_a_result_that_is_shown_where_it_was_asked_for_is_there_once(ran):
    assert ran.text(3).count("notes complain about") == 1

def test_a_timeline_is_a_drawing(ran):
    assert ran.outputs(4).locator("svg", has_text="sub-calls").count() == 1

def test_a_notebook_is_the_same_after_a_reload(ran):
    before = [ran.text(n) for n in (1, 3)]
    ran.save().reload()
    assert [ran.text(n) for n in (1, 3)] == before
    assert not ran.dialogs() and not ran.dirty()

def test_a_saved_notebook_opens_as_it_was(ran, lab):
    before = [ran.text(n) for n in (1, 3)]
    (lab.work / "later.ipynb").write_text((ran.save().lab.work / ran.name).read_text())
    later = lab.open("later.ipynb")
    assert [later.text(n) for n in (1, 3)] == before and not later.dirty()
    later.close()

def test_the_stop_button_stops_a_run_and_the_next_cell_works(opened):
    notebook = opened("stop.ipynb", set_up(.3, 20.), RUN, "print(rlm.last_result.stop_reason)", "1 + 1").run(0).start(1)
    notebook.see(1, re.compile(r"sample \d+ of 20"))
    notebook.stop().wait(1, timeout=10)
    assert "KeyboardInterrupt" in notebook.text(1) and "stopped" in notebook.text(1) and not AT_WORK.search(notebook.text(1))
    stays = notebook.text(1)
    assert len(stays.splitlines()) < 10 and "rlm.last_result" in stays
    notebook.run(2, 3)
    assert notebook.text(2) == "interrupted" and notebook.text(3) == "2"
    assert notebook.text(1) == stays

def test_the_stop_button_stops_all_runs_that_are_gathered(opened):
    gather = "await asyncio.gather(*(rlm.acompletion(f'{n}: {standard.QUESTION}') for n in range(8)))"
    notebook = opened("gather.ipynb", set_up(.3, 20.), gather, "1 + 1").run(0).start(1)
    notebook.see(1, "0 of 8 runs").see(1, "8 · 7: What do")
    notebook.page.wait_for_timeout(2000)
    notebook.stop().wait(1, timeout=20)
    assert len(re.findall(r"→ stopped", notebook.text(1))) == 8 and not AT_WORK.search(notebook.text(1))
    notebook.run(2)
    assert notebook.text(2) == "2"

def test_a_kernel_restarted_during_a_run_leaves_nothing_that_says_it_goes_on(opened):
    notebook = opened("restart.ipynb", set_up(.3, 40.), RUN, "1 + 1").run(0).start(1)
    notebook.see(1, "iteration 4 of 30")
    notebook.restart()
    before = notebook.height(1)
    notebook.run(2).page.wait_for_timeout(13_000)
    assert notebook.text(2) == "2"
    assert notebook.outputs(1).locator("svg", has_text="iteration 4 of 30").bounding_box()["height"] == 0
    assert notebook.height(1) < before and "3 · The column is named city" in notebook.text(1)
