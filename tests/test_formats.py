"What a preview tells of any text or container: it is short, it never raises, and with `preview=\"schema\"` it holds no value."
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from rlm.formats import sample_lines, what_it_is
from rlm.preview import describe, describe_all, first_rows

SCRAPS = st.sampled_from(["{", "}", "[", "]", '"', "\\", ",", ";", "\t", "|", "\n", "\n\n", "\r\n", "# ", "## a\n\n", "```\n", "<a>", "</a>", "<!--", "<?xml",
                          "[s]\n", "k = v\n", "CHAPTER 1\n", "2026-05-01 12:00:00 INFO ", '{"a": 1}\n', '{"a": [', "1,2\n", "\0", "\ud800", "\u2028", "٣", "\x1c", "="])
TEXTS = st.lists(SCRAPS | st.text(st.characters(exclude_categories=[]), max_size=8), max_size=40).map("".join)
LONG = st.tuples(TEXTS, st.sampled_from([1, 9, 2_000])).map(lambda x: x[0] * x[1])

@settings(max_examples=150, deadline=None)
@given(LONG)
def test_any_text_is_told_in_a_few_words(text):
    for show_values in (True, False):
        told = what_it_is(text, show_values)
        assert len(told) <= 400 and "\n" not in told
        assert describe("context", text, show_values).startswith(f"context: str, {len(text):,} character")

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=99).map(bytearray) | st.sampled_from(
    [pd.DataFrame({"a": [1, 2]}), pd.Series(["x" * 99] * 9), np.zeros((3, 50, 2)), pd.DataFrame(), object(), {1, 2}])
KEYS = st.text(max_size=9) | st.integers() | st.tuples(st.integers())
OBJECTS = st.recursive(ATOMS, lambda x: st.lists(x, max_size=7) | st.dictionaries(KEYS, x, max_size=7) | st.tuples(x, x), max_leaves=20)

@settings(max_examples=150, deadline=None)
@given(OBJECTS)
def test_any_object_is_told_within_bounds(x):
    told = describe("it", x)
    assert told.startswith("it: ") and len(told) < 2_500 and len(describe_all({"it": x, "that": x})) < 6_200
    assert len(describe("it", x, show_values=False)) < 1_200

WORDS = st.text("zqj", min_size=6, max_size=12).map(lambda word: f"{word}zq")  # in none of our words
VALUES = st.recursive(WORDS | st.integers(10**9, 10**10), lambda x: st.lists(x, max_size=4), max_leaves=8)
AS_TEXT = [json.dumps, lambda rows: "\n".join(map(json.dumps, rows)), lambda rows: pd.DataFrame(rows).to_csv(index=False),
           lambda rows: f"<a>{'<b>'.join(str(r) for r in rows)}</a>", lambda rows: "\n\n".join(f"## {r['city']}\n\nAnd {r['sum']}." for r in rows),
           lambda rows: "\n".join(f"2026-05-01 12:00 INFO {r['city']} {r['sum']}" for r in rows * 9),
           lambda rows: "\n".join(f"[{r['city']}]\nsum = {r['sum']}" for r in rows), list, lambda rows: dict(enumerate(rows)),
           lambda rows: {r["city"]: "a long text " * 20 for r in rows}, lambda rows: {r["city"]: pd.DataFrame(rows) for r in rows}]

@settings(max_examples=100, deadline=None)
@given(st.lists(st.fixed_dictionaries({"city": WORDS, "sum": VALUES}), min_size=2, max_size=9), st.sampled_from(AS_TEXT))
def test_where_no_values_may_be_shown_none_is(rows, made):
    told = describe("it", made(rows), show_values=False)
    assert "zq" not in told and not any(str(r["sum"]) in told for r in rows if isinstance(r["sum"], int))

def test_a_secret_stays_hidden_wherever_it_stands():
    secret = "sk-0123456789abcdef0123"
    for x in ({secret: "x" * 99}, [{secret: 1}, {secret: 2}], json.dumps([{secret: 1}] * 2), f"{secret},b,c\n1,2,3\n4,5,6\n"):
        assert secret not in describe("it", x).partition("\n")[0]
    for x in ({"alice": "x" * 99}, [{"alice": 1}]): assert "alice" not in describe("passwords", x)
    log = "".join(f"2026-05-01 12:00:01 INFO login with {secret} by 4711\n" for _ in range(30))
    assert secret not in what_it_is(log) and "4711" not in what_it_is(log) and "INFO login with" in what_it_is(log)

@pytest.mark.parametrize("n, columns", [(1, 1), (9, 3), (9, 30), (9, 300)])
def test_rows_are_shown_whole(n, columns):
    frame = pd.DataFrame({f"column {i}": ["a cell of some words"] * n for i in range(columns)})
    for x in (frame, frame.to_numpy(), np.arange(n * columns).reshape(n, columns)):
        told = first_rows(x)
        lines = told.replace("…\n", "").splitlines()
        assert len(told) <= 650 and "..." not in told and "\\" not in told
        shown = told.count("a cell of some words") if "cell" in told else None
        more = next((int(line.split()[1].replace(",", "")) for line in lines if "more columns" in line), 0)
        if shown is not None: assert shown % (columns - more) == 0 and shown >= min(n, 2) * (columns - more)

def test_a_sample_has_whole_lines_and_one_size():
    text = "".join(f"line {i}\n" for i in range(300_000))
    assert set(sample_lines(text)) < set(text.splitlines()) and sum(map(len, sample_lines(text))) < 60_000

def test_the_beginning_of_a_long_json_text_is_told_without_counts():
    rows = [{"id": i, "name": "n" * 50, "tags": [1, 2]} for i in range(20_000)]
    for text in (json.dumps(rows), json.dumps(rows, indent=2)): assert what_it_is(text) == "JSON text, not parsed yet; json.loads makes it a list of dicts with the keys id, name, tags"
    assert "rows (list of dicts with the keys id, name, tags)" in what_it_is(json.dumps({"shop": "Lima", "rows": rows, "end": 1}))
