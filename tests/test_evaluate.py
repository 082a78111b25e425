"`rlm.evals` and `rlm.haystacks`: real servers and processes, and answers that are found by another way."
import gc
import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from rlm import RLM
from rlm.evals import Near, Outcome, Plain, Task, compare, evaluate, is_right, plot, read_evaluation, same_number, same_text, ways
from rlm.haystacks import KINDS, haystacks, needle, read_oolong, read_ruler
from rlm.types import ConfigurationError, RLMChatCompletion
from server import ChatServer, Http

def said(value): return RLMChatCompletion("", "", str(value), value)

class Says:
    "A model that gives the same answer each time."
    def __init__(self, answer, model="says"): self.answer, self.model = answer, model
    def complete(self, messages): return self.answer

# Answers

@pytest.mark.parametrize("reply, answer, right", [
    ("4711", 4711, True), ("The code is 4711.", 4711, True), ("4711 or 4712", 4711, False), ("-3", 3, False), ("3.0", 3, True),
    ("It was on 2024-03-05.", 5, False), ("1e3", 1000, True), ("[1, 2, 3]", 3, False), ("", 3, False), ("none", 3, False)])
def test_a_number(reply, answer, right): assert same_number(reply, answer) is right

@pytest.mark.parametrize("reply, answer, right", [
    ("Graz", "graz", True), ("**Graz**.", "Graz", True), ("Born in Graz", "Graz", True), ("Grazing", "Graz", False),
    ("Graz, and then " + "much more " * 60, "Graz", False), ("", "Graz", False)])
def test_a_text(reply, answer, right): assert same_text(reply, answer) is right

@pytest.mark.parametrize("value, answer, right", [
    (True, True, True), ("no", False, True), (1, True, False), ([1, 2], (1, 2), True), ("[2, 1]", {1, 2}, True),
    ("There are 1,042 orders.", np.int64(1042), True), ("Yes.", np.True_, True), ("7", np.float64(8), False),
    ({"a": 1}, {"a": 1}, True), ("not [ a list", [1], False), (None, [1], False), ((3, 4), [4, 3], False)])
def test_an_object(value, answer, right): assert is_right(said(value), answer) is right

def test_a_task_needs_an_answer():
    with pytest.raises(ConfigurationError, match="What is the right answer"): Task("How many?", "a text")
    assert Task("Is it so?", check=False).check is False

# Asking

def test_what_goes_wrong_is_told_of_the_task_and_ends_nothing():
    class Model:
        model = "faulty"
        def complete(self, messages):
            if "broken" in str(messages): raise OSError("no line")
            return "FINAL(4)"
    tasks = [Task("broken?", "x", 4), Task("raises?", "x", lambda r: 1 / 0), Task("good?", "x", 4), Task("half?", "x", lambda r: 0.5)]
    found = evaluate(RLM(Model(), verbose=False), tasks, max_concurrent=2)
    assert [o.question for o in found.outcomes] == [t.question for t in tasks]
    assert [o.score for o in found.outcomes] == [0, 0, 1, 0.5]
    assert "no line" in found.outcomes[0].end and "ZeroDivisionError" in found.outcomes[1].end
    assert [o.end for o in found.outcomes[2:]] == ["final", "final"]
    assert found.outcomes[2].result is None and found.outcomes[3].result.response == "4"
    assert "3 " not in repr(found).splitlines()[4].split("|")[2]

def test_what_is_configured_wrongly_is_told_at_once():
    asked = []
    class Wrong:
        def completion(self, question, context=None):
            asked.append(question)
            raise ConfigurationError("no such model")
    with pytest.raises(ConfigurationError, match="no such model"): evaluate(Wrong(), [Task(str(i), "x", 1) for i in range(9)], max_concurrent=1)
    assert asked == ["0"]

class Text(str): "A text whose end can be seen."

@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.slow
def test_contexts_of_a_generator_are_let_go(workers):
    alive, most = weakref.WeakSet(), []
    def made():
        for i in range(50):
            text = Text(f"text number {i} " * 50)
            alive.add(text)
            gc.collect()
            most.append(len(alive))
            yield Task(f"question {i}?", text, "yes")
    assert len(evaluate(RLM(Says("FINAL(yes)"), verbose=False), made(), max_concurrent=workers).outcomes) == 50
    assert max(most) <= 10 * workers + 4  # as far as a map reads ahead

PROGRAM = """
import sys
from rlm import RLM
from rlm.evals import Task, evaluate
tasks = [Task(f"question {i}?", "some text", i) for i in range(12)]
evaluate(RLM("openai/m", {"base_url": sys.argv[1]}, verbose=False), tasks, sys.argv[2], max_concurrent=2)
"""

