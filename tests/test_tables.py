"Tables in files: what is asked, what is refused, and what is told of a broken one."
import _thread, asyncio, gc, os, sqlite3, subprocess, sys, threading, time, warnings
from contextlib import closing
from pathlib import Path

import pytest
from rlm import ConfigurationError, Files, RLM, TimeoutExceededError
from rlm.lm import ScriptedLM
from rlm.tables import Database, Table, Tables, is_table, open_table, sql_names
import rlm.tables

duckdb = pytest.importorskip("duckdb")
pandas = pytest.importorskip("pandas")

CSV = "city,n\nOslo,1\nLima,2\nOslo,3\n"
SLOW = "SELECT count(*) FROM range(10_000_000) a(x), range(10_000_000) b(y) WHERE x + y > 3"

@pytest.fixture
def sales(tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text(CSV)
    return path

def made(path, query="SELECT 'Oslo' AS city, 1 AS n UNION ALL SELECT 'Lima', 2"):
    duckdb.sql(f"COPY ({query}) TO '{path}'" + (" (FORMAT json)" if path.suffix in (".jsonl", ".ndjson") else ""))
    return path

# --- asking

@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".csv.gz"])
def test_every_format_is_a_table(tmp_path, suffix):
    path = tmp_path / f"sales{suffix}"
    if suffix == ".tsv": path.write_text("city\tn\nOslo\t1\nLima\t2\n")
    else: made(path)
    table = open_table(path)
    assert table.sql("SELECT sum(n) AS n FROM sales")["n"][0] == 3 and table.sql("SELECT count(*) AS n FROM context")["n"][0] == 2
    assert table.columns == ["city", "n"] and table.shape == (2, 2) and list(table["city"]) == ["Oslo", "Lima"]

def test_a_table_is_used_like_a_dataframe(sales):
    table = Table(sales)
    assert table.groupby("city")["n"].sum().to_dict() == {"Lima": 2, "Oslo": 4} and len(table) == 3 and table.n.max() == 3
    assert len(table[table["n"] > 1]) == 2 and [row.city for _, row in table.iterrows()] == ["Oslo", "Lima", "Oslo"]
    assert "n" in table and list(table) == ["city", "n"] and table.head(1).shape == (1, 2)
    table["m"] = table["n"] * 2
    assert table["m"].sum() == 12 and sales.read_text() == CSV
    with pytest.raises(AttributeError): table.nothing_of_the_kind

def test_names_in_sql(tmp_path):
    names = sql_names([Path("2026 sales.csv"), Path("a/x.csv"), Path("b/x.csv"), Path("b/X.parquet"), Path("naïve-2.csv"), Path(".csv")])
    assert list(names) == ["_2026_sales", "x", "x_", "X__", "naïve_2", "table"]

def test_a_folder_is_asked_together(tmp_path, sales):
    made(tmp_path / "places.parquet", "SELECT 'Oslo' AS city, 'NO' AS land UNION ALL SELECT 'Lima', 'PE'")
    found = Files(tmp_path).sql("SELECT land, sum(n) AS n FROM sales JOIN places USING (city) GROUP BY land ORDER BY land")
    assert found.to_dict("list") == {"land": ["NO", "PE"], "n": [4, 2]}

def test_a_broken_table_and_a_database_leave_the_others_alone(tmp_path, sales, ferries):
    (tmp_path / "broken.parquet").write_text("no parquet")
    files = Files(tmp_path)
    assert files.sql("SELECT sum(n) AS n FROM Sales")["n"][0] == 6 and "ferries.db" in files
    assert "database" in repr(files) and files["ferries.db"].names == ["trips", "late"]
    with pytest.raises(ConfigurationError, match="broken.parquet"): files.sql("SELECT * FROM broken")

def test_a_table_named_by_a_word_of_sql_is_told_with_its_columns(tmp_path, sales):
    sales.rename(tmp_path / "order.csv")
    (tmp_path / "a.parquet").write_text("no parquet")  # a letter of other words
    text = RLM(ScriptedLM([]), verbose=False).preview("?", context=tmp_path)[-1]["content"]
    assert "table order (city, n)" in text and Files(tmp_path).sql('SELECT sum(n) AS n FROM "order"')["n"][0] == 6

def test_a_name_with_quotes(tmp_path):
    path = tmp_path / "it's \"mine\".csv"
    path.write_text(CSV)
    assert len(Table(path)) == 3

def test_nothing_is_written_and_nothing_else_read(sales, tmp_path):
    table = Table(sales)
    for query in (f"COPY sales TO '{tmp_path}/x.csv'", "SELECT * FROM read_csv('/etc/passwd')", "INSTALL sqlite", "SET enable_external_access = true"):
        with pytest.raises(duckdb.Error): table.sql(query)
    assert os.listdir(tmp_path) == ["sales.csv"]

