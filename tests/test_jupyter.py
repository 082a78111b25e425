"""`environment="jupyter"` in real kernels: what the model's code sees and does, and what is left in the user's notebook."""
import json, re, subprocess, sys, textwrap, time
from pathlib import Path

import pytest
from kernel import SET_UP, run_notebook
from leaks import CASES
from rlm.replay import replay
from server import HANG, ChatServer

def names(k) -> set: return set(k.value("[n for n in globals() if n[0] != '_']"))

# -- over HTTP

def test_a_dataframe_by_reference_over_http(k):
    replies = ["```repl\nprint(id(df), df['sales'].sum())\ndf['share'] = df['sales'] / df['sales'].sum()\n```", "FINAL(Lima)"]
    with ChatServer(replies) as s:
        k.ok(f'''df = pd.DataFrame(dict(city=["Lima", "Oslo"], sales=[30, 10])); hidden = "not shared"
            rlm = RLM(backend_kwargs=dict(model_name="test-model", base_url="{s.base_url}"), environment="jupyter", environment_kwargs=only("df"))
            result = rlm.completion("Which city sold most?")'''.replace("\n            ", "\n"))
        assert k.value("result.iterations[0].code_blocks[0].result.stdout == f'{id(df)} 40\\n'")
        assert k.value("df['share'].tolist()") == [0.75, 0.25]
        task = s.messages[0][-1]["content"]
        assert "df: pandas.DataFrame, 2 rows; columns city (str), sales (int64)" in task.replace("(object)", "(str)") and "Lima" in task
        assert "hidden" not in str(s.messages)

# -- the six sync modes

def test_private_reads_nothing_and_gives_nothing(k):
    k.ok("df = [1, 2]")
    before = names(k)
    k.ok("a, b = run('df', 'x = 5; print(x)')")
    assert "NameError: name 'df' is not defined" in k.value("a.error") and k.value("b.stdout") == "5\n"
    assert names(k) == before | {"a", "b"}

def test_publish_gives_back_after_each_block(k):
    k.ok("seen = []\nmine = 'mine'\ndef look(): seen.append('total' in globals())")
    k.ok("tool = look")
    k.ok('''
rlm = RLM(ScriptedLM([block("total = 5; import math; _private = 1; list = [3]; mine = 'theirs'"), block("look()\\ntotal += 1"), block("del total; other = 2"), "FINAL(ok ok)"]),
          environment="jupyter", environment_kwargs=BACK, custom_tools=dict(look=look), verbose=False)
result = rlm.completion("Go.")''')
    assert k.value("seen") == [True]
    assert k.value("(other, mine, 'total' in globals(), 'math' in globals(), 'list' in globals(), '_private' in globals())") == (
        2, "mine", False, False, False, False)
    assert k.value("result.changes.withheld") == {"mine": "theirs"}

def test_read_listed_changes_in_place_only(k):
    k.ok("rows, other = [1], [2]")
    k.ok("a, b = run('rows.append(2); rows = 7; x = 1; rows', 'other', **only('rows'))")
    assert k.value("(a.shown, rows, 'x' in globals())") == ("7", [1, 2], False)
    assert "NameError" in k.value("b.error")

def test_read_all_reads_everything_public(k):
    k.ok("rows, _hidden, sum = [1], 2, max\nimport json as j")
    k.ok("a, b, c = run('print(rows, j.dumps(1), sum(3, 4)); rows = 5', 'print(rows)', '_hidden', **READ)")
    assert k.value("(a.stdout, b.stdout, rows)") == ("[1] 1 4\n", "5\n", [1])
    assert "NameError" in k.value("c.error")
    assert "NameError" in k.value("run('In', **READ)[0].error")

def test_share_all_is_the_namespace_itself(k):
    before = names(k)
    k.ok("b_old = 1\na, b = run('def f(): return g() + 1\\ndef g(): return y\\ny = 1\\nprint(__name__)', 'print(f(), len(context)); del b_old; y = 5', **BOTH)")
    assert k.value("(a.stdout, b.stdout, f(), y)") == ("__main__\n", "2 3\n", 6, 5)
    assert names(k) == before | {"a", "b", "f", "g", "y"}
    assert k.value("(sorted(_last.changes.added), list(_last.changes.deleted))") == (["f", "g", "y"], ["b_old"])

def test_share_all_answers_with_what_the_run_brought(k):
    k.ok("mine = 1\nr = run('SHOW_VARS()', 'FINAL_VAR(\"context\")', question='the prompt', **BOTH)")
    assert {"context: str", "mine: int"} <= set(k.value("r[0].shown").splitlines())
    assert "exit" not in k.value("r[0].shown") and k.value("(_last.response, exit is not None)") == ("the prompt", True)

def test_share_listed_gives_back_what_was_listed(k):
    k.ok("df, mine = [3, 1], 'mine'")
    k.ok("a, b, c = run('df = sorted(df); top = df[-1]; mine = 0', 'df.append(9)', 'mine', **only('df', sync_to_user_ns=True))")
    assert k.value("(df, top, mine, c.shown)") == ([1, 3, 9], 3, "mine", "0")
    assert k.value("(_last.changes.withheld, list(_last.changes.added))") == ({"mine": 0}, ["top"])

MODES = ["{}", "BACK", "READ", "only('df')", "BOTH", "only('df', sync_to_user_ns=True)"]

@pytest.mark.parametrize("mode", MODES)
def test_names_that_can_be_read_are_shown(k, mode):
    look = """print([n for n in ('df', 'api_key', 'mine', 'context', 'FINAL', 'llm_query') if n in globals()])
print(['df' in names for names in (locals(), vars(), dir(), SHOW_VARS(), globals().keys(), list(globals()))], len(globals()) == len(dir()))
def inside(n): return sorted(locals()), sorted(vars()), dir(), 'df' in globals()
print(inside(1), 'append' in dir([]), vars(inside) == {})
globals()['new'] = 2
print(new, globals().get('df'), globals().get('gone'))"""
    k.ok(f"df, api_key = [3, 1], 'not shared'\nr = run('mine = 1', {look!r}, **{mode})[1]")
    df, key = mode not in ("{}", "BACK"), mode in ("READ", "BOTH")
    names = ["df"] * df + ["api_key"] * key + ["mine", "context", "FINAL", "llm_query"]
    assert k.value("r.stdout.splitlines()") == [
        str(names), f"{[df] * 6} True", f"{(['n'], ['n'], ['n'], df)} True True", f"2 {[3, 1] if df else None} None"]
    assert k.value("'new' in globals()") == (mode not in ("{}", "READ", "only('df')"))

