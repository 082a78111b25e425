"The evals: a run is asked, stopped and gone on with over HTTP, and what its report says of it."
import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server import HANG, ChatServer, Http

EVALS = Path(__file__).parent / "evals"
sys.path.append(str(EVALS))
import report
import run
from tasks import check, tasks

@pytest.fixture(scope="module")
def made(): return tasks()

def command(server, out, *options):
    return [sys.executable, EVALS / "run.py", "--base-url", server.base_url, "--workers", "1", "--split", "test", "--out", out, *options]

def ask(*args): return subprocess.run(command(*args), capture_output=True, text=True, timeout=120)

@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_says_what_it_was(tmp_path, made):
    answers = {t.question: t.answer for t in made}
    def knows(body):
        "A model that knows the answers that are numbers, and no others."
        asked = next((a for q, a in answers.items() if q in body["messages"][-1]["content"]), None)
        return f"FINAL({asked})" if isinstance(asked, (int, float)) else "FINAL(no idea)"
    out = tmp_path / "out.jsonl"
    with ChatServer(knows) as s:
        assert ask(s, out, "--ids", "arithmetic-1", "arithmetic-3").returncode == 0
        out.write_text(out.read_text() + '{"id": "cut o')
        asked = len(s.requests)
        done = ask(s, out, "--ids", "arithmetic-1", "arithmetic-3", "votes-2")
        assert len(s.requests) > asked and "solved arithmetic" not in done.stdout
        other = ask(s, out, "--ids", "votes-0", "--label", "other")
    rows = report.read(out)
    assert [(r["id"], r["solved"]) for r in rows] == [("arithmetic-1", True), ("arithmetic-3", True), ("votes-2", False)]
    assert {(r["model"], r["system"], r["prompts"]) for r in rows} == {("test-model", "rlm", "default")}
    assert "| test-model | rlm, default prompt | 2 of 3 |" in done.stdout
    assert "Give another --out" in other.stderr

@pytest.mark.slow
def test_a_run_that_is_stopped_records_nothing_of_the_task_it_was_at(tmp_path):
    out, asked = tmp_path / "out.jsonl", threading.Event()
    def hang(body):
        asked.set()
        return HANG
    with ChatServer(hang) as s:
        tool = subprocess.Popen(command(s, out, "--ids", "votes-2"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert asked.wait(120)
        tool.terminate()
        assert "The same command goes on" in tool.communicate(timeout=60)[0]
    assert out.read_text() == ""

@pytest.mark.slow
def test_a_refused_request_is_told_from_a_wrong_answer(tmp_path):
    "The server's refusal ends the task; the report counts it apart."
    out = tmp_path / "out.jsonl"
    refuse = Http(400, {"error": {"message": "Cannot have 2 or more assistant messages at the end of the list"}})
    with ChatServer(lambda body: refuse) as s: done = ask(s, out, "--ids", "votes-2")
    row, = report.read(out)
    assert (row["solved"], row["failed"]) == (False, "refused by the server")
    assert "| 1 refused by the server |" in done.stdout

@pytest.mark.parametrize("row, why", [
    (dict(error="no answer within 300 s", transcript=[]), "out of time"),
    (dict(error="BadRequestError", transcript=[dict(error="the request exceeds the available context size")]), "window too small"),
    (dict(error="the process died", transcript=[]), "process died"),
    (dict(error="MaxIterationsError: no answer", transcript=[dict(reply="I do not know.")]), None),
    (dict(error=None, transcript=[dict(error="refused"), dict(reply="FINAL(3)")]), None)])
def test_the_reason_of_a_failure_is_read_from_the_record(row, why):
    assert report.failed(dict(solved=False) | row) == why
    assert report.failed(dict(solved=True) | row) is None

def test_neighbouring_messages_of_one_role_are_merged():
    said = [dict(role=r, content=c) for r, c in [("user", "a"), ("assistant", "b"), ("assistant", "c"), ("user", "d")]]
    assert [(m["role"], m["content"]) for m in run.merged(said)] == [("user", "a"), ("assistant", "b\n\nc"), ("user", "d")]
    assert said[1]["content"] == "b"

def test_intervals_and_comparisons_are_those_of_the_books():
    assert report.wilson(0, 20) == pytest.approx((0, .1611), abs=1e-3)    # Newcombe (1998), table I
    assert report.wilson(15, 148) == pytest.approx((.0624, .1605), abs=1e-3)
    assert report.sign_test(6, 0) == pytest.approx(2 / 64)
    assert report.sign_test(2, 2) == 1
    before, after = ([dict(id=i, solved=s, level="plain", kind="sum") for i, s in side]
                     for side in ([(1, 0), (2, 1), (3, 0)], [(1, 1), (2, 0), (3, 1), (4, 1)]))
    assert report.difference(before, after) == (3, 1, 2, 2, 1, "1")

def test_the_pictures_are_those_of_the_published_records():
    nbs = EVALS.parents[1] / "nbs"
    made_of = hashlib.sha256((nbs / "data" / "evals.jsonl").read_bytes()).hexdigest()
    assert [p.name for p in sorted((nbs / "images").glob("evals_by_*.svg")) if made_of in p.read_text()] == ["evals_by_kind.svg", "evals_by_level.svg"]

def test_a_plot_has_a_panel_for_each_model_and_a_mark_for_each_run():
    pytest.importorskip("matplotlib")
    rows = [dict(model=m, system=s, version="1", prompts="default", merged=False, id=i, level=level, kind="sum", solved=i > 1)
            for m in ("small", "large") for s in ("rlm", "rlms") for i, level in enumerate(report.LEVELS)]
    fig = report.plot(rows)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["large", "small"]
    assert [t.get_text() for t in fig.legends[0].texts] == ["rlm, default prompt", "rlms 1"]
    assert [len(ax.lines) for ax in fig.axes] == [3 + 8, 3 + 8]  # three rules, and for each run all tasks and three levels

@pytest.mark.slow
def test_every_answer_is_accepted_as_an_answer(made):
    said = lambda t: " ".join(map(str, t.answer)) if isinstance(t.answer, tuple) else str(t.answer)
    assert [t.id for t in made if not check(t, said(t))] == []
    assert [t.id for t in made if check(t, "no idea")] == []
