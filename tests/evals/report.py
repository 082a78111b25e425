"""Tables and plots of what `run.py` recorded: files with one JSON object a line, one line for each task.

Needs matplotlib for `plot`.
"""
import json, math
from collections import Counter, namedtuple
from itertools import product
from pathlib import Path

from rlm.evals import sign_test, wilson
from tasks import KINDS

Run = namedtuple("Run", "model system version prompts merged")  # one system that answered tasks with one model
LEVELS = "plain", "long", "arithmetic"
SYSTEMS = {"rlm": "rlm", "local": "rlm", "rlms": "rlms", "dspy": "dspy.RLM"}  # what they are called in tables


# Records

def read(*paths):
    "The rows of all these files, with what older files lack; of two for the same task of the same run, the last."
    rows = [json.loads(line) for path in paths for line in Path(path).read_text("utf-8").splitlines()]
    lacking = dict(model="?", version="", prompts="default", merged=False)
    rows = [lacking | row | dict(failed=failed(row)) for row in rows]
    return list({(run_of(row), row["id"]): row for row in rows}.values())

def run_of(row): return Run(*[row[key] for key in Run._fields])

def failed(row):
    "Why a task was not solved, where the reason is another than what the model wrote: `None` where it is that."
    if row["solved"] or "failed" in row: return row.get("failed")
    error, last = row["error"] or "", (row.get("transcript") or [{}])[-1]
    if error.startswith("no answer within"): return "out of time"
    if error == "the process died": return "process died"
    if "error" not in last: return None
    return "window too small" if "context size" in str(last["error"]) else "refused by the server"

PUBLISHED = *Run._fields, "id", "level", "kind", "solved", "failed", "reply", "error", "calls", "input_tokens", "output_tokens", "seconds"

def published(row):
    "A row for the page: with the name of its run, without the conversation."
    short = {k: v[:120] if isinstance(v := row[k], str) else v for k in PUBLISHED}
    return dict(name=name(run_of(row))) | short

def runs(rows):
    "The rows of each run: the models from the weakest to the strongest, ours before the others."
    found = {}
    for r in rows: found.setdefault(run_of(r), []).append(r)
    best = Counter()
    for run, of in found.items(): best[run.model] = max(best[run.model], wilson(sum(r["solved"] for r in of), len(of))[0])
    order = lambda run: (best[run.model], run.model, list(SYSTEMS).index(run.system), run.merged)
    return {run: found[run] for run in sorted(found, key=order)}

def name(run):
    "What a run is called beside the name of its model."
    if run.system in ("rlms", "dspy"): return f"{SYSTEMS[run.system]} {run.version}" + run.merged * ", messages merged"
    return f"{'RLM(local)' if run.system == 'local' else 'rlm'}, {run.prompts} prompt"


# Statistics

def paired(before, after):
    "The tasks that both runs answered, as pairs of rows."
    first = {r["id"]: r for r in before}
    return [(first[r["id"]], r) for r in after if r["id"] in first]


# Tables, in Markdown

def markdown(*lines, text=1):
    "A table of rows of cells; all columns but the first `text` ones hold figures."
    head, *rest = [f"| {' | '.join(map(str, line))} |" for line in lines]
    rule = "|" + "---|" * text + "---:|" * (len(lines[0]) - text)
    return "\n".join([head, rule, *rest])

def solved(rows):
    "`k of n`, or nothing."
    return f"{sum(r['solved'] for r in rows)} of {len(rows)}" if rows else ""

def share(rows):
    "The share solved, with its interval."
    if not rows: return ""
    lo, hi = wilson(k := sum(r["solved"] for r in rows), n := len(rows))
    return f"{k / n:.0%} ({lo:.0%}–{hi:.0%})".replace("%", " %")

def mean(rows, key): return sum(r[key] for r in rows) / len(rows)

def otherwise(rows):
    "How many tasks failed for another reason than what the model wrote, and for which."
    return ", ".join(f"{n} {why}" for why, n in Counter(r["failed"] for r in rows if r["failed"]).most_common()) or "–"

def part(rows, key, value): return [r for r in rows if r[key] == value]

def parts(rows):
    "All rows, those of each level, and those of each kind, under their names; arithmetic is both."
    yield "**all**", rows
    for key, values in ("level", LEVELS), ("kind", KINDS[:-1]):
        for v in values:
            if of := part(rows, key, v): yield f"*{v}*" if key == "level" else v, of

def overview(rows):
    "One line for each run."
    head = "model", "system", "solved", "share (95 % interval)", *LEVELS, "failed otherwise"
    return markdown(head, *[(run.model, name(run), solved(of), share(of), *[solved(part(of, "level", x)) for x in LEVELS],
                             otherwise(of)) for run, of in runs(rows).items()], text=2)