@pytest.mark.slow
def test_an_evaluation_that_was_killed_goes_on(tmp_path):
    record = tmp_path / "record.jsonl"
    def answer(body):
        number = int(re.findall(r"question (\d+)\?", str(body["messages"]))[-1])
        if number == 7 and not (tmp_path / "go on").exists(): time.sleep(60)
        return f"FINAL({number})"
    with ChatServer(answer) as s:
        first = subprocess.Popen([sys.executable, "-c", PROGRAM, s.base_url, record])
        until = time.monotonic() + 60
        while (not record.exists() or len(record.read_text().splitlines()) < 6) and time.monotonic() < until: time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        (tmp_path / "go on").touch()
        whole = record.read_text()
        assert len(whole.splitlines()) >= 6
        record.write_text(whole + '{"id": "cut o')
        asked = len(s.requests)
        subprocess.run([sys.executable, "-c", PROGRAM, s.base_url, record], check=True, timeout=120)
        again = {int(re.findall(r"question (\d+)\?", str(m))[-1]) for m in s.messages[asked:]}
    found = read_evaluation(record)
    assert record.read_text().startswith(whole) and found.name == "record"
    assert len(found.outcomes) == 12 and all(o.solved for o in found.outcomes)
    done = {int(re.search(r"\d+", json.loads(line)["question"])[0]) for line in whole.splitlines()}
    assert again == set(range(12)) - done

def test_tasks_are_told_apart_by_their_data_and_answers():
    reviews = [Task("Is the author happy?", {"review": i}, i % 2 == 0) for i in range(10)]
    about = [Task("How many?", "a text", check) for check in (1, 2, Near(3, .5), Near(4, .5))]
    tables = [Task("How many?", pd.DataFrame({"n": [i]}), 1) for i in range(3)]
    first, second = (evaluate(RLM(Says(f"FINAL({answer})"), verbose=False), reviews + about + tables) for answer in (True, False))
    assert len({o.id for o in first.outcomes}) == 17 and [o.id for o in first.outcomes] == [o.id for o in second.outcomes]
    assert len(compare(first, second).pairs) == 17 and (first.lines()[0]["solved"], second.lines()[0]["solved"]) == ("5 of 17", "5 of 17")

def test_what_was_not_answered_is_asked_again_and_the_rest_is_not(tmp_path):
    tasks, fails = [Task(f"question {i}?", "x", i) for i in range(10)], True
    def answer(body):
        number = int(re.findall(r"question (\d+)\?", str(body["messages"]))[-1])
        return Http(500, {"error": {"message": "down"}}) if fails and number == 3 else f"FINAL({number})"
    with ChatServer(answer) as s:
        rlm = RLM("openai/m", {"base_url": s.base_url, "max_retries": 0}, verbose=False)
        first = evaluate(rlm, tasks[:6], tmp_path/"r.jsonl", max_concurrent=1)
        assert [o.solved for o in first.outcomes] == [True, True, True, False, True, True] and "LMServerError" in first.outcomes[3].end
        fails = False
        limited = evaluate(rlm, tasks, tmp_path/"r.jsonl", max_concurrent=1, max_tokens=first.outcomes[0].tokens * 2)
        assert limited.outcomes[3].solved and not limited.outcomes[9].solved
        assert [o.question for o in evaluate(rlm, tasks, tmp_path/"r.jsonl").outcomes if o.solved] == [t.question for t in tasks]
        counts = Counter(re.findall(r"question (\d+)\?", str(m))[-1] for m in s.messages)
    assert counts == Counter({str(i): 1 + (i == 3) for i in range(10)})

def test_an_outcome_is_recorded_before_a_slower_one(tmp_path):
    over, record = threading.Event(), tmp_path/"r.jsonl"
    class Slow:
        model = "slow"
        def complete(self, messages): return "FINAL(1)" if "question 0" not in str(messages) else over.wait(60) and "FINAL(1)"
    for asks in (RLM(Slow(), verbose=False), Plain(RLM(Slow(), verbose=False))):
        over.clear()
        record.unlink(missing_ok=True)
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(evaluate, asks, [Task(f"question {i}?", "x", "1") for i in range(9)], record, max_concurrent=2)
            until = time.monotonic() + 30
            while (not record.exists() or record.read_text().count("\n") < 8) and time.monotonic() < until: time.sleep(0.02)
            early = record.read_text().count("\n")
            over.set()
        assert early == 8 and [o.question for o in found.result().outcomes] == [f"question {i}?" for i in range(9)]

