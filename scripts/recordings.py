"""What `scripts/record.py` records: of each run its title, what it shows, its data, and the code that asks."""
import re
from dataclasses import dataclass

BY = "Claude, a large language model by Anthropic,"
SINCE = "When the prompts changed later that day, the run was recorded again with the same replies."

@dataclass(frozen=True)
class Recording:
    "A run to be recorded, and the words with which its page begins."
    title: str    # of the page
    summary: str  # the sentence below it
    about: str    # what there is to see, in Markdown
    data: str     # the code that makes the data
    ask: str      # the user's code; `model` holds the `backend_kwargs` and `logger` the logger
    keeps_data: bool = True  # in the log; False: the page makes it again, with `data`
    again: bool = True       # it was recorded again after the prompts had changed, as `SINCE` says

    def variable(self, name: str) -> str:
        "The variable that holds what the log calls `name`."
        given = re.search(r"\bcontext=(\w+)", self.ask)
        return given[1] if name == "context" and given else name

TWO_NOVELS = Recording(
    "Two novels", "A question about 1.4 million characters, which code narrows down and sub-calls read.",
    "Which chapters matter is found with plain Python. Those alone are read, each by a sub-call of `llm_query_batched`, all at once.",
    '''
from pathlib import Path

novels = Path("../data/two_novels.txt").read_text()
''', '''
rlm = RLM(backend_kwargs=model, logger=logger)
rlm.completion("Who proposes marriage to whom in these two novels? List every proposal that is made in a scene or that a "
               "character reports, with the novel, its chapter and the answer.", context=novels)
''', keeps_data=False)

A_DATAFRAME = Recording(
    "A DataFrame", "A model looks for what happened in a table of sales, in the kernel of a notebook, and plots it.",
    "The code below hides an effect in one of five regions, and nobody tells the model which. Its code works on the user's own "
    "`sales`, which it can read and nothing else.",
    '''
import numpy as np, pandas as pd

rng = np.random.default_rng(2026)
months = pd.date_range("2023-01-01", periods=36, freq="MS")
season = 1 + 0.25 * np.sin(2 * np.pi * (months.month.to_numpy() - 4) / 12)
hit, since, share = rng.integers(5), rng.integers(12, 30), rng.uniform(0.1, 0.2)
frames = []
for i, region in enumerate(["coast", "lakes", "hills", "plain", "city"]):
    visitors = rng.uniform(2_000, 6_000) * season * (1 + 0.006 * np.arange(36)) * rng.normal(1, 0.06, 36)
    revenue = visitors * rng.uniform(9, 14) * rng.normal(1, 0.03, 36)
    if i == hit: revenue[since:] *= 1 - share
    frames.append(pd.DataFrame({"month": months, "region": region,
                                "visitors": visitors.round().astype(int), "revenue": revenue.round(2)}))
sales = pd.concat(frames).sample(frac=1, random_state=1).reset_index(drop=True)
''', '''
rlm = RLM(backend_kwargs=model, logger=logger, environment="jupyter",
          environment_kwargs={"sync_from_user_ns": True, "sync_vars": ["sales"]})
rlm.completion("In one of the regions something changed for good. Which region is it, since which month, and how large is the "
               "effect? Show it in a plot.")
''', keeps_data=False)

A_SESSION = Recording(
    "A session", "Three questions about one list of records; each builds on the one before.",
    "The data comes with the first question. The second and the third find what the earlier ones made.",
    '''
import random

rng = random.Random(11)
stations = ["Harbour", "Castle", "Museum", "Park", "Market", "University"]
popular = dict(zip(stations, rng.sample(range(1, 20), 6)))
rides = []
for day in range(1, 31):
    for _ in range(rng.randint(5, 9) + 4 * (day % 7 in (5, 6))):
        start, end = rng.choices(stations, popular.values())[0], rng.choice(stations)
        minutes = round(rng.lognormvariate(2.8, 0.5)) if start != end else round(rng.lognormvariate(3.6, 0.4))
        rides.append({"day": f"2026-06-{day:02d}", "from": start, "to": end, "minutes": minutes, "member": rng.random() < 0.6})
''', '''
session = RLM(backend_kwargs=model, logger=logger).start_session()
session.chat("From which station do the most rides start, and from which the fewest: on weekdays, and at the weekend?",
             context=rides)
session.chat("Which stations lose bikes, and how many a day would a van have to bring back to each?")
session.chat("Write three sentences for the town council about what you found.")
''', keeps_data=False)