def test_python_variables_are_no_tables(sales):
    secret = pandas.DataFrame({"a": [1]})
    with pytest.raises(duckdb.Error, match="secret"): Table(sales).sql("SELECT * FROM secret")

# --- databases

@pytest.fixture
def ferries(tmp_path):
    path = tmp_path / "ferries.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE trips (ship TEXT, minutes INT); INSERT INTO trips VALUES ('Marie', 45), ('Selma', 50);"
                         "CREATE VIEW late AS SELECT * FROM trips WHERE minutes > 45;")
    return path

def test_sqlite(ferries):
    db = open_table(ferries)
    assert db.names == ["trips", "late"] and db.tables["trips"] == ["ship", "minutes"] and db.sql("SELECT * FROM late")["ship"][0] == "Selma"
    with pytest.raises(sqlite3.Error): db.sql("DROP TABLE trips")

def test_duckdb(tmp_path):
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as db: db.execute("CREATE TABLE t AS SELECT 7 AS n")
    db = open_table(path)
    assert db.names == ["t"] and db.sql("SELECT n FROM t")["n"][0] == 7
    with pytest.raises(duckdb.Error): db.sql("DROP TABLE t")

def test_a_db_that_is_none_is_no_table(tmp_path):
    (tmp_path / "notes.db").write_text("just words")
    assert not is_table(tmp_path / "notes.db") and Files(tmp_path)["notes.db"] == "just words"

# --- broken tables

@pytest.mark.parametrize("name, content, told", [
    ("a.csv", "a,b\n1,2\n3\n", "a.csv, line 3: 1 columns where 2 are expected"),
    ("a.csv", "a,b,c\n1,2,3\n4,5,6,7\n", "a.csv, line 3: 4 columns where 3 are expected"),
    ("a.csv", "a,b\n" + "1,2\n" * 50_000 + "3\n" + "1,2\n" * 50_000, "a.csv, line 50,002: 1 columns where 2 are expected"),
    ("a.jsonl", '{"a": 1}\nnot json\n', "a.jsonl, line 2: this is not JSON"), ("a.parquet", "no parquet", "a.parquet: .*whole"),
    ("a.sqlite", "no database", "is no SQLite and no DuckDB file"), ("a.csv", "", "a.csv is empty")])
