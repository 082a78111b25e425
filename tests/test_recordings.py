"The recorded runs of the docs: who wrote them is said, and each comes out the same where nothing but its log is left."
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlm.logger import read_log
from rlm.utils.trace_notebook import verify

ROOT = Path(__file__).resolve().parent.parent
TRACES = ROOT / "nbs" / "traces"
pytestmark = pytest.mark.skipif(not TRACES.exists(), reason="the wheel is tested, and there is no tree around")
NAMES = sorted(log.stem for log in TRACES.glob("*.jsonl"))

def page(name): return json.loads((TRACES / f"{name}.ipynb").read_text())["cells"]

def calls(result):
    "The sub-calls of a run."
    return [call for i in result.iterations for block in i.code_blocks for call in block.result.rlm_calls]

@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_run_replays_equal(name, tmp_path):
    "In a folder that has the page, its log and the data, and in a process of its own."
    shutil.copytree(TRACES, tmp_path / "traces")
    (tmp_path / "data").symlink_to(ROOT / "nbs" / "data")
    outcomes = verify(tmp_path / "traces" / f"{name}.ipynb")
    assert list(outcomes) == [run.id for run in read_log(TRACES / f"{name}.jsonl")]
    assert {*outcomes.values()} == {"equal"}

@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_who_wrote_its_replies_and_when(name):
    told = "".join(page(name)[1]["source"])
    assert re.search(r"a large language model by \w+, wrote the replies on \d+ \w+ 20\d\d", told)

@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_every_word_of_its_model(name):
    shown = "\n".join("".join(cell["source"]) for cell in page(name))
    for run in read_log(TRACES / f"{name}.jsonl"):
        for iteration in run.result.iterations:
            words = re.sub(r"^```repl\n|^```$", "", iteration.response, flags=re.M)
            assert [line for line in words.splitlines() if line not in shown] == []

def test_among_them_are_sub_calls_children_a_figure_a_session_and_types():
    runs = {name: [run.result for run in read_log(TRACES / f"{name}.jsonl")] for name in NAMES}
    asked = {name: [call for result in results for call in calls(result)] for name, results in runs.items()}
    assert len(asked["two_novels"]) >= 10 and not any(call.run for call in asked["two_novels"])
    assert len([call for call in asked["a_child_per_document"] if call.run]) >= 4
    assert "child 4 of 4" in str(page("a_child_per_document"))
    assert any("image/png" in o["data"] for i in runs["a_dataframe"][0].iterations for b in i.code_blocks for o in b.result.outputs)
    assert len(runs["a_session"]) == 3 and len(runs["typed_answers"][0].value) > 10

def test_the_demo_replays_one_of_them_step_by_step():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "show_recorded.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"── iteration 1\n.*  ── child 1 of \d.*       ── iteration 1\n.*The same as then\. The answer:", done.stdout, re.S)