TYPED_ANSWERS = Recording(
    "Typed answers", "A novel goes in, and a list of dataclass objects comes out.",
    "`output_type` says what the answer must be. What the model returns is checked, and becomes objects of that class.",
    '''
import re
from dataclasses import dataclass
from pathlib import Path

novels = Path("../data/two_novels.txt").read_text()
pride_and_prejudice = novels[novels.index("Chapter 1\\n"):]
''', '''
@dataclass
class Letter:
    "A letter whose text the novel gives."
    writer: str
    recipient: str
    chapter: int
    dated: str | None  # place and date at its head, if there are any
    words: int         # of its text, about

rlm = RLM(backend_kwargs=model, logger=logger)
rlm.completion("Find all letters and notes whose text is given, in full or nearly so, not merely mentioned or quoted in passing.",
               context=pride_and_prejudice, output_type=list[Letter])
''', keeps_data=False)

A_CHILD_PER_DOCUMENT = Recording(
    "A child per document", "Four logbooks, each in a form of its own; a child with a REPL of its own works on each.",
    "With `max_depth=2` the code of the model can call `rlm_query`. Each call opens a run of its own, which may take several "
    "iterations and ask sub-calls itself. Its iterations are folded below the block that started it.",
    '''
from pathlib import Path

logbooks = {p.name: p.read_text() for p in sorted(Path("../data/_ferries").iterdir())}
''', '''
rlm = RLM(backend_kwargs=model, logger=logger, max_depth=2)
rlm.completion("Four ferries, four logbooks, each in a form of its own. For each: how many trips, what share left more than five "
               "minutes late, how late these were on average, and what the crew gives most often as the reason. Let a child work on "
               "each logbook. Which line is the least punctual?", context=logbooks)
''')

A_FOLDER = Recording(
    "A folder", "Eleven licences and a table of packages, handed over as a folder: code asks the table, and sub-calls read.",
    "`context=Path(...)` gives the model a mapping from names to texts and tables. A file is read when the code asks for it. The log "
    "keeps each file's path, size and checksum, and the replay reads the files again.",
    '''
from pathlib import Path

folder = Path("../data/licences")
''', '''
rlm = RLM(backend_kwargs=model, logger=logger)
rlm.completion("packages.csv lists Debian packages, each with the licence of its main part. Which licences would let us put such a "
               "package, unchanged and linked as a library, into a closed-source product that we sell, without opening our own code? "
               "Read the licences instead of relying on what you know of them. Give a table: licence, verdict, the clause that "
               "decides, the number of packages and their size in MiB.", context=folder)
''', again=False)

A_LARGE_TABLE = Recording(
    "A large table", "A table of 35 million rows, which stays in its file: the model asks in SQL.",
    "The code below hides a fault in one of a thousand sensors, and nobody tells the model which. As a DataFrame the table would not "
    "be loaded; `context.sql` asks it where it lies.",
    '''
import tempfile
from pathlib import Path
import duckdb, numpy as np

rng = np.random.default_rng(2027)
faulty, since, slope = rng.integers(1, 1_001), rng.integers(60, 300), round(rng.uniform(0.02, 0.05), 3)
folder = tempfile.TemporaryDirectory()
readings = Path(folder.name, "readings.parquet")
done = duckdb.sql(f"""COPY (
    SELECT sensor, TIMESTAMP '2025-01-01' + to_minutes(15 * n) AS time,
           round(20 + sensor % 7 + 4 * sin(2 * pi() * n / 96) + (hash(sensor * 100_000 + n) % 1000) / 500
                 + CASE WHEN sensor = {faulty} THEN greatest(0, n / 96 - {since}) * {slope} ELSE 0 END, 2) AS celsius
    FROM range(1, 1_001) s(sensor), range(35_040) r(n)) TO '{readings}'""")
''', '''
rlm = RLM(backend_kwargs=model, logger=logger)
rlm.completion("A thousand sensors, a reading every 15 minutes for a year. One of the sensors began to drift. Which one, since which "
               "day, and by how many degrees a day?", context=readings)
''', keeps_data=False, again=False)

WORKING_DOCUMENTATION = Recording(
    "Working documentation", "Every run of the working documentation, with the model's own words.",
    "The [working documentation](../tutorials/working_documentation.ipynb) shows the code that asked. The names of models in it are "
    "examples; one model wrote all replies.",
    '''
import pandas as pd

df = pd.DataFrame({"Name": ["A", "B"], "Score": [10, 20]})
''', "")

RECORDINGS = {name.lower(): x for name, x in list(globals().items()) if isinstance(x, Recording)}

# Pages whose model is a recording: its log is in `nbs/traces` where it has a page of its own, else in `nbs/data/recorded`
PAGES = {"working_documentation": "tutorials/working_documentation", "get_started": "tutorials/get_started",
         "dataframe": "guides/dataframe", "many_texts": "guides/many_texts", "file": "guides/file"}
