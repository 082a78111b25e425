"""What the embedded model solves of `rlm.haystacks`, by length: the records that the page *Evaluate your own model* draws.

    python scripts/evals.py                      # all of it; two or three hours on two cores, and it can be stopped at any time
    python scripts/evals.py --rows "depth 1" --lengths 1000 --n 2

What is in the records is not asked again; delete them to begin anew.
"""
import argparse
from pathlib import Path

from rlm.evals import evaluate, ways
from rlm.haystacks import KINDS, haystacks

RECORDS = Path(__file__).parents[1] / "nbs" / "data" / "haystacks"
ROWS = "plain call", "depth 0", "depth 1", "depth 2"

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    p.add_argument("--lengths", nargs="*", type=int, default=[1_000, 10_000, 100_000], help="characters of the texts")
    p.add_argument("--kinds", nargs="*", choices=KINDS, default=["needle", "hops", "topics"])
    p.add_argument("--n", type=int, default=2, help="tasks of each kind and length")
    o = p.parse_args()
    RECORDS.mkdir(exist_ok=True)
    asked = ways("local", {"n_ctx": 8_192, "max_tokens": 512}, max_iterations=8, max_timeout=3_600, verbose=False)
    for length in o.lengths:
        for name in o.rows:
            print(evaluate(asked[name], haystacks([length], o.n, o.kinds), RECORDS / f"{name.replace(' ', '_')}.jsonl",
                           f"{name}, {length:,} characters", max_concurrent=1))

if __name__ == "__main__": main()