def test_a_broken_table_is_told_before_a_model_is_asked(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    model = ScriptedLM(["FINAL(no)"])
    with pytest.raises(ConfigurationError, match=told) as e: RLM(model, verbose=False).completion("?", context=tmp_path / name)
    assert model.calls == [] and "\n" not in str(e.value)

def test_a_torn_database(ferries):
    ferries.write_bytes(ferries.read_bytes()[:5_000])
    with pytest.raises(ConfigurationError, match="ferries.db"): open_table(ferries)

@pytest.mark.parametrize("content", ["a;b\n1;2\n", '\ufeffa,b\n1,"two\nlines"\n', "a\tb\n1\t2\n", "a,b\n"])
def test_csv_of_other_kinds(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    assert Table(tmp_path / "x.csv").columns == ["a", "b"]

def test_without_the_packages(sales, monkeypatch):
    monkeypatch.setattr(rlm.tables, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rlm\[files\]'"): Table(sales)

# --- what is large

def test_answers_and_tables_that_are_too_large(tmp_path):
    table = Table(made(tmp_path / "big.parquet", "SELECT i, i AS j, i AS k FROM range(20_000_000) t(i)"))
    with pytest.raises(ValueError, match="more than 1,000,000 rows"): table.sql("SELECT * FROM big")
    with pytest.raises(ValueError, match=r'20,000,000 rows and is not loaded.*context.sql\("SELECT'): table["i"]
    with pytest.raises(AttributeError, match="is not loaded"): table.groupby("i")
    assert table.sql("SELECT max(i) AS m FROM context")["m"][0] == 19_999_999
    assert "too large to be loaded" in RLM(ScriptedLM([]), verbose=False).preview("?", context=tmp_path / "big.parquet")[-1]["content"]

LIMITED = """
import resource, sys
from rlm.tables import Table
import pandas, duckdb
table = Table(__import__("pathlib").Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_DATA, (700 << 20, 700 << 20))
print(table.sql("SELECT i % 3 AS k, sum(j) AS s, count(*) AS n FROM context GROUP BY k ORDER BY k").values.tolist())
try: duckdb.connect().execute(f"SELECT * FROM '{sys.argv[1]}'").df()
except Exception as e: print(type(e).__name__)
"""

@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a limit on memory that counts")
def test_a_table_larger_than_memory_is_answered(tmp_path):
    "In a process that may have 700 MB, a table that takes 1 GB as a DataFrame."
    path = made(tmp_path / "big.parquet", "SELECT i, i % 10 AS j FROM range(60_000_000) t(i)")
    env = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # the pool of pyarrow's own, which pandas imports, takes a GB before it needs one
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=120, env=env)
    answer, failed = done.stdout.splitlines()
    assert answer == "[[0.0, 90000000.0, 20000000.0], [1.0, 90000000.0, 20000000.0], [2.0, 90000000.0, 20000000.0]]", done.stderr
    assert failed in ("OutOfMemoryException", "MemoryError", "InvalidInputException")

# --- stopping, threads, and what stays

def test_a_limit_stops_a_query(sales):
    model = ScriptedLM([f"```repl\ncontext.sql({SLOW!r})\n```"] * 3)
    began = time.monotonic()
    with pytest.raises(TimeoutExceededError): RLM(model, max_timeout=1, verbose=False).completion("?", context=sales)
    assert time.monotonic() - began < 600  # it would take days

def test_a_limit_stops_a_query_of_an_awaited_run(sales):
    model = ScriptedLM([f"```repl\ncontext.sql({SLOW!r})\n```"] * 3)
    with pytest.raises(TimeoutExceededError):
        asyncio.run(asyncio.wait_for(RLM(model, max_timeout=1, verbose=False).acompletion("?", context=sales), 60))

def test_threads_ask_at_once(sales):
    table, found = Table(sales), []
    def ask(): found.append(int(table.sql("SELECT sum(n) AS n FROM context")["n"][0]))
    threads = [threading.Thread(target=ask) for _ in range(16)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert found == [6] * 16

def test_a_table_leaves_no_folder_behind(sales):
    table = Table(sales)
    folder = table._spill
    assert os.path.isdir(folder)
    del table
    gc.collect()
    assert not os.path.exists(folder)

# --- what the model is told

def told(path, **kwargs): return RLM(ScriptedLM([]), verbose=False, environment_kwargs=kwargs).preview("?", context=path)[-1]["content"]

def test_the_preview_of_a_table(sales):
    text = told(sales)
    assert "context: rlm.Table, 3 rows; columns city (VARCHAR), n (BIGINT); use it like a pandas DataFrame" in text and "Oslo" in text
    assert "Oslo" not in told(sales, preview="schema") and "city (VARCHAR)" in told(sales, preview="schema")

def test_secrets_in_a_table_are_not_shown(tmp_path):
    (tmp_path / "users.csv").write_text("name,api_key\nAda,sk-abcdefghijklmnop\n")
    assert "Ada" in told(tmp_path / "users.csv") and "sk-abc" not in told(tmp_path / "users.csv")

def test_a_wide_table_is_told_in_bounds(tmp_path):
    (tmp_path / "wide.csv").write_text(",".join(f"column_{i}" for i in range(2_000)) + "\n" + ",".join(["1"] * 2_000) + "\n")
    assert "1,960 more" in told(tmp_path / "wide.csv") and len(told(tmp_path / "wide.csv")) < 6_500

def test_the_preview_of_a_database(ferries):
    assert "SQLite database, 2 tables" in told(ferries) and "trips: 2 rows; columns ship, minutes" in told(ferries)
    assert "trips" not in told(ferries, preview="schema") or "ship" in told(ferries, preview="schema")

def test_a_run_changes_nothing_that_is_told(sales):
    result = RLM(ScriptedLM(["```repl\nSHOW_VARS()\nFINAL(len(context))\n```"]), verbose=False).completion("?", context=sales)
    assert result.value == 3 and not result.changes

# --- more of what is broken

@pytest.mark.parametrize("name, content, told", [
    ("a.csv", b"\n \n", "a.csv is empty"), ("a.jsonl", b"\n", "a.jsonl is empty"), ("a.csv", b"<!DOCTYPE html>\n<p>a, b", "a.csv is a web page"),
    ("a.csv", "id,city\n1,Köln\n".encode("latin-1"), r"a.csv: it is not written in UTF-8.*pandas.read_csv\('a.csv'"),
    ("a.csv", "id,city\n1,Köln\n".encode("utf-16"), "a.csv: it is not written in UTF-8"),
    ("a.csv", b"id,x\n" + b"1,2\n" * 50_000 + b"1,oops\n", "a.csv, line 50,002: 'oops' in the column x, which is BIGINT in the lines above"),
    ("a.csv", b"Report of 2026\n\nid,city,n\n1,Oslo,2\n2,Lima,3\n", "a.csv: the table seems to begin in line 3"),
    ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(100), "a.csv: it can't be read as a table"), ("a.csv.gz", b"id,n\n1,2\n", "a.csv.gz: .*Is it whole"),
    ("a.jsonl", b'{\n "a": 1\n}\n', "a.jsonl, line 1: this is not JSON.*pandas.read_json")])
def test_more_that_is_no_table(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=told) as e: open_table(tmp_path / name)
    assert "\n" not in str(e.value)

@pytest.mark.parametrize("content, columns, rows", [
    ("# made today\nid,n\n1,2\n", ["id", "n"], 1), ("1,Oslo,2\n2,Lima,3\n", ["column0", "column1", "column2"], 2), ("name\nOslo\nLima\n", ["name"], 2),
    ("note\nplain words\nanother, with a comma\nand more\n", ["note"], 3), ("a,a\n1,2\n", ["a", "a_1"], 1)])
def test_csv_that_is_odd_and_whole(tmp_path, content, columns, rows):
    (tmp_path / "x.csv").write_text(content)
    table = Table(tmp_path / "x.csv")
    assert table.columns == columns and len(table) == rows == len(table.df())

@pytest.mark.parametrize("name", ["star*.csv", "br[ack].csv", "select.csv", "context.csv", "two words.csv"])
def test_names_that_mean_something_elsewhere(tmp_path, name):
    (tmp_path / name).write_text(CSV)
    (tmp_path / "starfish.csv").write_text(CSV)
    assert len(Table(tmp_path / name)) == 3 and int(Table(tmp_path / name).sql("SELECT sum(n) AS n FROM context")["n"][0]) == 6

LOCKS = {"x.duckdb": "import duckdb; db = duckdb.connect(PATH); db.execute('CREATE TABLE IF NOT EXISTS t (a INT)')",
         "x.sqlite": "import sqlite3; db = sqlite3.connect(PATH, isolation_level=None); db.execute('CREATE TABLE t (a)'); db.execute('BEGIN EXCLUSIVE')"}

@pytest.mark.parametrize("name", LOCKS)
def test_a_locked_database_is_told(tmp_path, name):
    code = LOCKS[name].replace("PATH", repr(str(tmp_path / name))) + "; print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            with pytest.raises(ConfigurationError, match=f"{name} is in use by a program"): open_table(tmp_path / name)
        finally: other.communicate("\n")

# --- while a run is under way

def test_a_table_that_changes_is_told_once_and_is_as_it_is(sales):
    table = Table(sales)
    assert len(table.df()) == 3
    sales.write_text(CSV + "Rome,4\n")
    with pytest.warns(UserWarning, match="sales.csv has changed since the run began"): assert table.sql("SELECT count(*) AS n FROM sales")["n"][0] == 4
    assert len(table) == 4 == len(table.df())
    sales.unlink()
    with pytest.raises(FileNotFoundError, match="sales.csv is gone"): table.sql("SELECT 1")

LITE = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"

@pytest.mark.parametrize("which", ["sales", "ferries"])
def test_ctrl_c_stops_a_query(which, request):
    path = request.getfixturevalue(which)
    threads, timer = set(threading.enumerate()), threading.Timer(1, _thread.interrupt_main)
    model = ScriptedLM([f"```repl\ncontext.sql({SLOW if which == 'sales' else LITE!r})\n```"])
    timer.start()
    with pytest.raises(KeyboardInterrupt): RLM(model, verbose=False).completion("?", context=path)
    timer.join()
    assert set(threading.enumerate()) <= threads

@pytest.mark.parametrize("way", ["completion", "acompletion"])
def test_a_limit_stops_a_query_of_sqlite(ferries, way):
    run = RLM(ScriptedLM([f"```repl\ncontext.sql({LITE!r})\n```"] * 3), max_timeout=1, verbose=False)
    ask = {"completion": lambda: run.completion("?", context=ferries), "acompletion": lambda: asyncio.run(run.acompletion("?", context=ferries))}
    with pytest.raises(TimeoutExceededError): ask[way]()

def test_code_asks_from_many_threads(sales):
    code = ("import threading\nfound = []\ndef ask(): found.append(int(context.sql('SELECT sum(n) AS n FROM context')['n'][0]))\n"
            "threads = [threading.Thread(target=ask) for _ in range(8)]\n[t.start() for t in threads]\n[t.join() for t in threads]\nFINAL(found)")
    assert RLM(ScriptedLM([f"```repl\n{code}\n```"]), verbose=False).completion("?", context=sales).value == [6] * 8

@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_tables_leave_no_threads_and_no_warnings(sales):
    def count(): return len(os.listdir("/proc/self/task"))
    gc.collect()
    before = count()
    tables = [Table(sales) for _ in range(10)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del tables
        gc.collect()
    assert count() <= before + 2

def test_a_secret_column_is_not_printed(tmp_path):
    (tmp_path / "users.csv").write_text("name,api_key\nAda,sk-abcdefghijklmnop\n")
    shown = repr(Table(tmp_path / "users.csv"))
    assert "Ada" in shown and "sk-abc" not in shown