@pytest.mark.parametrize("mode", MODES)
def test_a_name_that_is_rebound_and_not_passed_on_is_told_once(k, mode):
    k.ok(f"df = [3, 1, 2]\na, b = run('df = sorted(df)', 'df = df[1:]', question='Sort it.', **{mode})")
    reads, passed = mode not in ("{}", "BACK"), mode in ("BOTH", "only('df', sync_to_user_ns=True)")
    if not reads: assert "NameError" in k.value("a.error")
    told = reads and not passed
    assert k.value("(a.rebound, b.rebound, _last.changes.withheld)") == ({"df": "list"} if told else {}, {}, {"df": [2, 3]} if told else {})
    assert k.value("df") == ([2, 3] if passed else [3, 1, 2])
    says = "`df` is now your own object; the user's `df` is as it was. To change the user's: `del df`, then change `df` in place, as in df[:] = ..."
    assert k.value(f"str(_last.messages).count({says!r})") == told
    assert k.value("'rebound by the model, not passed on' in repr(_last.changes)") == told
    assert k.value("'rebound by the model, not passed on' in _last.changes._repr_html_()") == told

def test_an_answer_beside_code_that_rebinds_waits_until_the_model_was_told(k):
    k.ok("""df = [3, 1]
both = block('df = df[1:]') + '\\nFINAL(one is left)'
rlm = RLM(ScriptedLM([both, "FINAL(yours has two)"]), environment="jupyter", environment_kwargs=only("df"), verbose=False)
result = rlm.completion("Drop one.")""")
    assert k.value("(result.response, df)") == ("yours has two", [3, 1])

def test_a_models_own_variable_is_not_described_as_the_users(k):
    k.ok("""df = [3, 1]
session = scripted('df = df[1:]', 'FINAL(1)', 'FINAL(df)', **only('df')).start_session()
session.chat('Look at df.'); result = session.chat('Now df again.')""")
    told = k.value("result.messages[-2]['content']")
    assert "df: list, 1 item of int = [1]" in told and "user's" not in told and k.value("result.value") == [1]

def test_what_counts_as_rebound(k):
    k.ok("i, n, rows, told, back = 7, 8, [1], 'a', [2]\nimport json")
    k.ok("""r = run('import json\\nfor i in range(3): n = i\\nrows += [2]\\ntold = "b"\\nback = back * 2\\ndel back', question='What is told?', **READ)[0]""")
    assert k.value("(r.error, r.rebound, _last.changes.withheld, rows)") == (None, {"told": "str"}, {"told": "b"}, [1, 2])
    k.ok("r = run('n += 1', 'n', **READ)")
    assert k.value("(r[0].rebound, r[1].shown, n)") == ({"n": "int"}, "9", 8)

def test_an_object_reached_through_globals_is_looked_at(k):
    k.ok("stock = dict(plums=1)\nrun('globals()[\"stock\"][\"plums\"] = 5', **only('stock'))")
    assert k.value("(stock, list(_last.changes.modified), _last.undo().restored, stock)") == ({"plums": 1}, ["stock"], ["stock"], {"plums": 1})

def test_a_follow_up_mentions_what_the_run_has_made(k):
    for mode, mine in ("BOTH", "rlm_context"), ("BACK", "context"):
        k.ok(f"""context = 'mine'
session = scripted('made = [1]\\nFINAL(1)', 'FINAL(made)', **{mode}).start_session()
session.chat('Make it.', context=dict(a=1)); result = session.chat('Go on.'); del made""")
        assert k.value("result.messages[-2]['content']").endswith(f"Still in the REPL: {mine} (dict, 1 key), made (list, 1 item of int)\n\nTask: Go on.")

# -- yours stays yours

@pytest.mark.parametrize("mode", ["{}", "BACK", "READ", "BOTH", "only('df')", "only('df', sync_to_user_ns=True)"])
def test_helpers_are_never_in_the_namespace(k, mode):
    k.ok("df = [1]\nseen = []\ndef spy(): seen.append([n for n in ('FINAL', 'llm_query', 'SHOW_VARS', 'context', 'spy2') if n in globals()])")
    k.ok(f'''
rlm = RLM(ScriptedLM([block("def ask(): return llm_query('x')\\nspy2()"), "FINAL(ok ok)"]), environment="jupyter",
          environment_kwargs={mode}, custom_tools=dict(spy2=spy), verbose=False)
result = rlm.completion("Go.")''')
    assert k.value("(seen, result.iterations[0].code_blocks[0].result.error)") == ([[]], None)
    assert k.run("FINAL").error == "NameError: name 'FINAL' is not defined"
    if mode in ("BACK", "BOTH"): assert k.run("ask()").error.startswith("RunEndedError")

def test_running_a_cell_again_works(k):
    for mode in ("BACK", "BOTH", "only('df', sync_to_user_ns=True)"):
        k.ok(f"df = [1]\nfor n in 1, 2, 3: run(f'total_{len(mode)} = {{n}}', **{mode})")
        assert k.value(f"(total_{len(mode)}, bool(_last.changes.withheld))") == (3, False)
    k.ok(f"total_{len('BACK')} = 'bound by me'\nrun('total_4 = 9', **BACK)")
    assert k.value("(total_4, _last.changes.withheld)") == ("bound by me", {"total_4": 9})

def test_a_change_of_yours_is_seen_and_the_models_own_stays(k):
    k.ok("x, y = 1, 1\ndef change():\n    global x, y\n    x, y = 2, 2")
    k.ok('''
rlm = RLM(ScriptedLM([block("def read(): return x, y\\ny = 10\\nprint(read())"), block("change()\\nprint(read())"), "FINAL(ok ok)"]),
          environment="jupyter", environment_kwargs=READ, verbose=False)
result = rlm.completion("Go.")''')
    assert k.value("[b.result.stdout for i in result.iterations for b in i.code_blocks]") == ["(1, 10)\n", "(2, 10)\n"]
    assert k.value("(x, y)") == (2, 2)

def test_context_of_your_own_in_share_all(k):
    k.ok("context = 'mine'\na, = run('print(context, len(rlm_context))', question='12345', **BOTH)")
    assert k.value("(a.stdout, context)") == ("mine 5\n", "mine")
    assert k.value("run('print(context)', question='12345')[0].stdout") == "12345\n"

def test_a_helpers_name_of_your_own_in_share_all_is_refused(k):
    k.ok("def llm_query(x): return 'mine'\nlm = ScriptedLM(['FINAL(no no)'])")
    error = k.run("RLM(lm, environment='jupyter', environment_kwargs=BOTH).completion('Go.')").error
    assert error.startswith("ConfigurationError: Your notebook has a llm_query of its own")
    assert k.value("run('print(llm_query(1))', **READ)[0].error") is not None  # the model's own: the script has no reply for it

# -- wrong settings

@pytest.mark.parametrize("kw, says", [
    ("dict(sync_from_user_ns=True, sync_vars='df')", '"sync_vars": ["df"]'),
    ("dict(sync_vars=['df'])", "it needs sync_from_user_ns"),
    ("dict(sync_to_user_ns=True, sync_vars=['df'])", "it needs sync_from_user_ns"),
    ("only([1, 2])", "as texts, and not of objects"),
    ("dict(sync_from_user_ns='yes')", "must be True or False"),
    ("dict(sync_from=True)", "Did you mean 'sync_from_user_ns'"),
    ("dict(approve='yes')", 'approve must be "ask", "changes", or a function'),
])
def test_wrong_settings(k, kw, says):
    error = k.run(f"RLM(ScriptedLM([]), environment='jupyter', environment_kwargs={kw})").error
    assert error.startswith("ConfigurationError") and says in error