def table(rows):
    "One run: a line for each level and kind."
    head = "", "solved", "share (95 % interval)", "failed otherwise", "calls", "tokens in", "tokens out", "seconds"
    return markdown(head, *[(what, solved(of), share(of), otherwise(of), f"{mean(of, 'calls'):.1f}", *[f"{mean(of, key):,.0f}"
        for key in ("input_tokens", "output_tokens", "seconds")]) for what, of in parts(rows)])

def difference(before, after):
    "The cells of a comparison: tasks of both, solved by each, gained, lost, and how likely that is by chance."
    pairs = paired(before, after)
    was, now = ([r["solved"] for r in side] for side in zip(*pairs))
    gained, lost = (sum(a and not b for a, b in zip(*two)) for two in ((now, was), (was, now)))
    return len(pairs), sum(was), sum(now), gained, lost, f"{sign_test(gained, lost):.2g}"

COMPARED = "tasks of both", "solved before", "after", "gained", "lost", "p"

def comparison(before, after):
    "Two runs over the same tasks: a line for each level and kind."
    ids = {r["id"] for r in before}
    both = [r for r in after if r["id"] in ids]
    return markdown(("", *COMPARED), *[(what, *difference(before, of)) for what, of in parts(both)])

def beside(rows, first, then):
    "Pairs of runs with the same model over the same tasks, the ones that `first` and `then` are true of."
    head = "model", "before", "after", *COMPARED, "of those before, failed otherwise"
    pairs = [(a, b) for a, b in product(runs(rows).items(), repeat=2) if a[0].model == b[0].model and first(a[0]) and then(b[0])]
    return markdown(head, *[(a.model, name(a), name(b), *difference(was, now), otherwise([x for x, _ in paired(was, now)]))
        for (a, was), (b, now) in pairs if paired(was, now)], text=3)


# A plot

GREY = "#7d7d7d"  # stands out from white as from black
COLORS = "#3a86d4", "#14a37f", "#8f6fd6", "#e08214", "#d6549c", "#b89a1e", "#d5483c", GREY

def drawing():
    "The settings under which the same rows make the same picture."
    from matplotlib import rc_context
    return rc_context({"svg.hashsalt": "evals", "font.family": "DejaVu Sans"})

def plot(rows, by="level"):
    "The share solved by `level` or `kind`, with 95 % intervals: a panel for each model, a colour for each run."
    from matplotlib.figure import Figure
    groups = ("all", *LEVELS) if by == "level" else KINDS
    models = list(dict.fromkeys(run.model for run in runs(rows)))
    names = list(dict.fromkeys(map(name, runs(sorted(rows, key=lambda r: r["system"] not in ("rlm", "local"))))))
    most = max(Counter(run.model for run in runs(rows)).values())
    down = math.ceil(len(models) / 2)
    fig = Figure(figsize=(9, .7 + down * (.5 + len(groups) * (.16 + .14 * most))), layout="constrained")
    fig.patch.set_alpha(0)
    panels = fig.subplots(down, min(2, len(models)), sharex=True, sharey=True, squeeze=False).flat
    for model, ax in zip(models, panels):
        style(ax, model, groups)
        here = {name(run): of for run, of in runs(part(rows, "model", model)).items()}
        for (j, who), (y, group) in product(enumerate(here), enumerate(groups)):
            of = here[who] if group == "all" else part(here[who], by, group)
            if not of: continue
            at, color = y + .8 * ((j + .5) / len(here) - .5), COLORS[names.index(who) % len(COLORS)]
            ax.hlines(at, *wilson(sum(r["solved"] for r in of), len(of)), color=color, lw=2, alpha=.6)
            ax.plot(mean(of, "solved"), at, "o", color=color, ms=4.5, label=who if y == 0 else None)
    for ax in list(panels): ax.set_axis_off()
    marks = {mark.get_label(): mark for ax in fig.axes for mark in ax.get_legend_handles_labels()[0]}
    fig.legend([marks[n] for n in names], names, loc="outside lower center", ncols=3, frameon=False, labelcolor=GREY)
    return fig

def style(ax, title, groups):
    "An empty panel: shares from left to right, groups from top to bottom."
    ax.patch.set_alpha(0)
    ax.set_title(title, color=GREY, fontsize=11, loc="left")
    ax.set_xlim(-.02, 1.02)
    ax.set_xticks([0, .25, .5, .75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.set_ylim(len(groups) - .5, -.5)
    ax.set_yticks(range(len(groups)), groups)
    ax.tick_params(colors=GREY, length=0, labelbottom=True, labelsize=9)
    ax.grid(axis="x", color=GREY, alpha=.25, lw=.8)
    for y in range(1, len(groups)): ax.axhline(y - .5, color=GREY, alpha=.25, lw=.8)
    ax.spines[:].set_visible(False)