def test_a_record_is_read_whatever_was_said(tmp_path):
    odd = "one\u2028two\u2029three\x85four\x1efive"
    first = evaluate(RLM(Says(f"FINAL({odd})"), verbose=False), [Task(odd, odd, odd)], tmp_path/"r.jsonl")
    assert first.outcomes[0].solved and read_evaluation(tmp_path/"r.jsonl").outcomes == first.outcomes
    assert evaluate(RLM(Says("FINAL(no)"), verbose=False), [Task(odd, odd, odd)], tmp_path/"r.jsonl").outcomes == first.outcomes

def test_an_option_that_only_an_rlm_has_is_refused():
    with pytest.raises(ConfigurationError, match="log_dir: only an RLM has that"): evaluate(Plain(RLM(Says("1"))), [Task("?", "x", 1)], log_dir="logs")

# Plain calls, and rows

def test_a_plain_call_has_all_of_a_table():
    class Sees:
        model = "sees"
        def complete(self, messages): return str(all(f"{i},{i * i}" in messages[0]["content"] for i in range(1_000)))
    squares = pd.DataFrame({"n": range(1_000), "square": [i * i for i in range(1_000)]})
    assert Plain(RLM(Sees(), verbose=False)).completion("Is it all there?", context=squares).response == "True"

def test_models_for_parts_are_for_the_ways_that_ask_them():
    found = ways(Says("1"), other_backends=[Says("2", "small")])
    assert [way.sub_calls for name, way in found.items() if name != "plain call"] == [False, True, True]

def test_a_plain_call_is_cut_as_far_as_the_server_takes_it():
    def answer(body):
        text = body["messages"][0]["content"]
        if len(text) > 5_000:  # 2.5 characters make a token here
            return Http(400, {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": int(len(text) / 2.5), "n_ctx": 2_000,
                                        "message": f"the request exceeds the available context size ({int(len(text) / 2.5)} > 2000)"}})
        return "seen" if "NEEDLE" in text else "absent"
    long = Task("Is it there?", "NEEDLE " + "hay " * 50_000, "seen")
    lost = Task("Is it there, too?", "hay " * 20_000 + "NEEDLE" + "hay " * 20_000, "seen")
    with ChatServer(answer) as s:
        found = evaluate(Plain(RLM("openai/m", {"base_url": s.base_url}, verbose=False)), [long, lost, Task("And here?", "NEEDLE", "seen")], max_concurrent=1)
    assert [(o.end, o.score) for o in found.outcomes] == [("cut", 1), ("cut", 0), ("final", 1)]
    assert found.outcomes[0].calls == 1 and len(s.requests) > 3

def test_a_plain_call_reads_lists_files_and_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("from a file")
    class Echo:
        model = "echo"
        def complete(self, messages): return "<think>hm</think>" + messages[0]["content"]
    ask = Plain(RLM(Echo(), verbose=False)).completion
    assert ask("What?", ["one", "two"]).response.startswith("one\n\ntwo\n\nWhat?")
    assert ask("What?", tmp_path / "a.txt").response.startswith("from a file")
    assert ask("What?").response.startswith("What?")

# Comparing and drawing

def test_a_comparison_is_of_the_tasks_that_both_were_asked():
    tasks = [Task(f"question {i}?", "a text", i % 2, "odd" if i % 2 else "even") for i in range(12)]
    ones, zeros = (RLM(Says(f"FINAL({n})", f"says {n}"), verbose=False) for n in (1, 0))
    both = compare(ones, zeros, tasks)
    assert [(line["kind"], line["gained"], line["lost"], line["p"]) for line in both.lines()] == [
        ("all", 6, 6, "1"), ("even", 6, 0, "0.031"), ("odd", 0, 6, "0.031")]
    assert len(both.differences) == 12
    def even(o): return int(o.question.split()[1][:-1]) % 4 == 0
    assert [(line["even"], line["tasks"]) for line in both.lines(even)] == [("all", 12), (True, 3), (False, 9)]
    part = compare(evaluate(ones, tasks[:4]), evaluate(zeros, tasks[2:]))
    assert [a.question for a, _ in part.pairs] == ["question 2?", "question 3?"]
    with pytest.raises(ConfigurationError, match="no task in common"): compare(evaluate(ones, tasks[:2]), evaluate(ones, tasks[2:]))

def test_a_plot_has_a_mark_for_each_group_and_dollars_only_where_all_are_priced():
    pytest.importorskip("matplotlib")
    from rlm.evals import Evaluation
    def made(name, cost): return Evaluation(name, tuple(Outcome(str(i), "k", size, "?", "1", "1", i % 2, cost=cost, input_tokens=5)
                                                        for i, size in enumerate([1000, 1000, 2000, 3000])))
    fig = plot(made("a", 0.5), made("b", None), by="size")
    share, spent = fig.axes
    assert [len(line.get_xdata()) for line in share.lines] == [3, 3] and "tokens" in spent.get_title(loc="left")
    assert "dollars" in plot(made("a", 0.5)).axes[1].get_title(loc="left")
    assert [t.get_text() for t in fig.legends[0].texts] == ["a", "b"]