def test_undefined_names_cost_nothing(k):
    with ChatServer("FINAL(no no)") as s:
        k.ok(f'''user_data, lm = 1, dict(model_name="m", base_url="{s.base_url}")''')
        error = k.run("RLM(backend_kwargs=lm, environment='jupyter', environment_kwargs=only('user_date')).completion('Go.')").error
        assert error.startswith("ConfigurationError") and "'user_data'" in error and not s.requests
        assert "not defined" in k.run("RLM(backend_kwargs=lm, environment='jupyter', environment_kwargs=only('zzz')).completion('Go.')").error
        assert "means something else" in k.run("RLM(backend_kwargs=lm, environment='jupyter', environment_kwargs=only('context')).preview('Go.')").error

def test_outside_ipython_local_is_named():
    code = "from rlm import RLM; RLM(environment='jupyter')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'Use environment="local"' in done.stderr
    done = subprocess.run([sys.executable, "-c", "from rlm import RLM; RLM(environment_kwargs={'sync_vars': []})"], capture_output=True, text=True)
    assert 'belongs to environment="jupyter"' in done.stderr

@pytest.mark.slow
def test_terminal_ipython():
    code = textwrap.dedent(SET_UP.replace("import pandas as pd", "")) + "\nn = 4\nr = run('n += 1\\n!echo hi', **BOTH)\nprint(r[0].stdout.strip(), n)"
    done = subprocess.run([sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "-c", code],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["hi", "5"], done.stdout + done.stderr

# -- the user's cell

def test_nothing_of_the_cell_moves(k):
    k.ok("41 + 1")
    cell = k.ok("before = (len(In), len(Out), get_ipython().execution_count, _)\nr = run('9 * 9', '%time y = 3', '!echo hi', 'pd.DataFrame([1])', **BOTH)\n"
                "after = (len(In), len(Out), get_ipython().execution_count, _)\n'the last value'")
    assert cell.result == "'the last value'" and k.value("before == after and before[3] == 42")
    assert cell.stdout == cell.stderr == "" and not cell.shown
    assert "9 * 9" in k.value("In[-3]")
    assert k.value("[o['data']['text/plain'] for x in r for o in x.outputs][:1]") == ["81"]

def test_rich_outputs_are_kept_and_the_model_gets_their_text(k):
    k.ok('''
r = run("from IPython.display import HTML, Image, display\\ndisplay(HTML('<b>bold</b>'))\\nh = display('one', display_id='x')\\nh.update('two')\\npd.DataFrame({'a': [1, 2]})", **READ)[0]''')
    assert k.value("[sorted(o['data']) for o in r.outputs]") == [["text/html", "text/plain"], ["text/plain"], ["text/html", "text/plain"]]
    assert "'two'" in k.value("r.shown") and "0  1" in k.value("r.shown")
    assert "0  1" in k.value("_last.messages[-2]['content']")

def test_figures_of_the_block_and_no_others(k):
    cell = k.ok('''%matplotlib inline
import matplotlib.pyplot as plt
fig, ax = plt.subplots(); ax.plot([1, 2])
r = run("import matplotlib.pyplot as plt\\nplt.plot([3, 1])\\nplt.show()\\nplt.plot([1, 3])\\nprint(plt.get_fignums())", "plt.get_fignums()")
open_figures = plt.get_fignums()''')
    assert k.value("[[list(o['data'])[0] for o in x.outputs] for x in r]") == [["image/png", "image/png"], ["text/plain"]]
    assert k.value("(r[1].shown, open_figures)") == ("[]", [1])
    assert [len(d) for d in cell.shown] == [2], "the user's own figure is shown at the end of the cell"

def test_figures_of_a_local_run_stay_out_of_the_cell_and_later_ones_come_as_ever(k):
    draw = "import matplotlib.pyplot as plt\\nplt.plot([3, 1])\\nplt.show()\\nplt.plot([1, 3]);\\nprint('drawn')"
    cell = k.ok(f"""%matplotlib inline
local = RLM(ScriptedLM([block("{draw}"), "FINAL(done it)", "FINAL(done it)"]), verbose=False).completion("Draw.").iterations[0].code_blocks[0].result""")
    assert cell.shown == [] and k.value("[list(o['data']) for o in local.outputs if 'image/png' in o['data']]") == [["image/png", "text/plain"]] * 2
    mine = k.ok("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nfig, ax = plt.subplots()")
    assert ["image/png" in d for d in mine.shown] == [True, True]
    cell = k.ok(f"r = run(\"{draw}\", **READ)[0]")
    assert cell.shown == [] and k.value("len([o for o in r.outputs if 'image/png' in o['data']])") == 2

def test_errors_that_ipython_prints_go_to_the_model(k):
    cell = k.ok("r = run('%time 1/0', 'clear = __import__(\"IPython\").display.clear_output\\nclear()', 'len?')")
    assert "ZeroDivisionError" in k.value("r[0].stderr + str(r[0].error)") and "Signature" in k.value("r[2].stdout")
    assert cell.outputs == []

def test_magics_see_the_models_names(k):
    k.ok("n = 1\nr = run('n = 5', '%time m = n + 1', 'print(m)', 'files = !echo a b\\nprint(files)', '%%time\\nq = m\\nprint(q)')")
    assert k.value("[x.stdout.split(chr(10))[0] for x in r[2:]]") == ["6", "['a b']", "6"]
    assert k.value("(n, 'm' in globals(), [x.error for x in r])") == (1, False, [None] * 5)

def test_top_level_await(k):
    k.ok("r = run('import asyncio\\nasync def f(): return 7\\nprint(await f())\\nawait asyncio.sleep(0.01)\\nz = await f()', 'z', **BOTH)")
    assert k.value("(r[0].stdout, r[1].shown, z, r[0].error)") == ("7\n", "7", 7, None)

def test_threads_of_the_user_keep_their_output(k):
    cell = k.ok('''
import threading, time
def talk():
    for i in range(20): print("mine", i); time.sleep(0.02)
t = threading.Thread(target=talk); t.start()
r = run("import time\\nfor i in range(5): print('model', i); time.sleep(0.05)", **BOTH)
t.join()''')
    assert k.value("r[0].stdout") == "".join(f"model {i}\n" for i in range(5))
    assert cell.stdout.count("mine") == 20 and "model" not in cell.stdout

# -- taking care of the kernel

@pytest.mark.parametrize("mode", ["READ", "BACK", "only('keep')"])
@pytest.mark.parametrize("attack", ["get_ipython().user_ns.clear()", "%reset -f", "get_ipython().run_line_magic('reset', '-f')"])
def test_a_block_cannot_take_your_names(k, mode, attack):
    k.ok("keep = [1, 2]")
    k.ok(f"r = run({attack!r}, 'x = 1', **{mode})")
    assert k.value("(keep, [type(x).__name__ for x in r])") == ([1, 2], ["CodeResult"] * 2)
    assert k.run("1 + 1").result == "2" and k.value("len(In) > 3")

def test_a_block_cannot_take_one_of_many_names(k):
    "A large namespace is not copied for every block."
    k.ok("keep = [1, 2]; globals().update({f'name_{i}': i for i in range(6_000)})")
    for mode in ("READ", "BACK", "only('keep')"):
        k.ok(f"""r = run('new = 1', 'x = 2', 'del get_ipython().user_ns["keep"]', 'del new, get_ipython().user_ns["name_5"]',
                       'del get_ipython().user_ns["keep"]; get_ipython().user_ns["other"] = 1', '%reset -f', **{mode})""")
        assert k.value("([x.restored for x in r], keep, name_5, name_5999)") == (
            [(), (), ("keep",), ("name_5",), ("keep",), k.value("r[5].restored")], [1, 2], 5, 5999)
        assert k.value("'new' in globals()") is False

@pytest.mark.parametrize("attack", ["get_ipython().user_ns.clear()", "%reset -f", "globals().clear()"])
def test_share_all_keeps_what_ipython_needs(k, attack):
    k.ok("keep = [1, 2]")
    k.run(f"last = scripted({attack!r}, 'FINAL(done it)', **BOTH)\nresult = last.completion('Go.')")
    assert k.run("1 + 1").result == "2" and k.run("(exit, quit, In[-1], Out)").error is None
    k.ok("result.undo()")
    assert k.value("keep") == [1, 2]

def test_exit_ends_the_block_and_not_the_kernel(k):
    for mode in ("BOTH", "READ", "{}"):
        assert "ended the block" in k.value(f"run('exit()', 'print(1)', **{mode})[0].error")
    assert k.run("1").result == "1" and "xit" in k.value("type(exit).__name__")

# -- odd company

def test_objects_that_cannot_be_asked(k):
    k.ok("""
class Odd:
    def __getattr__(self, name): raise RuntimeError("closed")
    @property
    def __class__(self): raise RuntimeError("closed")
class Gone: pass
import weakref
odd, dead, fine = Odd(), weakref.proxy(Gone()), [1]""")
    for mode in ("only('odd', 'dead', 'fine')", "READ", "BOTH"):
        assert k.value(f"run('fine.append(odd is None); print(len(fine))', question='What is odd about dead?', **{mode})[0].error") is None
    assert k.value("type(get_ipython().display_pub.publish).__name__") == "method"

def test_a_magic_in_a_background_run_leaves_the_users_namespace_alone(k):
    k.ok("""
import threading, time
results = []
rlm = scripted("%time __import__('time').sleep(0.5)", "print(2)", "FINAL(ok ok)")
t = threading.Thread(target=lambda: results.append(rlm.completion("Go."))); t.start()
time.sleep(0.2); mine_now = 5""")
    k.ok("t.join()")
    assert k.value("(mine_now, get_ipython().user_ns['__name__'])") == (5, "__main__")
    assert "Write plain Python" in k.value("results[0].iterations[0].code_blocks[0].result.error")

def test_what_ipython_needs_cannot_be_rebound(k):
    k.ok("r = run('_oh = None; get_ipython = None; __name__ = \"other\"; In = 5; exit = 1', **BOTH)")
    assert k.run("1 + 1").result == "2" and k.value("(__name__, len(In) > 1)") == ("__main__", True)

def test_concurrent_runs_in_the_users_namespace_take_turns(k):
    k.ok("""
import threading, time
def go(name, wait): answers[name] = RLM(ScriptedLM([block(f"import time; time.sleep({wait})\\ndef f(): FINAL('from {name}')\\nf()")]),
    environment="jupyter", environment_kwargs=BOTH, verbose=False).completion("Go.").response
answers = {}
threads = [threading.Thread(target=go, args=a) for a in (("A", 0.3), ("B", 0.5))]
for t in threads: t.start(); time.sleep(0.1)
for t in threads: t.join()""")
    assert k.value("answers") == {"A": "from A", "B": "from B"} and "xit" in k.value("type(exit).__name__")

def test_what_runs_gave_stays_theirs_to_renew(k):
    k.ok("run('d = [1]', **BACK); run('d = d + [2]', **only('d', sync_to_user_ns=True)); run('d = d + [3]', **BOTH); run('d = [9]', **BACK)")
    assert k.value("(d, _last.changes.withheld)") == ([9], {})
    k.ok("_last.undo(); run('d = [10]', **BACK)")
    assert k.value("(d, _last.changes.withheld)") == ([10], {})

def test_names_of_helpers_that_the_user_has(k):
    k.ok("answer, context = 42, 'mine'")
    assert k.value("run('print(answer)', **only('answer'))[0].stdout") == "42\n"
    assert k.value("run('print(answer, context)', question='the prompt', **READ)[0].stdout") == "42 the prompt\n"
    told = k.value("RLM(ScriptedLM([]), environment='jupyter', environment_kwargs=READ).preview('Q?', context='the data')[-1]['content']")
    assert "the data" in told and "mine" not in told
    assert "means something else" in k.run("FINAL = 1\nRLM(ScriptedLM([]), environment='jupyter', environment_kwargs=only('FINAL')).preview('Go.')").error

# -- changes and undo

def test_changes_and_undo(k):
    k.ok("a, b, c, df = 1, 2, 3, pd.DataFrame(dict(x=[1]))\nr = run('a = 10; del b; d = 4; df.loc[0, \"x\"] = 99', **BOTH)\nch = _last.changes")
    assert k.value("(ch.added, ch.rebound, ch.deleted, list(ch.modified))") == ({"d": "4"}, {"a": ("1", "10")}, {"b": "2"}, ["df"])
    cell = k.ok("ch")
    assert "<table>" in [o for o in cell.outputs if o["output_type"] == "execute_result"][0]["data"]["text/html"]
    k.ok("d = 'mine now'\nundone = _last.undo()")
    assert k.value("(a, b, d, undone.restored)") == (1, 2, "mine now", ["a", "b", "df"])
    assert set(k.value("undone.left")) == {"d"} and k.value("df.x.tolist()") == [1]

def test_changes_of_tables_are_told_without_comparing_them(k):
    k.ok("df, s = pd.DataFrame(dict(x=[1, 2])), pd.Series([1])\nr = run('df = df * 2; s = s + 1; t = s', **only('df', 's', sync_to_user_ns=True))")
    assert k.value("(df['x'].tolist(), sorted(_last.changes.rebound), list(_last.changes.added))") == ([2, 4], ["df", "s"], ["t"])
    k.ok("_last.undo()")
    assert k.value("(df['x'].tolist(), s.tolist(), 't' in globals())") == ([1, 2], [1], False)

@pytest.mark.parametrize("mode", ["READ", "BOTH", "only('df', 'rows', 'big', 'mine', 'word')"])
def test_modified_or_nothing(k, mode):
    k.ok("import numpy as np\nclass Own: n = 1\ndf, rows, big, mine, word = pd.DataFrame(dict(x=[1, 60])), [[1], [2]], [0] * 200_000, Own(), 'a'")
    k.ok(f"run('y = df.x.sum(); z = sorted(rows); own = df[df.x > 50]; own = own[own.x > 1]; w = word.upper(); own.pop(\"x\")', **{mode})")
    assert k.value("(_last.changes.modified, _last.changes.unchecked)") == ({}, {})
    k.ok(f"run('big.append(1); mine.n = 2; rows[1].append(3); df[\"month\"] = 5', **{mode})")
    assert k.value("(sorted(_last.changes.modified), sorted(_last.changes.unchecked))") == (["df", "rows"], ["big", "mine"])
    assert "could not be checked" in k.value("repr(_last.changes)") and "month" in k.value("_last.changes.modified['df'][1]")
    k.ok("same, inner = df, rows[1]\nundone = _last.undo()")
    assert k.value("(list(same), rows, inner, sorted(undone.left))") == (["x"], [[1], [2]], [2], ["big", "mine"])

def test_a_name_that_you_bind_to_the_same_value_is_yours(k):
    k.ok("run('n = 3', **BACK)")
    k.ok("n = 3")
    k.ok("run('n = 4', **BACK)")
    assert k.value("(n, _last.changes.withheld)") == (3, {"n": 4})
    for mode in ("BACK", "BOTH"):
        k.ok(f"run('m_{mode} = 7', **{mode})")
        k.ok(f"%time m_{mode} = 7")
        assert k.value(f"(list(_last.undo().left), m_{mode})") == ([f"m_{mode}"], 7)
        k.ok(f"run('o_{mode} = 7', **{mode}); o_{mode} = 7; left = list(_last.undo().left)")
        assert k.value(f"(left, o_{mode})") == ([f"o_{mode}"], 7)
        k.ok(f"p_{mode} = 7; run('p_{mode} = 8', **{mode}); left = list(_last.undo().left); p_{mode} = 8")
        assert k.value("left") == []

def test_what_a_cell_did_not_get_to_is_not_yours(k):
    k.ok("run('n = 3', **BACK)")
    assert k.run("1 / 0\nn = 3").error
    k.ok("def f():\n    n = 3\nf(); [n for n in [3]]\nrun('n = 4', **BACK)")
    assert k.value("(n, _last.changes.withheld)") == (4, {})

@pytest.mark.parametrize("order", ["ba", "ab"])
def test_undo_where_a_run_has_bound_the_same_object_again(k, order):
    k.ok("a = scripted('x = 7', 'FINAL(1)', **BACK).completion('Go.')\nb = scripted('x = 7', 'FINAL(1)', **BACK).completion('Go.')")
    for result in order: k.ok(f"{result}.undo()")
    assert not k.value("'x' in globals()")

def test_undo_out_of_order(k):
    for mode in ("BACK", "BOTH"):
        k.ok("rows = [1]\nresults = []\nfor i in 1, 2, 3:\n    run(f'q = {i}; context', **" + mode + "); results.append(_last)")
        k.ok("done = [results[i].undo() for i in (1, 0, 2)]")
        assert k.value("('q' in globals(), [list(d.left) for d in done])") == (False, [["q"], ["q"], []])
    k.ok("results = []\nfor i in 2, 3:\n    run(f'rows.append({i})', **READ); results.append(_last)")
    k.ok("results[0].undo(); results[1].undo()")
    assert k.value("rows") == [1]
    k.ok("run('q = 1', **BACK); a = _last\nq = 5\ndel q\nrun('q = 1', **BACK)\na.undo()")
    assert k.value("q") == 1, "you have deleted what the first run bound, and this is the second's"

def test_underscore_names_in_share_all(k):
    k.ok("_mine = 1\nrun('_mine = 2; _new = 3; _i9 = 5; __odd__ = 6', **BOTH)")
    assert k.value("(_last.changes.added, _last.changes.rebound)") == ({"_new": "3"}, {"_mine": ("1", "2")})
    assert k.value("(_last.undo().restored, _mine, '_new' in globals())") == (["_mine", "_new"], 1, False)

def test_the_context_in_a_kernel(k):
    k.ok("context, payload, mine = 'mine', {'a': 1}, {'b': 1}")
    for mode, name in (("{}", "context"), ("BACK", "context"), ("READ", "context"), ("BOTH", "rlm_context")):
        k.ok(f"result = scripted('{name}[\"a\"] = 2', 'FINAL(done it)', **{mode}).completion('Go.', context=payload)")
        assert k.value("(list(result.changes.modified), result.undo().restored, payload)") == ([name], [name], {"a": 1})

# -- what the model is told

def test_previews_are_bounded_and_of_shared_names_only(k):
    k.ok("for i in range(5000): globals()[f'v{i}'] = i\nsecret_plan = 'x'\nimport json; from os.path import join\ndef area(w, h=2): 'Of a rectangle.'\n"
         "class Shop: pass\ndata = {'k1': 1}")
    ask = "RLM(ScriptedLM([]), environment='jupyter', environment_kwargs={}).preview('How large is data?')[-1]['content']"
    told = k.value(ask.format("READ"))
    assert len(told) < 8_000 and "data: dict, 1 key = {'k1': 1}" in told.splitlines()[1] and "4" in told and "more variables" in told
    assert "area(w, h=2): function. Of a rectangle." in told and "join" not in told and "json" not in told and "ScriptedLM" not in told
    assert k.value(ask.format("only('data')")).count("\n") < 5 and "secret_plan" not in k.value(ask.format("only('data')"))
    assert "k1" not in k.value(ask.format("{**READ, 'preview': 'schema'}"))
    assert "variables" not in k.value(ask.format("BACK")).lower()

def test_an_object_looks_the_same_by_every_way_in(k):
    k.ok("import numpy as np; from rlm.prompts import shared")
    k.ok("""
objects = [pd.DataFrame(dict(city=["Lima", "Oslo"] * 9, sales=7)), pd.Series([5, 8] * 9, name="sales"), pd.Index(["Lima"]), np.arange(99.0),
           {"EUR": 1.08}, ["red"] * 50, "Lima\\n" * 500, b"\\x89PNG" * 500]
def told(way, preview):
    rlm = RLM(ScriptedLM([]), **({} if way is None else {"environment": "jupyter"}), environment_kwargs=(way or {}) | {"preview": preview})
    text = rlm.preview("Well?", **({"context": it} if way is None else {}))[-1]["content"].replace("context:", "it:")
    return text.replace("\\n" + shared(["it"], gives_back=False), "")
def ways(preview):
    ways = [told(None, preview), told(only("it"), preview), told(READ, preview)]
    entry = ways[0].removesuffix("\\n\\nTask: Well?").removeprefix("Variables in the REPL:\\n")
    return [entry, ways[0] == ways[1], entry in ways[2]]
""")
    found = k.value("[ways(p) for it in objects for p in ('values', 'schema')]".replace("for it in objects", "for it in objects if not globals().update(it=it)"))
    assert all(same and also for _, same, also in found), found
    values, schema = [e for e, *_ in found[::2]], [e for e, *_ in found[1::2]]
    assert ["Lima" in e for e in values] == [True, False, True, False, False, False, True, False]
    assert "5    5" not in values[1] and "8" in values[1] and "0., 1., 2." in values[3]
    assert not any(word in e for e in schema for word in ("Lima", "1.08", "red", "x89PNG", "```"))

def test_under_schema_no_message_of_an_error_is_sent_in_any_mode(k):
    codes = [code for _, code in CASES] + ["r = get_ipython().run_cell('int(patient)')", "%timeit -n1 -r1 int(patient)",
        "from IPython.display import Markdown\nclass Bad:\n    def _repr_html_(self): raise ValueError(patient)\nBad()"]
    k.ok(f"""
patient = "zqlovelace"; df = pd.DataFrame(dict(name=[patient]), index=["x"])
class Echo:
    def complete(self, messages): raise ValueError(messages[-1]["content"])
def ask(codes, **mode):
    codes = codes if "sync_from_user_ns" in mode else ["patient, df = context"] + codes
    lm = ScriptedLM([block(c) for c in codes] + ["FINAL(no luck)"] * 2)
    rlm = RLM(lm, environment="jupyter", environment_kwargs=mode | dict(preview="schema"), other_backends=[Echo()], max_iterations=99, verbose=False)
    result = rlm.completion("Who?", context=None if "sync_from_user_ns" in mode else (patient, df))
    sent = [b.code for i in result.iterations for b in i.code_blocks if patient in b.result.text]
    return sent, patient in str(result.messages), len(sent) + len(result.iterations) > len(codes)
codes = {codes!r}""")
    for mode in ("", "**BACK", "**only('patient', 'df')", "**READ", "**BOTH", "**only('patient', 'df', sync_to_user_ns=True)"):
        assert k.value(f"ask(codes, {mode})") == ([], False, True), mode

def test_a_hint_for_a_name_that_is_not_shared(k):
    k.ok("sales_2024 = [1]; api_key = 'sk-1'")
    say = "rlm = scripted('1', 'FINAL(yes yes)', 'FINAL(yes yes)', verbose=None, **{})\nr = rlm.completion('Sum sales_2024 with api_key.')"
    out = k.ok(say.format("{}")).stdout
    assert "can't see your sales_2024" in out and "'sync_vars': ['sales_2024']" in out and "api_key" not in out
    assert k.ok(say.format("only('sales_2024')")).stdout == "" and k.ok(say.format("READ")).stdout == ""

# -- persistence and sessions

def test_persistence_in_each_mode(k):
    k.ok("""
def two(first, then, mode, between=lambda: None):
    lm = ScriptedLM([block(first), "FINAL(ok ok)", block(then), "FINAL(ok ok)"])
    with RLM(lm, environment="jupyter", environment_kwargs=mode, persistent=True, verbose=False) as rlm:
        rlm.completion("One."); between()
        return rlm.completion("Two.").iterations[0].code_blocks[0].result
""")
    k.ok("df, mine = [1], 'mine'\ndef rebind():\n    global df\n    df = [7]")
    assert k.value("two('x = 1', 'print(x)', {}).stdout") == "1\n" and "x" not in names(k)
    assert k.value("two('x = 1; mine = 2', 'x += 1; print(x, mine)', BACK).stdout") == "2 2\n" and k.value("(x, mine)") == (2, "mine")
    assert k.value("two('x = df', 'print(x, df, mine)', READ, rebind).stdout") == "[1] [7] mine\n" and k.value("x") == 2
    assert k.value("two('df.append(8); z = 1', 'print(df, z)', only('df')).stdout") == "[7, 8]\n".replace("]", "] 1") and "z" not in names(k)
    assert k.value("two('df = [9]; w = 1', 'print(df, w)', only('df', sync_to_user_ns=True), rebind).stdout") == "[7] 1\n" and k.value("w") == 1
    assert k.value("two('v = 5', 'v += 1; print(v)', BOTH).stdout") == "6\n" and k.value("v") == 6

def test_a_session_in_the_users_namespace(k):
    k.ok("session_history = 'mine'\nlm = ScriptedLM([block('a = context'), 'FINAL(ok ok)', block('print(session_context_0, a, session_history, len(rlm_session_history))'), 'FINAL(ok ok)'])\n"
         "session = RLM(lm, environment='jupyter', environment_kwargs=BOTH, verbose=False).start_session()\nsession.chat('One.')\nr = session.chat('Two.')")
    assert k.value("r.iterations[0].code_blocks[0].result.stdout") == "One. One. mine 1\n"
    assert names(k) & {"session_context_0", "context", "context_history", "FINAL"} == set() and k.value("a") == "One."

def test_a_failed_turn_gives_the_users_names_back_on_request(k):
    k.ok("keep = 1\nlm = ScriptedLM([block('keep = 2; new = 3'), 'FINAL(ok ok)', block('keep = 4; more = 5'), ValueError('down'), block('print(keep)'), 'FINAL(ok ok)'])\n"
         "session = RLM(lm, environment='jupyter', environment_kwargs=BOTH, verbose=False).start_session()\nsession.chat('One.')")
    k.ok("try: session.chat('Two.')\nexcept Exception as e: done = e.result.undo()")
    assert k.value("(keep, new, 'more' in globals(), len(session), sorted(done.restored))") == (2, 3, False, 1, ["done", "keep", "more"][1:])
    assert k.value("session.chat('Again.').iterations[0].code_blocks[0].result.stdout") == "2\n"

# -- traces

@pytest.mark.parametrize("mode", ["{}", "BACK", "only('rows')", "READ", "BOTH", "only('rows', sync_to_user_ns=True)"])
def test_a_run_in_each_mode_replays(k, tmp_path, mode):
    from test_traces import execute
    reads = mode not in ("{}", "BACK")
    first = "rows.append(len(rows)); total = sum(rows)" if reads else "rows = [1, 2]; total = 3"
    k.ok(f"""
from rlm.utils.trace_notebook import enable_trace_notebook
logger, trace = enable_trace_notebook({str(tmp_path)!r})
rows, table = [5, 6], pd.DataFrame(dict(x=[1]))
lm = ScriptedLM([block({first!r}), block("import random\\nprint(rows, total, random.random())\\n1 / 0"), block("FINAL([total, rows])")])
result = RLM(lm, environment="jupyter", environment_kwargs={mode}, logger=logger, verbose=False).completion("Go.")""")
    said, nb = execute(k.value("str(trace.path)"))
    assert said == f"The same as then. The answer: {k.value('result.response')}\n"
    assert "Missing" not in nb.cells[-2].source

def test_a_replay_needs_the_live_object_that_the_run_had(k, tmp_path):
    from test_traces import execute
    from rlm.utils.trace_notebook import verify
    k.ok(f"""
from rlm.utils.trace_notebook import enable_trace_notebook
logger, trace = enable_trace_notebook({str(tmp_path)!r})
table = pd.DataFrame(dict(x=[1]))
lm = ScriptedLM([block("print(table['x'].sum())"), "FINAL(1)"])
result = RLM(lm, environment="jupyter", environment_kwargs=READ, logger=logger, verbose=False).completion("Sum up the table.")""")
    said, nb = execute(k.value("str(trace.path)"))
    assert "Missing in the log: table (pandas.DataFrame)." in nb.cells[-2].source
    assert said.startswith("Not the same as then: block 1 needs table (pandas.DataFrame).")
    notebook = Path(k.value("str(trace.path)"))
    text = notebook.read_text()
    for rows, outcome in ("[1]", "equal"), ("[2]", "block 1 differs"):
        start = f"import pandas as pd\\n\",\n\"start_replay({k.value('logger.path.name')!r}, {k.value('result.id')!r}, table=pd.DataFrame(dict(x={rows})))"
        notebook.write_text(text.replace(f"start_replay({k.value('logger.path.name')!r}, {k.value('result.id')!r})", start))
        assert list(verify(notebook).values()) == [outcome]

def test_a_block_that_the_user_changed_replays_as_it_ran(k, tmp_path):
    from test_traces import execute
    k.ok(f"""
from rlm.utils.trace_notebook import enable_trace_notebook
logger, trace = enable_trace_notebook({str(tmp_path)!r})
approve = lambda code: None if "rm" in code else code.replace("1", "2")
lm = ScriptedLM([block("print('rm')"), block("x = 1"), block("FINAL(x)")])
result = RLM(lm, environment="jupyter", environment_kwargs=dict(BOTH, approve=approve), logger=logger, verbose=False).completion("Go.")""")
    said, nb = execute(k.value("str(trace.path)"))
    assert said == "The same as then. The answer: 2\n"
    assert [c.source for c in nb.cells if c.source.startswith("%%replay")] == ["%%replay 2\nx = 2", "%%replay 3\nFINAL(x)"]
    assert sum("did not allow" in c.source for c in nb.cells) == sum("The user changed this code" in c.source for c in nb.cells) == 1

def test_an_answer_that_names_what_no_block_named(k, tmp_path):
    k.ok(f"""
from rlm.replay import Replay
from rlm.utils.trace_notebook import enable_trace_notebook
logger, trace = enable_trace_notebook({str(tmp_path)!r})
rows = [5, 6]
lm = ScriptedLM([block("x = 1"), "FINAL_VAR(rows)"])
result = RLM(lm, environment="jupyter", environment_kwargs=READ, logger=logger, verbose=False).completion("Go.")
here = Replay(logger.path, result.id)
here.block(1, "x = 1")
said = here.end()""")
    assert k.value("result.response") == "[5, 6]"
    assert k.value("said") == "Not the same as then: the answer needs rows (which only the answer names). Missing: rows (which only the answer names)."

# -- approve

def test_approve(k):
    k.ok('''
asked = []
def approve(code):
    asked.append(code)
    return None if "rm" in code else code.replace("1", "2")
r = run("print('rm')", "print(1)", "print('fine')", approve=approve)''')
    assert k.value("asked") == ["print('rm')", "print(1)", "print('fine')"]
    assert k.value("[(x.stdout, x.ran) for x in r]") == [("", ""), ("2\n", "print(2)"), ("fine\n", None)]
    said = k.value("[m['content'] for m in _last.messages if m['role'] == 'user'][3:]")
    assert "did not allow" in said[0] and "The user changed your code. This ran:\nprint(2)" in said[1]

ASKED = '''
_asked, _at_once, _lock = [], [0, 0], __import__("threading").Lock()
def approve(code):
    with _lock: _asked.append(code); _at_once[0] += 1; _at_once[1] = max(_at_once)
    __import__("time").sleep(0.01)
    with _lock: _at_once[0] -= 1
    return None if "open(" in code else code.replace("1 + 1", "2 + 2")
class Family:
    model = "family"
    def complete(self, messages):
        if len(messages) == 1: return "a plain reply"
        task, heard = messages[5]["content"], len(messages) > 6
        if "by text" in task: return "FINAL(str(len(context)) + 'by text')" if not heard else "FINAL(no)"
        if "writes" in task: return block(f"open({_path!r}, 'w')") if not heard else "FINAL(could not)"
        if "changes" in task: return block("FINAL(1 + 1)")
        if "hands on" in task: return block("FINAL(rlm_query('wri' + 'tes'))") if not heard else "FINAL(could not)"
        return block(_code) if not heard else "FINAL(gave up)"
def family(**kw):
    _asked.clear()
    return RLM(Family(), environment="jupyter", environment_kwargs=dict(kw, approve=approve), max_depth=4, verbose=False)
'''
CHILD = "# This is the code of a child, which the model opened with rlm_query.\n"
REACHED = {
    "rlm_query": "FINAL(rlm_query('writes'))", "a batch": "FINAL(rlm_query_batched(['writes'] * 5))", "a grandchild": "FINAL(rlm_query('hands on'))",
    "a thread": "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(5) as p: FINAL(list(p.map(rlm_query, ['writes'] * 5)))",
    "an answer outside code": "FINAL(rlm_query('by text'))"}
ASK = ["rlm.completion('Go.')", "rlm.start_session().chat('Go.')", "list(rlm.stream('Go.'))", "await rlm.acompletion('Go.')"]

@pytest.mark.parametrize("reached", REACHED)
def test_approve_is_asked_for_the_code_of_children(k, tmp_path, reached):
    file = tmp_path / "written"
    k.ok(f"_code, _path = {REACHED[reached]!r}, {str(file)!r}{ASKED}")
    for mode, how in zip(["{}", "BOTH", "READ", "BACK"], ASK):
        k.ok(f"rlm = family(**{mode})\n{how}")
        first, *of_children = k.value("_asked")
        assert not file.exists() and first == REACHED[reached] and k.value("_at_once[1]") == 1
        if reached == "an answer outside code": assert of_children == [CHILD + "str(len(context)) + 'by text'"]
        else: assert len(of_children) == {"rlm_query": 1, "a grandchild": 2}.get(reached, 5) and all(c.startswith(CHILD) for c in of_children)

def test_what_approve_returns_for_a_child_is_what_runs(k):
    k.ok("_code, _path = \"FINAL(rlm_query('changes'))\", ''" + ASKED)
    assert k.value("family().completion('Go.').response") == "4" and k.value("_asked[1]") == CHILD + "FINAL(1 + 1)"
    k.ok("result = family().completion('Go.')")
    assert k.value("[(b.code, b.result.ran) for b in result.iterations[0].code_blocks[0].result.rlm_calls[0].run.iterations[0].code_blocks]") == [
        ("FINAL(2 + 2)", "FINAL(2 + 2)")]
    k.ok("approve = lambda code: 7 if 'child' in code else code\nresult = family().completion('Go.')")
    assert "approve must return the code to run" in k.value("result.iterations[0].code_blocks[0].result.error") and k.value("result.response") == "gave up"

# -- Ctrl-C

INTERRUPTS = {
    "a model call": (HANG, "rlm.completion('Go.')"),
    "a block": ("```repl\nprint('so far'); x = 1\nwhile True: pass\n```", "rlm.completion('Go.')"),
    "a sleeping block": ("```repl\nprint('so far'); x = 1\nimport time; time.sleep(60)\n```", "rlm.completion('Go.')"),
    "an awaiting block": ("```repl\nprint('so far'); x = 1\nimport asyncio; await asyncio.sleep(60)\n```", "rlm.completion('Go.')"),
    "a batch": (lambda body: HANG if "piece" in str(body["messages"][-1]) else
                "```repl\nprint('so far'); x = 1\nllm_query_batched(['piece'] * 20)\n```", "rlm.completion('Go.')"),
}

@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("what", INTERRUPTS)
def test_interrupt(k, what, twice):
    reply, code = INTERRUPTS[what]
    with ChatServer(reply if callable(reply) else lambda body: reply) as s:
        k.ok(f'''mine = 1; rlm = RLM(backend_kwargs=dict(model_name="m", base_url="{s.base_url}", max_retries=0), environment="jupyter", environment_kwargs=BOTH, verbose=False)''')
        cell = k.start(code)
        enough = 2 if what == "a batch" else 1
        end = time.monotonic() + 20
        while len(s.requests) < enough and time.monotonic() < end: time.sleep(0.02)
        time.sleep(0.5)
        k.interrupt()
        if twice:
            time.sleep(0.002)
            k.interrupt()
        k.finish(cell)
        # ipykernel itself prints a second one that meets it at its traceback
        assert (cell.error or "").startswith("KeyboardInterrupt") or (twice and "KeyboardInterrupt" in cell.stderr)
        assert k.run("print(mine); 2").result == "2"
        assert k.value("rlm.last_result.stop_reason") == "interrupted"
        if what != "a model call":
            assert k.value("[(b.result.stdout, b.result.interrupted) for i in rlm.last_result.iterations for b in i.code_blocks]") == [("so far\n", True)]
            assert k.value("(x, 'x' in rlm.last_result.changes.added)") == (1, True)
        assert k.value("__builtins__.__name__") == "builtins" and k.run("FINAL").error.startswith("NameError")
        if what != "a batch":  # whose threads still wait for the server, and may print
            assert k.value("type(__import__('sys').stdout).__name__") == "OutStream"
        assert k.ok("r = run('print(5)'); print(r[0].stdout)").stdout == "5\n\n"

@pytest.mark.parametrize("when", ["BlockEnded", "IterationEnded", "RunEnded"])
def test_an_interrupted_run_can_be_undone(k, when):
    "Ctrl-C comes twice while the run is told of, or finished."
    k.ok(f'''
import signal
def press(event):
    if type(event).__name__ == {when!r}:
        for _ in range(2): signal.raise_signal(signal.SIGINT)
mine = 1
rlm = RLM(ScriptedLM([block("x = 2; mine = 3"), "FINAL(x)"]), environment="jupyter", environment_kwargs=BOTH, logger=press)''')
    assert k.run("rlm.completion('Go.')").error.startswith("KeyboardInterrupt")
    assert k.value("(rlm.last_result.stop_reason, x, mine)") == ("final" if when == "RunEnded" else "interrupted", 2, 3)
    k.ok("rlm.last_result.undo()")
    assert k.value("('x' in globals(), mine, type(__import__('sys').stdout).__name__)") == (False, 1, "OutStream")
    assert k.value("[t.name for t in __import__('threading').enumerate() if '_renew' in t.name]") == []

# -- the working documentation

PAGE = Path(__file__).parents[1] / "nbs" / "tutorials" / "working_documentation.ipynb"

def test_the_working_documentation(kernel, tmp_path):
    "The cells of the page, in order, as they stand there, with the recorded model of its hidden cells."
    cells = ["".join(c["source"]) for c in json.loads(PAGE.read_text())["cells"] if c["cell_type"] == "code"]
    cells = [c for c in cells if "#| hide" not in c]
    large = replay(PAGE.parents[1] / "traces" / "working_documentation.jsonl", checked=False)
    assert len(cells) == 8
    kernel.ok("%reset -f")
    with ChatServer(lambda body: large.complete(body["messages"]).content) as s:
        kernel.ok(f"import os\nos.chdir({str(tmp_path)!r})\nos.environ.update(OPENAI_API_KEY='sk-test-0000000000000000', OPENAI_BASE_URL='{s.base_url}')")
        for cell in cells[:1]: kernel.ok(cell)
        said = kernel.ok(cells[1]).stdout.splitlines()
        assert 1 <= int(said[0].removeprefix("Result 1: ")) <= 100 and said[1].startswith("Result 2: I have not generated a number")
        session = kernel.ok(cells[2])
        assert re.fullmatch("Turn 1: Blue\nTurn 2: .*blue.*\n", session.stdout)
        page = session.shown[-1]["text/html"]
        assert "Pick a color." in page and "Why did you pick that one?" in page
        trace = kernel.value("result.trace_markdown")
        assert trace.count("## Run Context") == 2 and "## Iteration 1" in trace and "### Model Response" in trace
        assert kernel.ok(cells[3]).stdout == "1000\n"
        assert kernel.ok(cells[4]).stdout == "Value from RLM: 83810205\n"
        assert kernel.ok(cells[5]).stdout == "user_data is defined, but api_key is not defined.\n"
        assert "sk-12345" not in str(s.messages) and "Do not see this" not in str(s.messages)
        assert kernel.ok(cells[6]).stdout.split() == "Original DataFrame: Name Score 0 A 10 1 B 20".split()
        kernel.ok("same = df")
        assert kernel.ok(cells[7]).stdout.split() == "Modified DataFrame (in Notebook): Name Score 0 A 15 1 B 25".split()
        assert kernel.value("same is df")
        kernel.ok("del os.environ['OPENAI_API_KEY'], os.environ['OPENAI_BASE_URL']\nos.chdir('/')")
        assert "sk-test-0000000000000000" not in "".join(p.read_text() for p in (tmp_path / "logs").iterdir())
    trace, = (tmp_path / "logs").glob("*.trace.ipynb")
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(trace, 4))
    from test_traces import execute
    checks = ["".join(o.get("text", "") for o in c.outputs) for c in execute(trace)[1].cells if c.source == "end_replay()"]
    assert len(checks) == 6 and all(c.startswith("The same as then.") for c in checks), checks

@pytest.mark.slow
def test_the_tour_of_the_modes_runs_in_a_kernel(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    notebook = Path(__file__).parents[1] / "nbs" / "tutorials" / "sync_modes.ipynb"
    nb = nbformat.read(notebook, 4)
    run_notebook(nb, tmp_path, timeout=300)
