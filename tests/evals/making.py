"What the worlds are made with."
from collections import Counter, defaultdict

NAMES = "amara bruno chen dalia emil farah goran hana ivo jonas keiko lucia marek nadia omar petra".split()
CITIES = "Lisbon Bergen Krakow Turin Graz Ghent Porto Malmo Riga Cork Basel Varna".split()


class Tie(Exception): "Two things share a first place, so that a question about the first has no one answer."

def grow(size, line, make):
    "Records from `make(i)`, until their lines fill `size` characters."
    records = []
    while size > 0:
        records.append(make(len(records)))
        size -= len(line(records[-1])) + 1
    return records

def total(records, key, by=None):
    "The sum of `key`, or of 1 where `key` is None: a number, or a Counter per value of `by`."
    sums = defaultdict(float if key and isinstance(records[0][key], float) else int)
    for r in records: sums[r[by] if by else None] += r[key] if key else 1
    sums = Counter({k: round(v, 2) for k, v in sums.items()})
    return sums if by else sums[None]

def top(values):
    "The key with the largest value of a dict."
    first, second = sorted(values, key=values.get, reverse=True)[:2]
    if values[first] == values[second]: raise Tie(first, second)
    return first

def where(records, **kw): return [r for r in records if all(r[k] == v for k, v in kw.items())]

def values(records, key): return tuple(dict.fromkeys(str(r[key]) for r in records))

def prose(r):
    "A sentence that says nothing of interest."
    who = r.choice("the wind|a grey heron|the old road|the river|a distant bell|the evening light|the market square"
                   "|an empty cart|the tall grass|a flock of crows".split("|"))
    did = r.choice("moved slowly past|could be seen beyond|lay quiet behind|turned away from|kept close to"
                   "|seemed to wait for|gave no hint of".split("|"))
    what = r.choice("the orchard wall|the low hills|the wooden bridge|the mill|the last houses|the open fields"
                    "|the dark pines|the ferry landing".split("|"))
    end = r.choice([".", ", as it always had.", ", or so it seemed.", " that day."])
    return f"{who} {did} {what}{end}".capitalize()