# Made-up tasks: their answers, found from their texts alone

WORDS = {"weather": "rained snowed drizzled hailed thundered", "food": "delicious", "sports": "last minute", "travel": "hour late", "health": "still hurts"}

def about(line): return next(t for t, words in WORDS.items() if any(w in line for w in ([words] if " " in words and t != "weather" else words.split())))

def answer_of(task):
    if task.kind == "needle":
        return int(re.search(rf"The code that opens the {re.search('opens the (.*)[?]', task.question)[1]} is (\d+)\.", task.context)[1])
    if task.kind == "hops":
        text = "\n".join(task.context)
        maker = re.search(rf"^The {re.search('made the (.*)[?]', task.question)[1]}\..*workshop of (\w+) ", text, re.M)[1]
        founder = re.search(rf"^{maker}\. .* by (\w+ \w+)\.", text, re.M)[1]
        return re.search(rf"^{founder}\. Born in (\w+) ", text, re.M)[1]
    posts = [(int(line.split()[3]), about(line)) for line in task.context.splitlines()]
    asked = task.question.split("health. ", 1)[1]
    if task.kind == "pairs":
        one, other = re.search(r"about (\w+) than about (\w+)", asked).groups()
        counts = Counter(posts)
        return tuple(combinations(sorted(u for u in {u for u, _ in posts} if counts[u, one] > counts[u, other]), 2))
    if asked.startswith("How many"): return sum(t == re.search(r"about (\w+)", asked)[1] for _, t in posts)
    if asked.startswith("Which topic"): return Counter(t for _, t in posts).most_common(1)[0][0]
    return Counter(u for u, t in posts if t == re.search(r"about (\w+)\?", asked)[1]).most_common(1)[0][0]

@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_in_the_text(kind):
    for task in haystacks([1_000, 5_000, 40_000], 10, [kind]):
        assert answer_of(task) == getattr(task.check, "answer", task.check), task.question

def test_the_tasks_are_the_same_everywhere():
    "The records of the docs are of these tasks: whoever changes them makes new records."
    digest = hashlib.sha256()
    for t in haystacks([1_000, 10_000, 100_000], 6): digest.update(repr((t.question, t.context, t.check, t.kind)).encode())
    assert digest.hexdigest()[:16] == "f8e19b8723c1f3b1"
    assert len({t.context if isinstance(t.context, str) else "".join(t.context) for t in haystacks([1_000], 20)}) == 80

def test_lengths_are_kept_and_too_small_ones_refused():
    for length in (1_000, 3_000, 100_000):
        assert all(0.8 * length < task.size <= length for task in haystacks([length], 8))
    with pytest.raises(ConfigurationError, match="at least 1,000"): needle(10)
    with pytest.raises(ConfigurationError, match="no kind 'neddle'"): next(haystacks([1_000], kinds=["neddle"]))

# The public sets

def test_another_file_is_told_from_the_set(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"prompt": "a", "answer": "b"}\n')
    with pytest.raises(ConfigurationError, match="no 'input', but prompt, answer"): list(read_ruler(tmp_path / "x.jsonl"))
    with pytest.raises(ConfigurationError, match="no 'context_window_text'"): list(read_oolong(tmp_path / "x.jsonl"))

def test_oolong_is_read_from_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet
    rows = [dict(id=i, context_window_id=1, dataset=d, context_len=1024, context_window_text=f"text {i}", question="How many?", task_group="counting",
                 task="TASK_TYPE.NUMERIC_ONE_CLASS", answer=f"[{i}]", answer_type="ANSWER_TYPE.NUMERIC") for i, d in enumerate(["spam", "trec_coarse"])]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "oolong.parquet")
    task, = read_oolong(tmp_path / "oolong.parquet", lambda row: row["dataset"] == "trec_coarse")
    assert (task.context, task.kind, task.check(said(1)), task.check(said("no idea"))) == ("text 1", "counting", 1, 0)

def test_a_date_of_oolong_is_right_however_it_is_written(tmp_path):
    (tmp_path / "o.jsonl").write_text(json.dumps(dict(context_window_text="x", question="When?", answer="[datetime.date(2023, 5, 6)]")))
    task, = read_oolong(tmp_path / "o.jsonl")
    assert all(task.check(said(day)) for day in ("May 6, 2023", "6 May 2023", "On May 06, 2023.", "2023-05-06", "05/06/2023"))
    assert not any(task.check(said(day)) for day in ("May 16, 2023", "6 May 2024", "June 5, 2023"))
