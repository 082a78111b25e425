"`scripts/bench.py`: what it measures is there, and says why where it is not. No test asserts a speed."
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "scripts"))
import bench

@pytest.mark.slow
def test_a_batch_is_asked_for_at_once_and_its_sockets_are_counted():
    replies = [bench.code("rlm", bench.FAN_OUT.format(n=6)), bench.answer("rlm", "seconds")] * 4
    with bench.Serving(replies, 0.05) as s: took = bench.measure("rlm", "batch", url=s.url, n=6, at_once=6)
    assert len(took["seconds"]) == 3 and min(took["seconds"]) >= 0.05
    assert len(s.briefly) == 4 * 6 and len(s.asked) == 4 * 2
    assert took["threads"] >= 6 and (took["sockets"] >= 1 or not Path("/proc/self/fd").exists())

@pytest.mark.slow
def test_runs_have_as_many_iterations_as_they_are_to_have():
    lengths = [3, 5]
    replies = [r for n in lengths for r in [bench.code("rlm", bench.BLOCK)] * n + [bench.answer("rlm", "'done'")]]
    with bench.Serving(replies) as s: took = bench.measure("rlm", "iterate", url=s.url, lengths=lengths)
    assert len(took) == 2 and len(s.asked) == sum(lengths) + 2
    with bench.Serving([]) as s: bench.measure("bare", "iterate", url=s.url, lengths=[4])
    assert len(s.briefly) == 4

@pytest.mark.slow
def test_what_can_not_be_measured_says_why():
    assert bench.measure("rlm", "environment", name="nowhere").startswith("rlm.types.ConfigurationError: There is no environment")
    assert bench.measure("rlm", "environment", 0.01, name="local") == "not done in 0 s"

def test_a_measurement_that_there_is_not_is_refused():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "bench.py", "speed"], capture_output=True, text=True)
    assert done.returncode == 2 and "There is no measurement 'speed'" in done.stderr

def test_the_page_shows_every_measurement():
    page = (ROOT / "nbs" / "guides" / "benchmarks.ipynb").read_text("utf-8")
    assert [name for name in bench.MEASUREMENTS if f'\\"{name}\\"' not in page] == []
    assert set(json.loads(bench.FIGURES.read_text("utf-8"))) - {"about"} <= set(bench.MEASUREMENTS)

def test_the_spread_of_values_is_their_quartiles():
    assert bench.spread([1, 2, 3, 4, 5]) == dict(value=3, low=1.5, high=4.5)
    assert bench.spread([7]) == dict(value=7, low=7, high=7)
